"""Inner products without rounding, against rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellsolve import exact_sums
from cellsolve.exact_sums import exact_dot

finite = st.floats(allow_nan=False, allow_infinity=False)


def in_rationals(left, right):
    return sum((Fraction(a) * Fraction(b) for a, b in zip(left, right, strict=True)), Fraction(0))


@given(st.lists(st.tuples(finite, finite), max_size=30))
def test_any_floats(pairs):
    left, right = np.array(pairs, dtype=float).reshape(-1, 2).T
    assert exact_dot(left, right) == in_rationals(left.tolist(), right.tolist())


def test_the_largest_and_the_smallest_floats_together():
    tiny, huge = 5e-324, np.finfo(float).max
    left, right = np.array([huge, tiny, -huge, 1.0, -tiny]), np.array([huge, -tiny, huge, tiny, huge])
    assert exact_dot(left, right) == in_rationals(left.tolist(), right.tolist()) != 0


def test_columns_of_a_matrix_and_many_terms(monkeypatch):
    monkeypatch.setattr(exact_sums, "BLOCK", 1000)  # limbs are emptied in between
    rng = np.random.default_rng(0)
    B = rng.standard_normal((4500, 2)) * 10.0 ** rng.integers(-30, 30, (4500, 1))
    assert exact_dot(B[:, 1], B[:, 0]) == in_rationals(B[:, 1].tolist(), B[:, 0].tolist())


def test_what_cancels_leaves_the_rest():
    x = np.array([1e16, 1.0, -1e16])
    assert exact_dot(x, np.ones(3)) == 1 and exact_dot(x, np.zeros(3)) == 0
