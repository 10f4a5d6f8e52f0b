"""Exact arithmetic of the verifier: floats as integers over a power of two, linear systems, signs of forms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellsolve.data import Array

Ints = NDArray[np.object_]


class Refused(Exception):
    """The claim is wrong, or could not be proven; the text says why."""


def to_integers(values: Array) -> tuple[Ints, int]:
    """Return integers and one power of two, positive, with values = integers / power exactly."""
    ratios = [float(value).as_integer_ratio() for value in values.ravel()]
    common = max((denominator for _, denominator in ratios), default=1)
    integers = np.empty(len(ratios), dtype=object)
    integers[:] = [numerator * (common // denominator) for numerator, denominator in ratios]
    return integers.reshape(values.shape), common


def solve(matrix: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> tuple[list[list[int]], int, int] | None:
    """Solve matrix @ x = right in integers by fraction-free Gauss-Jordan elimination (Bareiss, 1968).

    Returns
    -------
    tuple (x, d, rank) with matrix @ x = d * right and d > 0, entries without a pivot being 0; None if unsolvable.
    """
    rows = [[*a, *b] for a, b in zip(matrix, right, strict=True)]
    width = len(matrix[0]) if len(matrix) else 0
    pivots: list[int] = []
    previous = 1
    for column in range(width):
        rank = len(pivots)
        place = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if place is None:
            continue
        rows[rank], rows[place] = rows[place], rows[rank]
        top, pivot = rows[rank], rows[rank][column]
        for i, row in enumerate(rows):
            if i != rank:
                factor = row[column]
                rows[i] = [(pivot * a - factor * b) // previous for a, b in zip(row, top, strict=True)]
        pivots.append(column)
        previous = pivot
    if any(any(row[width:]) for row in rows[len(pivots) :]):
        return None
    sign = 1 if previous > 0 else -1
    solution = [[0] * (len(right[0]) if len(right) else 0) for _ in range(width)]
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = [sign * entry for entry in row[width:]]
    return solution, sign * previous, len(pivots)


def is_copositive(matrix: list[list[int]]) -> bool:
    """Whether x^T C x >= 0 for all x >= 0 is seen from C, or C without its positive couplings, being semidefinite."""
    negative = [[entry if i == j else min(entry, 0) for j, entry in enumerate(row)] for i, row in enumerate(matrix)]
    return is_semidefinite(negative) or is_semidefinite(matrix)


def is_semidefinite(matrix: list[list[int]]) -> bool:
    """Whether x^T C x >= 0 for all x, C symmetric."""
    while matrix:
        pivot, *coupling = matrix[0]
        if pivot < 0 or (pivot == 0 and any(coupling)):
            return False
        rest = [row[1:] for row in matrix[1:]]
        if pivot:
            rest = [[pivot * e - a * b for e, b in zip(row, coupling)] for row, a in zip(rest, coupling)]
        matrix = rest
    return True


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the inner product of integers of any size."""
    return sum(p * q for p, q in zip(a, b, strict=True))
