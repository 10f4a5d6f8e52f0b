import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellsolve.cells import CellArrangement, enumerate_cells, sample_cells
from cellsolve.cells.interior import extreme_rays
from cellsolve.cells.predicates import integer_rows, parallel_classes, signs

small_data = (
    hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 3)), elements=st.integers(-2, 2)),
    st.booleans(),
)


def assert_strictly_inside(cells):
    orientation = signs(cells.lifted, cells.interior_points())
    nonzero = cells.lifted.any(axis=1)
    np.testing.assert_array_equal(orientation, np.where(cells.patterns, 1, -1) * nonzero)


@settings(max_examples=40)
@given(*small_data)
def test_interior_points_and_index(X, fit_bias):
    cells = enumerate_cells(X, fit_bias=fit_bias)
    assert_strictly_inside(cells)
    np.testing.assert_array_equal(cells.index(cells.interior_points()), np.arange(len(cells)))
    assert cells.index(cells.interior_points()[-1]) == len(cells) - 1
    assert cells.interior_points() is cells.interior_points()


@pytest.mark.parametrize("offset, scale", [(0.0, 1.0), (2000.0, 10.0), (0.0, 1e-8), (-1e6, 1.0), (0.0, 1e90)])
def test_interior_points_of_data_off_the_centre(offset, scale):
    X = offset + scale * np.random.default_rng(0).standard_normal((14, 2))
    assert_strictly_inside(enumerate_cells(X))


@pytest.mark.parametrize("noise", [1e-6, 1e-8, 1e-10])
def test_interior_points_of_thin_cells(noise):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, 12)
    assert_strictly_inside(enumerate_cells(np.column_stack([t, 2 * t + 1 + noise * rng.standard_normal(12)])))


def test_cells_too_thin_for_floats_are_refused():
    X = np.array([[1.0, 1 / 3], [2.0, 2 / 3], [3.0, 1.0 + 2.0**-52], [5.0, 5 / 3], [7.0, 7 / 3], [11.0, 11 / 3]])
    with pytest.raises(ValueError, match=r"X has a cell .* thinner than float64 resolves"):
        enumerate_cells(X).interior_points()


def test_extreme_rays():
    assert sorted(extreme_rays([(1, 0, 0), (0, 1, 0), (0, 0, 1)], 3)) == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    square = [(1, 0, 1), (-1, 0, 1), (0, 1, 1), (0, -1, 1), (0, 0, 5)]
    assert sorted(extreme_rays(square, 3)) == [(-1, -1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, 1)]
    cube = [(*(s * (i == j) for j in range(3)), 1) for i in range(3) for s in (1, -1)]
    assert sorted(extreme_rays(cube, 4)) == sorted((*corner, 1) for corner in product([-1, 1], repeat=3))


@settings(max_examples=40)
@given(*small_data)
def test_facets_by_brute_force(X, fit_bias):
    cells = enumerate_cells(X, fit_bias=fit_bias)
    listed = {tuple(pattern) for pattern in cells.patterns.tolist()}
    indptr, indices = cells.facets
    assert indptr.dtype == np.int64 and indices.dtype == np.int32 and len(indptr) == len(cells) + 1
    lines = {}
    for i, row in enumerate(cells.lifted):
        if row.any():
            first = next((k for k in lines if np.linalg.matrix_rank(cells.lifted[[k, i]]) == 1), i)
            lines.setdefault(first, []).append(i)
    for cell, pattern in enumerate(cells.patterns):
        expected = []
        for first, parallel in lines.items():
            flipped = pattern.copy()
            flipped[parallel] ^= True
            if tuple(flipped.tolist()) in listed:
                expected.append(first)
        assert indices[indptr[cell] : indptr[cell + 1]].tolist() == expected


@settings(max_examples=40)
@given(*small_data)
def test_neighbours_are_across_facets(X, fit_bias):
    cells = enumerate_cells(X, fit_bias=fit_bias)
    indptr, rows = cells.facets
    assert len(cells.neighbours) == len(rows)
    representative, _ = parallel_classes(integer_rows(cells.lifted))
    cell = np.repeat(np.arange(len(cells)), np.diff(indptr))
    np.testing.assert_array_equal(
        cells.patterns[cell] != cells.patterns[cells.neighbours], representative == rows[:, None]
    )
    assert set(zip(cell.tolist(), cells.neighbours.tolist())) == set(zip(cells.neighbours.tolist(), cell.tolist()))


def test_neighbours_need_all_cells():
    cells = enumerate_cells(np.random.default_rng(0).standard_normal((9, 2))).take([0, 1])
    with pytest.raises(ValueError, match="these are 2 cells, not all"):
        _ = cells.neighbours


