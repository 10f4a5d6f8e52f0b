"""Exact arithmetic on floats: every float64 is an integer times a power of two.

Whether a neuron lies on a hyperplane is decided in integers, because a fixed tolerance loses cells of
near-degenerate data. Powers of two that are positive change no sign, so they are divided out freely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UNIT_ROUNDOFF = 2.0**-53
_SMALLEST_SUBNORMAL = 2.0**-1074
_INT64_SAFE = 2**30
_CHUNK = 2**22


def integer_rows(lifted: NDArray, *, scale_columns: bool = False) -> NDArray:
    """Return the rows as exact integers, each row times a positive power of two.

    Parameters
    ----------
    lifted : array, shape (n, D)
        Finite floats.
    scale_columns : bool
        Also multiply every column by a positive power of two. That changes coordinates of neurons, but no pattern,
        and keeps the integers short when columns have very different scales.

    Returns
    -------
    rows : array of Python ints (dtype object), shape (n, D)
        The entries of a row have no common factor of two.
    """
    fraction, exponent = np.frexp(lifted)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    nonzero = mantissa != 0
    odd_shift = np.zeros_like(mantissa)
    lowest_bit = mantissa[nonzero] & -mantissa[nonzero]
    odd_shift[nonzero] = np.frexp(lowest_bit.astype(np.float64))[1] - 1
    mantissa >>= odd_shift
    exponent = exponent + odd_shift
    beyond = np.iinfo(np.int64).max // 2
    for axis in (0, 1) if scale_columns else (1,):
        exponent -= np.where(nonzero, exponent, beyond).min(axis=axis, keepdims=True, initial=beyond)
    exponent[~nonzero] = 0
    return mantissa.astype(object) << exponent.astype(object)


def primitive(rows: NDArray) -> NDArray:
    """Divide each integer row by the greatest common divisor of its entries (zero rows stay).

    The result is int64 where all pairwise products fit and exact Python ints otherwise.
    """
    # From 0, because the reduction of a single entry would keep its sign, and of none is not defined.
    divisor = np.gcd.reduce(rows, axis=1, initial=0)
    return compact(rows // np.where(divisor == 0, 1, divisor)[:, None])


def compact(rows: NDArray) -> NDArray:
    """Return the integer matrix as int64 if sums of two products of entries fit there, else as Python ints."""
    small = rows.size == 0 or bool(abs(rows).max() < _INT64_SAFE)
    return rows.astype(np.int64 if small else object)


def independent_columns(rows: NDArray) -> NDArray[np.int64]:
    """Return a basis of the column space of an integer matrix: the places of rank(rows) of its columns, ascending.

    Neurons that vanish elsewhere already produce every response, so leaving out the other columns changes no pattern.
    """
    remaining, columns = rows, np.arange(rows.shape[1])
    basis = []
    while remaining.any():
        k = int(np.flatnonzero(remaining.any(axis=1))[0])
        pivot = int(np.flatnonzero(remaining[k])[0])
        basis.append(columns[pivot])
        # Clear row k by column operations: a column that depends on the basis is zero in the end.
        wide = remaining.astype(object)
        cleared = wide * wide[k, pivot] - wide[:, [pivot]] * wide[k]
        remaining = primitive(np.delete(cleared, pivot, axis=1).T).T
        columns = np.delete(columns, pivot)
    return np.sort(np.array(basis, dtype=np.int64))


def parallel_classes(rows: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Group integer rows that span the same line.

    Parameters
    ----------
    rows : integer array, shape (n, D)

    Returns
    -------
    representative : array of int64, shape (n,)
        The smallest index of a row parallel or antiparallel to row i; -1 where row i is zero.
    orientation : array of int8, shape (n,)
        1 where row i points as its representative does, -1 where it is opposite, 0 where it is zero.
    """
    representative = np.full(len(rows), -1, dtype=np.int64)
    orientation = np.zeros(len(rows), dtype=np.int8)
    seen: dict[tuple[int, ...], int] = {}
    for i, row in enumerate(primitive(rows).tolist()):
        if any(row):
            line = max(tuple(row), tuple(-entry for entry in row))
            first = seen.setdefault(line, i)
            representative[i] = first
            orientation[i] = 1 if tuple(row) == line else -1
    listed = representative >= 0
    orientation[listed] *= orientation[representative[listed]]
    return representative, orientation


def signs(lifted: NDArray, thetas: NDArray) -> NDArray[np.int8]:
    """Return the exact signs of <theta_k, x~_i>.

    A floating-point product decides where |fl(<theta, x~>)| exceeds gamma_D |theta|.|x~| plus D halves of the smallest
    subnormal, gamma_D = D u / (1 - D u) (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; the
    subnormals account for underflow). The bound holds for any order of summation. What is left is done in integers.

    Parameters
    ----------
    lifted : array, shape (n, D)
    thetas : array, shape (K, D)

    Returns
    -------
    array of int8, shape (K, n)
        1, 0 or -1.

    Raises
    ------
    ValueError
        For neurons of another dimension or that are not finite.
    """
    thetas = np.asarray(thetas, dtype=np.float64)
    if thetas.ndim != 2 or thetas.shape[1] != lifted.shape[1]:
        raise ValueError(f"thetas has shape {thetas.shape}; pass neurons as rows of length D = {lifted.shape[1]}.")
    if not np.isfinite(thetas).all():
        raise ValueError("thetas contains NaN or infinity; rescale the neurons, any positive scale will do.")
    step = max(1, _CHUNK // max(1, len(lifted)))
    blocks = [_signs_block(lifted, thetas[start : start + step]) for start in range(0, len(thetas), step)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(lifted)), dtype=np.int8)


def _signs_block(lifted: NDArray, thetas: NDArray) -> NDArray[np.int8]:
    dimension = lifted.shape[1]
    with np.errstate(all="ignore"):
        product = thetas @ lifted.T
        # Four times the proven bound, because the bound is itself rounded.
        bound = np.abs(thetas) @ np.abs(lifted.T)
        bound *= 4 * dimension * _UNIT_ROUNDOFF
        bound += 2 * dimension * _SMALLEST_SUBNORMAL
        positive, negative = product > bound, product < -bound
        overflow = ~np.isfinite(product)
    result = positive.astype(np.int8) - negative.astype(np.int8)
    unsure_theta, unsure_row = np.nonzero((~(positive | negative) | overflow) & lifted.any(axis=1))
    if len(unsure_row):
        used_rows, row = np.unique(unsure_row, return_inverse=True)
        used_thetas, theta = np.unique(unsure_theta, return_inverse=True)
        products = integer_rows(thetas[used_thetas])[theta] * integer_rows(lifted[used_rows])[row]
        exact = products.sum(axis=1)
        result[unsure_theta, unsure_row] = (exact > 0).astype(np.int8) - (exact < 0).astype(np.int8)
    return result
