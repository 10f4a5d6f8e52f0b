"""Cells of famous arrangements and of degenerate or nearly degenerate points, by references that share no code."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.arrangements import (
    NOISE_LEVELS,
    boolean,
    braid,
    catalan,
    cells_by_hand,
    characteristic_polynomial,
    collinear,
    count_by_characteristic_polynomial,
    cross_polytope,
    generic,
    grid,
    linial,
    nearly_collinear,
    nearly_coplanar,
    nearly_grid,
    planar_cells,
    planar_count,
    resonance,
    shi,
    threshold,
    type_b,
    type_d,
)

from cellsolve.cells import count_cells, enumerate_cells, enumerate_lifted


def cases(sizes):
    """One parameter for every generator and size."""
    return [
        pytest.param(*generator(*size), id=f"{generator.__name__}-{'-'.join(map(str, size))}")
        for generator, some in sizes.items()
        for size in (size if isinstance(size, tuple) else (size,) for size in some)
    ]


SMALL = {
    boolean: range(1, 6),
    generic: [(1, 1), (3, 5), (5, 2), (10, 3), (8, 4)],
    resonance: range(1, 4),
    threshold: range(1, 4),
    braid: range(2, 6),
    type_b: (2, 3),
    type_d: (2, 3, 4),
    shi: (2, 3),
    catalan: (2, 3),
    linial: (2, 3, 4),
    cross_polytope: range(1, 5),
    grid: [(1, 1), (1, 5), (2, 2), (2, 5), (3, 3)],
    collinear: [(1, 1), (4, 2), (4, 3, 2)],
}
MEDIUM = {
    boolean: [9],
    generic: [(20, 4), (12, 6)],
    resonance: (4, 5),
    threshold: [4],
    braid: (6, 7),
    type_b: (4, 5),
    type_d: [5],
    shi: (4, 5),
    catalan: (4, 5),
    linial: (5, 6),
    cross_polytope: [6],
    grid: [(4, 5), (8, 8), (3, 20)],
    collinear: [(30, 3), (9, 4, 3)],
}
LARGE = {
    boolean: [12],
    generic: [(400, 3), (60, 4), (30, 5)],
    resonance: [6],
    threshold: [5],
    braid: (8, 9),
    type_b: (6, 7),
    type_d: (6, 7),
    shi: (6, 7),
    catalan: [6],
    linial: [7],
    cross_polytope: (7, 9),
    grid: [(20, 20)],
    collinear: [(300, 5, 2)],
}
LARGEST = {threshold: [6], type_b: (8, 9), type_d: (8, 9), catalan: [7]}


def lift(points):
    return np.column_stack([points, np.ones(len(points))])


def enumerated(lifted):
    """Patterns as a set of tuples, after a check that each is listed once."""
    patterns = enumerate_lifted(np.asarray(lifted, dtype=float)).patterns.astype(int).tolist()
    listed = set(map(tuple, patterns))
    assert len(listed) == len(patterns)
    return listed


@st.composite
def degenerate_rows(draw, most, dimensions):
    """Integers in -2..2, a third of the rows multiples of others: zero, repeated, parallel or antiparallel."""
    shape = draw(st.integers(1, most)), draw(dimensions)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))  # examples by hypothesis itself are mostly trivial
    rows = rng.integers(-2, 3, shape)
    which = np.flatnonzero(rng.random(len(rows)) < 1 / 3)
    rows[which] = rng.integers(-2, 3, (len(which), 1)) * rows[rng.integers(0, len(rows), len(which))]
    return rows


# -- arrangements of which the number of cells is known ---------------------------------------------------------------


@pytest.mark.parametrize("normals, n_cells", cases(SMALL) + cases(MEDIUM) + cases(LARGE))
def test_counts_of_known_arrangements(normals, n_cells):
    assert count_cells(normals, fit_bias=False) == n_cells


@pytest.mark.slow
@pytest.mark.parametrize("normals, n_cells", cases(LARGEST))
def test_counts_of_large_arrangements(normals, n_cells):
    assert count_cells(normals, fit_bias=False) == n_cells


@pytest.mark.parametrize("normals, n_cells", cases(SMALL))
def test_cells_of_small_arrangements(normals, n_cells):
    by_hand = cells_by_hand(normals)
    assert len(by_hand) == count_by_characteristic_polynomial(normals) == n_cells
    assert enumerated(normals) == by_hand


@pytest.mark.parametrize("normals, n_cells", cases(MEDIUM))
def test_enumeration_of_known_arrangements(normals, n_cells):
    assert len(enumerated(normals)) == n_cells


@pytest.mark.parametrize("generator, n, rank", [(boolean, 7, 7), (braid, 6, 5), (type_b, 4, 4), (type_d, 5, 5)])
def test_cells_of_reflections_are_simplicial(generator, n, rank):
    indptr, _ = enumerate_cells(generator(n).normals, fit_bias=False).facets
    assert (np.diff(indptr) == rank).all()


# -- the references against each other --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "generator, n, roots",
    [
        (boolean, 4, [1, 1, 1, 1]),
        (braid, 5, [0, 1, 2, 3, 4]),
        (type_b, 3, [1, 3, 5]),
        (type_d, 4, [1, 3, 5, 3]),
        (shi, 3, [0, 1, 3, 3]),
        (catalan, 3, [0, 1, 4, 5]),
    ],
)
def test_roots_of_characteristic_polynomials(generator, n, roots):
    assert characteristic_polynomial(generator(n).normals)[::-1] == np.poly(roots).round().tolist()


@settings(max_examples=40)
@given(degenerate_rows(9, st.just(2)))
def test_cells_of_the_plane_by_hand(points):
    cells = planar_cells(points)
    assert cells == cells_by_hand(lift(points))
    assert len(cells) == planar_count(points) == count_by_characteristic_polynomial(lift(points))


def test_cells_of_grids():
    for a, b in [(1, 1), (1, 4), (3, 4), (5, 5)]:
        normals, n_cells = grid(a, b)
        assert len(planar_cells(normals[:, 1:])) == planar_count(normals[:, 1:]) == n_cells


# -- degenerate rows --------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(degenerate_rows(9, st.sampled_from([2, 3, 4, 1])))
def test_degenerate_rows(rows):
    by_hand = cells_by_hand(rows)
    assert enumerated(rows) == by_hand
    assert count_cells(rows, fit_bias=False) == len(by_hand) == count_by_characteristic_polynomial(rows)


@settings(max_examples=150)
@given(degenerate_rows(8, st.sampled_from([2, 3, 1])))
def test_degenerate_points(points):
    by_hand = cells_by_hand(lift(points))
    assert enumerated(lift(points)) == by_hand
    assert count_cells(points) == len(by_hand)


@settings(max_examples=150)
@given(degenerate_rows(25, st.just(2)))
def test_degenerate_points_of_the_plane(points):
    assert enumerated(lift(points)) == planar_cells(points)
    assert count_cells(points) == planar_count(points)


@pytest.mark.parametrize("bits", [10, 20, *range(28, 37), 46, 52])
def test_integers_of_any_size(bits):
    """Sums and differences of rows are rows, too; products of entries fit into 64 bits or do not."""
    a, b, c = rows = np.random.default_rng(bits).integers(-(2**bits) + 1, 2**bits, (3, 3))
    rows = np.vstack([rows, a + b, a - b, b - c, a + c])
    by_hand = cells_by_hand(rows)
    assert enumerated(rows) == by_hand
    assert enumerated(rows[:, :2]) == cells_by_hand(rows[:, :2])
    assert count_cells(rows, fit_bias=False) == len(by_hand)


# -- nearly degenerate floats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISE_LEVELS)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("cloud", [partial(nearly_collinear, 20, 2), partial(nearly_grid, 4, 5)], ids=["line", "grid"])
def test_nearly_degenerate_points_of_the_plane(cloud, noise, seed):
    X = cloud(noise, seed)
    cells = planar_cells(X)
    assert enumerated(lift(X)) == cells
    assert count_cells(X) == len(cells) > planar_count(cloud(0.0, seed))  # the noise matters


@pytest.mark.parametrize("noise", NOISE_LEVELS)
@pytest.mark.parametrize("cloud", [partial(nearly_collinear, 8, 3), partial(nearly_coplanar, 8)], ids=["line", "plane"])
def test_nearly_degenerate_points_of_space(cloud, noise):
    X = cloud(noise)
    by_hand = cells_by_hand(lift(X))
    assert enumerated(lift(X)) == by_hand
    assert count_cells(X) == len(by_hand) > count_cells(cloud(0.0))


@pytest.mark.parametrize("noise", NOISE_LEVELS)
def test_counts_of_nearly_degenerate_points(noise):
    for X in (nearly_collinear(30, 2, noise), nearly_grid(5, 6, noise)):
        assert count_cells(X) == planar_count(X)
    few = nearly_coplanar(8, noise)
    assert count_cells(few) == count_by_characteristic_polynomial(lift(few))
