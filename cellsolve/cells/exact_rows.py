"""Rows of floats made ready for exact signs of determinants: integers, and their residues."""

from __future__ import annotations

from math import isqrt, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.predicates import independent_columns, integer_rows, primitive
from cellsolve.cells.residues import Moduli, choose_moduli, to_residues

#: below this, products of minors and their differences are integers that floats hold
SMALL = 2**26


class ExactRows(NamedTuple):
    """Rows for signs of determinants. Signs are those of the given columns: one choice of sign for all rows.

    Attributes
    ----------
    rows : integer array, shape (n, r)
        Positive multiples of the rows, in independent columns with positive factors of their own.
    columns : array of int64, shape (r,)
    bits : int
        Determinants are below 2^bits in size.
    moduli : Moduli
    residues : array of int32, shape (n, r, k)
        2^32 times the rows, modulo the primes.
    """

    rows: NDArray
    columns: NDArray[np.int64]
    bits: int
    moduli: Moduli
    residues: NDArray[np.int32]


def exact_rows(lifted: NDArray) -> ExactRows:
    """Prepare signs of determinants of any r = rank rows.

    Parameters
    ----------
    lifted : array, shape (n, D)
        Finite floats.
    """
    rows = primitive(integer_rows(lifted, scale_columns=True))
    columns = independent_columns(rows)
    rows = primitive(primitive(rows[:, columns].T).T)
    bits = hadamard_bits(rows)
    moduli = choose_moduli(bits)
    return ExactRows(rows, columns, bits, moduli, to_residues(rows, moduli))


def hadamard_bits(rows: NDArray) -> int:
    """Return bits such that determinants of r of the integer rows (n, r) are below 2^bits in size (Hadamard)."""
    squares = rows.astype(object) ** 2
    r = rows.shape[1]
    by_column = prod(sum(sorted(column)[-r:]) for column in squares.T.tolist())
    return isqrt(min(_largest_product(squares), by_column)).bit_length()


def small(rows: NDArray) -> bool:
    """Whether fraction-free elimination of r of the integer rows (n, r) is exact in float64.

    All that it computes is then minors, below 2^26, and differences of two products of them, below 2^53.
    """
    return isqrt(_largest_product(rows.astype(object) ** 2)) < SMALL


def _largest_product(squares: NDArray) -> int:
    """Product of the r largest squared lengths of rows, which is at least that of fewer of them."""
    lengths = sorted(max(1, length) for length in squares.sum(axis=1).tolist())
    return prod(lengths[max(0, len(lengths) - squares.shape[1]) :])
