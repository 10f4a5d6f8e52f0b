"""Least-norm interpolants of one input with the affine part free, exactly and in linear time.

Connecting the dots bends f by D_i at every point. Points at which it bends the same way in a row are a run; what a
kink costs is convex between data, so that bends of a run gather in kinks between its points, and runs know nothing of
each other (Boursier and Flammarion, 2023). How they gather is a convex program of one number a point, solved exactly by
`run_kernels.fence`; its multipliers are the kinks, its solution the dual function.
"""

from __future__ import annotations

import numpy as np

from cellsolve.broken_line import BrokenLine
from cellsolve.data import Array
from cellsolve.line import Line
from cellsolve.oracles.interval import IntervalOracle, on_a_line
from cellsolve.potentials import UNIT, Slope, Variation
from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.generation import Outcome
from cellsolve.solvers.options import Options
from cellsolve.solvers.run_kernels import dual_vector, flattest, place_kinks, run_kinks

#: neurons are normalized where rounding their kinks moves f by at most this share of y
ROUNDED = 1e-12


def falls_into_runs(problem: Problem) -> bool:
    """Whether the problem is interpolation that falls into runs."""
    falls = problem.interpolates and problem.free == "affine" and type(problem.penalty) in (Variation, Slope)
    return falls and on_a_line(problem)


def solve_runs(problem: Problem, oracle: IntervalOracle, options: Options) -> Outcome:
    """Find the interpolant of least norm of the normalized `problem`, and the dual vector that proves it."""
    line = oracle.line
    points = BrokenLine(line, problem.targets[:, 0])
    x, unit, curved = points.x, line.unit, isinstance(problem.penalty, Variation)
    P = len(x)
    if P < 3:
        return _without_kinks(problem, points, unit)
    at, u, v, phi = np.empty(P, dtype=np.int64), np.empty(P), np.empty(P), np.empty(P)
    count = run_kinks(x, unit, points.bend, curved, options.sparsest, at, u, v, phi)
    alpha = np.empty(P)
    dual_vector(x, phi / unit, points.bend, alpha)
    alpha = points.scattered(alpha)[:, None]
    solution = _network(line, points, at[:count], u[:count], v[:count], curved, alpha)
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
    scale = line.unit if _rounds_little(x, at, u, v, float(np.abs(y).max())) else 0.0
    theta, weight = np.empty((len(at), 2)), np.empty(len(at))
    first = int(np.searchsorted(at, base, side="right"))
    right, left = slice(first, None), slice(first - 1, None, -1) if first else slice(0, 0)
    kinks = at[right], u[right], v[right]
    place_kinks(x, y, base, offset, slope, *kinks, scale, 1.0, line.unit, theta[right], weight[right])
    within = v[left] != 0
    behind = len(x) - 1 - at[left] - within
    near, far = np.where(within, v[left], u[left]), np.where(within, u[left], 0.0)
    mirrored, kinks, base = (-x[::-1], y[::-1]), (behind, near, far), len(x) - 1 - base
    place_kinks(*mirrored, base, offset, -slope, *kinks, scale, -1.0, line.unit, theta[left], weight[left])
    return MasterSolution(theta, weight[:, None], _affine(slope, offset, line.unit), alpha)


def _rounds_little(x: Array, at: np.ndarray, u: Array, v: Array, size: float) -> bool:
    """Whether f moves little where kinks move by their rounding, which the next segment magnifies."""
    moved = np.abs((u + v) * x[at]) * UNIT
    if moved.max(initial=0.0) > ROUNDED * size:
        return False
    h = np.diff(x)
    longest = np.maximum(np.append(h[1:], 0.0), np.append(0.0, h[:-1]))[at]
    near = h[at] * np.where(v != 0, np.minimum(u / (u + v), v / (u + v)), 1.0)
    return bool((moved * (1 + longest / near)).max(initial=0.0) <= ROUNDED * size)
