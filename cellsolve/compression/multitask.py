"""The group lasso with the rows of a matrix as groups, solved on the products of its features to a proven gap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellsolve.compression.groups import lengths
from cellsolve.compression.kernels import BLOCK, sweep
from cellsolve.compression.scales import descend
from cellsolve.data import Array

#: passes of coordinate descent before the first of Newton's steps: they find most of the support
FIRST = 5
#: rounds of Newton's method and a pass; most problems take less than ten
ROUNDS = 100
#: rounds in a row in which the objective falls by less than GAIN of the distance that is left, and that distance not to
#: NEARER of the least before: rounding leaves no more
PATIENCE, GAIN, NEARER = 4, 1e-3, 0.9
#: Newton's steps end where they gain less than this share of the gap
SHARE = 0.1


@dataclass(frozen=True)
class Quadratic:
    """tr(V' G V) / 2 - tr(V' C) + square / 2, which is |Phi V - Psi|^2 / 2N, V with groups of `size` rows.

    `precision` is what an entry of G, or of its products, may be wrong by, as a share of the roots of the diagonal's
    entries, and so for C; where it is 0, gaps do not take rounding in. `unseen` are lengths of features that G leaves
    out, but bounds have to hold for.
    """

    gram: Array
    cross: Array
    square: float
    size: int = 1
    precision: float = 0.0
    unseen: Array | float = 0.0

    @cached_property
    def bounds(self) -> Array:
        """Upper bounds of the curvature in every group, exact for one row."""
        if self.size == 1:
            return np.ascontiguousarray(self.gram.diagonal())
        count, size = len(self.gram) // self.size, self.size
        diagonal = self.gram.reshape(count, size, count, size)[np.arange(count), :, np.arange(count)]
        return np.linalg.norm(diagonal, 2, axis=(1, 2)) * (1 + 1e-12)

    @cached_property
    def lam_max(self) -> float:
        """The least lam for which all weights are zero."""
        return float(lengths(self.cross, self.size).max())

    @cached_property
    def heights(self) -> Array:
        """The lengths of the features, |Phi_i| / sqrt(N)."""
        return np.sqrt(np.maximum(self.gram.diagonal(), 0.0))


@dataclass(frozen=True)
class Answer:
    """Weights (q, m), the objective there, its proven distance to the optimum, and whether Ctrl-C came."""

    weights: Array
    objective: float
    distance: float
    interrupted: bool = False


def minimise(problem: Quadratic, lam: float, *, tol: float, start: Array | None = None) -> Answer:
    """Minimise the quadratic plus lam sum_g |V_g| until the duality gap is at most tol times the objective.

    Rounds of Newton's method on the support and one pass of coordinate descent over everything, which finds neurons
    that are missing. Both only lower the objective, and coordinate descent alone converges (Tseng 2001).
    """
    weights = np.zeros_like(problem.cross) if start is None else start.copy()
    answer = best = appraise(problem, lam, weights)
    idle = 0
    try:
        for number in range(ROUNDS):
            if best.distance <= tol * best.objective or idle == PATIENCE:
                break
            if number:
                enough = SHARE * answer.distance
                weights = descend(problem.gram, problem.cross, lam, weights, problem.size, enough=enough)
            for _ in range(FIRST if start is None and not number else 1):
                _pass(problem, lam, weights)
            before, answer = answer, appraise(problem, lam, weights)
            gained = answer.objective < before.objective - GAIN * best.distance
            idle = 0 if gained or answer.distance < NEARER * best.distance else idle + 1
            if answer.distance < best.distance:
                best = answer
    except KeyboardInterrupt:
        return Answer(best.weights, best.objective, best.distance, interrupted=True)
    return best


def appraise(problem: Quadratic, lam: float, weights: Array) -> Answer:
    """Return the objective and how far it is from the optimum at most, by the products alone."""
    slopes = problem.cross - problem.gram @ weights
    missed = problem.square - float(np.sum(weights * problem.cross)) - float(np.sum(weights * slopes))
    return judge(problem, lam, weights, slopes, max(missed, 0.0), _reach(problem, weights))


def judge(
    problem: Quadratic, lam: float, weights: Array, slopes: Array, missed: float, size: float | None = None
) -> Answer:
    r"""Return the objective and how far it is from the optimum at most, no digit of it lost in rounding.

    With the residual R, `missed` = |R|^2 / N and `slopes` g = Phi' R / N, s R / N is feasible in the dual where
    s |g_g| <= lam for all groups, and leaves |R|^2 (1 - s)^2 / 2N + lam sum |V_g| - s <V, g>: of terms that are small
    near the optimum, so that it is as accurate as g. This is wrong in row i by |Phi_i| / sqrt(N) times `size` times the
    precision at most, where `size` is |R| / sqrt(N) if R was at hand, and |Psi| / sqrt(N) + sum_i |Phi_i| |V_i| /
    sqrt(N) for products, which cancel. Both the bound and the objective are held to what that leaves open.
    """
    cost = lam * float(lengths(weights, problem.size).sum())
    inner = float(np.sum(weights * slopes))
    whole = _reach(problem, weights)
    size = np.sqrt(missed) + problem.precision * whole if size is None else size
    noise = size * lengths((problem.precision * problem.heights + problem.unseen)[:, None], problem.size)
    reach = float((lengths(slopes, problem.size) + noise).max())
    share = min(1.0, lam / reach) if reach > 0 else 1.0
    if missed > 0:
        share = max(0.0, min(share, (missed + inner) / missed))
    left_open = 2 * problem.precision * size * whole
    distance = missed * (1 - share) ** 2 / 2 + cost - share * inner + left_open
    objective = missed / 2 + cost
    return Answer(weights.copy(), objective, min(max(distance, 0.0), objective))  # no objective is below 0


def _reach(problem: Quadratic, weights: Array) -> float:
    """Return |Psi| / sqrt(N) + sum_i |Phi_i| |V_i| / sqrt(N), the size of what the residual is the sum of."""
    return float(np.sqrt(problem.square) + problem.heights @ np.linalg.norm(weights, axis=1))


def _pass(problem: Quadratic, lam: float, weights: Array) -> None:
    bounds = problem.bounds
    room = np.empty((BLOCK + 2 * problem.size, weights.shape[1]))
    sweep(problem.gram, problem.cross, lam, bounds, problem.size, weights, room)
