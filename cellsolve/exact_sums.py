"""Inner products of floats without any rounding, as rationals: every product is added up as the integer that it is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numba import njit

from cellsolve.data import Array

#: bits of a limb, and how many limbs hold every product of two floats; the lowest bit counts 2^-BELOW
LIMB, LIMBS, BELOW = 32, 144, 2304
#: terms between which limbs are emptied: each adds less than 2^35 to a limb of 63 bits
BLOCK = 2**27
_MASK = 2**LIMB - 1
_HALF, _HALF_MASK = 27, 2**27 - 1


def exact_dot(left: Array, right: Array) -> Fraction:
    """Return sum_i left_i right_i of finite numbers, exactly."""
    a, b = (np.ascontiguousarray(side).ravel().view(np.int64) for side in (left, right))
    total = 0
    for start in range(0, len(a), BLOCK):
        limbs = np.zeros(LIMBS, dtype=np.int64)
        _accumulate(a[start : start + BLOCK], b[start : start + BLOCK], limbs)
        total += sum(int(limb) << (LIMB * k) for k, limb in enumerate(limbs) if limb)
    return Fraction(total, 2**BELOW)


@njit(cache=True, nogil=True)
def _accumulate(left, right, limbs):
    """Add the products of floats, given by their bits, to limbs (LIMBS,); limb k counts 2^(LIMB k - BELOW)."""
    for i in range(len(left)):
        a, p = _integer(left[i])
        b, q = _integer(right[i])
        if a == 0 or b == 0:
            continue
        at = p + q + BELOW
        if b == 2**52:  # a power of two
            _add(limbs, a, at + 52)
            continue
        a1, a0, b1, b0 = a >> _HALF, a & _HALF_MASK, b >> _HALF, b & _HALF_MASK
        _add(limbs, a0 * b0, at)
        _add(limbs, a1 * b0 + a0 * b1, at + _HALF)
        _add(limbs, a1 * b1, at + 2 * _HALF)


@njit(inline="always")
def _integer(bits):
    """Return the integer a and the exponent p of a float a 2^p."""
    exponent, size = (bits >> 52) & 2047, bits & (2**52 - 1)
    if exponent > 0:
        size, exponent = size + 2**52, exponent - 1
    return (-size if bits < 0 else size), exponent - 1074


@njit(inline="always")
def _add(limbs, value, at):
    """Add value 2^(at - BELOW), |value| < 2^55."""
    k, shift = at >> 5, at & 31
    low, high = (value & _MASK) << shift, (value >> LIMB) << shift
    limbs[k] += low & _MASK
    limbs[k + 1] += (low >> LIMB) + (high & _MASK)
    limbs[k + 2] += high >> LIMB
