import numpy as np
import pytest

from cellsolve.cells import enumerate_cells, sample_cells
from cellsolve.cells.predicates import signs


@pytest.fixture
def X():
    return np.random.default_rng(0).uniform(-1, 1, (15, 2))


def test_samples_are_cells(X):
    some, everything = sample_cells(X, 50, random_state=0), enumerate_cells(X)
    rows = list(map(bytes, some.packed))
    assert len(some) == 50 and not some.complete
    assert rows == sorted(set(rows)) and set(rows) <= set(map(bytes, everything.packed))
    np.testing.assert_array_equal(signs(some.lifted, some.interior_points()), np.where(some.patterns, 1, -1))
    np.testing.assert_allclose(np.linalg.norm(some.interior_points(), axis=1), 1)


def test_a_seed_repeats(X):
    first, again = (sample_cells(X, 30, random_state=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.packed, again.packed)
    assert (first.packed != sample_cells(X, 30, random_state=4).packed).any()


def test_facets_describe_the_same_cones(X):
    some = sample_cells(np.vstack([X, X[:2]]), 5, random_state=0)
    indptr, indices = some.facets
    assert indptr.tolist() == [0, 15, 30, 45, 60, 75]
    assert indices.reshape(5, 15).tolist() == [list(range(15))] * 5


def test_search_ends_when_all_are_found():
    grid = np.array([[x, y] for x in range(3) for y in range(3)])
    cells = sample_cells(grid, 10**4, random_state=0)
    assert cells.complete
    np.testing.assert_array_equal(cells.packed, enumerate_cells(grid).packed)
    one = sample_cells([[2.0]], 100, random_state=0)
    assert len(one) == 2 and one.complete


def test_search_ends_when_the_rest_is_too_narrow():
    X = np.array([[0.0, 0.0], [1e-9, 0.0], [0.0, 1e-9], [1e-9, 1e-9]])
    cells = sample_cells(X, 14, random_state=0)
    assert len(cells) < 14 and not cells.complete


def test_zero_rows_are_inactive():
    cells = sample_cells([[0.0, 0.0], [1.0, 0.0]], 5, fit_bias=False, random_state=0)
    assert cells.patterns.tolist() == [[False, False], [False, True]] and cells.complete
    assert sample_cells(np.zeros((3, 2)), 5, fit_bias=False).patterns.tolist() == [[False] * 3]


def test_errors(X):
    with pytest.raises(ValueError, match="n_cells is 0; pass the number of cells to sample"):
        sample_cells(X, 0)
    with pytest.raises(ValueError, match="X contains infinity"):
        sample_cells([np.inf], 1)
