from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellsolve.cells.predicates import independent_columns, integer_rows, parallel_classes, primitive, signs

any_float = st.floats(allow_nan=False, allow_infinity=False)


def exact_signs(lifted, thetas):
    values = [
        [sum(Fraction(t) * Fraction(x) for t, x in zip(theta, row)) for row in lifted.tolist()]
        for theta in thetas.tolist()
    ]
    return np.array([[(v > 0) - (v < 0) for v in row] for row in values])


@given(hnp.arrays(np.float64, (3, 3), elements=any_float), hnp.arrays(np.float64, (2, 3), elements=any_float))
def test_signs_of_any_floats(lifted, thetas):
    np.testing.assert_array_equal(signs(lifted, thetas), exact_signs(lifted, thetas))


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1.0, 1e150, 1e300])
def test_signs_of_nearly_orthogonal_neurons(scale):
    rng = np.random.default_rng(0)
    lifted = rng.standard_normal((50, 3)) * scale
    thetas = np.cross(lifted[:20] / scale, lifted[20:40] / scale)  # orthogonal to two rows each, up to rounding
    expected = exact_signs(lifted, thetas)
    np.testing.assert_array_equal(signs(lifted, thetas), expected)
    assert len(np.unique(expected[np.arange(20), np.arange(20)])) > 1


def test_signs_survive_cancellation_and_overflow():
    lifted = np.array([[1e308, 1e308, 1.0], [1.0, -1.0, 2.0**-60], [0.0, 0.0, 0.0]])
    thetas = np.array([[10.0, -10.0, 1.0], [1.0, 1.0, 0.0], [1e-300, 1e-300, -1e-300]])
    np.testing.assert_array_equal(signs(lifted, thetas), [[1, 1, 0], [1, 0, 0], [1, -1, 0]])


def test_signs_refuse_what_is_no_neuron():
    with pytest.raises(ValueError, match=r"thetas has shape \(2,\).*D = 2"):
        signs(np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="thetas contains NaN or infinity"):
        signs(np.eye(2), np.array([[np.inf, 1.0]]))


@given(hnp.arrays(np.float64, (3, 2), elements=any_float), st.booleans())
def test_integer_rows_are_positive_multiples(lifted, scale_columns):
    rows = integer_rows(lifted, scale_columns=scale_columns)
    assert all(type(entry) is int for entry in rows.ravel())
    np.testing.assert_array_equal(np.sign(rows.astype(object)), np.sign(lifted))
    if not scale_columns:
        for row, exact in zip(lifted.tolist(), rows.tolist()):
            assert Fraction(row[0]) * exact[1] == Fraction(row[1]) * exact[0]
    else:  # one factor per column, up to one per row
        (a, b), (c, d) = ([Fraction(v) for v in row] for row in lifted[:2].tolist())
        (p, q), (r, s) = rows[:2].tolist()
        assert a * d * q * r == b * c * p * s


def test_parallel_classes():
    rows = np.array([[0, 0], [2, -4], [0, 3], [-1, 2], [3, -6], [0, -1]], dtype=object)
    representative, orientation = parallel_classes(rows)
    assert representative.tolist() == [-1, 1, 2, 1, 1, 2]
    assert orientation.tolist() == [0, 1, 1, -1, 1, -1]


def test_independent_columns():
    rng = np.random.default_rng(0)
    basis = rng.integers(-3, 4, (6, 2))
    rows = np.column_stack([0 * basis[:, 0], basis[:, 0], 2 * basis[:, 0], basis[:, 1], basis @ [1, -1]])
    assert independent_columns(primitive(rows.astype(object))).tolist() == [1, 3]
    assert independent_columns(np.zeros((2, 2), dtype=object)).tolist() == []
