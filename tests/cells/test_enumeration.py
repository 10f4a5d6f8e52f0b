from itertools import permutations, product
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellsolve.cells import count_cells, enumerate_cells, enumerate_chambers, enumerate_lifted, iter_cells


def general_position(n, dimension):
    return 2 * sum(comb(n - 1, k) for k in range(dimension))


def binary(dimension):
    return np.array(list(product([0.0, 1.0], repeat=dimension)))


def assert_same_cells(X, fit_bias=True):
    exact, by_programs = (enumerate_cells(X, fit_bias=fit_bias, method=method) for method in ("sweep", "incremental"))
    np.testing.assert_array_equal(np.unique(exact.packed, axis=0), by_programs.packed)
    assert exact.complete and not by_programs.complete  # tolerances may miss cells
    assert len(exact) == count_cells(X, fit_bias=fit_bias)


@pytest.mark.parametrize("n, d", [(1, 1), (1, 4), (2, 1), (3, 4), (30, 1), (30, 2), (20, 3), (13, 4), (9, 6)])
@pytest.mark.parametrize("fit_bias", [True, False])
def test_general_position(n, d, fit_bias):
    X = np.random.default_rng(n + d).standard_normal((n, d))
    cells = enumerate_cells(X, fit_bias=fit_bias)
    assert len(cells) == general_position(n, d + fit_bias)


@pytest.mark.parametrize("dimension, count", [(1, 2), (2, 6), (3, 32), (4, 370), (5, 11292)])
def test_resonance_arrangement(dimension, count):
    assert len(enumerate_cells(binary(dimension), fit_bias=False)) == count


@pytest.mark.parametrize("d, count", [(1, 4), (2, 14), (3, 104), (4, 1882)])
def test_threshold_functions(d, count):
    assert len(enumerate_cells(binary(d))) == count


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_reflection_arrangements(n):
    braid = np.array([np.eye(n)[i] - np.eye(n)[j] for i in range(n) for j in range(i)])
    assert len(enumerate_cells(braid, fit_bias=False)) == factorial(n)
    type_b = np.vstack([braid, abs(braid), np.eye(n)])
    assert len(enumerate_cells(type_b, fit_bias=False)) == 2**n * factorial(n)


def test_braid_cells_are_orders():
    pairs = [(i, j) for i in range(4) for j in range(i)]
    X = np.array([np.eye(4)[i] - np.eye(4)[j] for i, j in pairs])
    orders = {tuple(order[i] > order[j] for i, j in pairs) for order in permutations(range(4))}
    assert {tuple(pattern) for pattern in enumerate_cells(X, fit_bias=False).patterns.tolist()} == orders


@settings(max_examples=60)
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 3)), elements=st.integers(-2, 2)), st.booleans()
)
def test_small_integers_agree_with_linear_programs(X, fit_bias):
    assert_same_cells(X, fit_bias)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 3))
def test_random_floats_agree_with_linear_programs(seed, n, d):
    assert_same_cells(np.random.default_rng(seed).uniform(-1, 1, (n, d)))


@pytest.mark.parametrize(
    "X",
    [
        [[1.5, -2.0]] * 4,
        [[t, 2 * t + 1] for t in range(6)],
        [[t, t, -t] for t in range(5)] + [[0, 0, 1], [0, 0, 2]],
        list(product(range(3), repeat=2)),
        [[7, 7, 7, 7], [1, 2, 3, 4]],
    ],
    ids=["repeated", "collinear", "collinear in space", "grid", "more columns than rows"],
)
def test_degenerate_points_agree_with_linear_programs(X):
    assert_same_cells(np.array(X, dtype=float))
    assert_same_cells(np.array(X, dtype=float), fit_bias=False)


