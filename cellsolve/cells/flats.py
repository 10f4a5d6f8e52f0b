"""numba kernels: rows in coordinates on flats, bounds on their errors, and exact signs where these say nothing.

On the flat F where some chosen rows P vanish, m dimensions are left, and c_1 < .. < c_m are the first rows that are
independent there. A row k is then a combination of them, and its coordinates are determinants,

    z_pk = s det(P, c_1 .. c_m with k in the place of c_p),        s the sign of det(P, c_1 .. c_m),

up to one positive factor for all. They are computed from those on a larger flat by elimination, in floats, with a bound
on the error of each row; entries within their bound get their exact sign by residues. So signs are always right, zeros
included. Where a pivot is hardly known, a flat is blind: its entries are signs and nothing else.

Of integers so small that elimination without fractions is exact, `roundoff` is 0, and so are all bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellsolve.cells.exact_rows import ExactRows
from cellsolve.cells.jit import JIT
from cellsolve.cells.residues import det_sign_anywhere, packed_moduli, packed_space

#: unit roundoff
UNIT = 2.0**-53
#: bound on the errors of a blind flat: more than any entry, and its square is finite
BLIND = 1e150
#: a pivot is known where its error is less than this share of it
KNOWN = 2.0**-20
#: more than what underflows in a step, and less than what rounding does to entries that matter
NEGLIGIBLE = 2.0**-960
#: what the rounding of a bound may take from it
SLACK = 1.0 + 2.0**-40


class Exact(NamedTuple):
    """What exact signs of determinants take.

    Attributes
    ----------
    residues, moduli, space, counts
        What `residues.det_sign` takes, packed.
    rows, first : (r,) int64
        Space for the rows.
    det_sign : function
        `residues.det_sign_anywhere`: called by its address, so that kernels do not compile what they hardly ever call.
    """

    residues: NDArray[np.int32]
    moduli: NDArray[np.int32]
    space: NDArray[np.int32]
    counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    det_sign: Callable

    @classmethod
    def of(cls, rows: ExactRows) -> Exact:
        """Return what exact signs of these rows take; for one thread."""
        r = rows.residues.shape[1]
        return cls(
            rows.residues, packed_moduli(rows.moduli), *packed_space(rows.residues),
            np.zeros(r, np.int64), np.zeros(max(r, 3) + 1, np.int64), det_sign_anywhere(),
        )  # fmt: skip


@njit(**JIT)
def exact_sign(exact, chosen, t, skip, last, first, p, k):
    """Return the sign of det(chosen rows, first rows with k in place p), 1, 0 or -1.

    Parameters
    ----------
    exact : Exact
    chosen : (., ) int
        Rows, of which the first t are taken without the one at `skip` (-1: all), and then `last` (-1: none).
    first : (m,) int
    p, k : int
        p = -1 leaves the first rows as they are.
    """
    rows, at = exact.rows, 0
    for b in range(t):
        if b != skip:
            rows[at] = chosen[b]
            at += 1
    if last >= 0:
        rows[at] = last
        at += 1
    n, r, primes = exact.residues.shape
    m, sign = r - at, 1
    for s in range(m):
        if s != p:
            rows[at] = first[s]
            at += 1
    if p >= 0:  # k comes last, so that the rows before stay the same from one k to the next
        rows[at] = k
        sign = 1 if (m - 1 - p) % 2 == 0 else -1
    return sign * exact.det_sign(
        exact.residues.ctypes, exact.moduli.ctypes, exact.space.ctypes, exact.counts.ctypes, rows.ctypes, n, r, primes
    )


class Flats(NamedTuple):
    """Flats of a depth-first search; [t, b] is that of the first t chosen rows without the one at b, [t, t] of all.

    Attributes
    ----------
    z : (T, T + 1, r + 1, n)
        Coordinates; m = r - t of them are used, or m + 1 without a row.
    errors, sizes : (T, T + 1, n)
        Bounds on the errors of the coordinates of a row, and on their sizes.
    scale, scale_error : (T, T + 1)
        The positive factor that the coordinates have, and how far it may be off.
    sign : (T, T + 1) int
        s.
    blind : (T, T + 1) bool
    first : (T, T + 1, r + 1) int
        c.
    """

    z: NDArray[np.float64]
    errors: NDArray[np.float64]
    sizes: NDArray[np.float64]
    scale: NDArray[np.float64]
    scale_error: NDArray[np.float64]
    sign: NDArray[np.int64]
    blind: NDArray[np.bool_]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, depth: int, r: int, n: int) -> Flats:
        """Return space for a search of this depth."""
        shape = depth, depth + 1
        rows, firsts = (*shape, n), (*shape, r + 1)
        return cls(
            np.zeros((*firsts, n)), np.zeros(rows), np.zeros(rows), np.ones(shape), np.zeros(shape),
            np.ones(shape, dtype=np.int64), np.zeros(shape, dtype=bool), np.zeros(firsts, dtype=np.int64),
        )  # fmt: skip


@njit(**JIT)
def leading(z, m, k):
    """Return the place of the last of m coordinates of row k that is not zero, -1 where the row vanishes."""
    q = m - 1
    while q >= 0 and z[q, k] == 0.0:
        q -= 1
    return q


@njit(**JIT)
def growth(z, m, i, q, error, roundoff):
    """Return a, b such that eliminating row i, off by `error`, leaves rows off by a size + b error, before division.

    z_p d - f z_q has, with both rows off, an error of at most 2 (S e_i + B e + e e_i), S bounding the row and B row i,
    and its roundings are at most 2 u of each product.
    """
    largest = 0.0
    for p in range(q + 1):
        largest = max(largest, abs(z[p, i]))
    return 2.0 * error + 4.0 * roundoff * largest, 2.0 * (largest + error)


@njit(**JIT)
def restrict(exact, flats, t, b, m, i, chosen, roundoff, to):
    """Fill flat [t + 1, to] with that of [t, b], of m coordinates, where row i vanishes too.

    `chosen` holds t rows before i. The coordinates are those of the first independent rows before, without the one in
    the leading place of row i.
    """
    z, E, S, c = flats.z[t, b], flats.errors[t, b], flats.sizes[t, b], flats.first[t, b]
    child, error, size, first = (
        flats.z[t + 1, to],
        flats.errors[t + 1, to],
        flats.sizes[t + 1, to],
        flats.first[t + 1, to],
    )
    n, q, skip = z.shape[1], leading(z, m, i), b if b < t else -1
    d, e_i, D, e_D = z[q, i], E[i], flats.scale[t, b], flats.scale_error[t, b]
    for p in range(m - 1):
        first[p] = c[p] if p < q else c[p + 1]
    sign = flats.sign[t, b] * (1 if d > 0.0 else -1) * (1 if q % 2 == 0 else -1)
    blind = flats.blind[t, b] or not e_i < KNOWN * abs(d)
    flats.sign[t + 1, to], flats.blind[t + 1, to] = sign, blind
    flats.scale[t + 1, to], flats.scale_error[t + 1, to] = (1.0, 0.0) if blind else (abs(d), e_i)
    if blind:
        for k in range(n):
            error[k] = size[k] = 0.0
        for p in range(m - 1):
            for k in range(n):
                gone = k == i or leading(z, m, k) < 0
                child[p, k] = 0.0 if gone else sign * exact_sign(exact, chosen, t, skip, i, first, p, k)
                if child[p, k] != 0.0:
                    error[k], size[k] = BLIND, 1.0
        return
    s = 1.0 if d > 0.0 else -1.0
    grown, kept = growth(z, m, i, q, e_i, roundoff)
    share = e_D / (D - e_D) + 3.0 * roundoff
    size[:n] = 0.0
    for p in range(m - 1):
        if p < q:
            f = z[p, i]
            for k in range(n):
                child[p, k] = s * (z[p, k] * d - f * z[q, k]) / D
        else:
            for k in range(n):
                child[p, k] = z[p + 1, k] * abs(d) / D
        child[p, i] = 0.0
        for k in range(n):
            size[k] = max(size[k], abs(child[p, k]))
    size[i] = error[i] = 0.0
    if roundoff == 0.0:
        error[:n] = 0.0
        return
    unsure = False
    for k in range(n):
        bound = ((grown * S[k] + kept * E[k]) / (D - e_D) + share * size[k]) * SLACK + NEGLIGIBLE
        error[k] = 0.0 if k == i or S[k] == 0.0 else bound
    for p in range(m - 1):
        for k in range(n):
            unsure |= abs(child[p, k]) <= error[k]
    if not unsure:
        return
    for p in range(m - 1):
        for k in range(n):
            if error[k] > 0.0 and abs(child[p, k]) <= error[k]:
                if p < q:
                    zero = z[p, k] == 0.0 and (z[p, i] == 0.0 or z[q, k] == 0.0)
                else:
                    zero = z[p + 1, k] == 0.0
                known = 0 if zero else sign * exact_sign(exact, chosen, t, skip, i, first, p, k)
                child[p, k] = settled(child[p, k], error[k], known)
                size[k] = max(size[k], abs(child[p, k]))
    for k in range(n):
        if leading(child, m - 1, k) < 0:
            error[k] = size[k] = 0.0


@njit(**JIT)
def settled(value, error, known):
    """Return a value within `error` of the true one that has its sign."""
    if known == 0:
        return 0.0
    return value if value * known > 0.0 else known * error
