"""numba kernels: around planes, from one crossing to the next, and the cells on the way written as packed bits.

On a plane every row is (u, v): u times the first row plus v times the next independent one. Where the first row is 1,
row k is crossed at -u/v; from the top down that is in ascending u/v. Eight planes are sorted at once, one in each lane
of vector registers, by keys u/v that carry the index of the row in their lowest bits. Neighbours too near for floats
to order are compared again, in the end exactly.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from cellsolve.cells.flats import BLIND, KNOWN, NEGLIGIBLE, SLACK, exact_sign, growth, leading, settled
from cellsolve.cells.jit import HOT, JIT

#: planes that are sorted at once
LANES = 8
#: key of a row that is not crossed, and the largest and the least size of others: infinity has no room for an index,
#: and subnormal numbers are slow
FAR, LARGEST, TINY = 1e300, 1e299, 1e-250


@intrinsic
def store_word(typing_context, buffer, offset, word):
    """Store a uint64 at a byte offset of a uint8 array."""

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], address).align = 1
        return context.get_dummy_value()

    return types.void(buffer, types.int64, types.uint64), generate


@intrinsic
def bits_of(typing_context, value):
    """The bits of a float64 as an int64."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def float_of(typing_context, value):
    """The float64 of the bits of an int64."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(**HOT)
def plane_floats(z, errors, sizes, scale, i, q, roundoff, U, V, E):
    """Fill U, V, E (n,) with the rows where row i vanishes, of leading place q, and bounds on their errors.

    Parameters
    ----------
    z : (3, n)
        Coordinates on a flat of three dimensions, with `errors` and `sizes` (n,) and their `scale`.

    Returns
    -------
    how many signs of V are unsure, and how far keys may be off, in units of 1 + |u/v|
    """
    n, d = len(U), z[q, i]
    s = 1.0 if d > 0.0 else -1.0
    if q == 2:
        f0, f1 = z[0, i], z[1, i]
        for k in range(n):
            U[k] = s * (z[0, k] * d - f0 * z[2, k])
            V[k] = s * (z[1, k] * d - f1 * z[2, k])
    else:
        f0 = z[0, i]
        for k in range(n):
            U[k] = s * (z[0, k] * d - f0 * z[1, k])
            V[k] = z[2, k] * abs(d)
    U[i] = V[i] = V[0] = 0.0
    if roundoff == 0.0:  # minors again, whose products are exact
        share = 1.0 / scale
        for k in range(n):
            U[k], V[k], E[k] = np.rint(U[k] * share), np.rint(V[k] * share), 0.0
        return 0, 0.0
    grown, kept = growth(z, 3, i, q, errors[i], roundoff)
    grown, kept = grown * SLACK, kept * SLACK
    for k in range(n):
        E[k] = grown * sizes[k] + kept * errors[k] + NEGLIGIBLE
        E[k] = E[k] if sizes[k] > 0.0 else 0.0
    E[i] = E[0] = 0.0
    unsure = np.int64(0)
    worst = np.int64(0)  # the bits of floats >= 0 are in their order
    for k in range(n):
        v, e = abs(V[k]), E[k]
        unsure += np.int64((v <= e) & (e > 0.0))
        share = e / (v - e)
        share = share if share >= 0.0 else np.inf
        share = share if v > 0.0 else 0.0
        bits = bits_of(share)
        worst = bits if bits > worst else worst
    return unsure, float_of(worst)


@njit(**JIT)
def plane_settled(exact, flats, t, i, q, chosen, sign, U, V, E, first):
    """Settle the signs that `plane_floats` left unsure; return how far keys may be off."""
    z = flats.z[t, t]
    f1 = z[1, i] if q == 2 else 0.0
    worst = 0.0
    for k in range(len(U)):
        if E[k] > 0.0 and abs(V[k]) <= E[k]:
            zero = (z[1, k] == 0.0 and (f1 == 0.0 or z[2, k] == 0.0)) if q == 2 else z[2, k] == 0.0
            V[k] = settled(V[k], E[k], 0 if zero else sign * exact_sign(exact, chosen, t, -1, i, first, 1, k))
            if V[k] == 0.0 and abs(U[k]) <= E[k]:
                U[k] = settled(U[k], E[k], sign * exact_sign(exact, chosen, t, -1, i, first, 0, k))
            if V[k] == 0.0 and U[k] == 0.0:
                E[k] = 0.0
        if V[k] != 0.0:
            share = E[k] / (abs(V[k]) - E[k])
            worst = max(worst, share if share >= 0.0 else np.inf)
    return worst


@njit(**JIT)
def plane_blind(exact, flats, t, i, chosen, sign, U, V, E, first):
    """Fill in signs where row i and the chosen ones vanish, and nothing else."""
    z = flats.z[t, t]
    for k in range(len(U)):
        gone = k == i or leading(z, 3, k) < 0
        U[k] = 0.0 if gone else sign * exact_sign(exact, chosen, t, -1, i, first, 0, k)
        V[k] = 0.0 if gone or k == 0 else sign * exact_sign(exact, chosen, t, -1, i, first, 1, k)
        E[k] = 0.0 if gone else BLIND
    E[0] = 0.0


@njit(**HOT)
def thirds_floats(z, errors, sizes, i, q, k, roundoff, last):
    """Fill last (n,) with the last coordinates of rows before i where row i vanishes, of four coordinates z (4, n).

    Returns
    -------
    the second and the third coordinate of row k there, and whether a sign is unsure
    """
    d = z[q, i]
    s = 1.0 if d > 0.0 else -1.0
    if q < 3:
        for j in range(i):
            last[j] = z[3, j]
        a2 = s * (z[1, k] * d - z[1, i] * z[2, k]) if q == 2 else z[2, k]
        sure = roundoff == 0.0 or z[3, k] != 0.0 or q < 2
        return a2, z[3, k], not sure
    f = z[2, i]
    for j in range(i):
        last[j] = s * (z[2, j] * d - f * z[3, j])
    a2, a3 = s * (z[1, k] * d - z[1, i] * z[3, k]), s * (z[2, k] * d - f * z[3, k])
    if roundoff == 0.0:
        return a2, a3, False
    grown, kept = growth(z, 4, i, q, errors[i], roundoff)
    grown, kept = grown * SLACK, kept * SLACK
    unsure = np.int64(abs(a3) <= grown * sizes[k] + kept * errors[k] + NEGLIGIBLE)
    for j in range(i):
        zero = (z[2, j] == 0.0) & ((f == 0.0) | (z[3, j] == 0.0))  # as of the first independent rows
        unsure += np.int64((abs(last[j]) <= grown * sizes[j] + kept * errors[j] + NEGLIGIBLE) & (not zero))
    return a2, a3, unsure > 0


@njit(**JIT)
def thirds_settled(exact, flats, t, b, i, q, chosen, sign, roundoff, last):
    """Settle the signs that `thirds_floats` left unsure; of row chosen[b] return them."""
    z, errors, sizes, c, k = flats.z[t, b], flats.errors[t, b], flats.sizes[t, b], flats.first[t, b], chosen[b]
    first = exact.first
    for p in range(3):
        first[p] = c[p] if p < q else c[p + 1]
    if flats.blind[t, b] or not errors[i] < KNOWN * abs(z[q, i]):
        for j in range(1, i):
            last[j] = sign * exact_sign(exact, chosen, t, b, i, first, 2, j)
        a3 = sign * exact_sign(exact, chosen, t, b, i, first, 2, k)
        return (0.0 if a3 != 0 else float(sign * exact_sign(exact, chosen, t, b, i, first, 1, k))), float(a3)
    if q == 3:
        f = z[2, i]
        grown, kept = growth(z, 4, i, q, errors[i], roundoff)
        grown, kept = grown * SLACK, kept * SLACK
        for j in range(1, i):
            bound = grown * sizes[j] + kept * errors[j] + NEGLIGIBLE
            if abs(last[j]) <= bound and sizes[j] > 0.0:
                zero = z[2, j] == 0.0 and (f == 0.0 or z[3, j] == 0.0)
                last[j] = 0.0 if zero else sign * exact_sign(exact, chosen, t, b, i, first, 2, j)
    a3 = float(sign * exact_sign(exact, chosen, t, b, i, first, 2, k))
    return (0.0 if a3 != 0.0 else float(sign * exact_sign(exact, chosen, t, b, i, first, 1, k))), a3


@njit(**HOT)
def sides_of(last, a2, a3, V, i, b, side):
    """Add, as bit b, the side of a chosen row at the crossings j < i; return its bit at the start of the plane."""
    one, zero = np.uint64(1) << np.uint64(b), np.uint64(0)
    if a3 == 0.0:
        for j in range(i):
            side[j] |= one if a2 < 0.0 else zero
        return one if a2 > 0.0 else zero
    negative = a3 < 0.0
    for j in range(i):
        positive = (negative ^ (last[j] < 0.0)) == (V[j] < 0.0)
        positive = negative if last[j] == 0.0 else positive
        side[j] |= one if positive else zero
    return one if negative else zero


@njit(**HOT)
def keys_of(U, V, n, keys, lane, mask, bit, state, words):
    """Fill a lane of keys (n, LANES), and state (words,) with the bits at the start; how many rows are crossed."""
    crossed = 0
    for k in range(n):
        crossed += V[k] != 0.0
        key = U[k] / V[k]
        key = key if abs(key) > TINY else TINY
        key = key if abs(key) < LARGEST else np.copysign(LARGEST, key)
        key = FAR if V[k] == 0.0 else key
        keys[k, lane] = float_of((bits_of(key) & ~mask) | k)
    for w in range(words):
        bits = np.uint64(0)
        for k in range(64 * w, min(64 * w + 64, n)):
            s = U[k] if V[k] == 0.0 else V[k]
            bits |= bit[k] if s > 0.0 else np.uint64(0)
        state[w] = bits
    return crossed


@njit(**JIT)
def sort_lanes(keys, n):
    """Sort every lane of keys (n, LANES): Batcher's merge exchange (Knuth, Sorting and Searching, 5.2.2 M)."""
    if n < 2:
        return
    top = 1
    while top * 2 < n:
        top *= 2
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            start = r
            while start < n - d:  # runs of p consecutive i with i & p == r
                for i in range(start, min(start + p, n - d)):
                    for lane in range(LANES):
                        a, b = keys[i, lane], keys[i + d, lane]
                        keys[i, lane] = a if a < b else b
                        keys[i + d, lane] = b if a < b else a
                start += 2 * p
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


