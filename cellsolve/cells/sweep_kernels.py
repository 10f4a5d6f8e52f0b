"""numba kernel: the search over no-broken-circuit sets that writes every cell once; `sweep` has the theory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellsolve.cells.flats import JIT, KNOWN, leading, restrict
from cellsolve.cells.walks import (
    LANES,
    bits_of,
    fill_table,
    keys_of,
    near_again,
    near_lanes,
    plane_blind,
    plane_floats,
    plane_settled,
    put_in_order,
    set_vanishing,
    sides_of,
    sort_lanes,
    thirds_floats,
    thirds_settled,
    ties_only,
    walk,
    walk_word,
    walk_words,
    write,
)

#: words up to which, and chosen rows up to which, cells are written from a table of the bits of rows that vanish
WORDS, TABLED = 4, 6


class Planes(NamedTuple):
    """Space for as many planes as are sorted at once, and for the walk around one."""

    U: NDArray[np.float64]
    V: NDArray[np.float64]
    E: NDArray[np.float64]
    keys: NDArray[np.float64]
    last: NDArray[np.float64]
    side: NDArray[np.uint64]
    start: NDArray[np.uint64]
    state: NDArray[np.uint64]
    tables: NDArray[np.uint64]
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    of: NDArray[np.int64]
    lost: NDArray[np.int64]
    crossed: NDArray[np.int64]
    least: NDArray[np.int64]
    sign: NDArray[np.int64]
    spread: NDArray[np.float64]
    near: NDArray[np.int64]
    gap: NDArray[np.int64]
    order: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of_size(cls, n: int, words: int, depth: int) -> Planes:
        """Return space for planes of n rows."""
        lanes, table = LANES, (1 << depth) if depth <= TABLED and words <= WORDS else 1
        wide, row = (lanes, n), (lanes,)
        return cls(
            np.zeros(wide), np.zeros(wide), np.zeros(wide), np.zeros((n, lanes)), np.zeros(n),
            np.zeros(wide, np.uint64), np.zeros(row, np.uint64), np.zeros((lanes, words), np.uint64),
            np.zeros((lanes, table, words), np.uint64), np.zeros(wide, np.int64), np.zeros(wide, bool),
            np.zeros(wide, np.int64), np.zeros(row, np.int64), np.zeros(row, np.int64), np.zeros(row, np.int64),
            np.ones(row, np.int64), np.zeros(row), np.zeros(row, np.int64), np.zeros((n, lanes), np.int64),
            np.zeros(n, np.int64), np.zeros(2, np.int64),
        )  # fmt: skip


class Search(NamedTuple):
    """Where the search is.

    Attributes
    ----------
    depth : (1,)
        How many rows are chosen, -1 at the end.
    chosen, next : (r + 1,)
        These rows, and which one to try at each depth, -1 where the node is new.
    sorted : (2,)
        The plane to walk next, of how many that are sorted.
    vanished : (r + 1,)
        How many rows vanish at each depth: `rows`, each with whether it has the sign of the chosen row `of` it.
    """

    depth: NDArray[np.int64]
    chosen: NDArray[np.int64]
    next: NDArray[np.int64]
    sorted: NDArray[np.int64]
    vanished: NDArray[np.int64]
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    of: NDArray[np.int64]

    @classmethod
    def begun(cls, r: int, n: int) -> Search:
        """Return the search at its beginning."""
        whole = np.int64
        return cls(
            np.zeros(1, whole), np.zeros(r + 1, whole), np.full(r + 1, -1, whole), np.zeros(2, whole),
            np.zeros(r + 1, whole), np.zeros(n, whole), np.zeros(n, bool), np.zeros(n, whole),
        )  # fmt: skip


@njit(**JIT)
def _sign_at_point(z, m, k):
    """Sign of row k at the point of the flat: its leading coordinate's, turned by each coordinate after it."""
    q = leading(z, m, k)
    if q < 0:
        return 0
    return 1 if (z[q, k] > 0.0) != (q > 0 and (m - 1 - q) & 1 == 1) else -1


