"""Master of program (L) where it is a linear program: HiGHS."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic import ACCURACY, MasterSolution, OutOfTime, SolverFailure, loss_block
from cellsolve.solvers.neuron_master import NeuronMaster

#: asked of HiGHS where it does not reach ACCURACY: its own default
LOOSE = 1e-7


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