@njit(**HOT)
def near_lanes(keys, crossed, spread, rounding, near, gap):
    """Mark in gap (n, LANES) the neighbours that floats do not order, and in near (LANES,) the lanes that have such."""
    most = 0
    for lane in range(LANES):
        near[lane] = 0
        most = max(most, crossed[lane])
    for p in range(most - 1):
        for lane in range(LANES):
            a, b = keys[p, lane], keys[p + 1, lane]
            size = abs(a) + abs(b)
            close = (not b - a > spread[lane] * (2.0 + size) + rounding * size) & (p + 1 < crossed[lane])
            gap[p, lane] = np.int64(1) if close else np.int64(0)
            near[lane] |= gap[p, lane]


@njit(**HOT)
def near_again(keys, lane, crossed, spread, rounding, gap):
    """Mark in gap the neighbours of one lane that floats do not order."""
    for p in range(crossed - 1):
        a, b = keys[p, lane], keys[p + 1, lane]
        size = abs(a) + abs(b)
        gap[p, lane] = 0 if b - a > spread * (2.0 + size) + rounding * size else 1


@njit(**JIT)
def crossed_first(exact, chosen, t, i, sign, roundoff, U, V, E, a, b):
    """Return -1 if row a is crossed before row b, 1 if after, 0 if they are parallel on the plane.

    `sign` is that of the plane's coordinates, i its last chosen row or -1.
    """
    left, right = U[a] * V[b], U[b] * V[a]
    d = left - right
    order = 1 if d > 0.0 else -1 if d < 0.0 else 0
    if roundoff > 0.0:
        bound = E[a] * (abs(U[b]) + abs(V[b])) + E[b] * (abs(U[a]) + abs(V[a])) + 2.0 * E[a] * E[b]
        bound = (bound + 4.0 * roundoff * (abs(left) + abs(right))) * SLACK + NEGLIGIBLE
        if not abs(d) > bound:
            exact.first[0], exact.first[1] = a, b
            order = sign * exact_sign(exact, chosen, t, -1, i, exact.first, -1, 0)
    return order if (V[a] > 0.0) == (V[b] > 0.0) else -order


