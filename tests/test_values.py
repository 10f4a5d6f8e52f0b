"""Values from independent code and from 40-digit arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import cellsolve as cs

# Interpolation with the affine part free: six convex points, whose best interpolant is not the sparsest.
A_X = np.array([0, 0.5487959217, 0.7695369072, 1.4092668895, 1.9575248036, 2.4938190452])
A_Y = np.array([0, -0.5487959217, -0.6227071975, -0.4515847194, 0.1389587984, 1.0651145778])
A_OBJECTIVE = 4.323780958125538  # by minimising over the one free slope in 40 digits
A_KINKS = [0.5487959217, 1.100019751442109, 1.845995035252584]
A_JUMPS = [0.66516741042637, 1.24600967084542, 0.81577746636026]

B_X = np.array([-1.5, -1, 0, 0.25, 2])
B_Y = np.array([0.7, -0.3, -0.3, 0.4, 0.2])

METHODS = {"all_cells": 1e-7, "neurons": 1e-5}


def value_c():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1] + 0.3 * X[:, 0], 0) + 0.1 * rng.standard_normal(60)
    return X, y


@pytest.mark.parametrize("method", METHODS)
def test_a_six_convex_points(method):
    solution = cs.interpolate(A_X, A_Y, free="affine", method=method)
    assert solution.objective == pytest.approx(A_OBJECTIVE, rel=1e-9)
    assert solution.objective == pytest.approx(4.323780957896, rel=METHODS[method])
    where, jumps = solution.measure.kinks()
    np.testing.assert_allclose(where, A_KINKS, atol=1e-7)
    np.testing.assert_allclose(jumps, A_JUMPS, atol=1e-7)
    assert solution.residual < 1e-12
    # the sparsest interpolant, with 2 kinks, costs more
    assert solution.objective < 4.334351214494


@pytest.mark.parametrize("method", METHODS)
def test_b_penalised(method):
    solution = cs.solve(B_X, B_Y, lam=5e-4, method=method)
    assert 2 * solution.objective == pytest.approx(0.00802673929, rel=METHODS[method])
    assert solution.measure.norm() == pytest.approx(7.849820795, rel=METHODS[method])
    error = np.mean((solution.predict(B_X) - B_Y) ** 2)
    assert error == pytest.approx(1.769185e-4, rel=1e-5)
    where, _jumps = solution.measure.kinks()
    for kink in (-0.42973, 0.25):
        assert np.abs(where - kink).min() < 1e-5
    assert np.all(np.abs(where[:, None] - [-0.42973, 0.25]).min(axis=1) < 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_b_slope(method):
    solution = cs.solve(B_X, B_Y, lam=5e-4, penalty="slope", method=method)
    assert solution.certificate.free == "constant"
    assert 2 * solution.objective == pytest.approx(0.00753204082, rel=METHODS[method])


@pytest.mark.parametrize("method", METHODS)
def test_c_plane(method):
    X, y = value_c()
    solution = cs.solve(X, y, lam=1e-2, method=method)
    assert solution.objective == pytest.approx(0.0338614950, rel=METHODS[method])
    assert solution.gap <= 1e-6
    assert solution.certificate.verify(X, y)
    assert cs.count_cells(X) == 3542


def test_sampling_cells_ends_above():
    """What a package without exact pricing reaches: (G) over 500 sampled cells is not the optimum."""
    X, y = value_c()
    cells = cs.sample_cells(X, 500, random_state=0)
    value = cs.programs.group_lasso(X, y, lam=1e-2, cells=cells).solve()
    assert value > 0.0338614950 * (1 + 1e-5)


def test_lam_max_separates_no_neuron_from_some():
    X, y = value_c()
    for keywords in ({}, {"penalty": "slope"}, {"loss": "absolute"}, {"penalty": "l1", "free": "affine"}):
        top = cs.lam_max(X[:15], y[:15], **keywords)
        assert cs.solve(X[:15], y[:15], lam=1.001 * top, **keywords).measure.n_neurons == 0
        assert cs.solve(X[:15], y[:15], lam=0.98 * top, **keywords).measure.n_neurons > 0


def test_path_is_warm_started_and_certified():
    X, y = value_c()
    solutions = cs.path(X, y, n_lams=8, lam_min_ratio=1e-2)
    assert [s.lam for s in solutions] == sorted((s.lam for s in solutions), reverse=True)
    assert solutions[0].measure.n_neurons == 0
    norms = [s.measure.norm() for s in solutions]
    assert all(b >= a * (1 - 1e-6) - 1e-12 for a, b in itertools.pairwise(norms))
    for solution in solutions:
        assert solution.gap <= 1e-6
        alone = cs.solve(X, y, lam=solution.lam)
        assert solution.objective == pytest.approx(alone.objective, rel=2e-6)
