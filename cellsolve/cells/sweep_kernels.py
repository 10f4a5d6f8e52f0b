"""numba kernel: the search over no-broken-circuit sets that writes every cell once; `sweep` has the theory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellsolve.cells.flats import KNOWN, leading, restrict
from cellsolve.cells.jit import ENTRY, HOT, JIT
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

#: steps over rows, and sets of rows that exact signs begin with, after which a search comes back: tens of milliseconds,
#: then Ctrl-C is heard
SLICE, EXACT_SLICE = 2**24, 2**8
#: words up to which, and chosen rows up to which, cells are written from a table of the bits of rows that vanish
WORDS, TABLED = 4, 6


class Planes(NamedTuple):
    """Space for as many planes as are sorted at once, and for the walk around one.

    Attributes
    ----------
    U, V, E : (LANES, n)
        Coordinates, and bounds on their errors.
    last : (n,)
        Third coordinates on a flat of a row less.
    side : (LANES, n)
        At a crossing the sides of the chosen rows, as bits.
    keys, gap : (n, LANES)
        What is sorted, and which neighbours are near, later parallel.
    state : (LANES, words)
        Bits at the start.
    tables : (LANES, 2^depth, words)
        See `walks.fill_table`.
    rows, positive, of : (LANES, n)
        Rows that vanish, whether they have the sign of the chosen row, and which one that is.
    vanish, crossed, least, sign, start, spread, near : (LANES,)
        How many vanish and are crossed, the last chosen row, the sign of the coordinates, sides at the start, how far
        keys may be off, whether neighbours are near.
    order : (n,)
    first : (2,)
    """

    U: NDArray[np.float64]
    V: NDArray[np.float64]
    E: NDArray[np.float64]
    last: NDArray[np.float64]
    side: NDArray[np.uint64]
    keys: NDArray[np.float64]
    gap: NDArray[np.int64]
    state: NDArray[np.uint64]
    tables: NDArray[np.uint64]
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    of: NDArray[np.int64]
    vanish: NDArray[np.int64]
    crossed: NDArray[np.int64]
    least: NDArray[np.int64]
    sign: NDArray[np.int64]
    start: NDArray[np.uint64]
    spread: NDArray[np.float64]
    near: NDArray[np.int64]
    order: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of_size(cls, n: int, words: int, depth: int) -> Planes:
        """Return space for planes of n rows."""
        table = (1 << depth) if depth <= TABLED and words <= WORDS else 1
        wide, row, whole, bits = (LANES, n), (LANES,), np.int64, np.uint64
        return cls(
            np.zeros(wide), np.zeros(wide), np.zeros(wide), np.zeros(n), np.zeros(wide, bits),
            np.zeros((n, LANES)), np.zeros((n, LANES), whole), np.zeros((LANES, words), bits),
            np.zeros((LANES, table, words), bits), np.zeros(wide, whole), np.zeros(wide, bool), np.zeros(wide, whole),
            np.zeros(row, whole), np.zeros(row, whole), np.zeros(row, whole), np.ones(row, whole), np.zeros(row, bits),
            np.zeros(row), np.zeros(row, whole), np.zeros(n, whole), np.zeros(2, whole),
        )  # fmt: skip


class Search(NamedTuple):
    """Where the search is.

    Attributes
    ----------
    at : (3,)
        How many rows are chosen, -1 at the end; the plane to walk next, of how many that are sorted.
    chosen, next : (r + 1,)
        These rows, and which one to try at each depth, -1 where the node is new.
    vanished : (r + 1,)
        How many rows vanish at each depth: `rows`, each with whether it has the sign of the chosen row `of` it.
    """

    at: NDArray[np.int64]
    chosen: NDArray[np.int64]
    next: NDArray[np.int64]
    vanished: NDArray[np.int64]
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    of: NDArray[np.int64]

    @classmethod
    def begun(cls, r: int, n: int) -> Search:
        """Return the search at its beginning."""
        whole = np.int64
        return cls(
            np.zeros(3, whole), np.zeros(r + 1, whole), np.full(r + 1, -1, whole), np.zeros(r + 1, whole),
            np.zeros(n, whole), np.zeros(n, bool), np.zeros(n, whole),
        )  # fmt: skip


@njit(**JIT)
def _sign_at_point(z, m, k):
    """Sign of row k at the point of the flat: its leading coordinate's, turned by each coordinate after it."""
    q = leading(z, m, k)
    if q < 0:
        return 0
    return 1 if (z[q, k] > 0.0) != (q > 0 and (m - 1 - q) & 1 == 1) else -1


@njit(**JIT)
def _vanished(z, m, child, i, have, rows, positive):
    """Add to `have` rows those that vanish with row i and did not before; -1 where one of them is before row i."""
    count, q = have, leading(z, m, i)
    for k in range(z.shape[1]):
        if leading(child, m - 1, k) < 0 and leading(z, m, k) >= 0:
            if k < i:
                return -1
            rows[count], positive[count] = k, (z[q, k] > 0.0) == (z[q, i] > 0.0)
            count += 1
    return count


