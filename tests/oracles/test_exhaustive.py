"""Suprema over every cell, where cells are thin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from cellsolve import LabelNoise, Problem, enumerate_cells, interpolate
from cellsolve.oracles.cones import ConeOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.responses import project
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


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_projected_onto_responses_exactly(seed):
    """Responses are in the projected cone if and only if some neuron of the cell has them (an LP says so)."""
    rng = np.random.default_rng(seed)
    n, D = 7, 4
    lifted = np.column_stack([rng.integers(-9, 10, (n, D - 1)), np.ones(n)]).astype(float)
    both = set()
    for pattern in enumerate_cells(lifted, fit_bias=False).patterns:
        if not 0 < pattern.sum() < D:
            continue
        active, inactive = np.flatnonzero(pattern), np.flatnonzero(~pattern)
        maps, rows = project(lifted, pattern, inactive)
        for tau in rng.standard_normal((12, maps.shape[1])):
            if not (maps[active] @ tau > 0).all():  # those are rows too
                assert not (rows @ tau >= 0).all()
                continue
            inside = bool((rows @ tau >= 0).all())
            exists = linprog(
                np.zeros(D),
                A_ub=lifted[inactive],
                b_ub=np.zeros(len(inactive)),
                A_eq=lifted[active],
                b_eq=maps[active] @ tau,
                bounds=(None, None),
            )
            assert (exists.status == 0) == inside and exists.status in (0, 2)
            both.add(inside)
    assert both == {True, False}


def test_few_active_points_of_many_coordinates():
    """Twelve points, six coordinates: without leaving out what follows there would be millions of inequalities."""
    rng = np.random.default_rng(0)
    lifted = np.column_stack([rng.standard_normal((12, 5)), np.ones(12)])
    pattern = lifted @ rng.standard_normal(6) > 0
    order = np.flatnonzero(pattern)
    pattern[order[1:]] = False
    maps, rows = project(lifted, pattern, np.flatnonzero(~pattern))
    assert maps.shape == (12, 1) and len(rows) <= 2


@pytest.mark.parametrize(("n", "seed"), [(12, 0), (16, 1)])
def test_neurons_off_the_border_are_in_their_cell(n, seed):
    """The shortest neuron with its responses is a little outside, where it costs what its neighbours do."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, 2)), rng.standard_normal(n)
    solution = interpolate(X, y, penalty=LabelNoise(full=True))
    assert solution.status == "optimal"
