"""Least-norm interpolants of one input, exactly and in linear time.

Connecting the dots bends f by D_i at every point. Points at which it bends the same way in a row are a run; what a
kink costs is convex between data, so that bends of a run gather in kinks between its points, and runs know nothing of
each other (Boursier and Flammarion, 2023). How they gather is a convex program of one number a point, solved exactly by
`run_kernels.fence`; its multipliers are the kinks, its solution the dual function.

All that is so with the affine part free. Where it is not, the same kinks do, at the same cost, if some of them turned
around add up to the affine part (`facings`): of data with noise they nearly always do.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from cellsolve.broken_line import BrokenLine
from cellsolve.data import Array
from cellsolve.exact_sums import exact_dot
from cellsolve.line import Line
from cellsolve.oracles.interval import IntervalOracle, on_a_line
from cellsolve.potentials import UNIT, Slope, Variation
from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.facings import turned
from cellsolve.solvers.generation import Outcome
from cellsolve.solvers.options import Options
from cellsolve.solvers.run_kernels import dual_vector, flattest, place_kinks, run_kinks

#: neurons are normalized where rounding their kinks moves f by at most this share of y, and linear functions dropped
ROUNDED = 1e-12


def may_fall_into_runs(problem: Problem) -> bool:
    """Whether the problem is interpolation that falls into runs, or does so if kinks can be turned around."""
    return problem.interpolates and type(problem.penalty) in (Variation, Slope) and on_a_line(problem)


def falls_into_runs(problem: Problem) -> bool:
    """Whether the problem is interpolation that falls into runs."""
    return problem.free == "affine" and may_fall_into_runs(problem)


def solve_runs(problem: Problem, oracle: IntervalOracle, options: Options) -> Outcome | None:
    """Find the interpolant of least norm of the normalized `problem`, and the dual vector that proves it.

    None where the affine part is not free and kinks that are turned around do not add up to it.
    """
    line = oracle.line
    points = BrokenLine(line, problem.targets[:, 0])
    x, unit, curved = points.x, line.unit, isinstance(problem.penalty, Variation)
    P = len(x)
    if P < 3:
        return _without_kinks(problem, points, unit) if problem.free == "affine" else None
    at, u, v, phi = np.empty(P, dtype=np.int64), np.empty(P), np.empty(P), np.empty(P)
    count = run_kinks(x, unit, points.bend, curved, options.sparsest, at, u, v, phi)
    alpha = np.empty(P)
    phi /= unit
    dual_vector(x, phi, points.bend, alpha)
    alpha = points.scattered(alpha)[:, None]
    solution = _network(line, points, at[:count], u[:count], v[:count], curved, alpha)
    if problem.free != "affine":
        turned_around = _turned(problem, line, solution)
        if turned_around is None:
            return None
        solution = turned_around
    value = problem.dual_value(alpha)  # of the network too, but for rounding, which the certificate tells
    return Outcome(solution, value, alpha, 0.0, np.inf, Status.OPTIMAL, [], final=True)


def _without_kinks(problem: Problem, points: BrokenLine, unit: float) -> Outcome:
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


def _network(
    line: Line, points: BrokenLine, at: np.ndarray, u: Array, v: Array, curved: bool, alpha: Array
) -> MasterSolution:
    """Return the network with these kinks, which face away from the flattest segment that has none within."""
    x, y = points.x, points.y
    if not points.whole.all():
        x, y, at = x[points.whole], y[points.whole], (np.cumsum(points.whole) - 1)[at]
    base = flattest(x, y, at, v)
    slope = float((y[base + 1] - y[base]) / (x[base + 1] - x[base]))
    offset = float(y[base] - slope * x[base])
    size = float(max(y.max(), -y.min()))
    scale = line.unit if _rounds_little(x, at, u, v, size) else 0.0
    theta, weight = np.empty((len(at), 2)), np.empty(len(at))
    first = int(np.searchsorted(at, base, side="right"))
    right, left = slice(first, None), slice(first - 1, None, -1) if first else slice(0, 0)
    kinks = at[right], u[right], v[right]
    place_kinks(x, y, size, base, offset, slope, *kinks, scale, 1.0, line.unit, theta[right], weight[right])
    within = v[left] != 0
    behind = base - at[left] - within
    near, far = np.where(within, v[left], u[left]), np.where(within, u[left], 0.0)
    mirrored, kinks = (-x[base::-1], y[base::-1]), (behind, near, far)
    place_kinks(*mirrored, size, 0, offset, -slope, *kinks, scale, -1.0, line.unit, theta[left], weight[left])
    return MasterSolution(theta, weight[:, None], _affine(slope, offset, line.unit), alpha)


def _turned(problem: Problem, line: Line, solution: MasterSolution) -> MasterSolution | None:
    """Return the same function without its affine part, which kinks turned around add up to, or None.

    A kink that is split keeps its weight to the last digit. What the sum leaves is rounding, of weights that may be
    huge, and goes into neurons that are active on all points, unless it is rounding of y.
    """
    theta, weight, affine = solution.theta, solution.weights[:, 0], solution.coefficients[:, 0]
    lean, b = weight[:, None] * theta, 2 - problem.basis.shape[1]
    share = turned(lean, -affine)
    if share is None and b == 1:
        share = turned(lean[:, :1], -affine[:1])
    if share is None:
        return None
    stays = weight - weight * share
    turns = weight - stays
    slope, offset = (Fraction(float(a)) + exact_dot(turns, side) for a, side in zip(affine, theta.T, strict=True))
    rest = float(slope), float(offset + slope * Fraction(float(line.x[0])) / Fraction(line.unit))
    first = np.array([[1.0, -line.x[0] / line.unit], [0.0, 1.0]])[:b]
    theta, weight = np.vstack([theta, -theta, first]), np.concatenate([stays, turns, rest[:b]])
    kept = weight != 0
    moved = abs(rest[0]) * (line.x[-1] - line.x[0]) + (abs(rest[1]) * line.unit if b == 2 else 0.0)
    kept[len(kept) - b :] &= moved > ROUNDED * np.abs(problem.targets).max()
    coefficients = np.array([[rest[1] * line.unit / problem.basis[0, 0]]]) if b == 1 else np.zeros((0, 1))
    return MasterSolution(theta[kept], weight[kept, None], coefficients, solution.alpha)


def _rounds_little(x: Array, at: np.ndarray, u: Array, v: Array, size: float) -> bool:
    """Whether f moves little where kinks move by their rounding, which the next segment magnifies."""
    moved = np.abs((u + v) * x[at]) * UNIT
    if moved.max(initial=0.0) > ROUNDED * size:
        return False
    h = np.diff(x)
    longest = np.maximum(np.append(h[1:], 0.0), np.append(0.0, h[:-1]))[at]
    near = h[at] * np.where(v != 0, np.minimum(u / (u + v), v / (u + v)), 1.0)
    return bool((moved * (1 + longest / near)).max(initial=0.0) <= ROUNDED * size)
