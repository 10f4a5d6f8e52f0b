"""The oracle of one input: phi is linear between data points and w is a norm there, so its supremum is a formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cellsolve.data import Array
from cellsolve.exact_dual import ExactDual
from cellsolve.line import FLAT, LEFT, RIGHT, Line, Side
from cellsolve.oracles.interval_kernels import arc, hinge_sums, moments, segment_suprema
from cellsolve.oracles.pricing import Oracle, Pricing
from cellsolve.potentials import POTENTIALS, UNIT
from cellsolve.problem import Problem

#: share of a supremum up to which what a correction may add to it is added, without another look
NEGLIGIBLE = 2.0**-40


def on_a_line(problem: Problem) -> bool:
    """Whether neurons are kinks on a line: one input, biases, one output, and costs that are known in closed form."""
    known = type(problem.penalty) in POTENTIALS.values()
    return known and problem.X.shape[1] == 1 and problem.fit_bias and problem.n_outputs == 1


class IntervalOracle(Oracle):
    """Sup of |phi_alpha| / w over all neurons of one input with biases, one output, in O(n).

    Parameters
    ----------
    problem : Problem

    Notes
    -----
    The neurons are a circle: kinks that face right, from the first point to the last, inactive ones, kinks that face
    left, and those that are active on all points, from (-1, x_n) over constants to (1, -x_1). On each segment w is the
    norm of a plane and phi is linear, so the largest ratio is at an end or where the plane's functional points.
    """

    proves = exact = exact_dual = True

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.line = Line(
            problem.lifted[:, 0], problem.penalty, float(problem.lifted[0, -1]), problem.order, problem.ordered
        )

    def price(self, alpha, level, correction=None, prove=True, max_time=np.inf, thorough=True):
        """As `Oracle.price`: always tight, rounding included."""
        supremum, facing, place, ratios = self.look(alpha[:, 0], level)
        if correction is not None and correction.any():
            rows = np.flatnonzero(correction[:, 0])
            supremum = (supremum + self._changed(rows, correction[rows])) * (1 + 4 * UNIT)
        return Pricing(supremum, self.line.theta(facing, place), ratios, exhaustive=True)

    def exactly(self, dual: ExactDual, known: float) -> float:
        """Return the proven supremum of a corrected dual vector: its changes are known to 16 digits more."""
        changes = [(i, float(change)) for i, _, change in dual.changes() if change]
        rows = np.array([i for i, _ in changes], dtype=np.int64)
        size = np.array([[np.nextafter(abs(change), np.inf)] for _, change in changes]).reshape(-1, 1)
        more = self._changed(rows, size)
        if known < np.inf and more <= NEGLIGIBLE * known:
            return (known + more) * (1 + 4 * UNIT)
        supremum = self.look(dual.alpha[:, 0], np.inf, dict(changes))[0]
        return (supremum + self._changed(rows, 2 * UNIT * size)) * (1 + 4 * UNIT)

    def look(
        self, alpha: Array, level: float, low: dict[int, float] | None = None
    ) -> tuple[float, np.ndarray, Array, Array]:
        """Return the proven supremum of alpha + low, and facing, place and ratio of its local maxima above the level.

        The best one comes first.
        """
        line, problem = self.line, self.problem
        ordered = alpha[line.order]
        rest = np.zeros_like(ordered)
        for row, change in (low or {}).items():
            rest[line.order == row] = change
        phi: dict[int, Array] = {}
        error = 0.0
        for facing in (RIGHT, LEFT)[: 1 if problem.one_facing else 2]:
            phi[facing] = np.empty(len(line.knots))
            total, more = hinge_sums(line.knots, line.first, ordered, rest, facing == LEFT, phi[facing])
            error = max(error, more)
        zero, everywhere = dict.fromkeys(phi, 0.0), 0.0
        if any(line.side(facing).obtuse for facing in phi):
            zero[RIGHT], zero[LEFT], everywhere, more = moments(line.x, ordered, rest)
            error = max(error, more)
        supremum = 0.0
        found: list[tuple[np.ndarray, Array, Array]] = []
        for facing, values in phi.items():
            best, places, ratios = _along(line, line.side(facing), values[::facing], zero[facing], facing, level)
            supremum = max(supremum, best)
            found.append((np.full(len(places), facing), places, ratios))
        if not problem.one_facing and not problem.penalty.free_constant(True):
            for facing in (RIGHT, LEFT):
                first, none = phi[facing][::facing][0], facing * everywhere
                best, neuron = _all_active(line, line.side(facing), first, none, total, facing, level)
                supremum = max(supremum, best)
                found += neuron
        slack = 2 * error * self._reach(line)  # a neuron on an acute arc is that of its ends with shares of at most w
        facings, places, ratios = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.argsort(-ratios, kind="stable")
        bound = (supremum + slack) * (1 + line.rounding)
        return float(bound), facings[order], places[order], ratios[order]

    def _reach(self, line: Line) -> float:
        """1 over the least cost of a neuron at the end of an arc, for the error of phi."""
        sides = [line.right] if self.problem.one_facing else [line.right, line.left]
        costs = [cost for side in sides for cost in (side.left_cost, side.right_cost)]
        least = min((part[part > 0].min(initial=np.inf) for part in costs), default=np.inf)
        if any(side.obtuse for side in sides):
            least = min(least, 1.0)  # where they are cut
        constant = line.right.all_costs[1]
        least = min(least, constant) if constant > 0 else least
        return 1 / least if np.isfinite(least) else 0.0

    def _changed(self, rows: np.ndarray, correction: Array) -> float:
        """Bound what a change of alpha by `correction` (K, 1) on some rows adds to the supremum."""
        penalty, lifted = self.problem.penalty, self.problem.lifted
        if penalty.free_constant(True):  # the changed alpha adds up to 0 with alpha: kinks on the data see it as it is
            width = self.line.knots[-1] - self.line.knots[0]
            return float(correction.sum() * width * (1 + (len(correction) + 8) * UNIT))
        if not penalty.depends_on_data:
            return penalty.crude_bound(correction, lifted[rows], True)
        every = np.zeros((len(lifted), 1))
        every[rows] = correction
        return penalty.crude_bound(every, lifted, True)


def _along(line: Line, side: Side, phi: Array, zero: float, facing: int, level: float) -> tuple[float, Array, Array]:
    """Price one facing; `phi` at its knots from the left, in the mirrored order for those that face left.

    `zero` is phi of the kink at 0, where an obtuse arc is cut.
    """
    S = len(side.wedge)
    ends, inside, share = np.empty((3, S if level < np.inf else 0))
    best = segment_suprema(phi, side.left_cost, side.right_cost, side.wedge, ends, inside, share)
    knots = line.knots if facing == RIGHT else -line.knots[::-1]
    for i in np.flatnonzero(side.wedge < 0):  # one at most: 0 is within
        halves = (
            (phi[i] / side.left_cost[i], zero, side.left_cost[i], 1.0, knots[i], 0.0),
            (zero, phi[i + 1] / side.right_cost[i], 1.0, side.right_cost[i], 0.0, knots[i + 1]),
        )
        for u, v, cost, other_cost, place, other in halves:
            ratio, A, B = arc(u, v, _from_zero(place + other, line.unit))
            if level < np.inf and ratio > max(inside[i], ends[i]):
                weight, more = (A / cost, B / other_cost) if A > 0 else (float(place == 0), float(other == 0))
                inside[i] = ratio
                share[i] = ((weight * place + more * other) / (weight + more) - knots[i]) / (knots[i + 1] - knots[i])
            best = max(best, ratio)
    if best <= level:
        return best, np.zeros(0), np.zeros(0)
    within = np.flatnonzero(inside > level)
    places = [knots[within] + share[within] * (knots[within + 1] - knots[within])]
    ratios = [inside[within]]
    # a knot is a local maximum where neither segment beside it has a larger ratio
    at = np.zeros(S + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        at[:-1] = np.where(side.left_cost > 0, np.abs(phi[:-1]) / side.left_cost, 0.0)
        at[1:] = np.maximum(at[1:], np.where(side.right_cost > 0, np.abs(phi[1:]) / side.right_cost, 0.0))
    top = np.maximum(inside, ends)
    peak = (at > level) & (at >= np.append(0.0, top)) & (at >= np.append(top, 0.0))
    peak[-1] = False  # the last one responds nowhere
    places.append(knots[peak])
    ratios.append(at[peak])
    return best, facing * np.concatenate(places), np.concatenate(ratios)


def _from_zero(place: float, unit: float) -> float:
    """1 - cos of the angle between (unit, place) and (unit, 0)."""
    size = np.hypot(unit, place)
    return float((place / size) ** 2 / (1 + unit / size))


def _all_active(line: Line, side: Side, phi: float, zero: float, total: float, facing: int, level: float):
    """Price the neurons between that with its kink at the first knot and the constant.

    `zero` is phi of the neuron (facing, 0), where an obtuse arc is cut.
    """
    first = line.knots[0] if facing == RIGHT else -line.knots[-1]
    kink, constant = side.all_costs
    # ratio, slope and bias of neurons at cost 1
    kinks = (phi / kink, 1 / kink, -first / kink) if kink > 0 else (0.0, 0.0, 0.0)
    ends = [kinks, (total / constant, 0.0, 1 / constant)]
    wedges = [side.all_wedge]
    if side.all_wedge < 0:  # the constant is at a right angle to (1, 0)
        ends.insert(1, (zero, 1.0, 0.0))
        wedges = [_from_zero(first, line.unit), 1.0]
    best, found = 0.0, []
    for ((u, *one), (v, *two)), wedge in zip(pairwise(ends), wedges, strict=True):
        ratio, A, B = arc(u, v, wedge)
        best = max(best, ratio)
        if A == 0:
            A, B = (0.0, 1.0) if abs(v) >= abs(u) else (1.0, 0.0)
        slope, bias = A * one[0] + B * two[0], A * one[1] + B * two[1]
        at_kink = B == 0 and one == list(kinks[1:])  # which is priced along the line
        if ratio <= level or at_kink or (slope == 0 and facing == LEFT):
            continue
        where, place = (FLAT, 0.0) if slope == 0 else (facing, -facing * bias / slope)
        found.append((np.array([where]), np.array([place]), np.array([ratio])))
    return best, found
