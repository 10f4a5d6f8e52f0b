"""Least-norm interpolants of one input with the affine part free, exactly and in linear time.

Connecting the dots bends f by D_i at every point. Points at which it bends the same way in a row are a run; what a
kink costs is convex between data, so that bends of a run gather in kinks between its points, and runs know nothing of
each other (Boursier and Flammarion, 2023). How they gather is a convex program of one number a point, solved exactly by
`run_kernels.fence`; its multipliers are the kinks, its solution the dual function.
"""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array
from cellsolve.line import Line
from cellsolve.oracles.interval import IntervalOracle, on_a_line
from cellsolve.potentials import UNIT, Slope, Variation
from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.generation import Outcome
from cellsolve.solvers.options import Options
from cellsolve.solvers.run_kernels import bends, corners, dual_vector, place_kinks, run_kinks

#: points within this share of |y| of a line are on it: some roundings of targets that were computed
TUBE = 2.0**-49
#: neurons are normalized where rounding their kinks moves f by at most this share of y
ROUNDED = 1e-12


def falls_into_runs(problem: Problem) -> bool:
    """Whether the problem is interpolation that falls into runs."""
    falls = problem.interpolates and problem.free == "affine" and type(problem.penalty) in (Variation, Slope)
    return falls and on_a_line(problem)


def solve_runs(problem: Problem, oracle: IntervalOracle, options: Options) -> Outcome:
    """Find the interpolant of least norm of the normalized `problem`, and the dual vector that proves it."""
    line = oracle.line
    points = _Points(line, problem.targets[:, 0])
    x, unit, curved = points.x, line.unit, isinstance(problem.penalty, Variation)
    P = len(x)
    if P < 3:
        return _without_kinks(problem, points, unit)
    bend, at, share, mass, phi = np.empty(P), np.empty(P, dtype=np.int64), np.empty(P), np.empty(P), np.empty(P)
    bends(x, points.y, points.whole, bend)
    count = run_kinks(x, unit, bend, curved, options.sparsest, at, share, mass, phi)
    alpha = points.alpha(phi / unit, bend)[:, None]
    solution = _network(line, points, at[:count], share[:count], mass[:count], curved, alpha)
    value = problem.dual_value(alpha)  # of the network too, but for rounding, which the certificate tells
    return Outcome(solution, value, alpha, 0.0, np.inf, Status.OPTIMAL, [], final=True)


def _without_kinks(problem: Problem, points: _Points, unit: float) -> Outcome:
    """Return the line through one or two points."""
    x, y = points.x, points.y
    slope = float((y[-1] - y[0]) / (x[-1] - x[0])) if len(x) > 1 else 0.0
    alpha = np.zeros_like(problem.targets)
    coefficients = _affine(slope, float(y[0] - slope * x[0]), unit)
    solution = MasterSolution(np.zeros((0, 2)), np.zeros((0, 1)), coefficients, alpha)
    return Outcome(solution, 0.0, alpha, 0.0, 0.0, Status.OPTIMAL, [], final=True)


def _affine(slope: float, offset: float, unit: float) -> Array:
    """Return the coefficients of the lifted points (x, unit)."""
    return np.array([[slope], [offset / unit]])


class _Points:
    """The corners of the line that connects the dots, and a point amid each of its pieces that pass others.

    Attributes
    ----------
    x, y : (P,)
    whole : (P,) bool
        Which of them are corners.
    """

    def __init__(self, line: Line, targets: Array) -> None:
        first = line.first[:-1][np.diff(line.first) > 0]
        rows = line.order if len(first) == line.n else line.order[first]
        self.line, places, values = line, line.x if len(first) == line.n else line.x[first], targets[rows]
        at = np.empty(len(places), dtype=np.int64)
        at = at[: corners(places, values, TUBE, at)]
        self.whole = np.ones(len(at), dtype=bool)
        self.x, self.y, self.rows = places, values, rows
        if len(at) == len(places):
            return
        long = np.flatnonzero(np.diff(at) > 1)
        amid = (at[long] + at[long + 1]) // 2
        chosen = np.insert(at, long + 1, amid)
        self.whole = np.insert(self.whole, long + 1, False)
        self.x, self.y, self.rows = places[chosen], values[chosen], self.rows[chosen]

    def alpha(self, phi: Array, bend: Array) -> Array:
        """Return the dual vector (n,) of which phi (P,) are the values at these points."""
        here, alpha = np.empty(len(phi)), np.zeros(self.line.n)
        dual_vector(self.x, phi, bend, here)
        alpha[self.rows] = here
        return alpha


def _network(
    line: Line, points: _Points, at: np.ndarray, share: Array, mass: Array, curved: bool, alpha: Array
) -> MasterSolution:
    """Return the network with these kinks, which face away from the flattest segment that has none within."""
    x, y = points.x, points.y
    if not points.whole.all():
        x, y, at = x[points.whole], y[points.whole], (np.cumsum(points.whole) - 1)[at]
    slope = np.diff(y) / np.diff(x)
    straight = np.ones(len(slope), dtype=bool)
    straight[at[share > 0]] = False
    base = int(np.argmin(np.where(straight, np.abs(slope), np.inf)))
    slope = float(slope[base])
    offset = float(y[base] - slope * x[base])
    scale = line.unit if _rounds_little(x, at, share, mass, np.abs(y).max()) else 0.0
    a, b, weight = np.empty(len(at)), np.empty(len(at)), np.empty(len(at))
    first = int(np.searchsorted(at, base, side="right"))
    right = slice(first, None)
    place_kinks(
        x, y, base, offset, slope, at[right], share[right], mass[right], scale, a[right], b[right], weight[right]
    )  # fmt: skip
    left = slice(first - 1, None, -1) if first else slice(0, 0)
    within = share[left] > 0
    behind = len(x) - 1 - at[left] - within
    place_kinks(
        -x[::-1], y[::-1], len(x) - 1 - base, offset, -slope, behind, np.where(within, 1 - share[left], 0.0),
        mass[left], scale, a[left], b[left], weight[left],
    )  # fmt: skip
    b[left] *= -1
    facing = np.where(np.arange(len(at)) < first, -1.0, 1.0)
    theta = np.column_stack([facing * a, facing * b / line.unit])
    return MasterSolution(theta, weight[:, None], _affine(slope, offset, line.unit), alpha)


def _rounds_little(x: Array, at: np.ndarray, share: Array, mass: Array, size: float) -> bool:
    """Whether f moves little where kinks move by their rounding, which the next segment magnifies."""
    if (np.abs(mass) * np.abs(x[at])).max(initial=0.0) * UNIT > ROUNDED * size:
        return False
    h = np.diff(x)
    longest = np.maximum(np.append(h[1:], 0.0), np.append(0.0, h[:-1]))[at]
    near = h[at] * np.where(share > 0, np.minimum(share, 1 - share), 1.0)
    moved = np.abs(mass * x[at]) * UNIT * (1 + longest / near)
    return bool(moved.max(initial=0.0) <= ROUNDED * size)
