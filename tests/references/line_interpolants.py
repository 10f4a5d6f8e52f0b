"""Interpolants of one input by other means: a cone program, an enumeration, and the fewest kinks of all.

A kink at tau with a jump c of the slope costs |c| sqrt(1 + tau^2), the length of c (1, tau); an affine function is
free. Points are in order, and connecting the dots bends f by D_i at x_i.
"""

from __future__ import annotations

import itertools
import math
import warnings
from fractions import Fraction

import cvxpy as cp
import numpy as np

#: heights of the walls around a search
BARRIERS = (*(0.1**k for k in range(1, 15)), 0.0)


def slopes(x, y):
    """Return the slopes between points, exactly: fractions."""
    x, y = ([Fraction(float(v)) for v in values] for values in (x, y))
    return [(d - c) / (b - a) for (a, b), (c, d) in zip(itertools.pairwise(x), itertools.pairwise(y))]


def bends(x, y):
    """Return D_i of the inner points, exactly: fractions."""
    return [after - before for before, after in itertools.pairwise(slopes(x, y))]


def run_lengths(x, y):
    """Return how many points bend the same way in a row, for every such run."""
    signs = [(bend > 0) - (bend < 0) for bend in bends(x, y)]
    return [len(list(run)) for sign, run in itertools.groupby(signs) if sign]


# -- the least norm, as a cone program ----------------------------------------------------------------------------


def chain_in_cvxpy(x, y, *, signed=True):
    """Return the least norm of an interpolant of the points, by cvxpy.

    A kink at tau between x_i and x_{i+1} that bends by m is the vector (m, p) = m (1, tau), and several of one sign
    cost no less than their sum: so one of each sign in every segment is all that is needed. With `signed` False there
    are only those that bend upwards, which is exact for convex data.

    A vector is a (1, x_i) + b (1, x_{i+1}) with a, b >= 0: then f leaves x_i with slope delta_i - a and arrives with
    delta_i + b, and no coefficient is the width of a segment.
    """
    n, delta = len(x), np.diff(y) / np.diff(x)
    scale = np.abs(np.diff(delta)).max()
    if scale == 0:
        return 0.0
    start, end, cost = delta / scale, delta / scale, 0
    for sign in (1, -1) if signed else (1,):
        a, b = cp.Variable(n - 1, nonneg=True), cp.Variable(n - 1, nonneg=True)
        start, end = start - sign * a, end + sign * b
        cost += cp.sum(cp.norm(cp.vstack([a + b, cp.multiply(x[:-1], a) + cp.multiply(x[1:], b)]), axis=0))
    names = ("gap_rel", "gap_abs", "feas")
    tight = {f"tol_{name}": 1e-9 for name in names} | {f"reduced_tol_{name}": 1e-8 for name in names}
    problem = cp.Problem(cp.Minimize(cost), [end[:-1] == start[1:]])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate")  # within the reduced tolerances all the same
        value = problem.solve(solver="CLARABEL", **tight)
    assert problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
    return scale * value


# -- where its kinks are, by enumeration --------------------------------------------------------------------------


def exact_kinks(x, y):
    """Return the places and the jumps of the kinks of the least-norm interpolant of the points.

    A part of D_i is moved into the segment to the left, the rest into the one to the right, where it joins what comes
    from the neighbour if that bends the same way. Which parts are all, nothing, or something between is enumerated.
    """
    x = np.asarray(x, dtype=float)
    bend = np.array([0.0, *map(float, bends(x, y)), 0.0])
    kinks, i = {}, 0
    for sign, run in itertools.groupby(np.sign(bend)):
        start, i = i, i + len(list(run))
        if sign:
            for where, size in _kinks_of_run(x, np.abs(bend), start, i):
                kinks[where] = kinks.get(where, 0.0) + sign * size
    places = sorted(kinks)
    return np.array(places), np.array([kinks[where] for where in places])


