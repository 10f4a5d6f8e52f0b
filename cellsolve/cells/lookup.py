"""Where a pattern is among cells, and which cells lie across the facets of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.lookup_kernels import count_across, fill, find, list_across


class Lookup:
    """A hash table of packed patterns.

    Parameters
    ----------
    packed : array of uint8, shape (S, width)
        Distinct.
    """

    def __init__(self, packed: NDArray[np.uint8]) -> None:
        self.cells = _words(packed)
        self.table = np.full(
            1 << (2 * len(packed)).bit_length(), -1, dtype=np.int32 if len(packed) < 2**31 else np.int64
        )
        self.none = np.zeros(self.cells.shape[1], dtype=np.uint64)
        fill(self.cells, self.table, self.none)

    def find(self, packed: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the places of patterns, -1 for those that are not there."""
        places = np.empty(len(packed), dtype=np.int64)
        find(self.cells, self.table, _words(packed), self.none, places)
        return places

    def across(self, flips: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Return, for each cell, which patterns of bits turn it into another cell, and into which.

        Returns
        -------
        indptr : array of int64, shape (S + 1,)
            Those of cell i are from ``indptr[i]`` to before ``indptr[i + 1]``.
        lines : array of int32
            Indices of flips.
        places : array of int64
        """
        turned, counts = _words(flips), np.zeros(len(self.cells), dtype=np.int64)
        count_across(self.cells, self.table, turned, counts)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        lines, places = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=np.int64)
        list_across(self.cells, self.table, turned, lines, places)
        return indptr, lines, places


def _words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return rows of bytes as rows of words, with zeros after them."""
    count, width = packed.shape
    words = np.zeros((count, (width + 7) // 8 * 8), dtype=np.uint8)
    words[:, :width] = packed
    return words.view(np.uint64)
