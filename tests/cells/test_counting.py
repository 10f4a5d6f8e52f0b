from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellsolve.cells import count_cells, enumerate_cells


def binary(dimension):
    return np.array(list(product([0.0, 1.0], repeat=dimension)))


@pytest.mark.parametrize("n, d", [(1, 1), (5, 1), (50, 2), (25, 3), (16, 4), (10, 8), (2, 5)])
def test_general_position(n, d):
    X = np.random.default_rng(n).standard_normal((n, d))
    assert count_cells(X) == 2 * sum(comb(n - 1, k) for k in range(d + 1))


@pytest.mark.parametrize("dimension, count", [(1, 2), (2, 6), (3, 32), (4, 370), (5, 11292)])
def test_resonance_arrangement(dimension, count):
    assert count_cells(binary(dimension), fit_bias=False) == count


@pytest.mark.slow
def test_largest_resonance_arrangement():
    assert count_cells(binary(6), fit_bias=False) == 1066044


@pytest.mark.parametrize("d, count", [(1, 4), (2, 14), (3, 104), (4, 1882), (5, 94572)])
def test_threshold_functions(d, count):
    assert count_cells(binary(d)) == count


def test_lines_through_points_of_the_plane():
    """In the plane there are 2 + 2 sum over lines of (points on the line - 1) cells."""
    assert count_cells([[t, 2 * t] for t in range(7)]) == 2 + 2 * 6
    assert count_cells([[0, 0], [1, 0], [2, 0], [0, 1]]) == 2 + 2 * (2 + 3)
    assert count_cells(np.zeros((3, 2))) == 2
    assert count_cells(np.zeros((3, 2)), fit_bias=False) == 1


@settings(max_examples=60)
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.integers(-1, 2)), st.booleans()
)
def test_agrees_with_enumeration(X, fit_bias):
    assert count_cells(X, fit_bias=fit_bias) == len(enumerate_cells(X, fit_bias=fit_bias))


def test_many_collinear_points_are_quick():
    t = np.arange(5000.0)
    assert count_cells(np.column_stack([t, 1 - t])) == 10000
