import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsolve.cells import count_cells, enumerate_cells, sample_cells
from cellsolve.cells.predicates import signs
from cellsolve.cells.sampling import WAYS

every_way = pytest.mark.parametrize("how", WAYS)


@pytest.fixture
def X():
    return np.random.default_rng(0).uniform(-1, 1, (15, 2))


def patterns(cells):
    return set(map(bytes, cells.packed))


def clusters(n, d, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4, d))[rng.integers(4, size=n)] + width * rng.standard_normal((n, d))


def assert_cells(cells):
    """Each once, sorted, with a neuron strictly inside, by exact signs."""
    rows = list(map(bytes, cells.packed))
    assert rows == sorted(set(rows))
    inside = np.where(cells.patterns, 1, -1) * cells.lifted.any(axis=1)
    np.testing.assert_array_equal(signs(cells.lifted, cells.interior_points()), inside)


@every_way
def test_samples_are_cells(X, how):
    some, everything = sample_cells(X, 50, how=how, random_state=0), enumerate_cells(X)
    assert_cells(some)
    assert len(some) == 50 <= some.draws and some.total == len(everything) and not some.complete
    assert patterns(some) <= patterns(everything)
    np.testing.assert_allclose(np.linalg.norm(some.interior_points(), axis=1), 1)


@given(
    st.sampled_from(sorted(WAYS)),
    st.integers(1, 6),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([1e-100, 1e-3, 1.0, 1e100]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_samples_of_small_integer_points_are_cells(how, n, d, fit_bias, scale, random_state):
    """Repeated, collinear and zero points, n = 1 and d > n, at all scales."""
    X = scale * np.random.default_rng(random_state).integers(-2, 3, (n, d))
    some = sample_cells(X, 10**4, how=how, fit_bias=fit_bias, random_state=random_state)
    everything = enumerate_cells(X, fit_bias=fit_bias)
    assert_cells(some)
    assert patterns(some) <= patterns(everything) and some.total == len(everything)
    assert some.complete == (len(some) == len(everything))
    if how == "boundary":
        assert some.complete


@every_way
def test_a_seed_repeats(X, how):
    first, again = (sample_cells(X, 30, how=how, random_state=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.packed, again.packed)
    np.testing.assert_array_equal(first.interior_points(), again.interior_points())
    assert first.draws == again.draws
    assert patterns(first) != patterns(sample_cells(X, 30, how=how, random_state=4))


def test_facets_describe_the_same_cones(X):
    some = sample_cells(np.vstack([X, X[:2]]), 5, random_state=0)
    indptr, indices = some.facets
    assert indptr.tolist() == [0, 15, 30, 45, 60, 75]
    assert indices.reshape(5, 15).tolist() == [list(range(15))] * 5


@every_way
def test_search_ends_when_all_are_found(how):
    grid = np.array([[x, y] for x in range(3) for y in range(3)])
    cells = sample_cells(grid, 10**4, how=how, random_state=0)
    assert cells.complete and cells.total == len(cells) and cells.draws < 10**4
    assert patterns(cells) == patterns(enumerate_cells(grid))
    one = sample_cells([[2.0]], 100, how=how, random_state=0)
    assert len(one) == 2 and one.complete


def test_draws_end_with_the_last_cell(X):
    few, more = (sample_cells(X, k, random_state=0) for k in (20, 21))
    assert few.draws < more.draws and patterns(few) < patterns(more)
    assert sample_cells(X, 1, random_state=0).draws == 1


def test_search_ends_when_the_rest_is_too_narrow():
    X = np.array([[0.0, 0.0], [1e-9, 0.0], [0.0, 1e-9], [1e-9, 1e-9]])
    cells = sample_cells(X, 14, random_state=0)
    assert len(cells) < 14 and not cells.complete
    assert cells.total == 14 and cells.draws == 10**4


def test_too_many_to_count():
    cells = sample_cells(np.random.default_rng(0).standard_normal((40, 30)), 20, random_state=0)
    assert len(cells) == 20 and cells.total is None and not cells.complete


@pytest.mark.parametrize(
    "X",
    [
        clusters(20, 2, 1e-4),
        clusters(20, 2, 1e-8),
        clusters(10, 3, 1e-6),
        1e100 * clusters(20, 2, 1),
        1e-100 * clusters(20, 2, 1),
        clusters(20, 2, 1) * [1, 1e-60],
        np.array([1e200, 1.0, 2.0, 3.0, 3.0 + 1e-12]),
        1e100 * np.array([0.0, 1.0, 2.0, -1.0]),
        1e-310 * clusters(10, 2, 1),
    ],
    ids=[
        "1e-4",
        "1e-8",
        "1e-6",
        "scale 1e100",
        "scale 1e-100",
        "unlike columns",
        "outlier",
        "1e100 and 0",
        "subnormal",
    ],
)
def test_boundary_finds_all_narrow_cells(X):
    total = count_cells(X)
    narrow = sample_cells(X, total, how="boundary", random_state=0)
    assert_cells(narrow)
    assert narrow.complete and len(narrow) == total
    assert len(sample_cells(X, total, random_state=0)) < 0.9 * total


def test_boundary_finds_cells_almost_equally_often():
    X = np.random.default_rng(0).standard_normal((40, 3))
    boundary, uniform = (sample_cells(X, 5000, how=how, random_state=0) for how in ("boundary", "uniform"))
    assert len(boundary) == len(uniform) == 5000 and boundary.total == 19840
    assert boundary.draws < 6000  # 5758 expected of equally likely cells
    assert uniform.draws > 2 * boundary.draws


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_local_takes_the_cell_of_the_start_first(X, scale):
    start = scale * np.random.default_rng(1).standard_normal(3)
    cells = sample_cells(X, 1, how="local", start=start)
    assert_cells(cells)
    assert len(cells) == 1 == cells.draws
    np.testing.assert_array_equal(cells.interior_points(), [start])
    np.testing.assert_array_equal(cells.patterns[0], signs(cells.lifted, start[None])[0] > 0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_local_takes_near_cells(seed):
    rng = np.random.default_rng(seed)
    X, start = clusters(25, 2, 1e-3, seed), rng.standard_normal(3)
    everything = enumerate_cells(X)
    pattern = signs(everything.lifted, start[None])[0] > 0
    cells = sample_cells(X, 30, how="local", start=start, random_state=seed)
    distances, all_distances = (np.sort((c.patterns != pattern).sum(axis=1)) for c in (cells, everything))
    assert len(cells) == 30 and distances[0] == 0 and distances[1] == 1
    assert distances.max() < 25 / 2 and distances.mean() < 0.75 * all_distances.mean()


def test_local_finds_the_neighbours_of_a_cell(X):
    everything = enumerate_cells(X)
    start = everything.interior_points()[7]
    pattern = everything.patterns[7]
    neighbours = {
        bytes(everything.packed[k]) for k in np.flatnonzero((everything.patterns != pattern).sum(axis=1) == 1)
    }
    assert neighbours <= patterns(sample_cells(X, 40, how="local", start=start, random_state=0))


@every_way
def test_zero_rows_are_inactive(how):
    cells = sample_cells([[0.0, 0.0], [1.0, 0.0]], 5, how=how, fit_bias=False, random_state=0)
    assert cells.patterns.tolist() == [[False, False], [False, True]] and cells.complete
    nothing = sample_cells(np.zeros((3, 2)), 5, how=how, fit_bias=False)
    assert nothing.patterns.tolist() == [[False] * 3] and nothing.complete and nothing.total == 1


def test_errors(X):
    for n_cells in (0, 2.5, "3", None):
        with pytest.raises(ValueError, match=f"n_cells is {n_cells!r}; pass a whole number, at least 1"):
            sample_cells(X, n_cells)
    with pytest.raises(ValueError, match="X contains infinity"):
        sample_cells([np.inf], 1)
    with pytest.raises(ValueError, match="how is 'gauss'; pass one of 'uniform', 'boundary', 'local'"):
        sample_cells(X, 1, how="gauss")
    with pytest.raises(ValueError, match="random_state is 'x'; pass a whole number"):
        sample_cells(X, 1, random_state="x")


def test_errors_of_the_start(X):
    with pytest.raises(ValueError, match="start is not used for how='boundary'; pass how='local'"):
        sample_cells(X, 1, how="boundary", start=[1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"start has shape \(2,\); pass a neuron of D = 3 numbers, a bias last"):
        sample_cells(X, 1, how="local", start=[1.0, 0.0])
    with pytest.raises(ValueError, match="start contains NaN or infinity; rescale the neuron"):
        sample_cells(X, 1, how="local", start=[1.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="start lies on the hyperplane of row 2 of X, between cells; move it a little"):
        sample_cells([0.0, 0.5, 1.0], 1, how="local", start=[1.0, -1.0])
