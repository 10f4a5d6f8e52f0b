"""Master of program (L) for every loss and any number of outputs: Clarabel."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cellsolve.solvers.conic import MasterSolution, loss_block, run_clarabel, widen
from cellsolve.solvers.neuron_master import NeuronMaster


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