@njit(**JIT)
def _vanished(z, m, child, i, rows, positive):
    """Fill in the rows that vanish with row i and did not before; -1 where one comes before i: a broken circuit."""
    count, q = 0, leading(z, m, i)
    for k in range(z.shape[1]):
        if leading(child, m - 1, k) < 0 and leading(z, m, k) >= 0:
            if k < i:
                return -1
            rows[count], positive[count] = k, (z[q, k] > 0.0) == (z[q, i] > 0.0)
            count += 1
    return count


@njit(**JIT)
def _own_cell(flats, search, state, t, m, n, bit, whole, words, width, out, at):
    """Write the cell of fewer rows than span a plane."""
    state[:] = 0
    for k in range(n):
        if _sign_at_point(flats.z[t, t], m, k) > 0:
            state[k >> 6] |= bit[k]
    sides = np.uint64(0)
    for b in range(t):
        if _sign_at_point(flats.z[t, b], m + 1, search.chosen[b]) < 0:
            sides |= np.uint64(1) << np.uint64(b)
    set_vanishing(state, search.rows, search.positive, search.of, search.vanished[t], sides, bit)
    return write(out, at, state, whole, words, width)


@njit(**JIT)
def _copy(flats, t, m, to):
    """Put the flat of t chosen rows where that of t + 1 without the last one is."""
    flats.z[to, t, :m] = flats.z[t, t, :m]
    flats.errors[to, t], flats.sizes[to, t] = flats.errors[t, t], flats.sizes[t, t]
    flats.scale[to, t], flats.scale_error[to, t] = flats.scale[t, t], flats.scale_error[t, t]
    flats.sign[to, t], flats.blind[to, t] = flats.sign[t, t], flats.blind[t, t]
    flats.first[to, t] = flats.first[t, t]


@njit(**JIT)
def _single_plane(r, n, flats, planes, mask, bit, words, rounding):
    """Prepare all there is of rank 2, or of rank 1, where nothing is crossed."""
    z = flats.z[0, 0]
    planes.U[0], planes.E[0] = z[0], flats.errors[0, 0]
    for k in range(n):
        planes.V[0, k] = z[1, k] if r == 2 else 0.0
    planes.keys[:] = np.inf
    planes.crossed[:] = 0
    planes.crossed[0] = keys_of(planes.U[0], planes.V[0], n, planes.keys, 0, mask, bit, planes.state[0], words)
    planes.least[0], planes.lost[0], planes.sign[0] = n + 1, 0, flats.sign[0, 0]
    worst = 0.0
    for k in range(n):
        if planes.V[0, k] != 0.0:
            share = planes.E[0, k] / (abs(planes.V[0, k]) - planes.E[0, k])
            worst = max(worst, share if share >= 0.0 else np.inf)
    planes.spread[0] = worst
    planes.side[0], planes.start[0] = 0, 0
    if planes.tables.shape[1] > 1:
        planes.tables[0] = 0
    sort_lanes(planes.keys, n)
    near_lanes(planes.keys, planes.crossed, planes.spread, rounding, planes.near, planes.gap)


