"""Inner products of the columns of active cells, kept while cells come and go."""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array

#: numbers of a block of columns: a few fit in memory whatever the number of points
BLOCK = 2**22


class CellGram:
    """F^T F / n and F^T y / n for the columns F = [s_k D_k X, B] of cells k with signs s_k, and of the free part B.

    A cell costs the inner products with the others once: between rounds few are new.
    """

    def __init__(self, points: Array, basis: Array, targets: Array) -> None:
        self.points, self.basis, self.targets = points, basis, targets
        self.size = points.shape[1]
        self.inner = np.zeros((0, 0))
        self.free = np.zeros((0, basis.shape[1]))
        self.right = np.zeros(0)
        self.free_inner = basis.T @ basis / len(points)
        self.free_right = basis.T @ targets / len(points)

    def keep(self, cells: np.ndarray) -> None:
        """Forget the cells that are not in the mask `cells`; those added since the last `update` are not known yet."""
        columns = np.repeat(cells[: len(self.right) // self.size], self.size)
        self.inner, self.free = self.inner[np.ix_(columns, columns)], self.free[columns]
        self.right = self.right[columns]

    def update(self, patterns: np.ndarray, signs: Array) -> tuple[Array, Array]:
        """Return F^T F / n and F^T y / n, the columns of the cells first; all but the last cells are known already.

        Parameters
        ----------
        patterns, signs : (K, n) bool, (K,)
        """
        n, D = self.points.shape
        K, known = len(signs), len(self.right)
        size, new = K * D, K * D - known
        if new:
            inner, free, right = np.zeros((size, size)), np.zeros((size, self.free.shape[1])), np.zeros(size)
            inner[:known, :known], free[:known], right[:known] = self.inner, self.free, self.right
            step = max(1, BLOCK // size)
            for start in range(0, n, step):
                part = slice(start, start + step)
                active = (patterns[:, part] * signs[:, None]).T
                columns = (active[:, :, None] * self.points[part, None, :]).reshape(-1, size)
                fresh = columns[:, known:]
                inner[known:] += fresh.T @ columns
                free[known:] += fresh.T @ self.basis[part]
                right[known:] += fresh.T @ self.targets[part]
            inner[known:], free[known:], right[known:] = inner[known:] / n, free[known:] / n, right[known:] / n
            inner[:known, known:] = inner[known:, :known].T
            self.inner, self.free, self.right = inner, free, right
        whole = np.block([[self.inner, self.free], [self.free.T, self.free_inner]])
        return whole, np.concatenate([self.right, self.free_right])
