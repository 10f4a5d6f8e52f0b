"""Exact enumeration of cells in any dimension by restriction to hyperplanes: slow, and no part of the search.

Every cell has a facet, and the facets that lie in a hyperplane H_k are the cells of the arrangement restricted to H_k.
So the cells on a flat F are found from those on the hyperplanes of F: each of them lifts to its two sides. On a plane
the cells are the sectors between sorted directions. Cells come in antipodal pairs; one of each pair is carried.
(Zaslavsky, Facing up to arrangements, 1975; Edelsbrunner, Algorithms in Combinatorial Geometry, 1987.)

A pattern on F has one bit for every row, and the bits of rows that vanish on F are 0. That needs no coordinates of F,
so a flat that is reached along several paths is enumerated once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.predicates import compact, independent_columns, integer_rows, parallel_classes, primitive

Facets = tuple[NDArray[np.int64], NDArray[np.int32]]

_SURELY_DISTINCT = 1e-12
_CHUNK = 2**26


def enumerate_by_restriction(
    lifted: NDArray, *, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.uint8], Facets]:
    """Enumerate all cells of the lifted points, exactly.

    Parameters
    ----------
    lifted : array, shape (n, D)
        Lifted points x~_i, finite floats. Zero, repeated and parallel rows are fine.
    progress : callable, optional
        Called as ``progress(done, total)``, hyperplane by hyperplane.

    Returns
    -------
    packed : array of uint8, shape (S, ceil(n / 8))
        Patterns in numpy.packbits order, sorted; cell S - 1 - i is the antipode of cell i.
    facets : tuple (indptr, indices)
        The facets of cell i are the rows ``indices[indptr[i]:indptr[i + 1]]``, the first of every parallel class.
    """
    rows = primitive(integer_rows(lifted, scale_columns=True))
    rows = compact(rows[:, independent_columns(rows)])
    nonzero = np.any(rows != 0, axis=1)
    if not nonzero.any():
        empty = np.zeros((1, (len(rows) + 7) // 8), dtype=np.uint8)
        return empty, (np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int32))
    if rows.shape[1] == 2:
        half, facet_pairs = _sectors(rows)
        half, cell = _distinct(_face_first_row(half, nonzero))
        cells, facet = np.repeat(cell, facet_pairs.shape[1]), facet_pairs.ravel()
    else:
        half, cells, facet = _cells_with_facets(rows, progress)
    order = np.lexsort((facet, cells))
    counts, facet = np.bincount(cells, minlength=len(half)), facet[order]
    # The antipode of a cell has the complementary pattern, hence the mirrored place in the order, and the same facets.
    mirrored = np.lexsort((facet, -cells[order]))
    packed = np.concatenate([half[::-1] ^ np.packbits(nonzero), half])
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([counts[::-1], counts]))])
    return packed, (indptr, np.concatenate([facet[mirrored], facet]).astype(np.int32))


def _cells_with_facets(
    rows: NDArray, progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.uint8], NDArray, NDArray]:
    """Half of the cells of the whole space, and which hyperplane bounds which: (half, cell index, row index)."""
    representative, _ = parallel_classes(rows)
    hyperplanes = np.unique(representative[representative >= 0])
    lifts, facet = [], []
    known_flats: dict[bytes, NDArray[np.uint8]] = {}
    for k in hyperplanes:
        lift, _ = _lift(rows, k, known_flats)
        lifts.append(lift)
        facet.append(np.full(len(lift), k, dtype=np.int32))
        if progress is not None:
            progress(len(lifts), len(hyperplanes))
    known_flats.clear()
    half, cell = _distinct(_face_first_row(np.concatenate(lifts), np.any(rows != 0, axis=1)))
    return half, cell, np.concatenate(facet)


def _lift(
    rows: NDArray, k: int, known_flats: dict[bytes, NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cells of a flat with a facet in the hyperplane of row k, up to antipodes, and which rows are parallel to k."""
    restricted, orientation = _restrict(rows, k)
    vanishing = np.packbits(~restricted.any(axis=1)).tobytes()
    cells = known_flats.get(vanishing)
    if cells is None:
        cells = known_flats[vanishing] = _half_cells(restricted, known_flats)
    one_side = cells | np.packbits(orientation > 0)
    if restricted.shape[1] == 0:  # on a line the two sides are antipodes
        return one_side, orientation
    return np.concatenate([one_side, cells | np.packbits(orientation < 0)]), orientation


