"""Master of program (L) for the squared loss: nonnegative weights of signed neurons, by their inner products alone."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution, run_clarabel
from cellsolve.solvers.neuron_master import NeuronMaster, new_rows

#: an objective that fell by less than this share stayed: what the convex solver leaves
SAME = 1e-10
#: Clarabel measures gaps below 1 absolutely: this many times the objective is to be one
LARGE = 100.0


class GramMaster(NeuronMaster):
    r"""Minimise a quadratic function of weights :math:`z\ge 0` and of the free part.

    .. math::
        \min_{z\ge0,\,a} \tfrac1{2n}\|F z + B a - y\|^2 + \lambda \sum_k z_k , \qquad
        F_{ik} = s_k\,\sigma(\langle\theta_k,\tilde x_i\rangle) ,

    A neuron is held with the sign s_k that its weight wants to take, or with both. The number of data points matters
    for the inner products only, and those of neurons that stay are kept.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.signs = np.zeros(0)
        #: the free part first, then s_k sigma(<theta_k, x~_i>): in blocks, as they came
        self.blocks = [problem.basis]
        self.inner = problem.basis.T @ problem.basis / problem.n
        self.right = problem.basis.T @ problem.targets / problem.n
        self.live = np.zeros(0, dtype=bool)
        self.objective = np.inf

    def add(self, theta, pulls=None):
        """Add neurons with the signs of `pulls` (K, 1), or with both; those that are there are not new."""
        if pulls is None:
            theta, pulls = np.repeat(theta, 2, axis=0), np.tile([1.0, -1.0], len(theta))[:, None]
        fresh, which = self._real(theta)
        signs = np.where(pulls[which, 0] < 0, -1.0, 1.0)
        new = new_rows(np.column_stack([fresh, signs]), np.column_stack([self.theta, self.signs]))
        if len(new):
            n = self.problem.n
            columns = self.problem.responses(fresh[new]) * signs[new]
            mixed, own = np.concatenate([block.T @ columns for block in self.blocks]) / n, columns.T @ columns / n
            self.inner = np.block([[self.inner, mixed], [mixed.T, own]])
            self.right = np.concatenate([self.right, columns.T @ self.problem.targets / n])
            self.blocks.append(columns)
            self.theta, self.signs = np.concatenate([self.theta, fresh[new]]), np.append(self.signs, signs[new])
            self.live = np.append(self.live, np.ones(len(new), dtype=bool))
        return len(new)

    def keep(self, which):
        both = np.concatenate([np.ones(self.problem.basis.shape[1], dtype=bool), which])
        self.theta, self.signs, self.live = self.theta[which], self.signs[which], self.live[which]
        ends = np.cumsum([block.shape[1] for block in self.blocks])[:-1]
        self.blocks = [block[:, part] for block, part in zip(self.blocks, np.split(both, ends), strict=True)]
        self.inner, self.right = self.inner[np.ix_(both, both)], self.right[both]

    def solve(self, max_time=np.inf):
        problem = self.problem
        free, K = problem.basis.shape[1], len(self.theta)
        if K:
            x, slacks = self._program(free, K, max_time)
        else:
            x, slacks = np.asarray(np.linalg.lstsq(self.inner, self.right[:, 0])[0], dtype=np.float64), np.zeros(0)
        z = np.maximum(x[free:], 0.0)
        # of a weight and its slack an interior-point method leaves both above zero: the smaller one is zero
        self.live = z * problem.level > slacks * z.sum()
        fit = problem.boxes.network(self.theta, (self.signs * z)[:, None]) + problem.basis @ x[:free, None]
        return MasterSolution(
            self.theta[self.live],
            (self.signs * z)[self.live, None],
            x[:free, None],
            (problem.targets - fit) / problem.n,
        )

    def _program(self, free: int, K: int, max_time: float) -> tuple[Array, Array]:
        """The coefficients of the free part and the weights, and the slacks of the weights."""
        import clarabel

        unit = min(1.0, LARGE * self.objective)
        cost = np.append(np.zeros(free), np.full(K, self.problem.level)) - self.right[:, 0]
        rows = sparse.hstack([sparse.csc_matrix((K, free)), -sparse.identity(K)])
        quadratic = sparse.csc_matrix(np.triu(self.inner) / unit)
        cones = [clarabel.NonnegativeConeT(K)]
        x, z = run_clarabel(quadratic, cost / unit, [rows], [np.zeros(K)], cones, max_time)
        return x, unit * z

    def after(self, solution, fell):
        """Forget the neurons at zero, and add sums of those that share a cell."""
        objective = solution.objective(self.problem)
        if objective < self.objective * (1 - SAME):
            self.keep(self.live)
        self.objective = min(self.objective, objective)
        sums, signs = self.sums(solution)
        self.add(sums, signs[:, None])