def _kinks_of_run(x, bend, start, stop):
    """Return places and sizes of the kinks of points start <= i < stop, which bend the same way."""
    size = np.hypot(1, x)
    dot, product = 1 + x[:-1] * x[1:], size[:-1] * size[1:]
    # 1 - cos of the angles between the (1, x_i), without cancellation
    turn = np.where(dot > 0, np.diff(x) ** 2 / (product + np.abs(dot)), product - dot) / product
    # beyond a right angle a kink in the first segment may bend f before x_1 as well, to cost less
    beyond = dot**2 / (product * (product + np.diff(x)))
    left = start == 1 and dot[0] < 0
    right = stop == len(x) - 1 and dot[-1] < 0
    mass = bend * size
    before = _best_split(
        mass[start:stop], turn[start : stop - 1], beyond[0] if left else 0.0, beyond[-1] if right else 0.0
    )
    before, after = before / size[start:stop], (mass[start:stop] - before) / size[start:stop]
    kinks = []
    for i, u, v in zip(range(start - 1, stop), [0.0, *after], [*before, 0.0]):  # the segments from i to i + 1
        if i == start - 1 and left:
            u = -v * dot[0] / size[0] ** 2
        if i == stop - 1 and right:
            v = -u * dot[-1] / size[-1] ** 2
        if u + v > 0:
            where = x[i] if v == 0 else x[i + 1] if u == 0 else (u * x[i] + v * x[i + 1]) / (u + v)
            kinks.append((where, u + v))
    return kinks


def _best_split(mass, turn, first_rate, last_rate):
    """Return how much of each mass (K,) goes to the left, such that pairs that meet between neighbours save the most.

    Two masses u and v that meet save u + v - |u + v|, the last being the length of the sum of two vectors, 1 - cos of
    the angle between which is `turn` (K - 1,); a unit that leaves at an end saves `first_rate`, or `last_rate`.

    Points of which all or nothing goes to the left part the others into stretches that know nothing of each other.
    What a stretch saves is concave in its split; one without a maximum inside is not of the best.
    """
    K = len(mass)
    mass, turn = [0.0, *map(float, mass), 0.0], [0.0, *map(float, turn), 0.0]  # with points beyond that have nothing
    best = {(0, 0.0): (0.0, None, None)}  # by the point that ends a stretch and what goes to the left there
    for j in range(1, K + 2):
        for to_left in {0.0, mass[j]}:
            ways = []
            for (i, earlier), (saved, _, _) in best.items():
                if i == j or (i == 0 and j > 1 and not first_rate) or (j == K + 1 and i < K and not last_rate):
                    continue  # who gains nothing from the end goes the other way
                stretch = _Stretch(
                    mass[i + 1 : j],
                    turn[i:j],
                    (mass[i] - earlier, to_left),
                    (first_rate if i == 0 else 0.0, last_rate if j == K + 1 else 0.0),
                )
                shares = stretch.maximum()
                if shares is not None:
                    ways.append((saved + stretch.saving(shares), (i, earlier), shares))
            if ways:
                best[j, to_left] = max(ways, key=lambda way: way[0])
    left, key = np.empty(K + 2), (K + 1, 0.0)
    while key is not None:
        j, left[j] = key
        _, before, shares = best[key]
        if before is not None:
            left[before[0] + 1 : j] = np.multiply(shares, mass[before[0] + 1 : j])
        key = before
    return left[1:-1]


