"""Enumeration by linear programs, one row at a time: slow, and independent of the exact method it is compared with.

The hyperplane of a new row cuts a cell in two if both signs of the row are possible inside (Rada and Cerny, A new
algorithm for enumeration of cells of hyperplane arrangements, 2018). One sign is that of a known witness, the other is
decided by a linear program, in floats. So cells narrower than a tolerance are lost: use it on data without such cells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-6


def enumerate_incrementally(
    lifted: NDArray, *, n_jobs: int | None = None, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """Enumerate cells of the lifted points by linear programs.

    A cell is kept if some theta in it with max |theta_j| <= 1 has |<theta, x~_i>| >= 1e-6 max_j |x~_ij| for all i.

    Parameters
    ----------
    lifted : array, shape (n, D)
    n_jobs : int, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)``, row by row.

    Returns
    -------
    packed : array of uint8, shape (S, ceil(n / 8))
        Patterns in numpy.packbits order, sorted.
    """
    largest = np.abs(lifted).max(axis=1)
    nonzero = np.flatnonzero(largest)
    rows = lifted[nonzero] / largest[nonzero, None]
    program = _MarginProgram(lifted.shape[1])
    cells: list[tuple[NDArray[np.bool_], NDArray[np.float64]]] = [(np.zeros(0, dtype=bool), np.ones(rows.shape[1]))]
    for done, row in enumerate(rows):
        program.add_row(row)
        grown = []
        for pattern, witness in cells:
            response = row @ witness / np.abs(witness).max()
            for active in (True, False):
                extended = np.append(pattern, active)
                clear = response > _TOLERANCE if active else response < -_TOLERANCE
                inside = witness if clear else program.solve(extended)
                if inside is not None:
                    grown.append((extended, inside))
        cells = grown
        if progress is not None:
            progress(done + 1, len(rows))
    patterns = np.zeros((len(cells), len(lifted)), dtype=bool)
    patterns[:, nonzero] = [pattern for pattern, _ in cells]
    return np.unique(np.packbits(patterns, axis=1), axis=0)


class _MarginProgram:
    """min tau subject to |theta_j| <= tau and <theta, row_i> >= 1 (active) or <= -1: 1 / tau is the margin of a cell.

    From cell to cell only the bounds of the rows change, so HiGHS starts from its last basis.
    """

    def __init__(self, dimension: int) -> None:
        import highspy

        self._dimension = dimension
        self._infinity = highspy.kHighsInf
        self._optimal = highspy.HighsModelStatus.kOptimal
        self._highs = highspy.Highs()
        self._highs.setOptionValue("output_flag", False)
        self._highs.setOptionValue("threads", 1)
        columns = np.arange(dimension + 1, dtype=np.int32)
        bound = np.full(dimension + 1, self._infinity)
        bound[-1] = 1 / _TOLERANCE
        for j in columns:
            self._highs.addVar(-bound[j], bound[j])
        self._highs.changeColCost(dimension, 1.0)
        for j in columns[:-1]:
            for sign in (1.0, -1.0):
                self._highs.addRow(0.0, self._infinity, 2, columns[[j, -1]], np.array([sign, 1.0]))
        self._n_fixed = 2 * dimension

    def add_row(self, row: NDArray) -> None:
        columns = np.flatnonzero(row).astype(np.int32)
        self._highs.addRow(1.0, self._infinity, len(columns), columns, row[columns])

    def solve(self, pattern: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return a neuron inside the cell, or None if there is none with the required margin."""
        for i, active in enumerate(pattern.tolist()):
            bounds = (1.0, self._infinity) if active else (-self._infinity, -1.0)
            self._highs.changeRowBounds(self._n_fixed + i, *bounds)
        self._highs.run()
        if self._highs.getModelStatus() != self._optimal:
            return None
        return np.array(self._highs.getSolution().col_value[: self._dimension])