@njit(**JIT)
def _prepare(exact, flats, search, planes, t, n, i, lane, roundoff, mask, bit, words, tabled):
    """Prepare the plane of the chosen rows and row i; return 1, or 0 where that is a broken circuit."""
    chosen, have = search.chosen, search.vanished[t]
    U, V, E, z = planes.U[lane], planes.V[lane], planes.E[lane], flats.z[t, t]
    errors, sizes, q = flats.errors[t, t], flats.sizes[t, t], leading(z, 3, i)
    sign = flats.sign[t, t] * (1 if z[q, i] > 0.0 else -1) * (1 if q == 2 else -1)
    first, c, spread = planes.first, flats.first[t, t], np.inf
    first[0], first[1] = c[0], c[2] if q == 1 else c[1]
    if flats.blind[t, t] or not errors[i] < KNOWN * abs(z[q, i]):
        plane_blind(exact, flats, t, i, chosen, sign, U, V, E, first)
    else:
        unsure, spread = plane_floats(z, errors, sizes, flats.scale[t, t], i, q, roundoff, U, V, E)
        if unsure:
            spread = plane_settled(exact, flats, t, i, q, chosen, sign, U, V, E, first)
    lost = early = 0
    for k in range(n):
        gone = (U[k] == 0.0) & (V[k] == 0.0)
        lost += gone
        early += gone & (k < i)
    for e in range(have):
        early -= search.rows[e] < i
    if early > 0:
        return 0
    rows, positive, of = planes.rows[lane], planes.positive[lane], planes.of[lane]
    for e in range(have):
        rows[e], positive[e], of[e] = search.rows[e], search.positive[e], search.of[e]
    rows[have], positive[have], of[have] = i, True, t
    count = have + 1
    if lost > count:
        for k in range(i + 1, n):
            if U[k] == 0.0 and V[k] == 0.0 and leading(z, 3, k) >= 0:
                rows[count], positive[count], of[count] = k, (z[q, k] > 0.0) == (z[q, i] > 0.0), t
                count += 1
    planes.lost[lane], planes.least[lane], planes.sign[lane], planes.spread[lane] = count, i, sign, spread
    side = planes.side[lane]
    for j in range(i):
        side[j] = 0
    start = np.uint64(0)
    for b in range(t):
        four, its_errors = flats.z[t, b], flats.errors[t, b]
        q = leading(four, 4, i)
        blind = flats.blind[t, b] or not its_errors[i] < KNOWN * abs(four[q, i])
        a2 = a3 = 0.0
        if not blind:
            a2, a3, blind = thirds_floats(four, its_errors, flats.sizes[t, b], i, q, chosen[b], roundoff, planes.last)
        if blind:
            turned = flats.sign[t, b] * (1 if four[q, i] > 0.0 else -1) * (1 if q % 2 == 0 else -1)
            a2, a3 = thirds_settled(exact, flats, t, b, i, q, chosen, turned, roundoff, planes.last)
        start |= sides_of(planes.last, a2, a3, V, i, b, side)
    start |= sides_of(z[2], z[1, i], z[2, i], V, i, t, side)
    planes.start[lane] = start
    planes.crossed[lane] = keys_of(U, V, n, planes.keys, lane, mask, bit, planes.state[lane], words)
    set_vanishing(planes.state[lane], rows, positive, of, count, start, bit)
    if tabled:
        fill_table(planes.tables[lane], rows, positive, of, count, bit, t + 1, words)
    return 1