@njit(**HOT)
def ties_only(keys, lane, crossed, mask, U, V, E, roundoff, gap, order):
    """Fill order (crossed,) with the rows by keys, and keep in gap those parallel to the next; whether that is sure."""
    order[0] = bits_of(keys[0, lane]) & mask
    sure = True
    for p in range(1, crossed):
        k = bits_of(keys[p, lane]) & mask
        order[p] = k
        if gap[p - 1, lane] != 0:
            a = order[p - 1]
            left, right = U[a] * V[k], U[k] * V[a]
            d = left - right if (V[a] > 0.0) == (V[k] > 0.0) else right - left
            if roundoff == 0.0:
                gap[p - 1, lane] = 1 if d == 0.0 else 0
                sure &= d <= 0.0
                continue
            bound = E[a] * (abs(U[k]) + abs(V[k])) + E[k] * (abs(U[a]) + abs(V[a])) + 2.0 * E[a] * E[k]
            gap[p - 1, lane] = 0 if d < 0.0 else 1
            sure &= d < -(bound + 4.0 * roundoff * (abs(left) + abs(right))) * SLACK - NEGLIGIBLE
    gap[crossed - 1, lane] = 0
    return sure


@njit(**JIT)
def put_in_order(exact, chosen, t, i, sign, roundoff, U, V, E, keys, lane, crossed, mask, wild, gap, order):
    """Fill order (crossed,) with the rows as they are crossed, and mark in gap (., LANES) those parallel to the next.

    Runs of neighbours that keys do not order are, by insertion; where keys say nothing all rows are one run.
    """
    p = 0
    while p < crossed:
        end = p + 1
        order[p] = bits_of(keys[p, lane]) & mask
        while end < crossed and (wild or gap[end - 1, lane] != 0):
            k = bits_of(keys[end, lane]) & mask
            low, high = p, end
            while low < high:
                middle = (low + high) // 2
                if crossed_first(exact, chosen, t, i, sign, roundoff, U, V, E, k, order[middle]) < 0:
                    high = middle
                else:
                    low = middle + 1
            for j in range(end, low, -1):
                order[j] = order[j - 1]
            order[low] = k
            end += 1
        for j in range(p, end - 1):
            same = crossed_first(exact, chosen, t, i, sign, roundoff, U, V, E, order[j], order[j + 1]) == 0
            gap[j, lane] = 1 if same else 0
        gap[end - 1, lane] = 0
        p = end