def _half_cells(rows: NDArray, known_flats: dict[bytes, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One of each antipodal pair of cells on the flat with these restricted rows, packed."""
    if rows.shape[1] == 0:
        return np.zeros((1, (len(rows) + 7) // 8), dtype=np.uint8)
    if rows.shape[1] == 2:
        return _sectors(rows)[0]
    nonzero = np.any(rows != 0, axis=1)
    lifts, todo = [], nonzero.copy()
    while todo.any():
        lift, orientation = _lift(rows, int(np.argmax(todo)), known_flats)
        lifts.append(lift)
        todo &= orientation == 0
    return _distinct(_face_first_row(np.concatenate(lifts), nonzero))[0]


def _restrict(rows: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """Rows in coordinates of the hyperplane of row k, and whether they are parallel (1) or antiparallel (-1) to it."""
    magnitude = abs(rows[k])
    pivot = min(np.flatnonzero(rows[k]), key=lambda column: magnitude[column])
    direction = 1 if rows[k, pivot] > 0 else -1
    along = rows[:, pivot] * direction
    restricted = np.delete(magnitude[pivot] * rows - along[:, None] * rows[k], pivot, axis=1)
    parallel = rows.any(axis=1) & ~restricted.any(axis=1)
    orientation = np.where(parallel, np.where(along > 0, 1, -1), 0)
    # On a plane directions are compared as they are; further down, common factors would double the digits each time.
    wide = restricted.dtype == object and restricted.shape[1] == 2
    return restricted if wide else primitive(restricted), orientation


def _sectors(rows: NDArray) -> tuple[NDArray[np.uint8], NDArray]:
    """Half of the sectors of a plane, packed, and the two rows (one if there is one line) that bound each of them."""
    nonzero = np.any(rows != 0, axis=1)
    listed = np.flatnonzero(nonzero)
    x, y = rows[listed].T
    flipped = ((y < 0) | ((y == 0) & (x < 0))).astype(bool)
    order, new_line = _by_angle(np.where(flipped, -x, x), np.where(flipped, -y, y))
    rank = np.full(len(rows), -1, dtype=np.int32)  # rows that vanish stay behind every wall: their bits are 0
    rank[listed[order]] = np.cumsum(new_line) - 1
    n_lines = int(rank.max()) + 1

    first_row = np.full(n_lines, len(rows))
    np.minimum.at(first_row, rank[listed], listed)
    bounds = np.column_stack([np.roll(first_row, 1), first_row]) if n_lines > 1 else first_row[:, None]
    # Sector t lies past the walls of the lines 0..t-1 and before the others.
    step = max(1, _CHUNK // len(rows))
    sectors = np.arange(n_lines, dtype=np.int32)[:, None]
    blocks = [np.packbits(rank >= sectors[start : start + step], axis=1) for start in range(0, n_lines, step)]
    mirror = np.zeros(len(rows), dtype=bool)
    mirror[listed] = flipped
    return np.concatenate(blocks) ^ np.packbits(mirror), bounds


def _by_angle(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
    """Order of integer directions by angle in [0, pi), and where, in that order, a new direction begins."""
    # Two roundings to float and atan2 err by less than 1e-15, so only neighbours within the margin need exact order.
    angle = np.arctan2(_as_float(y, x), _as_float(x, y))
    order = np.argsort(angle, kind="stable")
    new_line = np.concatenate([[True], np.diff(angle[order]) > _SURELY_DISTINCT])
    if not new_line.all():
        start = np.flatnonzero(new_line)
        size = np.diff(np.append(start, len(order)))
        for first, last in zip(start[size > 1], (start + size)[size > 1], strict=True):
            cluster = list(zip(x[order[first:last]].tolist(), y[order[first:last]].tolist(), order[first:last]))
            cluster.sort(key=cmp_to_key(_clockwise))
            order[first:last] = [index for *_, index in cluster]
            new_line[first + 1 : last] = [_clockwise(a, b) != 0 for a, b in pairwise(cluster)]
    return order, new_line


def _clockwise(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    return a[1] * b[0] - a[0] * b[1]


def _as_float(values: NDArray, others: NDArray) -> NDArray:
    """Values as floats, each pair (value, other) divided by a common power of two where integers are too long."""
    if values.dtype == object:
        bits = np.frompyfunc(int.bit_length, 1, 1)
        excess = np.maximum(np.maximum(bits(values), bits(others)) - 1000, 0)
        values = values >> excess
    return values.astype(np.float64)


def _face_first_row(packed: NDArray[np.uint8], nonzero: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace, in place, every pattern that is inactive on the first row by its antipode."""
    first = int(np.argmax(nonzero))
    inactive = (packed[:, first // 8] >> (7 - first % 8)) & 1 == 0
    packed[inactive] ^= np.packbits(nonzero)
    return packed


def _distinct(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Sorted distinct rows, and the place of every given row among them."""
    keys = np.ascontiguousarray(packed).view(f"S{packed.shape[1]}").ravel()
    order = np.argsort(keys)
    in_order = keys[order]
    first = np.concatenate([[True], in_order[1:] != in_order[:-1]])
    place = np.empty(len(keys), dtype=np.int64)
    place[order] = np.cumsum(first) - 1
    return packed[order[first]], place
