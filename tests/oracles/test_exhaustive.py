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
