"""The bound on sup ||phi_alpha|| / w that needs no cells, in exact arithmetic.

A point's response is at most its largest one over the neurons of w = 1, and the two signs of alpha work against each
other: with one output only one of them counts.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.object_]

#: bits behind the point of a rational square root, rounded up: far finer than the roundings of a float bound
_BITS = 160


def crude_supremum(
    alpha: Ints, denominator: int, X: NDArray, *, fit_bias: bool, penalty: str, full: bool
) -> Fraction | None:
    """Return a rational bound on sup ||phi_alpha(theta)|| / w(theta) over all neurons; None where there is none.

    Parameters
    ----------
    alpha, denominator : array of ints, shape (n, m), and int
        The dual vector times its common denominator.
    X : array, shape (n, d)
    fit_bias, penalty, full
        What w is, as in `cellsolve.verify.Claim`.
    """
    n, m = alpha.shape
    points = [[Fraction(float(entry)) for entry in row] for row in X]
    lifted = [[*row, Fraction(1)] if fit_bias else row for row in points]
    sides = [np.maximum(alpha, 0), np.maximum(-alpha, 0)] if m == 1 else [alpha]
    squares = [[sum(int(entry) ** 2 for entry in row) for row in side] for side in sides]
    reach: list[Fraction]
    if penalty == "label_noise":
        if not full:  # sum alpha_i t_i <= ||alpha|| ||t||
            return max(_root(Fraction(n * sum(side), denominator**2)) for side in squares)
        # ||alpha_s|| / sqrt(sum_s ||x~_i||^2) is at most the largest single ratio
        lengths = [sum(entry**2 for entry in row) for row in lifted]
        ratios = [Fraction(a) / length for side in squares for a, length in zip(side, lengths, strict=True) if length]
        return _root(max(ratios, default=Fraction(0)) * n * n / (4 * denominator**2))
    if penalty == "slope" and fit_bias:  # sum alpha = 0: measure the responses against that of any fixed point
        centre = [Fraction(float(entry)) for entry in X.mean(axis=0)]
        reach = [_root(sum((x - c) ** 2 for x, c in zip(row, centre, strict=True))) for row in points]
        squares = [[sum(int(entry) ** 2 for entry in row) for row in alpha]]
        if any(alpha.sum(axis=0)):
            return None
    elif penalty == "l1":
        reach = [max(map(abs, row)) for row in lifted]
    else:
        reach = [_root(sum(entry**2 for entry in row)) for row in lifted]
    totals = [
        sum((_root(Fraction(a)) * r for a, r in zip(side, reach, strict=True) if a), Fraction(0)) for side in squares
    ]
    return max(totals) / denominator


def _root(square: Fraction | int) -> Fraction:
    """Return a rational number at least the square root, by less than 2^-160 of it."""
    if not square:
        return Fraction(0)
    shift = max(0, _BITS + (square.denominator.bit_length() - square.numerator.bit_length()) // 2)
    return Fraction(isqrt((square.numerator << 2 * shift) // square.denominator) + 1, 1 << shift)
