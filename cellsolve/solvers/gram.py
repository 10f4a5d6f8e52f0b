"""Inner products of the columns of active cells, box by box: most boxes are all in a cell or all outside."""

from __future__ import annotations

import numpy as np

from cellsolve.boxes import Boxes
from cellsolve.data import Array


class CellGram:
    """F^T F / n and F^T y / n for the columns F = [s_k D_k X, B] of cells k with signs s_k, and of the free part B."""

    def __init__(self, boxes: Boxes, points: Array, basis: Array, targets: Array) -> None:
        rows = np.column_stack([points, basis, targets])[boxes.order]
        self.order, self.starts = boxes.order, boxes.starts
        self.blocks = np.split(rows, boxes.starts[1:])
        #: sum x (x, B, y)^T over every box
        self.moments = np.array([block[:, : points.shape[1]].T @ block for block in self.blocks])
        self.free_inner = basis.T @ basis
        self.free_right = basis.T @ targets

    def products(self, patterns: np.ndarray, signs: Array) -> tuple[Array, Array]:
        """Return F^T F / n and F^T y / n, the columns of the cells first.

        Parameters
        ----------
        patterns, signs : (K, n) bool, (K,)
        """
        K, (boxes, D, width) = len(signs), self.moments.shape
        listed = patterns[:, self.order]
        counts = np.add.reduceat(listed, self.starts, axis=1, dtype=np.int64)
        whole = counts == [len(block) for block in self.blocks]
        signed = whole * signs[:, None]
        inner = np.empty((K, D, K, D))
        for a in range(D):
            for b in range(D):
                inner[:, a, :, b] = (signed * self.moments[:, a, b]) @ signed.T
        parts = np.zeros((K, D, width, boxes))  # of the cells that cut a box
        flat = inner.reshape(K * D, K * D)
        for b, block in enumerate(self.blocks):
            cut = np.flatnonzero((counts[:, b] > 0) & ~whole[:, b])
            here = listed[cut, self.starts[b] : self.starts[b] + len(block)] * signs[cut, None]
            columns = (here.T[:, :, None] * block[:, None, :D]).reshape(len(block), len(cut) * D)
            parts[cut, :, :, b] = (columns.T @ block).reshape(len(cut), D, width)
            where = (cut[:, None] * D + np.arange(D)).ravel()
            flat[np.ix_(where, where)] += columns.T @ columns
        mixed = (parts[:, :, :D].reshape(K * D * D, boxes) @ signed.T).reshape(K, D, D, K).transpose(0, 1, 3, 2)
        flat += mixed.reshape(K * D, K * D)
        flat += mixed.reshape(K * D, K * D).T
        rest = np.tensordot(signed, self.moments[:, :, D:], 1) + parts[:, :, D:].sum(axis=3)
        free, right = rest[:, :, :-1].reshape(K * D, width - D - 1), rest[:, :, -1].ravel()
        n = len(self.order)
        whole_inner = np.block([[flat, free], [free.T, self.free_inner]])
        return whole_inner / n, np.concatenate([right, self.free_right]) / n
