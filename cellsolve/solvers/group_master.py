"""Master of program (L) for the squared loss and several outputs: vectors of weights, by inner products of neurons."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.solvers.conic import MasterSolution, run_clarabel
from cellsolve.solvers.gram_master import LARGE, SAME, GramMaster


class GroupMaster(GramMaster):
    r"""Minimise a quadratic function of weights :math:`z_k\in\mathbb R^m` and of the free part.

    .. math::
        \min_{z,\,a} \tfrac1{2n}\|F z + B a - y\|^2 + \lambda \sum_k \|z_k\|_2 , \qquad
        F_{ik} = \sigma(\langle\theta_k,\tilde x_i\rangle) .
    """

    def add(self, theta, pulls=None):
        """Add neurons that are not there yet; their weights may have any direction."""
        return super().add(theta, np.ones((len(theta), 1)))

    def solve(self, max_time=np.inf):
        problem = self.problem
        free, m, K = problem.basis.shape[1], problem.n_outputs, len(self.theta)
        x, slacks = self._groups(free, m, K, max_time)
        sizes = np.linalg.norm(x[free:], axis=1)
        # of a weight and its slack an interior-point method leaves both above zero: the smaller one is zero
        self.live = sizes * problem.level > slacks * sizes.sum()
        fit = problem.boxes.network(self.theta, x[free:]) + problem.basis @ x[:free]
        return MasterSolution(self.theta[self.live], x[free:][self.live], x[:free], (problem.targets - fit) / problem.n)

    def _groups(self, free: int, m: int, K: int, max_time: float) -> tuple[Array, Array]:
        """The free part and the weights (free + K, m), and what |phi| leaves of the level at every neuron."""
        import clarabel

        if not K:
            return np.asarray(np.linalg.lstsq(self.inner, self.right)[0], dtype=np.float64), np.zeros(0)
        unit = min(1.0, LARGE * self.objective)
        block = sparse.csc_matrix(np.triu(self.inner) / unit)
        quadratic = sparse.block_diag([*[block] * m, sparse.csc_matrix((K, K))], format="csc")
        cost = np.append(-self.right.ravel(order="F"), np.full(K, self.problem.level)) / unit
        size, per = free + K, m + 1
        # of neuron k the size, then its weight to every output
        columns = np.column_stack([m * size + np.arange(K), *[j * size + free + np.arange(K) for j in range(m)]])
        shape = (K * per, m * size + K)
        rows = sparse.csc_matrix((-np.ones(K * per), (np.arange(K * per), columns.ravel())), shape)
        cones = [clarabel.SecondOrderConeT(per)] * K
        x, z = run_clarabel(quadratic, cost, [rows], [np.zeros(K * per)], cones, max_time)
        duals = unit * z.reshape(K, per)
        return x[: m * size].reshape(m, size).T, duals[:, 0] - np.linalg.norm(duals[:, 1:], axis=1)

    def after(self, solution, fell):
        """Forget the neurons at zero, and add those that the others slide to."""
        objective = solution.objective(self.problem)
        if objective < self.objective * (1 - SAME):
            self.keep(self.live)
        self.objective = min(self.objective, objective)
        self.add(self.slide.land(solution.theta, solution.weights, solution.coefficients).theta)
