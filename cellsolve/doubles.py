"""Numbers as sums of two floats (double-double), inlined into kernels: about 32 digits."""

from __future__ import annotations

from numba import njit

#: 2^27 + 1, which splits a float64 into two halves whose products are exact (Dekker, 1971)
SPLIT = 134217729.0


@njit(inline="always")
def two_sum(a, b):
    """A + b as the rounded sum and what it leaves (Knuth)."""
    s = a + b
    c = s - a
    return s, (a - (s - c)) + (b - c)


@njit(inline="always")
def two_product(a, b):
    """A b as the rounded product and what it leaves (Dekker)."""
    p = a * b
    c = SPLIT * a
    a1 = c - (c - a)
    a2 = a - a1
    c = SPLIT * b
    b1 = c - (c - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


@njit(inline="always")
def add(x, x_low, y, y_low):
    """Sum of two double-doubles; relative error of each term below 2^-102."""
    s, rest = two_sum(x, y)
    low, lower = two_sum(x_low, y_low)
    s, rest = two_sum(s, rest + low)
    return two_sum(s, rest + lower)


@njit(inline="always")
def add_product(f, f_low, h, h_low, s, s_low):
    """F + h s, all double-doubles."""
    p, p_low = two_product(h, s)
    return add(f, f_low, p, p_low + (h * s_low + h_low * s))
