"""Which way kinks face, and interpolants whose affine part is not free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

import cellsolve as cs
from cellsolve.solvers import facings, runs


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 2]), st.floats(0.0, 1.5))
def test_shares_are_those_of_a_linear_program(seed, K, b, far):
    rng = np.random.default_rng(seed)
    lean = rng.integers(-3, 4, (K, b)) * 10.0 ** rng.integers(-3, 4)
    lean[:, 0] += (lean[:, 0] == 0) * 1e-3  # kinks have a slope
    target = 0.5 * lean.sum(axis=0) + far * (rng.random((K, 1)) - 0.5).T @ lean[::-1]
    target = target.ravel()
    share = facings.turned(lean, target)
    exists = linprog(np.zeros(K), A_eq=lean.T, b_eq=target, bounds=(0, 1), method="highs").status == 0
    if share is None:
        inner = linprog(np.zeros(K), A_eq=lean.T, b_eq=target, bounds=(1e-6, 1 - 1e-6), method="highs").status == 0
        assert not inner or np.linalg.matrix_rank(lean) < b  # of a segment rounding tells whether a point is on it
        return
    assert exists
    assert ((share >= 0) & (share <= 1)).all()
    np.testing.assert_allclose(share @ lean, target, rtol=0, atol=1e-11 * np.abs(lean).sum())
    assert np.sum((share > 0) & (share < 1)) <= max(b, 2)


@pytest.mark.parametrize("statement", [("variation", "none"), ("variation", "constant"), ("slope", "constant")])
@pytest.mark.parametrize("n", [10, 300, 3000, 20_000])
def test_noise_costs_the_same_with_nothing_free(n, statement):
    """Kinks turned around add up to any affine part: nothing is gained by a free one."""
    penalty, free = statement
    rng = np.random.default_rng(n)
    x, y = 5 * rng.standard_normal(n) - 3, rng.standard_normal(n) + 2
    ours = cs.interpolate(x, y, penalty=penalty, free=free)
    affine = cs.interpolate(x, y, penalty=penalty, free="affine")
    assert ours.status == "optimal" and ours.gap <= 1e-10
    assert ours.residual <= 1e-9 * np.abs(y).max()
    assert abs(ours.objective - affine.objective) <= 1e-10 * affine.objective
    assert ours.measure.linear is None and (ours.measure.offset is None) == (free == "none")
    if n <= 3000:
        assert ours.certificate.verify(x, y)


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_has_the_same_objective(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 120))
    x, y = rng.standard_normal(n), rng.standard_normal(n) + 3 * rng.standard_normal()
    ours = cs.interpolate(x, y, free="none")
    monkeypatch.setattr(runs, "turned", lambda lean, target: None)
    chain = cs.interpolate(x, y, free="none")
    assert ours.status == chain.status == "optimal"
    assert len(chain.history) > 0
    assert abs(ours.objective - chain.objective) <= 1e-8 * chain.objective


@pytest.mark.parametrize("curve", [np.exp, lambda x: 30 * x + np.sin(3 * x), lambda x: 3 * x + np.maximum(x, 0)])
@pytest.mark.parametrize("penalty", ["variation", "l1", "label_noise"])
def test_what_kinks_do_not_add_up_to_costs_something(curve, penalty):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(-1, 1, 200))
    y = curve(x)
    ours = cs.interpolate(x, y, penalty=penalty, free="none")
    assert ours.gap <= 1e-7 and ours.residual <= 1e-9
    assert ours.lower_bound > cs.interpolate(x, y, penalty=penalty, free="affine").objective * (1 + 1e-6)


@pytest.mark.parametrize("penalty", ["l1", "label_noise", "variation"])
@pytest.mark.parametrize("n", [100, 400])
def test_more_points_than_kinks_to_begin_with(n, penalty):
    """64 kinks do not meet more points than that: here every corner has one from the start."""
    rng = np.random.default_rng(n)
    x = rng.uniform(-1, 1, n)
    y = np.sin(5 * x)
    ours = cs.interpolate(x, y, penalty=penalty, free="none")
    assert ours.status == "optimal" and ours.residual <= 1e-10
    assert ours.certificate.verify(x, y)


def test_convex_data_with_nothing_free():
    """Kinks of one segment that face apart do not stay together."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.uniform(-1, 1, int(rng.integers(10, 120))))
        y = [x**2, np.exp(x), np.cosh(2 * x), x**2 + 3 * x][seed % 4]
        solution = cs.interpolate(x, y, free="none")
        assert solution.gap <= 1e-8, seed
