"""Proof, in integers, of a bound on sup |phi_alpha(theta)| / w(theta) for one input with biases: no list of cells.

Between two neighbouring points the pattern is fixed: phi is linear in theta = (a, b), phi = (a A + b S) in integer
units, and w^2 = theta^T W theta (or w is linear, and its ends are enough). The largest ratio on the arc of the
neurons with their kinks between the two is that of one of its ends, or sqrt(q^T W^-1 q), q = (A, S), where W^-1 q or
its opposite lies in the arc.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np

from cellsolve.data import Array
from cellsolve.verify_integers import Ints, Refused, to_integers


def prove_line(alpha: Ints, denominator: int, supremum: float, x: Array, *, penalty: str, full: bool) -> None:
    """Prove |phi_alpha(theta)| <= supremum w(theta) for all neurons theta = (a, b) of one input, or raise Refused.

    Parameters
    ----------
    alpha, denominator : (n,) array of ints, and int
        The dual vector times its common denominator.
    supremum : float
    x : (n,)
    penalty, full
        What w is, as in `cellsolve.verify.Claim`.
    """
    order = np.argsort(x, kind="stable")
    places, unit = to_integers(x[order])
    limit = Fraction(supremum) * denominator
    weights = alpha[order]
    for sign in (1, -1):  # kinks that face right, then left: the line mirrored
        line = (places, weights) if sign > 0 else (-places[::-1], weights[::-1])
        _one_facing(*line, unit, limit, penalty, full, f"{'right' if sign > 0 else 'left'}")
    _everywhere(places, weights, unit, limit, penalty, full)


def _one_facing(x: Ints, alpha: Ints, unit: int, limit: Fraction, penalty: str, full: bool, facing: str) -> None:
    """Prove the neurons x - tau with tau between the first point and the last."""
    starts = np.flatnonzero(np.append(True, x[1:] != x[:-1]))
    if len(starts) < 2:
        return
    knots = x[starts]
    sums = np.add.reduceat(alpha, starts)
    moments = np.add.reduceat(alpha * x, starts)
    count = np.diff(np.append(starts, len(x))).astype(object)
    if penalty == "l1":  # w bends at 0
        at = int(np.searchsorted(knots, 0))
        if at < len(knots) and knots[at] != 0:
            knots, zero = np.insert(knots, at, 0), np.zeros(1, dtype=object)
            sums, moments, count = (np.concatenate([part[:at], zero, part[at:]]) for part in (sums, moments, count))
    # on the segment from knot i to the next the points from knot i + 1 on are active
    S, A, M0 = (np.cumsum(part[:0:-1])[::-1] for part in (sums, moments, count))
    M1, M2 = (np.cumsum((count * knots**k)[:0:-1])[::-1] for k in (1, 2))
    low, high = knots[:-1], knots[1:]
    arcs = _arcs(A, S, M0, M1, M2, unit, len(x), penalty, full)
    _hold(arcs, low, np.ones_like(low), high, np.ones_like(low), limit, penalty, f"kinks that face {facing}")


def _everywhere(x: Ints, alpha: Ints, unit: int, limit: Fraction, penalty: str, full: bool) -> None:
    """Prove the neurons that are active on all points: from x - x_1 over constants to x_n - x."""
    if penalty == "slope":  # constants cost nothing, and of linear functions the kinks at the ends cost least
        if alpha.sum():
            raise Refused("constants cost nothing, and their multipliers do not add up to 0")
        return
    one = np.array([1], dtype=object)
    S, A = alpha.sum() * one, (alpha * x).sum() * one
    M0, M1, M2 = len(x) * one, x.sum() * one, (x**2).sum() * one
    arcs = _arcs(A, S, M0, M1, M2, unit, len(x), penalty, full)
    # directions (a, -b): (1, x_1), (0, -1), (-1, -x_n); l1 is cut at b = 0 too
    ends = [(1, int(x[0])), (0, -1), (-1, -int(x[-1]))]
    if penalty == "l1" and x[0] > 0:
        ends.insert(1, (1, 0))
    if penalty == "l1" and x[-1] < 0:
        ends.insert(len(ends) - 1, (-1, 0))
    for (a, b), (c, d) in pairwise(ends):
        _hold(arcs, b * one, a * one, d * one, c * one, limit, penalty, "neurons that are active everywhere")


def _arcs(A, S, M0, M1, M2, unit: int, n: int, penalty: str, full: bool):
    """Return q, W, what W is multiplied by, and the unit, for neurons with response a x - b in integers x.

    That is theta = (a unit, -b) in the caller's coordinates; phi = <q, (a, b)>, w^2 = (a, b) W (a, b)^T / scale.
    """
    q = A, -S
    if penalty == "variation":
        one = np.ones_like(A)
        return q, (unit**2 * one, 0 * one, one), 1, unit
    if penalty == "label_noise":
        factor = 4 * (M2 + unit**2 * M0) if full else np.ones_like(A)
        scale = n**2 * unit**2 if full else n
        return q, (factor * M2, -factor * M1, factor * M0), scale, unit
    return q, None, 1, unit


def _hold(arcs, low, a_low, high, a_high, limit: Fraction, penalty: str, which: str) -> None:
    """Hold both ends (a, b) of every arc, responses a x - b, and what lies between, against the limit."""
    (A, B), W, scale, unit = arcs
    p, r = limit.numerator, limit.denominator
    for a, b in ((a_low, low), (a_high, high)):
        phi = a * A + b * B
        if W is None:
            size = abs(a) * unit if penalty == "slope" else abs(a) * unit + abs(b)
            wrong = abs(phi) * r > p * size
        else:
            wrong = phi**2 * r**2 * scale > p**2 * (a**2 * W[0] + 2 * a * b * W[1] + b**2 * W[2])
        if wrong.any():
            raise Refused(f"a neuron is above the claimed supremum: {which}")
    if W is None:
        return
    det = W[0] * W[2] - W[1] ** 2
    across, along = A * W[2] - B * W[1], B * W[0] - A * W[1]  # W^-1 q, times det
    high_enough = (A * across + B * along) * r**2 * scale > p**2 * det
    # it lies strictly between the ends where it turns the same way from one and to the other
    inside = (a_low * along - low * across) * (across * high - along * a_high) > 0
    wrong = high_enough & inside & (det > 0)
    if wrong.any():
        raise Refused(f"a neuron between two points is above the claimed supremum: {which}")
