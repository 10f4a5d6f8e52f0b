"""Numbers as sums of two floats (double-double), inlined into kernels: about 32 digits."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellsolve.data import LEAST, MOST


@intrinsic
def fused(typing_context, a, b, c):
    """A b + c rounded once: one instruction of today's processors, a function of the C library elsewhere."""
    if not all(isinstance(kind, types.Float) for kind in (a, b, c)):
        return None

    def generate(context, builder, signature, arguments):
        values = (context.cast(builder, v, k, types.float64) for v, k in zip(arguments, (a, b, c), strict=True))
        return builder.fma(*values)

    return types.float64(a, b, c), generate


@njit(inline="always")
def length(a, b):
    """The length of (a, b), one rounding more than that of np.hypot, which takes several times as long."""
    square = a * a + b * b
    return np.sqrt(square) if LEAST < square < MOST else np.hypot(a, b)


@njit(inline="always")
def two_sum(a, b):
    """A + b as the rounded sum and what it leaves (Knuth)."""
    s = a + b
    c = s - a
    return s, (a - (s - c)) + (b - c)


@njit(inline="always")
def two_product(a, b):
    """A b as the rounded product and what it leaves."""
    p = a * b
    return p, fused(a, b, -p)


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