@njit(**HOT)
def _own_cell(flats, search, t, m, n, bit, state):
    """Fill in the cell of fewer rows than span a plane."""
    z = flats.z[t, t]
    for w in range(len(state)):
        state[w] = 0
    for k in range(n):
        if _sign_at_point(z, m, k) > 0:
            state[k >> 6] |= bit[k]
    sides = np.uint64(0)
    for b in range(t):
        if _sign_at_point(flats.z[t, b], m + 1, search.chosen[b]) < 0:
            sides |= np.uint64(1) << np.uint64(b)
    set_vanishing(state, search.rows, search.positive, search.of, search.vanished[t], sides, bit)


@njit(**HOT)
def _copy(flats, t, m, to):
    """Put the flat of t chosen rows where that of t + 1 without the last one is."""
    z, first = flats.z, flats.first
    for k in range(z.shape[3]):
        for p in range(m):
            z[to, t, p, k] = z[t, t, p, k]
        flats.errors[to, t, k], flats.sizes[to, t, k] = flats.errors[t, t, k], flats.sizes[t, t, k]
    for p in range(m):
        first[to, t, p] = first[t, t, p]
    flats.scale[to, t], flats.scale_error[to, t] = flats.scale[t, t], flats.scale_error[t, t]
    flats.sign[to, t], flats.blind[to, t] = flats.sign[t, t], flats.blind[t, t]


@njit(inline="always")
def _plane(exact, flats, search, planes, t, n, i, lane, roundoff, mask, bit, words, tabled):
    """Prepare the plane of the chosen rows and row i; return whether it is one, not a broken circuit."""
    chosen, have = search.chosen, search.vanished[t]
    U, V, E, last = planes.U[lane], planes.V[lane], planes.E[lane], planes.last
    z, errors, sizes = flats.z[t, t], flats.errors[t, t], flats.sizes[t, t]
    c, first = flats.first[t, t], planes.first
    q = leading(z, 3, i)
    sign = flats.sign[t, t] * (1 if z[q, i] > 0.0 else -1) * (1 if q == 2 else -1)
    first[0], first[1] = c[0], c[2 if q == 1 else 1]
    spread, start = np.inf, np.uint64(0)
    if flats.blind[t, t] or not errors[i] < KNOWN * abs(z[q, i]):
        plane_blind(exact, flats, t, i, chosen, sign, U, V, E, first)
    else:
        unsure, spread = plane_floats(z, errors, sizes, flats.scale[t, t], i, q, roundoff, U, V, E)
        if unsure:
            spread = plane_settled(exact, flats, t, i, q, chosen, sign, U, V, E, first)
    vanish = early = 0
    for k in range(n):
        gone = (U[k] == 0.0) & (V[k] == 0.0)
        vanish += gone
        early += gone & (k < i)
    for e in range(have):
        early -= search.rows[e] < i
    if early > 0:
        return False
    rows, positive, of = planes.rows[lane], planes.positive[lane], planes.of[lane]
    for e in range(have):
        rows[e], positive[e], of[e] = search.rows[e], search.positive[e], search.of[e]
    rows[have], positive[have], of[have] = i, True, t
    count = have + 1
    if vanish > count:
        for k in range(i + 1, n):
            if U[k] == 0.0 and V[k] == 0.0 and leading(z, 3, k) >= 0:
                rows[count], positive[count], of[count] = k, (z[q, k] > 0.0) == (z[q, i] > 0.0), t
                count += 1
    side = planes.side[lane]
    for j in range(i):
        side[j] = 0
    for b in range(t):
        four, its_errors = flats.z[t, b], flats.errors[t, b]
        p = leading(four, 4, i)
        unsure = flats.blind[t, b] or not its_errors[i] < KNOWN * abs(four[p, i])
        a2 = a3 = 0.0
        if not unsure:
            a2, a3, unsure = thirds_floats(four, its_errors, flats.sizes[t, b], i, p, chosen[b], roundoff, last)
        if unsure:
            turned = flats.sign[t, b] * (1 if four[p, i] > 0.0 else -1) * (1 if p % 2 == 0 else -1)
            a2, a3 = thirds_settled(exact, flats, t, b, i, p, chosen, turned, roundoff, last)
        start |= sides_of(last, a2, a3, V, i, b, side)
    start |= sides_of(z[2], z[1, i], z[2, i], V, i, t, side)
    state = planes.state[lane]
    planes.crossed[lane] = keys_of(U, V, n, planes.keys, lane, mask, bit, state, words)
    set_vanishing(state, rows, positive, of, count, start, bit)
    if tabled:
        fill_table(planes.tables[lane], rows, positive, of, count, bit, t + 1, words)
    planes.vanish[lane], planes.least[lane], planes.sign[lane] = count, i, sign
    planes.spread[lane], planes.start[lane] = spread, start
    return True


