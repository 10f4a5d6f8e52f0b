"""All cells by planes and no-broken-circuit sets: no linear program, no list of cells, none found twice.

Rows x_1, .., x_N span R^r, none is zero and no two are parallel. A set of rows S = {i_1 > .. > i_k} has no broken
circuit if each i_t is the first of the rows that vanish where i_1, .., i_t do. Those that avoid row 1 are as many as
there are cells with x_1 > 0 (Zaslavsky, 1975; Whitney, 1932), and this is a bijection. On the flat F_P where the rows
of P vanish, with coordinates c_1 = 1 < c_2 < .. < c_m, the first rows that are independent there, let q be the place
of the last nonzero coordinate a_q of a row, and

    sgn_P = sign(a_1) where q = 1,  (-1)^(m - q) sign(a_q) else:

its sign at a point of the flat, where l_1 = M_1, .., l_m = M_m for functionals l_1 = x_1, l_2, .. in general
position, and numbers 1 = M_1 << M_2 << .. The cell of S has

    sgn_S(k) at rows k that do not vanish on F_S,
    side(b) = -sgn_{S - b}(b) at rows b of S,
    side(i_t), or its opposite, at rows that vanish with i_t and not before: there they are parallel to it, or opposite.

Why: a cell with x_1 = 1 is a polyhedron, and has a unique point that is highest in l_2; where it is unbounded above,
the face at l_2 = M_2 has one highest in l_3, and so on. That is the point of F_S, S being all rows that vanish there.
Which of the cells around it have it as their highest is the same question in fewer dimensions, and its answers are the
sets without broken circuits whose flat it is.

The search goes down from i_1. Where r - 2 rows are chosen the flat is a plane; a walk around half of it, over the
sorted rows, passes one more row each time, and gives a cell after each of which the parallels begin before i_{r-2}.
Signs of all rows are bits that are turned when they are passed; those of rows in S change with what is passed. No
sign takes more than the order of the walk and those of rows on flats, which `flats` knows exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import comb, gcd

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.counting import general_position
from cellsolve.cells.exact_rows import exact_rows, small
from cellsolve.cells.flats import NEGLIGIBLE, UNIT, Exact, Flats
from cellsolve.cells.line import half_cells
from cellsolve.cells.predicates import integer_rows, parallel_classes
from cellsolve.cells.sweep_kernels import Planes, Search, sweep
from cellsolve.tasks import outcomes, shares_memory

#: bytes that a search writes before it hands them over, at least a plane
BLOCK = 2**20
#: room for the last words of the last cells
SPARE = 64
#: pieces that work is cut into: more than workers, so that none waits long, and enough to show progress
PIECES = 64
#: bytes of cells, and bytes for each row, below which a piece is not worth its own search
LEAST_PIECE, LEAST_PER_ROW = 2**20, 2**14
#: sides of chosen rows are the bits of a word; no computer lists the cells of as many dimensions
MOST_DIMENSIONS = 64
#: bytes that may be set aside for cells of data in general position, of which others need a part
ROOM = 2**33


def all_cells(
    lifted: NDArray, n_jobs: int | None = None, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """Return the packed patterns of all cells of lifted points (n, D), in the order of the search.

    Cells 2 m and 2 m + 1 are antipodes. The order does not depend on `n_jobs`.

    Parameters
    ----------
    lifted : array, shape (n, D)
    n_jobs : int, optional
        Workers, threads unless `joblib.parallel_config` says otherwise.
    progress : callable, optional
        Called with the pieces that are done, and how many there are.
    """
    rows = Rows(lifted)
    if not rows.count:  # one cell, in which nothing is active
        return np.zeros((1, (len(lifted) + 7) // 8), dtype=np.uint8)
    pieces = rows.pieces()
    sizes = [2 * rows.most(*piece) * rows.width for piece in pieces]
    out = _room(sum(sizes) if shares_memory(n_jobs, "threads") else 0)
    ends = np.cumsum(sizes).tolist()
    places = [out[end - size : end] if len(out) else None for end, size in zip(ends, sizes, strict=True)]
    found: list = [None] * len(pieces)
    tasks = ((rows, k, piece, place) for k, (piece, place) in enumerate(zip(pieces, places, strict=True)))
    results = outcomes(n_jobs, _piece, tasks, "threads") if len(pieces) > 1 else (_piece(*task) for task in tasks)
    with rows.stopping():
        for done, (k, result) in enumerate(results):
            found[k] = result
            if progress is not None:
                progress(done + 1, len(pieces))
    return rows.patterns_of(_closed_up(out, sizes, found, rows.width) if len(out) else np.concatenate(found))


def _room(size: int) -> NDArray[np.uint8]:
    """Return so many bytes, or none where that is too much to set aside. What is not written takes little memory."""
    try:
        return np.empty(size if size <= ROOM else 0, dtype=np.uint8)
    except MemoryError:
        return np.empty(0, dtype=np.uint8)


def stream_cells(lifted: NDArray, batch: int) -> Iterator[NDArray[np.uint8]]:
    """Iterate over `all_cells` in batches of so many, the last one smaller."""
    rows = Rows(lifted)
    if not rows.count:
        yield np.zeros((1, (len(lifted) + 7) // 8), dtype=np.uint8)
        return
    kept: list[NDArray[np.uint8]] = []
    missing = batch
    for block in Sweep(rows, block=min(BLOCK, batch * rows.width)):
        start = 0
        while len(block) - start >= missing:
            kept.append(block[start : start + missing])
            yield rows.patterns_of(np.concatenate(kept))
            start, kept, missing = start + missing, [], batch
        if start < len(block):
            kept.append(block[start:].copy())
            missing -= len(block) - start
    if kept:
        yield rows.patterns_of(np.concatenate(kept))


def _piece(
    rows: Rows, k: int, piece: tuple[int, int], out: NDArray[np.uint8] | None
) -> tuple[int, NDArray[np.uint8] | int]:
    """Return k and the cells of a piece, or write them to `out` and return how many bytes they are."""
    search = Sweep(rows, *piece)
    if out is not None:
        return k, search.fill(out)
    return k, np.concatenate([np.zeros((0, rows.width), dtype=np.uint8), *(block.copy() for block in search)])


def _closed_up(out: NDArray[np.uint8], sizes: list[int], filled: list[int], width: int) -> NDArray[np.uint8]:
    """Return the cells in `out` without the room that pieces did not need."""
    start = at = 0
    for size, used in zip(sizes, filled, strict=True):
        if at < start:
            out[at : at + used] = out[start : start + used]
        at, start = at + used, start + size
    cells = out[:at].reshape(-1, width)
    return cells if at == len(out) else cells.copy()


class Rows:
    """Rows made ready for the search: one of each line of parallel ones, in independent columns.

    Attributes
    ----------
    count, rank : int
    roundoff : float
        0 where minors are integers so small that elimination without fractions is exact.
    z, errors, scale, sign, first
        The rows in coordinates of the first independent ones, as `flats.Flats` has them on the whole space.
    """

    def __init__(self, lifted: NDArray) -> None:
        self.n = len(lifted)
        self.stopped = False
        representative, orientation = parallel_classes(integer_rows(lifted))
        lines = np.unique(representative[representative >= 0])
        self.live, self.opposite = np.flatnonzero(representative >= 0), orientation[representative >= 0] < 0
        self.line = np.searchsorted(lines, representative[self.live])
        self.count = len(lines)
        if not self.count:
            return
        self.width = (self.count + 7) // 8
        self.exact = exact_rows(np.asarray(lifted)[lines])
        rows = self.exact.rows.astype(object)
        self.rank = rows.shape[1]
        if self.rank > MOST_DIMENSIONS:
            raise ValueError(
                f"X spans {self.rank} dimensions, biases counted, and cells are listed in at most {MOST_DIMENSIONS}; "
                "sample_cells(X, n_cells) takes some of them."
            )
        self.first = _first_independent(rows)
        adjugate, determinant = _adjugate(rows[self.first])
        self.sign = 1 if determinant > 0 else -1
        coordinates = (rows @ adjugate) * self.sign
        self.coordinates = coordinates if self.rank <= 2 else coordinates[:0]
        if small(rows):
            self.roundoff, self.scale = 0.0, float(abs(determinant))
            self.z, self.errors = np.ascontiguousarray(coordinates.T.astype(np.float64)), np.zeros(self.count)
        else:
            self.roundoff, self.scale = UNIT, 1.0
            self.z, self.errors = _scaled(coordinates)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """End searches in other threads when this one leaves with an exception."""
        try:
            yield
        except BaseException:
            self.stopped = True
            raise

    def most(self, lowest: int, highest: int) -> int:
        """Return how many sets without broken circuits may have their largest row in this range, none of them row 0."""
        if self.rank <= 2:
            return self.count if highest == self.count else 0
        sets = sum(comb(i - 1, k) for i in range(max(1, lowest), highest) for k in range(self.rank - 1))
        return sets + (highest == self.count)

    def pieces(self) -> list[tuple[int, int]]:
        """Cut the search by its first chosen row, from the last to the first, into pieces that are worth it."""
        whole = 2 * self.width * general_position(self.count, self.rank)
        least = max(LEAST_PIECE, LEAST_PER_ROW * self.count)
        if self.rank <= 2 or whole < 2 * least:
            return [(0, self.count)]
        share = max(least, whole // PIECES) // (2 * self.width)
        pieces, highest, size = [], self.count, 0
        for i in range(self.count - 1, -1, -1):
            size += self.most(i, i + 1)
            if size >= share or i == 0:
                pieces.append((i, highest))
                highest, size = i, 0
        return pieces

    def patterns_of(self, block: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return packed patterns (S, ceil(n / 8)) of all rows from those of the lines."""
        if self.count == self.n:
            return block
        patterns = np.zeros((len(block), (self.n + 7) // 8), dtype=np.uint8)
        step = max(1, BLOCK // self.n)
        for start in range(0, len(block), step):
            lines = np.unpackbits(block[start : start + step], axis=1, count=self.count)
            wide = np.zeros((len(lines), self.n), dtype=np.uint8)
            wide[:, self.live] = lines[:, self.line] ^ self.opposite
            patterns[start : start + step] = np.packbits(wide, axis=1)
        return patterns


def _first_independent(rows: NDArray) -> list[int]:
    """Return the first rows that are independent of those before."""
    chosen: list[int] = []
    echelon: list[tuple[int, list[int]]] = []
    for k, row in enumerate(rows.tolist()):
        for lead, pivot in echelon:
            if row[lead]:
                up, down = pivot[lead], row[lead]
                row = [x * up - y * down for x, y in zip(row, pivot, strict=True)]
        if any(row):
            divisor = gcd(*row)
            echelon.append((next(c for c, x in enumerate(row) if x), [x // divisor for x in row]))
            chosen.append(k)
            if len(chosen) == rows.shape[1]:
                break
    return chosen


def _adjugate(matrix: NDArray) -> tuple[NDArray, int]:
    """Return determinant times inverse of a matrix of integers, in integers, and the determinant.

    Elimination without fractions (Bareiss, 1968), of all other rows in each step.
    """
    r, before, sign = len(matrix), 1, 1
    work = [[int(x) for x in row] + [int(i == j) for j in range(r)] for i, row in enumerate(matrix)]
    for p in range(r):
        at = next(i for i in range(p, r) if work[i][p])
        if at != p:
            work[p], work[at], sign = work[at], work[p], -sign
        pivot, row = work[p][p], work[p]
        for i in range(r):
            if i != p:
                factor = work[i][p]
                work[i] = [(pivot * x - factor * y) // before for x, y in zip(work[i], row, strict=True)]
        before = pivot
    return sign * np.array([row[r:] for row in work], dtype=object), sign * before


def _scaled(coordinates: NDArray) -> tuple[NDArray, NDArray]:
    """Return integer coordinates (n, r) as floats (r, n), rows at most 1 in size, and bounds on the errors of rows."""
    z, errors = np.zeros(coordinates.T.shape), np.full(len(coordinates), 2 * UNIT + NEGLIGIBLE)
    for k, row in enumerate(coordinates.tolist()):
        power = 1 << max(abs(x) for x in row).bit_length()
        for p, x in enumerate(row):
            value = x / power
            z[p, k] = value if value or not x else errors[k] * (1 if x > 0 else -1)
    return z, errors


class Stopped(Exception):
    """The thread that waited for the cells does not any more."""


class Sweep:
    """The cells of which the first chosen row is from `lowest` to before `highest`, and their antipodes.

    That of no rows is with those of the last one.

    Parameters
    ----------
    rows : Rows
        At least one.
    lowest, highest : int
    block : int
        Bytes of a block, about.

    Yields
    ------
    array of uint8, shape (., ceil(count / 8))
        Packed patterns of the lines, a cell and its antipode in turn; overwritten by the next block.
    """

    def __init__(self, rows: Rows, lowest: int = 0, highest: int | None = None, block: int = BLOCK) -> None:
        n, r = rows.count, rows.rank
        words, depth = (n + 63) // 64, max(r - 2, 1)
        self.rows, self.range, self.block = rows, (lowest, n if highest is None else highest), block
        self.plane = 2 * rows.width * (n + 2)
        if r <= 2:
            return
        place = np.arange(n)
        self.bit = np.uint64(1) << (8 * (place % 64 // 8) + 7 - place % 8).astype(np.uint64)
        self.whole = np.array([np.bitwise_or.reduce(self.bit[64 * w : 64 * w + 64]) for w in range(words)])
        self.search, self.planes, self.flats = (
            Search.begun(r, n),
            Planes.of_size(n, words, depth),
            Flats.of(depth, r, n),
        )
        flats = self.flats
        flats.z[0, 0, :r], flats.errors[0, 0] = rows.z, rows.errors
        flats.sizes[0, 0] = np.abs(rows.z).max(axis=0) + rows.errors
        flats.scale[0, 0], flats.sign[0, 0], flats.first[0, 0, :r] = rows.scale, rows.sign, rows.first
        self.exact = Exact.of(rows.exact)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self.rows.rank <= 2:
            yield from self._line()
            return
        out = self._buffer()
        while not self.ended:
            if size := self._write(out):
                yield out[:size].reshape(-1, self.rows.width)

    @property
    def ended(self) -> bool:
        """Whether all cells are written; not of rank 1 and 2."""
        return self.search.at[0] < 0

    def fill(self, out: NDArray[np.uint8]) -> int:
        """Write all cells to `out`, which has room for as many as `Rows.most` says; return how many bytes."""
        at = 0
        while self.rows.rank > 2 and not self.ended and len(out) - at >= self.plane + SPARE:
            at += self._write(out[at:])
        for block in self:  # what is near the end: kernels write beyond a cell, where another piece may begin
            out[at : at + block.size] = block.ravel()
            at += block.size
        return at

    def _buffer(self) -> NDArray[np.uint8]:
        return np.empty(max(self.block, self.plane) + self.plane + SPARE, dtype=np.uint8)

    def _write(self, out: NDArray[np.uint8]) -> int:
        """Go on with the search for a while, or until there is no room for a plane; return how many bytes of cells."""
        rows = self.rows
        if rows.stopped:
            raise Stopped
        where = self.search, self.flats, self.planes, self.exact
        return sweep(
            rows.rank, rows.count, *self.range, *where, rows.roundoff, self.bit, self.whole, out, len(out) - SPARE
        )

    def _line(self) -> Iterator[NDArray[np.uint8]]:
        rows = self.rows
        if self.range[1] < rows.count:
            return
        for patterns in half_cells(rows.coordinates, self.block):
            cells = np.empty((len(patterns), 2, rows.width), dtype=np.uint8)
            cells[:, 0], cells[:, 1] = np.packbits(patterns, axis=1), np.packbits(~patterns, axis=1)
            yield cells.reshape(-1, rows.width)
