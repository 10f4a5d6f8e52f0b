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


def det_space(residues: NDArray) -> tuple[NDArray[np.int32], ...]:
    """Return the space that `det_sign` works in."""
    _, r, k = residues.shape
    return tuple(np.ones(shape, dtype=np.int32) for shape in ((r, r, k), (r, r, k), (2, k), (2, k), (k,), (k,)))


@njit(**ENTRY)
def det_sign(residues, moduli, chosen, space):
    """Return the exact sign, 1, 0 or -1, of the determinant of r rows.

    Parameters
    ----------
    residues : array of int32, shape (n, r, k)
        See `ExactRows`.
    moduli : Moduli
    chosen : array of int, shape (r,)
        Indices of rows.
    space : tuple
        From `det_space`; one for each thread.
    """
    _, r, k = residues.shape
    rows, reduced, weights, reduced_weights, factor, rest = space
    if r == 0:
        return 1
    for i in range(r):
        for s in range(r):
            for q in range(k):
                rows[i, s, q] = residues[chosen[i], s, q]
    if r == 1:
        for q in range(k):
            rest[q] = _shrunk(np.int64(rows[0, 0, q]), np.int64(moduli.primes[q]), np.int64(moduli.inverses[q]))
        return _sign(rest, moduli.primes, moduli.inverses, moduli.radices)
    for q in range(k):
        weights[0, q] = weights[1, q] = moduli.one[q]
    for level in range(r - 2):
        reduce(rows, level, level + 1, level, weights, moduli, reduced, reduced_weights)
        rows, reduced = reduced, rows
        weights, reduced_weights = reduced_weights, weights
    invert(weights, moduli, factor)
    return pair_sign(rows, r - 2, r - 1, r - 2, factor, moduli, rest)


def packed_moduli(moduli: Moduli) -> NDArray[np.int32]:
    """Return primes, inverses, one and radices in one array, (3 + k, k)."""
    return np.concatenate([moduli.primes[None], moduli.inverses[None], moduli.one[None], moduli.radices])


def space_size(r: int, k: int) -> int:
    """Return how many int32 `det_sign` works in."""
    return (2 * r * r + 6) * k


@cache
def det_sign_anywhere():
    """Return `det_sign` as a function of addresses, for kernels that call it without being compiled with it.

    Its arguments are residues (n, r, k), packed moduli, space, chosen (r,), n, r, k.
    """
    whole, pointer = types.int64, types.CPointer(types.int32)
    signature = whole(pointer, pointer, pointer, types.CPointer(whole), whole, whole, whole)
    return cfunc(signature, cache=True)(_det_sign_of_addresses)


def _det_sign_of_addresses(residues, moduli, space, chosen, n, r, k):
    packed, size = carray(moduli, (3 + k, k)), r * r * k
    room = carray(space, (2 * size + 6 * k,))
    spaces = (
        room[:size].reshape((r, r, k)),
        room[size : 2 * size].reshape((r, r, k)),
        room[2 * size : 2 * size + 2 * k].reshape((2, k)),
        room[2 * size + 2 * k : 2 * size + 4 * k].reshape((2, k)),
        room[2 * size + 4 * k : 2 * size + 5 * k],
        room[2 * size + 5 * k :],
    )
    its_moduli = Moduli(packed[0], packed[1], packed[2], packed[3:])
    return det_sign(carray(residues, (n, r, k)), its_moduli, carray(chosen, (r,)), spaces)
