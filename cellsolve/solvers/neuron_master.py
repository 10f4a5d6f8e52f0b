"""Masters of program (L): weights of given neurons. HiGHS where it is a linear program, Clarabel otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic import (
    ACCURACY,
    MasterSolution,
    OutOfTime,
    SolverFailure,
    loss_block,
    run_clarabel,
    widen,
)
from cellsolve.solvers.sliding import Slide, can_slide

#: asked of HiGHS where it does not reach ACCURACY: its own default
LOOSE = 1e-7
#: a neuron with w below this share of |theta| |x~| responds, or slopes, by rounding only
ROUNDING = 1e-10
#: neurons offered in one round: more cost more in the master than they save in rounds
MOST = 60
#: a neuron above this share of the norm has weight: an interior-point method leaves some to all that are near another
LIVE = 1e-7
#: rounds without weight after which a neuron is forgotten
IDLE = 2


def neuron_master(problem: Problem) -> NeuronMaster:
    """Return the master that fits the problem."""
    linear = problem.n_outputs == 1 and (problem.interpolates or problem.loss.conic(problem.targets[:1, 0]).is_linear)
    return LinearMaster(problem) if linear else ConicMaster(problem)


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
        cost = self.problem.neuron_costs(theta)
        size = np.abs(theta) @ np.abs(self.problem.lifted).max(axis=0)
        real = (cost > ROUNDING * size) & (cost > 0)
        fresh = theta[real] / cost[real, None]
        fresh = fresh[_new_rows(fresh, self.theta)]
        self.theta = np.concatenate([self.theta, fresh])
        self.columns = np.hstack([self.columns, self.problem.responses(fresh)])
        return len(fresh)

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
            theta, signs = self._sums(solution)
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

    def _sums(self, solution: MasterSolution) -> tuple[Array, Array]:
        """Sums of the neurons of one cell and sign, and the signs: the same fit for no larger penalty.

        De Dios & Bruna, Lemma 4.5.
        """
        weights = solution.weights[:, 0]
        size = np.abs(weights)
        live = np.flatnonzero(size > LIVE * size.sum())
        theta = solution.theta[live]
        patterns = np.packbits(self.problem.lifted @ theta.T > 0, axis=0).T
        keys = np.column_stack([patterns, (weights[live] > 0).astype(np.uint8)])
        distinct, groups = np.unique(keys, axis=0, return_inverse=True)
        sums = np.zeros((len(distinct), theta.shape[1]))
        np.add.at(sums, groups.ravel(), size[live, None] * theta)
        return sums, np.where(distinct[:, -1] > 0, 1.0, -1.0)


def _new_rows(fresh: Array, known: Array) -> np.ndarray:
    """Indices of rows of `fresh` whose directions are more than 1e-12 from all others: nearer ones cannot help."""
    if not len(fresh):
        return np.zeros(0, dtype=int)
    rows = np.concatenate([known, fresh])
    keys = np.round(rows / np.linalg.norm(rows, axis=1, keepdims=True), 12) + 0.0
    _, first = np.unique(keys, axis=0, return_index=True)
    first = first[first >= len(known)] - len(known)
    return np.sort(first)


class LinearMaster(NeuronMaster):
    """The linear program, kept in HiGHS with its basis: new neurons are new columns (p, q), z = p - q."""

    def __init__(self, problem: Problem) -> None:
        import highspy

        super().__init__(problem)
        self.highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1)):
            self._check(self.highs.setOptionValue(option, value), option)
        self.inf = highspy.kHighsInf
        self._start()

    def _tolerance(self, value: float) -> None:
        for option in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._check(self.highs.setOptionValue(option, value), option)

    def _start(self) -> None:
        """Rows: f - A z - B a = 0 and the loss (penalised), or A z + B a = y. First columns: f, aux, a."""
        problem, highs = self.problem, self.highs
        highs.clearModel()
        k = problem.basis.shape[1]
        if problem.interpolates:
            self.sign = 1.0
            matrix = sparse.csc_matrix(problem.basis)
            cost = np.zeros(k)
            low = high = problem.targets[:, 0]
        else:
            self.sign = -1.0
            block = loss_block(problem)
            values = sparse.hstack([sparse.identity(problem.n), sparse.csc_matrix((problem.n, block.size - problem.n))])
            free = sparse.csc_matrix(np.vstack([-problem.basis, np.zeros((len(block.bounds), k))]))
            matrix = sparse.hstack([sparse.vstack([values, block.rows]), free], format="csc")
            cost = np.concatenate([block.linear, np.zeros(k)])
            low = np.concatenate([np.zeros(problem.n), np.full(len(block.bounds), -self.inf)])
            high = np.concatenate([np.zeros(problem.n), block.bounds])
        self.first = matrix.shape[1]
        self.sizes = np.zeros(0)
        nothing = np.array([], dtype=np.int32)
        self._check(highs.addRows(len(low), low, high, 0, nothing, nothing, np.array([])), "addRows")
        self._add_columns(matrix, cost, -self.inf)

    def add(self, theta, pulls=None):
        before = len(self)
        count = super().add(theta, pulls)
        self._append(self.columns[:, before:])
        return count

    def _append(self, columns: Array) -> None:
        if columns.shape[1]:  # columns of size 1: HiGHS drops entries below 1e-9
            sizes = np.abs(columns).max(axis=0)
            sizes[sizes == 0] = 1.0
            scaled = columns / sizes
            both = np.stack([scaled, -scaled], axis=2).reshape(len(columns), -1) * self.sign
            self._add_columns(sparse.csc_matrix(both), np.repeat(self.problem.level / sizes, 2), 0.0)
            self.sizes = np.concatenate([self.sizes, sizes])

    def _add_columns(self, matrix: sparse.csc_matrix, cost: Array, low: float) -> None:
        count = matrix.shape[1]
        if count:
            bounds = np.full(count, low), np.full(count, self.inf)
            pointers, indices = matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32)
            self._check(self.highs.addCols(count, cost, *bounds, matrix.nnz, pointers, indices, matrix.data), "addCols")

    def keep(self, which):
        columns, theta = self.columns[:, which], self.theta[which]
        self._start()
        self._append(columns)
        self.theta, self.columns = theta, columns

    def solve(self, max_time=np.inf):
        import highspy

        optimal, late = highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit
        clock = self.highs.getRunTime()  # of all runs together, and so is the limit
        self._check(self.highs.setOptionValue("time_limit", clock + max_time), "time_limit")
        for tolerance in (ACCURACY, ACCURACY, LOOSE):  # as it is, then without the old basis, then less strictly
            self._tolerance(tolerance)
            self.highs.run()
            status = self.highs.getModelStatus()
            if status in (optimal, late):
                break
            self.highs.clearSolver()
        self._tolerance(ACCURACY)
        if status == late:
            raise OutOfTime("HiGHS")
        if status != optimal:
            raise SolverFailure(f"HiGHS: {self.highs.modelStatusToString(status)}")
        solution = self.highs.getSolution()
        values, duals = np.array(solution.col_value), np.array(solution.row_dual)
        k = self.problem.basis.shape[1]
        coefficients = values[self.first - k : self.first]
        pairs = values[self.first :].reshape(-1, 2)
        alpha = self.sign * duals[: self.problem.n]
        weights = (pairs[:, 0] - pairs[:, 1]) / self.sizes
        return MasterSolution(self.theta, weights[:, None], coefficients[:, None], alpha[:, None])

    @staticmethod
    def _check(status, what: str) -> None:
        import highspy

        if status == highspy.HighsStatus.kError:
            raise SolverFailure(f"HiGHS refused {what}")


class ConicMaster(NeuronMaster):
    """Clarabel: quadratic and exponential losses, and several outputs (second-order cones)."""

    def keep(self, which):
        self.theta, self.columns = self.theta[which], self.columns[:, which]

    def solve(self, max_time=np.inf):
        import clarabel

        problem = self.problem
        n, m = problem.targets.shape
        K, k = self.columns.shape[1], problem.basis.shape[1]
        block = None if problem.interpolates else loss_block(problem)
        head = 0 if block is None else block.size
        per = 2 if m == 1 else m + 1  # columns of a neuron: (p, q), or (z, t) with |z| <= t
        size = head + k * m + K * per
        cost = np.zeros(size)
        quadratic = np.zeros(size)
        price = 1.0 if block is None else problem.lam
        start = head + k * m
        if m == 1:
            spread = np.kron(self.columns, [[1.0, -1.0]])
            cost[start:] = price
        else:
            pick = np.hstack([np.eye(m), np.zeros((m, 1))])
            spread = np.kron(self.columns, pick)
            cost[start + m :: per] = price
        network = sparse.csc_matrix(np.hstack([np.kron(problem.basis, np.eye(m)), spread]))
        right = problem.targets.ravel() if block is None else np.zeros(n * m)
        rows, bounds, cones = [], [], []
        if block is None:
            rows.append(-network)
            bounds.append(-right)
        else:
            quadratic[:head], cost[:head] = block.quadratic, block.linear
            values = sparse.hstack([sparse.identity(n * m), sparse.csc_matrix((n * m, head - n * m))], format="csc")
            rows.append(sparse.hstack([values, -network], format="csc"))
            bounds.append(right)
        cones.append(clarabel.ZeroConeT(n * m))
        if block is not None and len(block.bounds):
            rows.append(widen(block.rows, 0, size))
            bounds.append(block.bounds)
            cones.append(clarabel.NonnegativeConeT(len(block.bounds)))
        if m == 1 and K:
            rows.append(widen(-sparse.identity(K * per), start, size))
            bounds.append(np.zeros(K * per))
            cones.append(clarabel.NonnegativeConeT(K * per))
        elif K:
            swap = np.concatenate([[m], np.arange(m)])  # Clarabel's cone wants (t, z)
            order = (np.arange(K)[:, None] * per + swap).ravel()
            rows.append(widen(-sparse.identity(K * per, format="csr")[order], start, size))
            bounds.append(np.zeros(K * per))
            cones += [clarabel.SecondOrderConeT(per)] * K
        if block is not None and len(block.offsets):
            rows.append(widen(-block.cones, 0, size))
            bounds.append(block.offsets)
            cones += [clarabel.ExponentialConeT()] * (len(block.offsets) // 3)
        x, z = run_clarabel(sparse.diags(quadratic, format="csc"), cost, rows, bounds, cones, max_time)
        parts = x[start:].reshape(K, per)
        weights = parts[:, :1] - parts[:, 1:] if m == 1 else parts[:, :m]
        return MasterSolution(self.theta, weights, x[head:start].reshape(k, m), z[: n * m].reshape(n, m))
