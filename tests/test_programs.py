"""The cvxpy reference: solvers agree, users extend it, and the masters and the oracle agree with it."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import CASES, pose

import cellsolve as cs
from cellsolve.programs import group_lasso, l1

HAS_ECOS = "ECOS" in cp.installed_solvers()


def _data(n=14, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(n)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise"])
def test_clarabel_ecos_and_scs_agree(penalty):
    X, y = _data(12, 1)
    program = group_lasso(X, y, lam=1e-2, penalty=penalty)
    value = program.solve("CLARABEL")
    assert program.solve("SCS") == pytest.approx(value, rel=1e-5)
    if HAS_ECOS:
        assert program.solve("ECOS") == pytest.approx(value, rel=1e-7)


def test_highs_solves_the_linear_ones():
    X, y = _data(12, 1)
    neurons = np.column_stack([np.ones(12), -X[:, 0]])
    neurons = np.concatenate([neurons, -neurons])
    for keywords in ({"lam": 0.02, "loss": "absolute"}, {"lam": 0.02, "loss": "quantile"}, {"free": "affine"}):
        program = l1(X, y, neurons=neurons, **keywords)
        assert program.solve("HIGHS") == pytest.approx(program.solve("CLARABEL"), rel=1e-7)


def test_all_cells_agrees_with_neurons_on_random_problems():
    rng = np.random.default_rng(2)
    checked = 0
    for case in [CASES[i] for i in rng.permutation(len(CASES))[:60]]:
        problem = pose(case, rng)
        if problem is None or problem.n < 2:
            continue
        try:
            fast = cs.interpolate(problem) if problem.interpolates else cs.solve(problem)
        except ValueError:
            continue
        try:
            slow = group_lasso(problem).solve()
        except ValueError as error:  # an interior-point method that gives up says so; it is not compared
            assert "gave no answer" in str(error)
            continue
        scale = max(abs(fast.objective), 1e-6 * problem.scale, 1e-9)
        # where w vanishes on a subspace (G) gives it a small length, so that solvers stay bounded
        room = 1e-4 if problem.penalty.depends_on_data else 2e-6
        assert abs(slow - fast.objective) <= room * scale + 1e-9, f"{case}"
        checked += 1
    assert checked > 25


def test_a_monotone_fit_with_the_users_own_constraints():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-2, 2, 30))
    y = np.arctan(2 * x) + 0.3 * rng.standard_normal(30)
    neurons = np.column_stack([np.ones(30), -x])
    program = l1(x, y, lam=1e-3, neurons=np.concatenate([neurons, -neurons]), free="affine")
    free = program.solve()
    grid = np.concatenate([[x[0] - 1], x, [x[-1] + 1]])  # every kink and a point beyond: f is linear in between
    monotone = cp.diff(program.predict(grid)) >= 0
    constrained = cp.Problem(program.objective, [*program.constraints, monotone])
    value = constrained.solve(solver="CLARABEL")
    measure = program.measure()
    steps = np.diff(measure.predict(np.linspace(x[0] - 1, x[-1] + 1, 2000)))
    assert steps.min() >= -1e-8
    assert value > free * (1 + 1e-6)
    assert program.solve(constraints=[monotone]) == pytest.approx(value, rel=1e-6)


def test_a_bounded_fit_on_the_cells():
    X, y = _data(12, 2, seed=3)
    program = group_lasso(X, y, lam=1e-3)
    free = program.solve()
    bounded = program.solve(constraints=[program.fit >= -0.5, program.fit <= 0.5])
    assert bounded > free
    assert np.abs(program.measure().predict(X)).max() <= 0.5 + 1e-7


def test_refusals():
    X, y = _data(8)
    with pytest.raises(ValueError, match="y has 2 outputs"):
        group_lasso(X, np.column_stack([y, y]), lam=0.1)
    with pytest.raises(ValueError, match="solver is 'MOSEKK'"):
        group_lasso(X, y, lam=0.1).solve("MOSEKK")
    with pytest.raises(ValueError, match="neurons has 2 columns"):
        l1(X, y, lam=0.1, neurons=np.ones((3, 2)))
    with pytest.raises(ValueError, match="not affine"):
        group_lasso(X, y, lam=0.1).predict(X)
    with pytest.raises(ValueError, match="infeasible"):
        program = l1(X, y, lam=0.1, neurons=np.ones((1, 3)))
        program.solve(constraints=[program.fit >= 1, program.fit <= -1])