@pytest.mark.parametrize("seed", range(300))
def test_same_cells_as_linear_programs(seed):
    """Two of three are degenerate: small integers, and few directions in space."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 5))
    n = int(rng.integers(2, {1: 15, 2: 12, 3: 9, 4: 8}[d]))
    X = rng.integers(-2, 3, (n, d)).astype(float)
    if seed % 3 == 1:
        X = rng.integers(-2, 3, (n, 2)) @ rng.integers(-2, 3, (2, d)).astype(float)
    if seed % 3 == 2:
        X = rng.standard_normal((n, d))
    assert_same_cells(X, fit_bias=seed % 2 == 0)


def test_zero_and_antiparallel_rows():
    X = np.array([[0.0, 0.0], [1.0, 2.0], [-0.5, -1.0], [0.0, 0.0], [3.0, 0.0]])
    cells = enumerate_cells(X, fit_bias=False)
    patterns = [[0, 0, 1, 0, 0], [0, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 1, 0, 0, 1]]
    assert sorted(cells.patterns.astype(int).tolist()) == patterns
    assert cells.facets[0].tolist() == [0, 2, 4, 6, 8]
    assert cells.facets[1].tolist() == [1, 4] * 4


def test_only_zero_rows():
    cells = enumerate_cells(np.zeros((9, 2)), fit_bias=False)
    assert cells.patterns.tolist() == [[False] * 9]
    assert cells.facets[0].tolist() == [0, 0]


@pytest.mark.parametrize("noise", [10.0**-k for k in range(6, 15)] + [0.0])
@pytest.mark.parametrize("seed", range(3))
def test_nearly_collinear_points_lose_no_cell(noise, seed):
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, 25)
    X = np.column_stack([t, 2 * t + 1 + noise * rng.standard_normal(25)])
    assert len(enumerate_cells(X)) == count_cells(X)


@pytest.mark.parametrize("noise", [1e-7, 1e-10, 1e-13])
def test_nearly_coplanar_points_lose_no_cell(noise):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((14, 3))
    X[:, 2] = X[:, 0] - X[:, 1] + noise * rng.standard_normal(14)
    X[7:] = X[:7] + noise * rng.standard_normal((7, 3))
    assert len(enumerate_cells(X)) == count_cells(X)


@pytest.mark.parametrize("scales", [(1e-100, 1e100), (1e100, 1e100), (5e-324, 1.0), (1.0, 1e300)])
def test_patterns_do_not_depend_on_scales(scales):
    X = np.random.default_rng(0).integers(-5, 6, (12, 2)).astype(float)
    scaled = enumerate_cells(X * np.array(scales), fit_bias=False)
    np.testing.assert_array_equal(scaled.packed, enumerate_cells(X, fit_bias=False).packed)


def test_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, (12, 3))
    order = rng.permutation(12)
    shuffled = enumerate_cells(X[order]).patterns[:, np.argsort(order)]
    assert set(map(bytes, shuffled)) == set(map(bytes, enumerate_cells(X).patterns))


def test_cells_are_distinct_and_antipodes_are_beside_each_other():
    X = np.random.default_rng(0).integers(-3, 4, (15, 2))
    cells = enumerate_cells(X)
    rows = list(map(bytes, cells.packed))
    assert len(rows) == len(set(rows))
    np.testing.assert_array_equal(cells.patterns[1::2], ~cells.patterns[::2])


def test_batches_are_the_arrangement_in_parts():
    X = np.random.default_rng(0).standard_normal((12, 2))
    whole = enumerate_cells(X)
    batches = list(iter_cells(X, batch=50))
    assert [len(batch) for batch in batches] == [50, 50, len(whole) - 100]
    np.testing.assert_array_equal(np.vstack([batch.packed for batch in batches]), whole.packed)


def test_lifted_rows_directly():
    X = np.random.default_rng(0).standard_normal((8, 2))
    lifted = np.column_stack([X, np.ones(8)])
    np.testing.assert_array_equal(enumerate_lifted(lifted).packed, enumerate_cells(X).packed)


def test_progress_is_silent_off_a_terminal(capsys):
    enumerate_cells(np.arange(5.0), progress=True)
    assert capsys.readouterr().err == ""


def test_chambers_are_cells_without_bias():
    normals = np.array([[1.0, 0.0], [0.0, 0.0], [-2.0, 0.0], [1.0, 1.0]])
    chambers = enumerate_chambers(normals)
    np.testing.assert_array_equal(chambers.packed, enumerate_cells(normals, fit_bias=False).packed)
    assert sorted(chambers.patterns.astype(int).tolist()) == [[0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 0, 1]]


def test_errors_name_the_argument_and_the_way_out():
    X = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.raises(ValueError, match="X has 872 cells, and max_cells is 100; sample_cells"):
        enumerate_cells(X, max_cells=100)
    with pytest.raises(ValueError, match=r"X has up to .* too many to count.*max_cells"):
        enumerate_cells(np.random.default_rng(0).standard_normal((2000, 6)))
    with pytest.raises(ValueError, match="method is 'simplex'; pass one of 'auto', 'sweep', 'incremental'"):
        enumerate_cells(X, method="simplex")
    with pytest.raises(ValueError, match="X contains NaN at row 0"):
        enumerate_cells([np.nan])
    for batch in (0, 1.5, "a", None):
        with pytest.raises(ValueError, match=f"batch is {batch!r}; pass a whole number"):
            iter_cells(X, batch=batch)
    for option in ({"n_jobs": 0}, {"n_jobs": "2"}, {"max_cells": None}, {"max_cells": "a"}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is .*; pass a whole number"):
            enumerate_cells(X, **option)
    with pytest.raises(ValueError, match="normals has 872 cells"):
        enumerate_chambers(np.column_stack([X, np.ones(30)]), max_cells=100)
    with pytest.raises(ValueError, match="normals contains NaN"):
        enumerate_chambers([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"X spans 65 dimensions, .* at most 64; sample_cells"):
        next(iter_cells(np.eye(65), fit_bias=False))


def test_few_cells_of_many_points_are_not_refused():
    line = np.column_stack([np.arange(3000), np.arange(3000)])
    assert len(enumerate_cells(line, max_cells=6000)) == 6000


@pytest.mark.slow
def test_largest_intended_sizes():
    rng = np.random.default_rng(0)
    for n, d in [(442, 2), (60, 3), (30, 4)]:
        assert len(enumerate_cells(rng.standard_normal((n, d)))) == general_position(n, d + 1)
