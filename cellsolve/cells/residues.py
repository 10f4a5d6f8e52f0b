"""numba kernels: exact signs of determinants of integer rows that are given by residues modulo primes.

An integer below half the product of some primes is given by its residues. Elimination works on all primes at once, side
by side, and the sign comes from the last nonzero digit in mixed radices that are symmetric about zero (Brönnimann,
Emiris, Pan and Pion, Sign determination in residue number systems, 1999). Elimination takes row by row, so that a
depth-first search that adds rows keeps what is reduced by the rows before.

Residues lie between -p and p and carry a factor 2^32 (Montgomery, 1985). With p < 2^30 products of such numbers, and
differences of two, divided by 2^32, stay there, so nothing is compared or corrected on the way.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numba import carray, cfunc, njit, types
from numpy.typing import NDArray

from cellsolve.cells.jit import ENTRY, JIT

#: primes lie below this, so that (a b - c d) / 2^32 is below p again
PRIMES_BELOW = 2**30


class Moduli(NamedTuple):
    """Primes and what computing with them needs.

    Attributes
    ----------
    primes, inverses : array of int32, shape (k,)
        Primes p, and 1 / p mod 2^32, between -2^31 and 2^31.
    one : array of int32, shape (k,)
        2^32 mod p.
    radices : array of int32, shape (k, k)
        2^32 / p_i mod p_j for i < j.
    """

    primes: NDArray[np.int32]
    inverses: NDArray[np.int32]
    one: NDArray[np.int32]
    radices: NDArray[np.int32]


def choose_moduli(bits: int) -> Moduli:
    """Return moduli whose product exceeds 2^(bits + 1): enough for the signs of integers below 2^bits in size."""
    return _moduli((bits + 1) * 100 // 2998 + 1)  # the first 300 000 primes below 2^30 exceed 2^29.98


def to_residues(rows: NDArray, moduli: Moduli) -> NDArray[np.int32]:
    """Return 2^32 times the integer rows (n, r) modulo k primes, (n, r, k)."""
    shifted = rows * 2**32
    return np.stack([_centred(shifted % p, p) for p in moduli.primes.tolist()], axis=-1).copy(order="C")


@cache
def _moduli(count: int) -> Moduli:
    primes = _primes(count)
    inverses = [(pow(p, -1, 2**32) + 2**31) % 2**32 - 2**31 for p in primes]
    radices = np.zeros((count, count), dtype=np.int64)
    for i, p in enumerate(primes):
        radices[i, i + 1 :] = [(pow(p, -1, q) << 32) % q for q in primes[i + 1 :]]
    one = [2**32 % p for p in primes]
    moduli = np.array(primes, dtype=np.int32)
    ones = _centred(np.array(one), moduli)
    return Moduli(moduli, np.array(inverses, dtype=np.int32), ones, _centred(radices, moduli))


def _primes(count: int) -> list[int]:
    """Return the `count` largest primes below 2^30, descending."""
    span = 64 * (count + 16)  # a number near 2^30 is prime once in 21
    low = PRIMES_BELOW - span
    divisible = np.zeros(span, dtype=bool)
    for d in range(2, isqrt(PRIMES_BELOW) + 1):
        divisible[-low % d :: d] = True
    return (low + np.flatnonzero(~divisible)[::-1][:count]).tolist()


def _centred(residues: NDArray, p: NDArray | int) -> NDArray[np.int32]:
    """Residues in [0, p) as those closest to zero."""
    return np.where(residues > p // 2, residues - p, residues).astype(np.int32)


@njit(inline="always")
def _shrunk(total, p, inverse):
    """Return total / 2^32 mod p; below p in size for |total| < 2 p^2."""
    return (total - np.int64(np.int32(total * inverse)) * p) >> 32


@njit(inline="always")
def _cross(a, b, c, d, p, inverse):
    """(a b - c d) / 2^32 mod p."""
    return _shrunk(np.int64(a) * np.int64(b) - np.int64(c) * np.int64(d), np.int64(p), np.int64(inverse))


@njit(**JIT)
def reduce(rows, pivot, start, level, weights, moduli, reduced, reduced_weights):
    """Reduce rows modulo one more row: the next level of a depth-first search.

    With that row before others, a determinant is that of the reduced rows over pivot entry^(r - level - 2).

    Parameters
    ----------
    rows : array of int32, shape (n, r, k)
        Rows reduced by `level` others.
    pivot : int
        The index of the row.
    start : int
        Rows from here on are reduced.
    level : int
        Columns from here on are what is left of the rows.
    weights : array of int32, shape (2, k)
        Product of the pivot entries before, and what determinants are to be divided by; `one` of the moduli, twice,
        at first.
    moduli : Moduli
    reduced, reduced_weights : arrays of int32, shapes (n, r, k) and (2, k)
        To fill, columns from level + 1 on.
    """
    primes, inverses = moduli.primes, moduli.inverses
    _reduce(rows, pivot, start, level, weights, primes, inverses, reduced, reduced_weights)
    lead = _leading(rows, pivot, level)
    for q in range(len(primes)):
        if rows[pivot, lead, q] == 0:  # it may vanish modulo some primes only: these take another column
            one = slice(q, q + 1)
            its_weights, its_primes, its_inverses = weights[:, one], primes[one], inverses[one]
            its_reduced, its_reduced_weights = reduced[:, :, one], reduced_weights[:, one]
            _reduce(
                rows[:, :, one], pivot, start, level, its_weights, its_primes, its_inverses, its_reduced,
                its_reduced_weights,
            )  # fmt: skip


@njit(inline="always")
def _leading(rows, pivot, level):
    """First column, from `level` on, where the row is not zero modulo the first prime; `level` if there is none."""
    for s in range(level, rows.shape[1]):
        if rows[pivot, s, 0] != 0:
            return s
    return level


@njit(**JIT)
def _reduce(rows, pivot, start, level, weights, primes, inverses, reduced, reduced_weights):
    """`reduce` with the pivot entry in the column that the first prime takes."""
    n, r, k = rows.shape
    lead = _leading(rows, pivot, level)
    for q in range(k):
        product = _cross(weights[0, q], rows[pivot, lead, q], 0, 0, primes[q], inverses[q])
        reduced_weights[0, q] = product
        reduced_weights[1, q] = _cross(weights[1, q], product, 0, 0, primes[q], inverses[q])
    for i in range(start, n):
        for s in range(level + 1, r):
            # Column `level` takes the place of the pivot, with the other sign: determinants stay as they are.
            if s == lead:
                for q in range(k):
                    a, b, c, d = rows[i, s, q], rows[pivot, level, q], rows[pivot, s, q], rows[i, level, q]
                    reduced[i, s, q] = _cross(a, b, c, d, primes[q], inverses[q])
            else:
                for q in range(k):
                    a, b, c, d = rows[pivot, lead, q], rows[i, s, q], rows[i, lead, q], rows[pivot, s, q]
                    reduced[i, s, q] = _cross(a, b, c, d, primes[q], inverses[q])


@njit(**JIT)
def invert(weights, moduli, factor):
    """Fill factor (k,) with what determinants of rows with these weights are multiplied by (Fermat); 0 where p divides.

    It is without the factor 2^32, which ends with it.
    """
    for q in range(len(factor)):
        factor[q] = moduli.one[q]
    divisor = weights[1]
    for bit in range(29, -1, -1):
        for q in range(len(factor)):
            p, inverse = moduli.primes[q], moduli.inverses[q]
            square = _cross(factor[q], factor[q], 0, 0, p, inverse)
            more = _cross(square, divisor[q], 0, 0, p, inverse)
            factor[q] = more if ((p - 2) >> bit) & 1 else square
    for q in range(len(factor)):
        factor[q] = _shrunk(np.int64(factor[q]), np.int64(moduli.primes[q]), np.int64(moduli.inverses[q]))


@njit(**JIT)
def pair_sign(rows, a, b, level, factor, moduli, space):
    """Return the exact sign of the determinant of r - 2 rows and two more, reduced by them.

    Parameters
    ----------
    rows : array of int32, shape (n, r, k)
    a, b : int
        Indices of the two.
    level : int
        r - 2.
    factor : array of int32, shape (k,)
        From `invert`.
    moduli : Moduli
    space : array of int32, shape (k,)
    """
    primes, inverses = moduli.primes, moduli.inverses
    for q in range(len(space)):
        p, inverse = primes[q], inverses[q]
        minor = _cross(rows[a, level, q], rows[b, level + 1, q], rows[a, level + 1, q], rows[b, level, q], p, inverse)
        space[q] = _cross(minor, factor[q], 0, 0, p, inverse)
    return _sign(space, primes, inverses, moduli.radices)


@njit(inline="always")
def _sign(x, primes, inverses, radices):
    """Sign of the integer with residues x, below half the product of the primes in size; x is used up.

    It is a sum of digits, between -p/2 and p/2, times products of the primes before; the last digit that is not zero
    counts for more than all before it, and has the sign.
    """
    k, sign = len(x), np.int64(0)
    for i in range(k):
        rest = np.int32(0)
        for q in range(i, k):
            rest |= x[q]
        if rest == 0:
            break
        p, digit = np.int64(primes[i]), np.int64(x[i])
        digit -= p * (np.int64(2 * digit > p) - np.int64(2 * digit < -p))
        own = np.int64(digit > 0) - np.int64(digit < 0)
        sign = own if digit != 0 else sign
        for q in range(i + 1, k):
            x[q] = _shrunk((x[q] - digit) * radices[i, q], np.int64(primes[q]), np.int64(inverses[q]))
    return sign


class Space(NamedTuple):
    """What `det_sign` works in, and what it remembers of the call before; one for each thread.

    Attributes
    ----------
    levels : array of int32, shape (r - 2, r, k)
        The first r - 2 rows, each reduced by those before.
    pairs : array of int32, shape (n, 2, k)
        Rows reduced by all of them, where `made` says so.
    even, odd : arrays of int32, shape (2, r, k)
    weights, more : arrays of int32, shape (2, k)
    factor, rest : arrays of int32, shape (k,)
    known : array of int64, shape (r + 1,)
        How often the first rows have changed, and then which they are.
    made : array of int64, shape (n,)
        The count at which a row was reduced last.
    """

    levels: NDArray[np.int32]
    pairs: NDArray[np.int32]
    even: NDArray[np.int32]
    odd: NDArray[np.int32]
    weights: NDArray[np.int32]
    more: NDArray[np.int32]
    factor: NDArray[np.int32]
    rest: NDArray[np.int32]
    known: NDArray[np.int64]
    made: NDArray[np.int64]


def det_space(residues: NDArray) -> Space:
    """Return the space that `det_sign` works in."""
    n, r, k = residues.shape
    shapes = (max(r - 2, 0), r, k), (n, 2, k), (2, r, k), (2, r, k), (2, k), (2, k), (k,), (k,)
    arrays: list[NDArray] = [np.ones(shape, np.int32) for shape in shapes]
    return Space(*arrays, np.zeros(r + 1, np.int64), np.zeros(n, np.int64))  # type: ignore[call-arg]


@njit(**ENTRY)
def det_sign(residues, moduli, chosen, space):
    """Return the exact sign, 1, 0 or -1, of the determinant of r rows.

    It takes a fraction of the time where the first r - 2 rows are those of the call before, and less where the others
    were there since these came.

    Parameters
    ----------
    residues : array of int32, shape (n, r, k)
        See `ExactRows`.
    moduli : Moduli
    chosen : array of int, shape (r,)
        Indices of rows.
    space : Space
        From `det_space`.
    """
    _, r, k = residues.shape
    if r == 0:
        return 1
    if r == 1:
        rest = space.rest
        for q in range(k):
            row = residues[chosen[0], 0, q]
            rest[q] = _shrunk(np.int64(row), np.int64(moduli.primes[q]), np.int64(moduli.inverses[q]))
        return _sign(rest, moduli.primes, moduli.inverses, moduli.radices)
    known, same = space.known, space.known[0] > 0
    for level in range(r - 2):
        same &= known[level + 1] == chosen[level]
    if not same:
        _begin(residues, moduli, chosen, space)
    a, b = chosen[r - 2], chosen[r - 1]
    _make(residues, moduli, a, space)
    _make(residues, moduli, b, space)
    return pair_sign(space.pairs, a, b, 0, space.factor, moduli, space.rest)


@njit(**JIT)
def _begin(residues, moduli, chosen, space):
    """Reduce the first r - 2 rows by each other."""
    _, r, k = residues.shape
    weights, more = space.weights, space.more
    space.known[0] += 1
    for q in range(k):
        weights[0, q] = weights[1, q] = moduli.one[q]
    for level in range(r - 2):
        space.known[level + 1] = chosen[level]
        _reduced(residues, moduli, chosen[level], level, space, more)
        rows = space.even
        for s in range(level, r):
            for q in range(k):
                space.levels[level, s, q] = rows[0, s, q] = rows[1, s, q]
        reduce(rows, 0, 2, level, weights, moduli, space.odd, more)
        weights, more = more, weights
    invert(weights, moduli, space.factor)


@njit(**JIT)
def _make(residues, moduli, row, space):
    """Fill in the pair of a row, if that is not done."""
    if space.made[row] == space.known[0]:
        return
    space.made[row] = space.known[0]
    _, r, k = residues.shape
    _reduced(residues, moduli, row, r - 2, space, space.more)
    for s in range(2):
        for q in range(k):
            space.pairs[row, s, q] = space.even[1, r - 2 + s, q]


@njit(**JIT)
def _reduced(residues, moduli, row, levels, space, unused):
    """Put a row, reduced by so many levels, in the second row of space.even."""
    _, r, k = residues.shape
    rows, others = space.even, space.odd
    for s in range(r):
        for q in range(k):
            rows[1, s, q] = residues[row, s, q]
    for level in range(levels):
        for s in range(level, r):
            for q in range(k):
                rows[0, s, q] = space.levels[level, s, q]
        reduce(rows, 0, 1, level, unused, moduli, others, unused)
        rows, others = others, rows
    if levels % 2 == 1:
        for s in range(levels, r):
            for q in range(k):
                space.even[1, s, q] = space.odd[1, s, q]


def packed_moduli(moduli: Moduli) -> NDArray[np.int32]:
    """Return primes, inverses, one and radices in one array, (3 + k, k)."""
    return np.concatenate([moduli.primes[None], moduli.inverses[None], moduli.one[None], moduli.radices])


def packed_space(residues: NDArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return `Space` in two arrays."""
    space = det_space(residues)
    return np.concatenate([part.ravel() for part in space[:8]]), np.concatenate(space[8:])


