"""Sums over active points, in boxes and without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsolve import Problem
from cellsolve.boxes import SIZE


def _points(n, d, kind, rng):
    if kind == "grid":  # many points on each hyperplane, and repeated
        return rng.integers(-2, 3, (n, d)).astype(float)
    if kind == "line":
        return np.outer(rng.standard_normal(n), np.ones(d))
    return rng.standard_normal((n, d)) + (1000.0 if kind == "far" else 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5 * SIZE),
    st.integers(1, 4),
    st.sampled_from(["random", "grid", "line", "far"]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_sums_over_active_points_are_those_of_numpy(n, d, kind, bias, seed):
    rng = np.random.default_rng(seed)
    problem = Problem(_points(n, d, kind, rng), rng.standard_normal((n, 2)), lam=1.0, fit_bias=bias)
    lifted = problem.lifted
    theta, alpha, weights = rng.standard_normal((9, lifted.shape[1])), rng.standard_normal((n, 2)), rng.random((9, 3))
    if kind == "grid":
        theta = np.round(theta)
    z = lifted @ theta.T
    active, size = (z > 0).astype(float), np.abs(lifted).max() * np.sqrt(lifted.shape[1]) + 1e-300
    sums, spreads, totals = problem.boxes.sums_over_active(alpha, theta, True)
    near = {"rtol": 1e-9, "atol": 1e-12 * n * size**2 * np.abs(theta).max() ** 2}
    np.testing.assert_allclose(sums[:, :, -1], np.maximum(z, 0).T @ alpha, **near)
    np.testing.assert_allclose(spreads[:, :-1], np.maximum(z, 0).T @ lifted, **near)
    np.testing.assert_allclose(spreads[:, -1], (np.maximum(z, 0) ** 2).sum(axis=0), **near)
    np.testing.assert_allclose(problem.boxes.network(theta, weights), np.maximum(z, 0) @ weights, **near)
    if kind != "line":  # there points lie on a hyperplane but for rounding
        np.testing.assert_allclose(sums[:, :, :-1], np.einsum("ik,ij,ic->kjc", active, alpha, lifted), **near)
        np.testing.assert_allclose(totals, active.T @ (lifted**2).sum(axis=1), **near)


def test_every_point_is_in_one_box():
    X = np.random.default_rng(0).standard_normal((1000, 3))
    boxes = Problem(X, X[:, 0], lam=1.0).boxes
    np.testing.assert_array_equal(np.sort(boxes.order), np.arange(1000))
    np.testing.assert_allclose(boxes.listed(boxes.rows(X)), X)
    _, middles, halves, *_ = boxes.arrays
    points = boxes.arrays[0].transpose(0, 2, 1)
    inside = np.abs(points - middles[:, None]) <= halves[:, None] * (1 + 1e-12)
    assert inside.all(axis=2).reshape(-1)[:1000].all()


def test_problem_in_other_units_has_boxes_of_its_own():
    problem = Problem(np.arange(10.0), np.arange(10.0), lam=1.0)
    with pytest.raises(AttributeError):
        problem.boxes = None
    first = problem.boxes
    assert problem.boxes is first
    assert problem.normalized()[0].boxes is not first