class _Stretch:
    """Points between two whose split is known; splits are the shares of their masses that go to the left.

    Parameters
    ----------
    mass : m numbers
    turn : m + 1 numbers
    ends : two numbers
        What comes from the point before, and from the one after.
    rates : two numbers
        What a unit saves in the first segment, and in the last, on its own.
    """

    def __init__(self, mass, turn, ends, rates):
        self.mass, self.turn, self.ends, self.rates = mass, turn, ends, rates

    def _pairs(self, shares):
        """Return (u, v, |u + v|, turn) of every segment, u coming from its left and v from its right."""
        u = [self.ends[0], *(M * (1 - s) for M, s in zip(self.mass, shares))]
        v = [*(M * s for M, s in zip(self.mass, shares)), self.ends[1]]
        return [(a, b, math.sqrt(max((a + b) ** 2 - 2 * a * b * k, 0.0)), k) for a, b, k in zip(u, v, self.turn)]

    def saving(self, shares):
        pairs = self._pairs(shares)
        saved = sum(2 * u * v * k / (u + v + length) for u, v, length, k in pairs if u * v > 0)
        return saved + self.rates[0] * pairs[0][1] + self.rates[1] * pairs[-1][0]

    def _derivatives(self, shares, barrier):
        """Return the gradient, and the diagonal of minus the Hessian and what is beside it."""
        of_u, of_v, of_uu, of_uv, of_vv = [], [], [], [], []
        for u, v, length, k in self._pairs(shares):
            common, curvature = k / (length * (u + v + length)), k * (2 - k) / length**3
            of_u.append(v * v * common * (1 + (v + 2 * u * (1 - k)) / (length + u)))
            of_v.append(u * u * common * (1 + (u + 2 * v * (1 - k)) / (length + v)))
            of_uu.append(curvature * v * v)
            of_uv.append(curvature * u * v)
            of_vv.append(curvature * u * u)
        of_v[0] += self.rates[0]
        of_u[-1] += self.rates[1]
        mass, here = self.mass, range(len(shares))
        slope = [mass[i] * (of_v[i] - of_u[i + 1]) for i in here]
        diagonal = [mass[i] ** 2 * (of_vv[i] + of_uu[i + 1]) for i in here]
        beside = [mass[i] * mass[i + 1] * of_uv[i + 1] for i in here[:-1]]
        for i, s in enumerate(shares):
            height = barrier * mass[i] * max(self.turn[i], self.turn[i + 1])
            slope[i] += height * (1 / s - 1 / (1 - s))
            diagonal[i] += height * (1 / s**2 + 1 / (1 - s) ** 2)
        return slope, diagonal, beside

    def maximum(self):
        """Return the shares between 0 and 1 that save the most, by barriers and Newton; None where there are none."""
        shares = [0.5] * len(self.mass)
        if not shares:
            return shares
        if not max(self.ends) > 0:
            return None  # along some line nothing changes, up to the border
        for barrier in BARRIERS:
            slope, diagonal, beside = self._derivatives(shares, barrier)
            for _ in range(50):
                step = _solve_tridiagonal(diagonal, beside, slope)
                far = max(max(-d / s, d / (1 - s)) for s, d in zip(shares, step))
                t, rise = 0.9 / max(0.9, far), _dot(step, slope)
                while True:
                    trial = [s + t * d for s, d in zip(shares, step)]
                    slope, diagonal, beside = self._derivatives(trial, barrier)
                    if _dot(step, slope) >= -0.5 * rise or t < 1e-12:
                        break
                    t /= 2
                shares = trial
                if min(min(s, 1 - s) for s in shares) < 1e-13:
                    return None
                if max(abs(d) / min(s, 1 - s) for s, d in zip(shares, step)) < (1e-13 if barrier == 0 else 0.1):
                    break
        return shares


def _dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def _solve_tridiagonal(diagonal, beside, right):
    """Solve a symmetric positive definite system; where it is all but singular as if it were a little larger."""
    pivots, values = [diagonal[0]], [right[0]]
    for i, b in enumerate(beside):
        ratio = b / pivots[i]
        pivots.append(max(diagonal[i + 1] - ratio * b, 1e-15 * diagonal[i + 1]))
        values.append(right[i + 1] - ratio * values[i])
    solution = [values[-1] / pivots[-1]]
    for i in range(len(beside) - 1, -1, -1):
        solution.insert(0, (values[i] - beside[i] * solution[0]) / pivots[i])
    return solution


# -- the fewest kinks of all interpolants -------------------------------------------------------------------------


def fewest_kinks(x, y):
    """Return the least number of kinks of any continuous, piecewise linear interpolant of the points.

    By the set of slopes that f may have where a segment ends, after the fewest kinks: the segment's own, delta, all
    above it, and all below it. With one more every slope may be had, by a kink at that point. Within a segment no
    kink leaves delta, and one leads from any slope on one side of delta to any on the other.
    """
    delta, *others = slopes(x, y)
    kinks, above, below = 0, False, False
    for after in others:
        if after == delta or (above if after > delta else below):
            above = below = False
        else:
            kinks += 1
            above, below = below or delta < after, above or delta > after
        delta = after
    return kinks
