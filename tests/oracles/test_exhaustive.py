"""Suprema over every cell, where cells are thin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cellsolve import Problem, enumerate_cells
from cellsolve.oracles.cones import ConeOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.solvers.frame import Frame


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", ["variation", "l1", "slope"])
def test_decimal_grids_are_priced_to_rounding(penalty, seed):
    """Tenths are no floats, so points that a reader sees on one line are on many that nearly meet."""
    rng = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(np.arange(4) / 10, np.arange(4) / 10)))
    X = grid if seed % 2 else rng.integers(-5, 6, (14, 2)) / 10
    problem = Frame.of(Problem(X, rng.standard_normal(len(X)), lam=0.1, penalty=penalty)).inside
    alpha = problem.dual_candidate(rng.standard_normal((len(X), 1)))
    every = ExhaustiveOracle(problem, enumerate_cells(problem.lifted, fit_bias=False)).price(alpha, 0.0)
    assert every.ratios[0] <= every.supremum <= every.ratios[0] * (1 + 1e-8)
    cones = ConeOracle(problem, 1e-9).price(alpha, 0.0)
    assert cones.supremum == pytest.approx(every.supremum, rel=1e-7)


@pytest.mark.parametrize("penalty", ["variation", "l1"])
def test_several_outputs_are_bounded_when_time_is_out(penalty):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (10, 2)), rng.standard_normal((10, 3))
    problem = Frame.of(Problem(X, y, lam=0.1, penalty=penalty)).inside
    alpha = problem.dual_candidate(rng.standard_normal(y.shape))
    oracle = ExhaustiveOracle(problem, enumerate_cells(problem.lifted, fit_bias=False))
    tight, rough = oracle.price(alpha, 0.0), oracle.price(alpha, 0.0, max_time=0.0)
    assert tight.ratios[0] <= tight.supremum <= tight.ratios[0] * (1 + 1e-7)
    assert tight.supremum <= rough.supremum <= 4 * tight.supremum
    assert rough.ratios[0] <= tight.supremum
