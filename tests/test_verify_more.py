"""The verifier and the oracle's bound on true claims that rounding makes hard to see."""

from fractions import Fraction

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.cells import enumerate_lifted
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.spheres import _few_outputs
from cellsolve.verify import Claim, verify
from cellsolve.verify_suprema import _Cell


def test_slope_cell_whose_bias_is_nearly_zero():
    """sum alpha over the active points is 1e-15, no rounding: one inequality has to balance it."""
    X, y = [-0.5, -0.4, 0.6], [-2.4, 1.8, 1.1]
    verdict = cs.solve(X, y, lam=0.03, penalty="slope").certificate.check(X, y)
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("digits", [1, 16])
def test_certificates_of_slope_are_accepted(d, digits):
    refused = []
    for seed in range(12):
        rng = np.random.default_rng([seed, d, digits])
        X = np.round(rng.uniform(-3, 3, (int(rng.integers(3, 7)), d)), digits)
        y = np.round(rng.uniform(-3, 3, len(X)), digits)
        verdict = cs.solve(X, y, lam=(0.03, 0.1, 0.003)[seed % 3], penalty="slope").certificate.check(X, y)
        refused += [] if verdict.ok else [(seed, verdict.reason)]
    assert refused == []


def test_bound_does_not_depend_on_the_guess(monkeypatch):
    """Any guess, however wrong, ends at the supremum: w = |a| and the bias is decided by its own equation."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = np.column_stack([rng.integers(-9, 10, (6, 2)), np.ones(6, dtype=int)])
        G = points * np.where(points @ [2, -3, 1] > 0, 1, -1)[:, None]
        q = [*rng.integers(-5, 6, 2).tolist(), int(rng.integers(-1, 2))]
        cell = _Cell([[e] for e in q], np.diag([1, 1, 0]).tolist(), G.tolist(), G.astype(float), Fraction(1))
        heights = set()
        for guess in ([], [0], [1, 2], [3, 4, 5], [0, 1, 2, 3, 4, 5]):
            monkeypatch.setattr(_Cell, "_guess", lambda self, q, root, guess=guess: guess)
            vertex = cell.bound([1])
            heights.add(None if vertex is None else Fraction(vertex.theta[0] ** 2 + vertex.theta[1] ** 2, vertex.d**2))
        assert len(heights) == 1


def test_affine_free_part_of_rank_0():
    solution = cs.solve([[0.0]], [3.0], lam=0.1, free="affine", fit_bias=False)
    assert solution.certificate.rows == ()
    verdict = solution.certificate.check([[0.0]], [3.0])
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("rows", [(True,), (False,), (np.True_,), ((True,),)])
def test_booleans_are_no_rows(rows):
    X, y = [[0.0], [1.0]], [0.0, 1.0]
    claim = Claim(np.array([-1.0, 1.0]), rows, 1.0, 0.0, penalty="slope", free="constant")
    assert "not distinct rows" in verify(claim, X, y).reason


@pytest.mark.parametrize("fit_bias", [True, False])
@pytest.mark.parametrize("penalty", ["variation", "slope", "label_noise", "l1"])
def test_oracle_bound_covers_the_correction_of_many_outputs(penalty, fit_bias):
    """More outputs than dimensions: the bound with a correction holds for every alpha' that is as close as it says."""
    rng = np.random.default_rng(1)
    X = 1e-3 * rng.standard_normal((6, 2))
    alpha, moves = 1e-3 * rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    free = "constant" if penalty == "slope" and fit_bias else "none"
    if free == "constant":
        alpha, moves = alpha - alpha.mean(axis=0), moves - moves.mean(axis=0)
    problem = cs.Problem(X, np.zeros((6, 4)), lam=1.0, penalty=penalty, free=free, fit_bias=fit_bias)
    oracle = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted))
    bound = oracle.price(alpha, 0.0, correction=np.abs(moves)).supremum
    for sign in (-1, 1):
        assert bound >= oracle.price(alpha + sign * moves, 0.0).ratios.max()


def test_rotated_outputs_are_bounded_in_the_coordinates_of_the_family():
    """||Q^T theta|| <= stretch ||P^T theta|| + extra w, also where |theta| is far above w."""
    rng = np.random.default_rng(2)
    T, weights = np.diag([1.0, 2.0**20]), np.array([1.0, 2.0**-12])
    for _ in range(20):
        Q, E = rng.standard_normal((2, 5)), 1e-3 * rng.standard_normal((2, 5))
        P, _, extra, stretch = _few_outputs(Q, np.abs(E), T, weights)
        theta = T @ (weights * rng.choice([-1.0, 1.0], 2))  # of w = 1
        assert np.linalg.norm((Q + E).T @ theta) <= stretch * np.linalg.norm(P.T @ theta) + extra