def test_index_of_neurons_on_a_boundary():
    cells = enumerate_cells([0.0, 1.0, 2.0])
    # theta = (1, -1) is orthogonal to the second point (1, 1), whose first nonzero entry is positive.
    assert cells.unpack()[cells.index([1.0, -1.0])].tolist() == [False, True, True]
    assert cells.unpack()[cells.index([-1.0, 1.0])].tolist() == [True, True, False]
    rng = np.random.default_rng(0)
    grid = enumerate_cells(np.array(list(product(range(-1, 2), repeat=2))))
    thetas = rng.integers(-2, 3, (200, 3)).astype(float)
    orientation, patterns = signs(grid.lifted, thetas), grid.patterns[grid.index(thetas)]
    assert (orientation == 0).any()
    assert (np.where(patterns, orientation >= 0, orientation <= 0)).all()


def test_index_refuses_what_is_not_listed():
    X = np.random.default_rng(0).standard_normal((10, 2))
    some, everything = sample_cells(X, 4, random_state=0), enumerate_cells(X)
    with pytest.raises(ValueError, match=r"theta \(row \d+\) lies in a cell that is not among the 4 listed"):
        some.index(everything.interior_points())
    with pytest.raises(ValueError, match=r"theta has shape \(2,\); pass a neuron of D = 3"):
        everything.index([1.0, 2.0])
    with pytest.raises(ValueError, match="theta contains NaN"):
        everything.index([1.0, np.nan, 2.0])


def test_reading_patterns():
    cells = enumerate_cells(np.random.default_rng(0).standard_normal((11, 2)))
    patterns = cells.patterns
    assert patterns.dtype == bool and patterns.shape == (len(cells), cells.n_points) == (112, 11)
    np.testing.assert_array_equal(np.array(list(cells)), patterns)
    np.testing.assert_array_equal(cells.unpack(3, 9), patterns[3:9])
    np.testing.assert_array_equal(np.packbits(patterns, axis=1), cells.packed)
    assert repr(cells) == "CellArrangement(112 cells, all of those of 11 points, D = 3)"


def test_patterns_that_do_not_fit_are_refused():
    packed = np.broadcast_to(np.zeros((1, 1), dtype=np.uint8), (2**29, 1))
    cells = CellArrangement.__new__(CellArrangement)
    cells.lifted, cells.packed = np.ones((8, 1)), packed
    with pytest.raises(ValueError, match=r"patterns of 536870912 cells on 8 points take 4.0 GiB.*unpack"):
        _ = cells.patterns


def test_taking_some_cells():
    cells = enumerate_cells(np.random.default_rng(0).standard_normal((9, 2)))
    cells.interior_points()
    places = np.array([0, 5, 40])
    some = cells.take(places)
    assert not some.complete and cells.take(np.arange(len(cells))).complete
    np.testing.assert_array_equal(some.patterns, cells.patterns[places])
    np.testing.assert_array_equal(some.interior_points(), cells.interior_points()[places])
    for k, place in enumerate(places):
        ours, whole = (slice(*f[0][i : i + 2]) for f, i in ((some.facets, k), (cells.facets, place)))
        np.testing.assert_array_equal(some.facets[1][ours], cells.facets[1][whole])
    np.testing.assert_array_equal(cells.take(cells.patterns[:, 0]).packed, cells.packed[cells.patterns[:, 0]])
    np.testing.assert_array_equal(cells.take([3, 1]).packed, cells.packed[[3, 1]])
    assert len(cells.take([])) == len(cells.take(np.zeros(len(cells), dtype=bool))) == 0
    for places in ([3, 3], [-1, 2], [len(cells)]):
        with pytest.raises(ValueError, match="places has a negative or a repeated entry, or one that is not below 74"):
            cells.take(places)
    for places, shape in (([True, False], r"mask of shape \(2,\)"), ([0.5], "float64"), ([[1, 2]], r"shape \(1, 2\)")):
        with pytest.raises(ValueError, match=shape):
            cells.take(places)


def test_a_copy_has_no_hash_table():
    cells = enumerate_cells(np.random.default_rng(0).standard_normal((9, 2)))
    theta = [1.0, 2.0, 3.0]
    place = cells.index(theta)
    copy = pickle.loads(pickle.dumps(cells))
    assert "_lookup" not in copy.__dict__ and copy.index(theta) == place


def test_packed_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"packed is int64 of shape \(1, 3\).*uint8 of shape \(S, 1\)"):
        CellArrangement(np.ones((3, 1)), np.ones((1, 3), dtype=np.int64))