@njit(**JIT)
def sweep(r, n, lowest, highest, search, flats, planes, exact, roundoff, bit, whole, out, limit):
    """Go on with the search until it ends or `out` might overflow.

    Parameters
    ----------
    r, n : int
        Rank and number of rows.
    lowest, highest : int
        The first chosen row is from here to before there; the cell of no rows belongs to lowest = 0.
    bit : (n,) uint64
        The bit of a row in its word.
    whole : (words,) uint64
    out : (.,) uint8
        Filled up to `limit` at most; another word of room is needed.

    Returns
    -------
    bytes written
    """
    words, width, at = len(whole), (n + 7) // 8, 0
    index_bits = 1
    while (1 << index_bits) < n:
        index_bits += 1
    mask = (1 << index_bits) - 1
    rounding = 2.0 ** (index_bits - 50)
    room = 2 * width * (n + 2)  # one plane
    depth, chosen, count = search.depth, search.chosen, search.vanished
    while depth[0] >= 0:
        if at + room > limit:
            return at
        t = depth[0]
        if search.sorted[0] < search.sorted[1]:
            lane = search.sorted[0]
            search.sorted[0] = lane + 1
            i = planes.least[lane]
            crossed = planes.crossed[lane] if i > 1 else 0
            order = planes.order
            wild = planes.spread[lane] > KNOWN
            sure = not crossed
            if crossed and planes.near[lane] == 0 and not wild:
                for p in range(crossed):
                    order[p] = bits_of(planes.keys[p, lane]) & mask
                planes.gap[crossed - 1, lane] = 0
                sure = True
            elif crossed and not wild:
                sure = ties_only(
                    planes.keys, lane, crossed, mask, planes.U[lane], planes.V[lane], planes.E[lane], roundoff,
                    planes.gap, order,
                )  # fmt: skip
            if not sure:
                if not wild:
                    near_again(planes.keys, lane, crossed, planes.spread[lane], rounding, planes.gap)
                put_in_order(
                    exact, chosen, max(t, 0), i if r > 2 else -1, planes.sign[lane], roundoff, planes.U[lane],
                    planes.V[lane], planes.E[lane], planes.keys, lane, crossed, mask, wild, planes.gap, order,
                )  # fmt: skip
            side, start, state = planes.side[lane], planes.start[lane], planes.state[lane]
            if planes.tables.shape[1] == 1:
                at = walk(
                    order, crossed, planes.gap, lane, side, start, i, state, planes.rows[lane], planes.of[lane],
                    planes.lost[lane], bit, whole, words, width, out, at,
                )  # fmt: skip
            elif words == 1:
                table = planes.tables[lane, :, 0]
                at = walk_word(
                    order, crossed, planes.gap, lane, side, start, i, state, table, bit, whole, width, out, at
                )
            else:
                table = planes.tables[lane]
                at = walk_words(
                    order, crossed, planes.gap, lane, side, start, i, state, table, bit, whole, words, width, out, at
                )
            if r <= 2:
                depth[0] = -1
            continue
        m = r - t
        if r <= 2:
            if lowest > 0:
                depth[0] = -1
                continue
            _single_plane(r, n, flats, planes, mask, bit, words, rounding)
            search.sorted[0], search.sorted[1] = 0, 1
            continue
        if search.next[t] == -1:  # a new node: its own cell
            search.next[t] = (chosen[t - 1] if t else highest) - 1
            if t or lowest == 0:
                at = _own_cell(flats, search, planes.state[0], t, m, n, bit, whole, words, width, out, at)
            continue
        least = max(1, lowest) if t == 0 else 1
        i = search.next[t]
        if i < least:
            depth[0] = t - 1
            continue
        if t < r - 3:
            search.next[t] = i - 1
            if leading(flats.z[t, t], m, i) < 1:
                continue
            chosen[t] = i
            restrict(exact, flats, t, t, m, i, chosen, roundoff, t + 1)
            have = count[t]
            more = _vanished(flats.z[t, t], m, flats.z[t + 1, t + 1], i, search.rows[have:], search.positive[have:])
            if more < 0:
                continue
            search.of[have : have + more] = t
            count[t + 1] = have + more
            for b in range(t):
                restrict(exact, flats, t, b, m + 1, i, chosen, roundoff, b)
            _copy(flats, t, m, t + 1)
            depth[0] = t + 1
            search.next[t + 1] = -1
            continue
        lanes = 0
        while i >= least and lanes < LANES:
            if leading(flats.z[t, t], 3, i) >= 1:
                lanes += _prepare(
                    exact, flats, search, planes, t, n, i, lanes, roundoff, mask, bit, words, planes.tables.shape[1] > 1
                )
            i -= 1
        search.next[t] = i
        if lanes:
            if planes.least[0] > 1:
                sort_lanes(planes.keys, n)
                planes.crossed[lanes:] = 0
                near_lanes(planes.keys, planes.crossed, planes.spread, rounding, planes.near, planes.gap)
            search.sorted[0], search.sorted[1] = 0, lanes
    return at