@njit(**ENTRY)
def sweep(r, n, lowest, highest, search, flats, planes, exact, roundoff, bit, whole, out, limit):
    """Go on with the search until it ends, `out` might overflow, or some time is over.

    Parameters
    ----------
    r, n : int
        Rank, at least 3, and number of rows.
    lowest, highest : int
        The first chosen row is from here to before there; the cell of no rows belongs to highest = n.
    bit : (n,) uint64
        The bit of a row in its word.
    whole : (words,) uint64
    out : (.,) uint8
        Filled up to `limit` at most; another word of room is needed.

    Returns
    -------
    bytes written
    """
    where, chosen, following, vanished = search.at, search.chosen, search.next, search.vanished
    keys, gap, order, crossings = planes.keys, planes.gap, planes.order, planes.crossed
    words, width, at = len(whole), (n + 7) // 8, np.int64(0)  # not the literal: kernels would compile twice
    index_bits = 1
    while (1 << index_bits) < n:
        index_bits += 1
    mask = (1 << index_bits) - 1
    rounding = 2.0 ** (index_bits - 50)
    room = 2 * width * (n + 2)  # one plane
    tabled = planes.tables.shape[1] > 1
    steps, begun = np.int64(0), exact.counts[0]
    while where[0] >= 0:
        if at + room > limit or steps > SLICE or exact.counts[0] - begun > EXACT_SLICE:
            return at
        t = where[0]
        steps += n
        if where[1] < where[2]:
            lane = where[1]
            where[1] = lane + 1
            i, spread, start = planes.least[lane], planes.spread[lane], planes.start[lane]
            U, V, E, state, side = planes.U[lane], planes.V[lane], planes.E[lane], planes.state[lane], planes.side[lane]
            crossed = crossings[lane] if i > 1 else 0
            wild = spread > KNOWN
            sure = not crossed
            if crossed and planes.near[lane] == 0 and not wild:
                for p in range(crossed):
                    order[p] = bits_of(keys[p, lane]) & mask
                gap[crossed - 1, lane] = 0
                sure = True
            elif crossed and not wild:
                sure = ties_only(keys, lane, crossed, mask, U, V, E, roundoff, gap, order)
            if not sure:
                if not wild:
                    near_again(keys, lane, crossed, spread, rounding, gap)
                put_in_order(
                    exact,
                    chosen,
                    t,
                    i,
                    planes.sign[lane],
                    roundoff,
                    U,
                    V,
                    E,
                    keys,
                    lane,
                    crossed,
                    mask,
                    wild,
                    gap,
                    order,
                )
            if not tabled:
                at = walk(
                    order, crossed, gap, lane, side, start, i, state, planes.rows[lane], planes.of[lane],
                    planes.vanish[lane], bit, whole, words, width, out, at,
                )  # fmt: skip
            elif words == 1:
                table = planes.tables[lane, :, 0]
                at = walk_word(order, crossed, gap, lane, side, start, i, state, table, bit, whole, width, out, at)
            else:
                table = planes.tables[lane]
                at = walk_words(
                    order, crossed, gap, lane, side, start, i, state, table, bit, whole, words, width, out, at
                )
            continue
        m = r - t
        if following[t] == -1:  # a new node: its own cell
            following[t] = (chosen[t - 1] if t else highest) - 1
            if t or highest == n:
                _own_cell(flats, search, t, m, n, bit, planes.state[0])
                at = write(out, at, planes.state[0], whole, words, width)
            continue
        least = max(1, lowest) if t == 0 else 1
        i = following[t]
        if i < least:
            where[0] = t - 1
            continue
        if t < r - 3:
            following[t] = i - 1
            if leading(flats.z[t, t], m, i) < 1:
                continue
            chosen[t] = i
            steps += n * m * (t + 1)
            restrict(exact, flats, t, t, m, i, chosen, roundoff, t + 1)
            have = vanished[t]
            more = _vanished(flats.z[t, t], m, flats.z[t + 1, t + 1], i, have, search.rows, search.positive)
            if more < 0:
                continue
            for e in range(have, more):
                search.of[e] = t
            vanished[t + 1] = more
            for b in range(t):
                restrict(exact, flats, t, b, m + 1, i, chosen, roundoff, b)
            _copy(flats, t, m, t + 1)
            where[0] = t + 1
            following[t + 1] = -1
            continue
        lanes = np.int64(0)
        while i >= least and lanes < LANES:
            if leading(flats.z[t, t], 3, i) >= 1:
                lanes += _plane(exact, flats, search, planes, t, n, i, lanes, roundoff, mask, bit, words, tabled)
            i -= 1
        following[t] = i
        steps += LANES * n * (t + 1)
        if lanes:
            if planes.least[0] > 1:
                sort_lanes(keys, n)
                for lane in range(lanes, LANES):
                    crossings[lane] = 0
                near_lanes(keys, crossings, planes.spread, rounding, planes.near, gap)
            where[1], where[2] = 0, lanes
    return at
