"""What the masters of program (L) share: neurons with w = 1, of which some are added and some forgotten."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from cellsolve.data import Array, distinct_rows
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.sliding import Slide, can_slide

#: a neuron with w below this share of |theta| |x~| responds, or slopes, by rounding only
ROUNDING = 1e-10
#: neurons offered in one round: more cost more in the master than they save in rounds
MOST = 60
#: a neuron above this share of the norm has weight: an interior-point method leaves some to all that are near another
LIVE = 1e-7
#: rounds without weight after which a neuron is forgotten
IDLE = 2


class NeuronMaster(ABC):
    """Holds neurons with w = 1; `solve` weighs them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        #: neurons to be offered in one round
        self.most = MOST
        #: whether the dual vectors of successive rounds are far apart: a smooth loss ties them to the residuals
        self.wanders = problem.interpolates or problem.loss.polyhedral
        self._idle: dict[bytes, int] = {}
        self.theta = np.zeros((0, problem.lifted.shape[1]))
        self.columns = np.zeros((problem.n, 0))

    def __len__(self) -> int:
        return len(self.theta)

    def add(self, theta: Array, pulls: Array | None = None) -> int:
        """Add neurons that are not there yet, to rounding, and whose cost is not rounding; return how many.

        Their weights may have any sign, so `pulls` does not matter.
        """
        fresh, _ = self._real(theta)
        fresh = fresh[new_rows(fresh, self.theta)]
        self.theta = np.concatenate([self.theta, fresh])
        self.columns = np.hstack([self.columns, self.problem.responses(fresh)])
        return len(fresh)

    def _real(self, theta: Array) -> tuple[Array, np.ndarray]:
        """The neurons whose cost is not rounding, scaled to w = 1, and which those are."""
        cost = self.problem.neuron_costs(theta)
        size = np.abs(theta) @ np.abs(self.problem.lifted).max(axis=0)
        real = np.flatnonzero((cost > ROUNDING * size) & (cost > 0))
        return theta[real] / cost[real, None], real

    @abstractmethod
    def keep(self, which: np.ndarray) -> None:
        """Forget the neurons that `which` (K,) bool does not mark."""

    @abstractmethod
    def solve(self, max_time: float = np.inf) -> MasterSolution:
        """Return the optimal weights and a dual vector.

        Raises
        ------
        OutOfTime
            `max_time` seconds did not suffice.
        SolverFailure
            The solver gave no usable answer.
        """

    def after(self, solution: MasterSolution, fell: bool) -> None:
        """Forget neurons without weight; add sums of those that share a cell, and where they slide to."""
        self._forget(solution)
        theta, weights = solution.theta, solution.weights
        if self.problem.n_outputs == 1:
            theta, signs = self.sums(solution)
            weights = signs[:, None]
            self.add(theta)
        if can_slide(self.problem):
            self.add(self.slide.land(theta, weights, solution.coefficients).theta)

    @cached_property
    def slide(self) -> Slide:
        """What moves neurons."""
        return Slide(self.problem)

    def _forget(self, solution: MasterSolution) -> None:
        """Drop neurons that carried no weight for `IDLE` rounds, once there are many: a master costs by the column."""
        count = len(solution.weights)
        live = np.linalg.norm(solution.weights, axis=1)
        live = live > LIVE * live.sum()
        keys = [row.tobytes() for row in self.theta]
        idle = {key: 0 if k >= count or live[k] else self._idle.get(key, 0) + 1 for k, key in enumerate(keys)}
        self._idle = idle
        if len(keys) > 2 * self.problem.n + 50:
            self.keep(np.array([idle[key] < IDLE for key in keys]))

    def sums(self, solution: MasterSolution) -> tuple[Array, Array]:
        """Sums of the neurons of one cell and sign, and the signs: the same fit for no larger penalty.

        De Dios & Bruna, Lemma 4.5.
        """
        weights = solution.weights[:, 0]
        size = np.abs(weights)
        live = np.flatnonzero(size > LIVE * size.sum())
        theta = solution.theta[live]
        patterns = np.packbits(self.problem.lifted @ theta.T > 0, axis=0).T
        keys = np.column_stack([patterns, (weights[live] > 0).astype(np.uint8)])
        first, groups = distinct_rows(keys)
        distinct = keys[first]
        sums = np.zeros((len(distinct), theta.shape[1]))
        np.add.at(sums, groups.ravel(), size[live, None] * theta)
        return sums, np.where(distinct[:, -1] > 0, 1.0, -1.0)


def new_rows(fresh: Array, known: Array) -> np.ndarray:
    """Indices of rows of `fresh` whose directions are more than 1e-12 from all others: nearer ones cannot help."""
    if not len(fresh):
        return np.zeros(0, dtype=int)
    rows = np.concatenate([known, fresh])
    keys = np.round(rows / np.linalg.norm(rows, axis=1, keepdims=True), 12) + 0.0
    first, _ = distinct_rows(keys)
    first = first[first >= len(known)] - len(known)
    return np.sort(first)
