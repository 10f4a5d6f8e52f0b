"""Cells of a central arrangement from sets of rows without broken circuits, one by one in rationals.

The bijection of `cellsolve.cells.sweep`, without walks, bits and floats. Rows span R^r, none zero, none parallel.
"""

from __future__ import annotations

from fractions import Fraction


def half_cells(rows, first=None):
    """Yield the cells with x_1 > 0 as tuples of signs; `first` restricts to S with that i_1 (0: the empty S)."""
    Y = lexicographic(rows)
    n, r = len(Y), len(Y[0])
    if first in (None, 0):
        yield cell((), Y)

    def search(S, Z, candidates):
        for j in candidates:
            if not any(Z[j]) or leading(Z[j]) == 0:  # j in the closure of S, or row 1 in that of S + j
                continue
            child = restrict(Z, j)
            if any(any(Z[k]) and not any(child[k]) for k in range(j)):  # broken circuit
                continue
            yield cell((*S, j), Y)
            if len(S) + 1 < r - 1:
                yield from search((*S, j), child, range(1, j))

    if r > 1 and first != 0:
        yield from search((), Y, range(1, n) if first is None else [first])


def cells(rows):
    """All cells: each half cell and its antipode."""
    for s in half_cells(rows):
        yield s
        yield tuple(-a for a in s)


def cell(S, Y):
    """The cell of a set S without broken circuit: rows in its closure take sides, others their sign at its point."""
    signs = [sign_at_point(z) for z in on_flat(Y, S)]
    Z = Y
    for b in S:  # the flag of flats: rows that vanish with b, and not before, are parallel to b on the flat before
        side = -sign_at_point(on_flat(Y, [c for c in S if c != b])[b])
        child, q = restrict(Z, b), leading(Z[b])
        for k, z in enumerate(Z):
            if any(z) and not any(child[k]):
                signs[k] = side if z[q] * Z[b][q] > 0 else -side
        Z = child
    return tuple(signs)


def sign_at_point(z):
    """Sign of a row, in coordinates (c_1 = row 1, c_2, .., c_m) on a flat, at the point rho of the flat; 0 for z = 0.

    The leading coordinate decides; its sign turns with every coordinate after it, but for multiples of row 1.
    """
    q = leading(z)
    if q < 0:
        return 0
    turned = q > 0 and (len(z) - 1 - q) % 2 == 1
    return 1 if (z[q] > 0) != turned else -1


def leading(z):
    """Place of the last nonzero coordinate, -1 if there is none."""
    return max((q for q, a in enumerate(z) if a), default=-1)


def restrict(Z, i):
    """Rows on the hyperplane of row i, in coordinates of the first independent rows there: one of them goes."""
    pivot, q = Z[i], leading(Z[i])
    return [[z[p] - z[q] * pivot[p] / pivot[q] for p in range(len(z)) if p != q] for z in Z]


def on_flat(Y, S):
    for i in S:
        Y = restrict(Y, i)
    return Y


def lexicographic(rows):
    """Rows in coordinates of the first independent rows, which become unit vectors."""
    columns = [[Fraction(a) for a in column] for column in zip(*rows)]
    found = 0
    for i in range(len(rows)):
        p = next((q for q in range(found, len(columns)) if columns[q][i]), None)
        if p is None:
            continue
        columns[found], columns[p] = columns[p], columns[found]
        columns[found] = [a / columns[found][i] for a in columns[found]]
        for q, column in enumerate(columns):
            if q != found and column[i]:
                columns[q] = [a - column[i] * b for a, b in zip(column, columns[found])]
        found += 1
    if found < len(columns):
        raise ValueError("rows do not have full rank")
    return [list(z) for z in zip(*columns)]
