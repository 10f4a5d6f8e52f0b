"""A potential that the package does not know: a weighted length, which is the plain one in other units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cellsolve import interpolate, lam_max, solve
from cellsolve.potentials import Potential


@dataclass(frozen=True)
class Weighted(Potential):
    """w = ||M theta||_2."""

    M: tuple
    name: str = field(default="weighted", init=False)

    def value(self, theta, lifted, bias):
        return np.linalg.norm(theta @ np.array(self.M).T, axis=1)

    def cell_matrices(self, patterns, lifted, bias):
        return np.array(self.M)[None]

    def crude_bound(self, alpha, lifted, bias):
        reach = np.linalg.norm(lifted @ np.linalg.inv(np.array(self.M)), axis=1)
        return float(np.linalg.norm(alpha, axis=1) @ reach * (1 + 1e-9))


M = ((2.0, 1.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((14, 2))
    return X, np.abs(X[:, 0]) - np.abs(X[:, 1]) + 0.1 * rng.standard_normal(14)


@pytest.mark.parametrize("method", ["active_cells", "neurons", "all_cells"])
def test_a_matrix_is_a_change_of_units(data, method):
    X, y = data
    own = solve(X, y, lam=0.01, penalty=Weighted(M), method=method)
    plain = solve(X @ np.linalg.inv(np.array(M)[:2, :2]), y, lam=0.01)
    assert own.status == "optimal"
    assert own.objective == pytest.approx(plain.objective, rel=1e-6)


def test_cones_and_interpolation_and_lam_max(data):
    X, y = data
    other = X @ np.linalg.inv(np.array(M)[:2, :2])
    cones = solve(X, y, lam=0.01, penalty=Weighted(M), max_cells=10)
    assert cones.status == "optimal"
    assert cones.objective == pytest.approx(solve(other, y, lam=0.01).objective, rel=1e-6)
    assert interpolate(X, y, penalty=Weighted(M)).objective == pytest.approx(interpolate(other, y).objective, rel=1e-6)
    assert lam_max(X, y, penalty=Weighted(M)) == pytest.approx(lam_max(other, y), rel=1e-9)


def test_the_checker_does_not_accept_what_it_does_not_know(data):
    X, y = data
    certificate = solve(X, y, lam=0.01, penalty=Weighted(M)).certificate
    assert not certificate.verify(X, y)