@njit(**HOT)
def write(out, at, state, whole, words, width):
    """Write a cell and its antipode at a byte offset; return where the next one goes."""
    for w in range(np.uint64(words)):
        store_word(out, at + 8 * np.int64(w), state[w])
    for w in range(np.uint64(words)):  # after all words of the cell: its last one may reach into this row
        store_word(out, at + width + 8 * np.int64(w), state[w] ^ whole[w])
    return at + 2 * width


@njit(**HOT)
def walk_word(order, crossed, gap, lane, side, start, least, state, table, bit, whole, width, out, at):
    """Write the cells of a plane of up to 64 rows: at the start, and after each class that begins before `least`.

    `state` holds the bits at the start, and `table` what bits of rows that vanish on the plane change with their sides.
    """
    bits, full, two = state[0], whole[0], 2 * width
    store_word(out, at, bits)
    store_word(out, at + width, bits ^ full)
    at += two
    bits ^= table[start]
    none, before = ~np.uint64(0), np.uint64(least)
    first = none
    for p in range(np.uint64(crossed)):
        k = np.uint64(order[p])
        bits ^= bit[k]
        first = k if k < first else first
        cell = bits ^ table[side[first]]
        store_word(out, at, cell)
        store_word(out, at + width, cell ^ full)
        last = gap[p, lane] == 0
        at += two if last & (first < before) else 0
        first = none if last else first
    return at


