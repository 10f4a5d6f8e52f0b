"""The group lasso with the rows of a matrix as groups, solved on the products of its features to a proven gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.compression.blocks import lengths
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
    """tr(V' G V) / 2 - tr(V' C) + square / 2, which is |Phi V - Psi|^2 / 2N, V with groups of `size` rows."""

    gram: Array
    cross: Array
    square: float
    size: int = 1

    @property
    def bounds(self) -> Array:
        """Upper bounds of the curvature in every group, exact for one row."""
        if self.size == 1:
            return np.ascontiguousarray(self.gram.diagonal())
        count, size = len(self.gram) // self.size, self.size
        blocks = self.gram.reshape(count, size, count, size)[np.arange(count), :, np.arange(count)]
        return np.linalg.norm(blocks, 2, axis=(1, 2)) * (1 + 1e-12)

    @property
    def lam_max(self) -> float:
        """The least lam for which all weights are zero."""
        return float(lengths(self.cross, self.size).max())


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
    r"""Return the objective and how far it is from the optimum at most.

    With the residual R and g = C - G V = Phi' R / N, s R / N is feasible in the dual where s |g_g| <= lam for all
    groups, and leaves |R|^2 (1 - s)^2 / 2N + lam sum |V_g| - s <V, g>: of terms that are small near the optimum, so
    that it is as accurate as g.
    """
    slopes = problem.cross - problem.gram @ weights
    inner = float(np.vdot(weights, slopes))
    missed = max(problem.square - float(np.vdot(weights, problem.cross)) - inner, 0.0)
    cost = lam * float(lengths(weights, problem.size).sum())
    # a rounding of G and C changes g by as much, here taken for lengths that the supremum may be short of
    noise = 4 * len(slopes) * np.finfo(float).eps * problem.lam_max
    reach = float(lengths(slopes, problem.size).max()) + noise
    share = min(1.0, lam / reach) if reach > 0 else 1.0
    if missed > 0:
        share = max(0.0, min(share, (missed + inner) / missed))
    distance = missed * (1 - share) ** 2 / 2 + cost - share * inner
    return Answer(weights.copy(), missed / 2 + cost, max(distance, 0.0))


def _pass(problem: Quadratic, lam: float, weights: Array) -> None:
    bounds = problem.bounds
    room = np.empty((BLOCK + 2 * problem.size, weights.shape[1]))
    sweep(problem.gram, problem.cross, np.full(len(bounds), lam), bounds, problem.size, weights, room)
