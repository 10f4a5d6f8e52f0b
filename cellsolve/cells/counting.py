"""The number of cells, exactly, without enumerating them.

Adding a hyperplane to an arrangement adds as many cells as the earlier hyperplanes cut out of it (deletion and
restriction), so a count is the sum over rows k of the count of rows 0..k-1 restricted to the hyperplane of row k
(Zaslavsky, Facing up to arrangements, 1975).
"""

from __future__ import annotations

from math import comb, inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.predicates import independent_columns, integer_rows
from cellsolve.data import as_points, lift

Row = tuple[int, ...]

_AFFORDABLE_ROWS = 5 * 10**5
_OVERHEAD = 20  # what any restriction costs, in rows


def count_cells(X: ArrayLike, *, fit_bias: bool = True) -> int:
    """Count the cells of the data, exactly.

    In general position there are 2 sum_{k < D} C(n - 1, k) of them; repeated, collinear or zero points give fewer.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
    fit_bias : bool
        Whether neurons have a bias, x~ = (x, 1), or not, x~ = x.

    Returns
    -------
    int
        The all-inactive cell and both cells of every antipodal pair included.

    Raises
    ------
    ValueError
        For anything that is not a finite real matrix with at least one row and one column.
    """
    return count_lifted(lift(as_points(X), fit_bias))


def count_lifted(lifted: NDArray) -> int:
    """Count the cells of lifted points, shape (n, D), exactly."""
    return _Counter().count(_lines_of_points(lifted))


def general_position(n: int, dimension: int) -> int:
    """Return the number of cells of n rows in general position, which no n rows of that dimension exceed."""
    return 2 * sum(comb(n - 1, k) for k in range(dimension)) if n else 1


def count_if_affordable(lifted: NDArray) -> tuple[int, bool]:
    """Return the number of cells and True, or an upper bound and False where counting takes more than seconds."""
    lines = _lines_of_points(lifted)
    try:
        return _Counter(_AFFORDABLE_ROWS).count(lines), True
    except _TooLong:
        return general_position(len(lines), len(lines[0])), False


class _TooLong(Exception):
    pass


class _Counter:
    """Counts by deletion and restriction; remembers arrangements it has counted, and how many rows it restricted."""

    def __init__(self, max_rows: float = inf) -> None:
        self._known: dict[frozenset[Row], int] = {}
        self._rows_left = max_rows

    def count(self, lines: list[Row]) -> int:
        """Cells of an arrangement of distinct hyperplanes, given by their primitive normals."""
        if len(lines) <= 1 or len(lines[0]) <= 2:
            return 2 * len(lines) or 1
        key = frozenset(lines)
        if key not in self._known:
            self._known[key] = 2 + sum(self._count_on(lines[:k], lines[k]) for k in range(1, len(lines)))
        return self._known[key]

    def _count_on(self, lines: list[Row], hyperplane: Row) -> int:
        self._rows_left -= len(lines) + _OVERHEAD
        if self._rows_left < 0:
            raise _TooLong
        return self.count(_restrict(lines, hyperplane))


def _lines_of_points(lifted: NDArray) -> list[Row]:
    rows = integer_rows(lifted)
    return _lines(rows[:, independent_columns(rows)])


def _restrict(lines: list[Row], hyperplane: Row) -> list[Row]:
    """Distinct lines that the given ones cut out of a hyperplane, in coordinates of the hyperplane."""
    pivot = min((abs(entry), place) for place, entry in enumerate(hyperplane) if entry)[1]
    normal = np.array(hyperplane, dtype=object)
    rows = np.array(lines, dtype=object)
    return _lines(np.delete(rows * normal[pivot] - rows[:, [pivot]] * normal, pivot, axis=1))


def _lines(rows: NDArray) -> list[Row]:
    """Distinct primitive rows with first nonzero entry positive, in the order in which they first appear."""
    rows = rows[(rows != 0).any(axis=1)]
    if not len(rows):
        return []
    rows = rows // np.gcd.reduce(rows, axis=1, initial=0)[:, None]
    zero = (0,) * rows.shape[1]
    lines = (row if row > zero else [-entry for entry in row] for row in map(tuple, rows.tolist()))
    return list(dict.fromkeys(map(tuple, lines)))
