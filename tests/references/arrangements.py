"""Arrangements of hyperplanes whose cells are known, and three slow ways to find cells that share nothing with ours.

Hyperplanes are given by their normals, the rows x~_i of an array (n, D). A pattern is s in {0, 1}^n with s_i = 1 where
<theta, x~_i> > 0, for theta on none of the hyperplanes. A zero row has s_i = 0 in every pattern. Patterns come in
antipodal pairs, and both are counted. Affine arrangements appear as cones: points x as rows (1, x), an affine plane
<a, x> = c as the row (-c, a) beside the plane at infinity (1, 0), which doubles the number of cells.

Everything in exact arithmetic: floats are taken as the rational numbers they are.

References
----------
Björner, Las Vergnas, Sturmfels, White, Ziegler: Oriented Matroids, 2nd edition, 1999.
Stanley: An introduction to hyperplane arrangements, in Geometric Combinatorics, 2007.
Zaslavsky: Facing up to arrangements, Memoirs of the AMS 154, 1975.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

#: cells of resonance(D), D = 1, 2, ...: OEIS A034997
RESONANCE = (2, 6, 32, 370, 11292, 1066044, 347326352)

#: cells of threshold(d), d = 1, 2, ...: OEIS A000609
THRESHOLD = (4, 14, 104, 1882, 94572, 15028134)

#: from what single precision would see to what double precision hardly does
NOISE_LEVELS = tuple(float(f"1e-{k}") for k in range(6, 15))


class Known(NamedTuple):
    """Normals, integers of shape (n, D), and how many cells they have."""

    normals: np.ndarray
    n_cells: int


# -- arrangements ----------------------------------------------------------------------------------------------------


def boolean(n):
    """Return the coordinate hyperplanes: 2^n orthants."""
    return Known(np.eye(n, dtype=int), 2**n)


def generic(n, D, seed=0):
    """Return random normals in general position, with 2 sum_{k < D} C(n - 1, k) cells (Schläfli; Zaslavsky 1975).

    Of integers this large, any D rows are dependent with a probability of at most D / 2^30 (Schwartz, Zippel).
    """
    normals = np.random.default_rng(seed).integers(-(2**29), 2**29, (n, D))
    return Known(normals, 2 * sum(math.comb(n - 1, k) for k in range(D)))


def resonance(D):
    """Return the nonzero vectors of {0, 1}^D; nobody knows a formula (Kühne, The universality of the resonance
    arrangement and its Betti numbers, 2023; OEIS A034997).
    """
    return Known(_binary(D)[1:], RESONANCE[D - 1])


def threshold(d):
    """Return (1, v) for v in {0, 1}^d: cells are the threshold functions of d variables (OEIS A000609)."""
    return Known(_lift(_binary(d)), THRESHOLD[d - 1])


def braid(n):
    """Return e_i - e_j, the reflections of the symmetric group: n! cells, the orders of n numbers."""
    return Known(_differences(n), math.factorial(n))


def type_b(n):
    """Return e_i and e_i +- e_j, the reflections of the signed permutations: 2^n n! cells."""
    return Known(np.vstack([type_d(n).normals, np.eye(n, dtype=int)]), 2**n * math.factorial(n))


def type_d(n):
    """Return e_i +- e_j, the reflections of the even signed permutations: 2^(n-1) n! cells, for n >= 2."""
    return Known(np.vstack([_differences(n), abs(_differences(n))]), 2 ** (n - 1) * math.factorial(n))


def shi(n):
    """Return the cone over x_i - x_j = 0, 1, i < j: 2 (n + 1)^(n - 1) cells (Shi 1986; Stanley 2007, section 5)."""
    return Known(_cone(n, [0, 1]), 2 * (n + 1) ** (n - 1))


def catalan(n):
    """Return the cone over x_i - x_j = -1, 0, 1: 2 n! C_n cells, C_n = C(2n, n) / (n + 1) (Stanley 2007, section 5)."""
    return Known(_cone(n, [-1, 0, 1]), 2 * math.factorial(n) * math.comb(2 * n, n) // (n + 1))


def linial(n):
    """Return the cone over x_i - x_j = 1, i < j: 2^(1-n) sum_k C(n, k) (k + 1)^(n - 1) cells.

    Postnikov and Stanley, Deformations of Coxeter hyperplane arrangements, 2000; OEIS A007889.
    """
    return Known(_cone(n, [1]), sum(math.comb(n, k) * (k + 1) ** (n - 1) for k in range(n + 1)) * 2 // 2**n)


def cross_polytope(d):
    """Return (1, +-e_i): 2 3^d - 2^d cells.

    Neurons with a bias b > 0 are active at one of e_i and -e_i or at both, in 3^d ways, and those with b < 0 at one or
    at none; 2^d patterns occur with either.
    """
    return Known(_lift(np.vstack([np.eye(d, dtype=int), -np.eye(d, dtype=int)])), 2 * 3**d - 2**d)


def grid(a, b):
    """Return (1, i, j), i < a, j < b, with 2 cells and 2 more for every two points without a third between them.

    Those differ by coprime steps (u, v), so that a sum over the steps counts them (Alekseyev, On the number of
    two-dimensional threshold functions, 2010; OEIS A114146 for a = b).
    """
    pairs = (a - 1) * b + a * (b - 1)
    for u, v in itertools.product(range(1, a), range(1, b)):
        pairs += 2 * (a - u) * (b - v) * (math.gcd(u, v) == 1)
    return Known(_lift(_grid(a, b)), 2 + 2 * pairs)


def collinear(n, d, copies=1):
    """Return (1, x) for n points x of a line in R^d, each `copies` times: 2 n cells, the beginnings and the ends."""
    t = np.arange(n).repeat(copies)
    return Known(_lift(np.outer(t, np.arange(1, d + 1)) - np.arange(d) ** 2), 2 * n)


def _binary(dimension):
    return np.array(list(itertools.product([0, 1], repeat=dimension)))


def _lift(points):
    return np.column_stack([np.ones(len(points), dtype=points.dtype), points])


def _grid(a, b):
    return np.array(list(itertools.product(range(a), range(b))))


def _differences(n):
    """Return e_i - e_j, i < j."""
    unit = np.eye(n, dtype=int)
    return np.array([unit[i] - unit[j] for i, j in itertools.combinations(range(n), 2)]).reshape(-1, n)


def _cone(n, constants):
    """Return normals of the cone over the planes x_i - x_j = c, i < j."""
    planes = [np.column_stack([np.full(math.comb(n, 2), -c), _differences(n)]) for c in constants]
    return np.vstack([np.eye(1, n + 1, dtype=int), *planes])


# -- clouds of points that are nearly degenerate ---------------------------------------------------------------------


def nearly_collinear(n, d, noise, seed=0):
    """Return n points in R^d on a line but for noise at about half of them."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, (n, 1))
    return _with_noise(t * np.arange(1, d + 1) + np.arange(d), noise, rng)