@cache
def det_sign_anywhere():
    """Return `det_sign` as a function of addresses, for kernels that call it without being compiled with it.

    Its arguments are residues (n, r, k), packed moduli, the two arrays of packed space, chosen (r,), n, r, k.
    """
    whole, short, long = types.int64, types.CPointer(types.int32), types.CPointer(types.int64)
    signature = whole(short, short, short, long, long, whole, whole, whole)
    return cfunc(signature, cache=True)(_det_sign_of_addresses)


def _det_sign_of_addresses(residues, moduli, short, long, chosen, n, r, k):
    packed = carray(moduli, (3 + k, k))
    levels, pairs, pair = max(r - 2, 0) * r * k, n * 2 * k, 2 * r * k
    room, counts = carray(short, (levels + pairs + 2 * pair + 6 * k,)), carray(long, (r + 1 + n,))
    at = levels + pairs + 2 * pair
    space = Space(
        room[:levels].reshape((max(r - 2, 0), r, k)),
        room[levels : levels + pairs].reshape((n, 2, k)),
        room[levels + pairs : at - pair].reshape((2, r, k)),
        room[at - pair : at].reshape((2, r, k)),
        room[at : at + 2 * k].reshape((2, k)),
        room[at + 2 * k : at + 4 * k].reshape((2, k)),
        room[at + 4 * k : at + 5 * k],
        room[at + 5 * k :],
        counts[: r + 1],
        counts[r + 1 :],
    )
    its_moduli = Moduli(packed[0], packed[1], packed[2], packed[3:])
    return det_sign(carray(residues, (n, r, k)), its_moduli, carray(chosen, (r,)), space)