@njit(**HOT)
def walk_words(order, crossed, gap, lane, side, start, least, state, tables, bit, whole, words, width, out, at):
    """`walk_word` for a few words."""
    at = write(out, at, state, whole, words, width)
    two, none, before, count = 2 * width, ~np.uint64(0), np.uint64(least), np.uint64(words)
    for w in range(count):
        state[w] ^= tables[start, w]
    first = none
    for p in range(np.uint64(crossed)):
        k = np.uint64(order[p])
        state[k >> np.uint64(6)] ^= bit[k]
        first = k if k < first else first
        sides = side[first]
        for w in range(count):
            store_word(out, at + 8 * np.int64(w), state[w] ^ tables[sides, w])
        for w in range(count):
            store_word(out, at + width + 8 * np.int64(w), state[w] ^ tables[sides, w] ^ whole[w])
        last = gap[p, lane] == 0
        at += two if last & (first < before) else 0
        first = none if last else first
    return at


@njit(**HOT)
def walk(order, crossed, gap, lane, side, start, least, state, rows, of, count, bit, whole, words, width, out, at):
    """`walk_word` for many words: rows that vanish on the plane are turned one by one."""
    at = write(out, at, state, whole, words, width)
    first = np.int64(least)
    for p in range(crossed):
        k = np.uint64(order[p])
        state[k >> np.uint64(6)] ^= bit[k]
        first = min(first, np.int64(k))
        if gap[p, lane] == 0:
            if first < least:
                changed = side[first] ^ start
                for e in range(count if changed else 0):
                    k = np.uint64(rows[e])
                    state[k >> np.uint64(6)] ^= bit[k] * ((changed >> np.uint64(of[e])) & np.uint64(1))
                start = side[first]
                at = write(out, at, state, whole, words, width)
            first = np.int64(least)
    return at


@njit(**HOT)
def set_vanishing(state, rows, positive, of, count, sides, bit):
    """Set in state (words,) the bits of rows that vanish on a flat, from the sides of the chosen rows."""
    for e in range(count):
        k = rows[e]
        if ((sides >> np.uint64(of[e])) & np.uint64(1) == np.uint64(1)) == positive[e]:
            state[k >> 6] |= bit[k]


@njit(**HOT)
def fill_table(table, rows, positive, of, count, bit, depth, words):
    """Fill table (2^depth, words): for each choice of sides the bits of the rows that vanish on the plane."""
    for b in range(-1, depth):
        table[(1 << b) if b >= 0 else 0, :words] = 0
    for e in range(count):
        k = rows[e]
        table[0, k >> 6] |= np.uint64(0) if positive[e] else bit[k]
        table[1 << of[e], k >> 6] |= bit[k]
    for b in range(depth):
        for w in range(words):
            change = table[1 << b, w]
            for s in range(1 << b):
                table[(1 << b) | s, w] = table[s, w] ^ change