def nearly_coplanar(n, noise, seed=0):
    """Return n points in R^3 on a plane, the last third of them at the first, but for noise at about half of them."""
    rng = np.random.default_rng(seed)
    points = rng.integers(-8, 9, (n, 2)) / 8
    points[n - n // 3 :] = points[: n // 3]
    return _with_noise(np.column_stack([points, points @ [1, -2] + 0.5]), noise, rng)


def nearly_grid(a, b, noise, seed=0):
    """Return points of an a x b grid but for noise at about half of them."""
    return _with_noise(_grid(a, b).astype(float), noise, np.random.default_rng(seed))


def _with_noise(points, noise, rng):
    return points + noise * rng.standard_normal(points.shape) * (rng.random((len(points), 1)) < 0.5)


# -- the number of cells from the lattice of flats -------------------------------------------------------------------


def count_by_characteristic_polynomial(normals):
    """Return the number of cells, |chi(-1)| (Zaslavsky 1975). For hundreds of flats, not more."""
    return abs(sum(c * (-1) ** k for k, c in enumerate(characteristic_polynomial(normals))))


def characteristic_polynomial(normals):
    """Return the coefficients of chi(t) = sum_F mu(F) t^(D - rank F), the constant one first.

    The sum is over the flats F, all rows in the span of some of them, and mu(F) = -sum_{G < F} mu(G) is the Möbius
    function (Stanley 2007, section 1.3).
    """
    rows = [row for row in _rationals(normals) if any(row)]
    D = np.shape(normals)[1]
    chi, mobius = [0] * (D + 1), {}
    flats, rank = {frozenset()}, 0
    while flats:
        for flat in flats:
            mobius[flat] = -sum(mu for smaller, mu in mobius.items() if smaller < flat) if flat else 1
            chi[D - rank] += mobius[flat]
        flats, rank = (
            {_closure(rows, flat | {i}) for flat in flats for i in range(len(rows)) if i not in flat},
            rank + 1,
        )
    return chi


def _closure(rows, some):
    """Return which rows are in the span of some of them."""
    basis = _echelon(rows[i] for i in some)
    return frozenset(i for i, row in enumerate(rows) if not any(_reduced(row, basis)))


# -- the cells as compositions of rays -------------------------------------------------------------------------------


def cells_by_hand(normals):
    """Return the patterns of all cells, a set of tuples. For n up to about 9 and D up to 4.

    On the rays of the arrangement all but one dimension of the rows vanishes. The sign vectors of rays are the
    cocircuits of an oriented matroid, and those of cells all of their compositions X o Y (the signs of X, and those of
    Y where X has none) without a zero, but at zero rows (Björner et al. 1999, section 3.7).
    """
    rows = _rationals(normals)
    rays = _cocircuits(rows)
    found, todo = {(0,) * len(rows)}, [(0,) * len(rows)]
    while todo:
        face = todo.pop()
        composed = {tuple(x or y for x, y in zip(face, ray)) for ray in rays} - found
        found |= composed
        todo += composed
    most = max(map(_size, found))
    return {tuple(int(sign > 0) for sign in face) for face in found if _size(face) == most}


def _cocircuits(rows):
    """Return the sign vectors of all rays, where there are any."""
    D, rank = len(rows[0]), len(_echelon(rows))
    found = set()
    for some in itertools.combinations(rows, max(rank - 1, 0)):
        basis = _echelon(some)
        if len(basis) < rank - 1:
            continue
        for theta in _null_space(basis, D):
            products = [sum(t * x for t, x in zip(theta, row)) for row in rows]
            signs = tuple((p > 0) - (p < 0) for p in products)
            if any(signs):  # else theta is orthogonal to every row; any other has these signs or the opposite ones
                found |= {signs, tuple(-sign for sign in signs)}
                break
    return found


def _size(signs):
    return sum(map(abs, signs))


# -- cells of points of the plane ------------------------------------------------------------------------------------


def planar_cells(points):
    """Return the patterns of all cells of the rows (1, x), a set of tuples, for points x (n, 2).

    Beside all points and none, a pattern is what is strictly left of a directed line through two points and what is on
    it up to a gap between neighbours: turned counterclockwise, about a place in the gap and by little, the line is on
    no point. Every other cell arises so, once.
    """
    points = _common_integers(points)
    cells = {(0,) * len(points), (1,) * len(points)}
    for line in _lines(points):
        for directed in (line, line[::-1]):
            left = {point for point in points if _turn(directed[0], directed[1], point) > 0}
            for k in range(1, len(directed)):
                inside = left.union(directed[:k])
                cells.add(tuple(int(point in inside) for point in points))
    return cells


def planar_count(points):
    """Return the number of cells of the rows (1, x) for points x (n, 2): 2 + 2 sum over lines of (points on it - 1)."""
    return 2 + 2 * sum(len(line) - 1 for line in _lines(_common_integers(points)))


def _lines(points):
    """Yield the distinct points on every line through two of them, in order."""
    distinct = sorted(set(points))
    for p, q in itertools.combinations(distinct, 2):
        line = [point for point in distinct if _turn(p, q, point) == 0]
        if line[:2] == [p, q]:
            yield line


def _turn(p, q, r):
    """Return a positive number if r is left of the line from p to q, a negative one if it is right of it."""
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def _common_integers(points):
    """Return the points times the least positive integer that makes all of them integers."""
    rows = _rationals(points)
    scale = math.lcm(*(value.denominator for row in rows for value in row))
    return [tuple(int(value * scale) for value in row) for row in rows]


# -- linear algebra in fractions -------------------------------------------------------------------------------------


def _rationals(rows):
    return [[Fraction(value) for value in row] for row in np.asarray(rows).tolist()]


def _echelon(rows):
    """Return the reduced echelon form: rows that are 1 in their pivot column, where the others are 0, by pivot."""
    basis = {}
    for row in rows:
        row = _reduced(row, basis)
        pivot = next((column for column, value in enumerate(row) if value), None)
        if pivot is not None:
            row = [value / row[pivot] for value in row]
            basis = {column: _minus(other, other[pivot], row) for column, other in basis.items()} | {pivot: row}
    return basis


def _reduced(row, basis):
    """Return the row without its part in the span of an echelon form."""
    for pivot, other in basis.items():
        row = _minus(row, row[pivot], other)
    return row


def _minus(row, factor, other):
    return [a - factor * b for a, b in zip(row, other)] if factor else row


def _null_space(basis, D):
    """Yield a basis of the vectors orthogonal to the rows of an echelon form."""
    for free in range(D):
        if free not in basis:
            theta = [Fraction(column == free) for column in range(D)]
            for pivot, row in basis.items():
                theta[pivot] = -row[free]
            yield theta
