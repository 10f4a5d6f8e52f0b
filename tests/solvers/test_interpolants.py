"""What is called an optimal interpolant meets the data."""

from __future__ import annotations

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.solvers.cell_master import CellMaster


@pytest.mark.parametrize("free", ["none", "constant", "affine"])
@pytest.mark.parametrize("penalty", ["variation", "l1"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_optimal_means_that_the_data_are_met(free, penalty, offset):
    """Years and a large offset: without a free constant the convex solvers run out of digits, and it has to be said."""
    x = 1990.0 + np.arange(8)
    y = np.array([3.0, 1, 4, 1, 5, 9, 2, 6]) + offset
    solution = cs.interpolate(x, y, penalty=penalty, free=free)
    spread = np.abs(y).max() if free == "none" else np.ptp(y)
    assert np.abs(solution.predict(x) - y).max() == pytest.approx(solution.residual)
    if solution.status == "optimal":
        assert solution.residual <= 1e-6 * spread
        assert solution.objective >= solution.lower_bound * (1 - 1e-6)
    assert (solution.status == "optimal") or free == "none" or solution.gap <= 1e-5


def test_points_that_nearly_coincide():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((6, 2))
    X = np.concatenate([base, base + 1e-6 * rng.standard_normal((6, 2))])
    y = rng.standard_normal(12)
    solution = cs.interpolate(X, y, free="constant")
    assert solution.status != "optimal" or solution.residual <= 1e-6 * np.abs(y).max()
    assert solution.lower_bound >= 0.0


def test_an_interpolant_starts_with_as_many_neurons_as_there_are_points():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 2)), rng.standard_normal(30)
    solution = cs.interpolate(X, y)
    assert solution.history[0].cells <= 30 + CellMaster.most  # and the first violators
    assert solution.status == "optimal" and solution.residual <= 1e-9
