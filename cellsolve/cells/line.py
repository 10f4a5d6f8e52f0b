"""Cells of rank 1 and 2: rows in the order in which a walk along a line passes them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def half_cells(coordinates: NDArray, block: int) -> Iterator[NDArray[np.bool_]]:
    """Iterate over the patterns of cells in which the first row is active.

    There row k is u_k + v_k t, and a walk from t = -inf to inf passes it at -u_k / v_k. No two are passed at once.

    Parameters
    ----------
    coordinates : array of int, shape (n, r), r <= 2
        (u, v) of every row, the first one (u, 0), u > 0; none is zero and no two are parallel.
    block : int
        Bytes of a block, about.

    Yields
    ------
    array of bool, shape (., n)
    """
    n, r = coordinates.shape
    start, place = np.ones(n, dtype=bool), np.full(n, n)
    if r == 2:
        passed = sorted(range(1, n), key=lambda k: Fraction(-int(coordinates[k, 0]), int(coordinates[k, 1])))
        start[1:] = coordinates[1:, 1] < 0
        place[passed] = np.arange(n - 1)
    step = max(1, block // n)
    for first in range(0, n, step):
        yield start ^ (place < np.arange(first, min(first + step, n))[:, None])
