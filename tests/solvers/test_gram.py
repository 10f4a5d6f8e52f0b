"""Inner products of cells, by boxes: against the columns themselves."""

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.solvers.gram import CellGram


@pytest.mark.parametrize("free", ["none", "affine"])
@pytest.mark.parametrize(("n", "d", "K"), [(1, 1, 1), (7, 2, 0), (60, 2, 9), (1000, 2, 30), (700, 4, 12)])
def test_products_are_those_of_the_columns(n, d, K, free):
    rng = np.random.default_rng(n)
    problem = cs.Problem(rng.integers(-9, 10, (n, d)) / 3, rng.standard_normal(n), lam=1.0, free=free)
    points, targets = problem.lifted @ rng.standard_normal((d + 1, d + 1)), problem.targets[:, 0]
    patterns = rng.standard_normal((K, d + 1)) @ problem.lifted.T > 0
    if K > 1:
        patterns[0] = True
    signs = rng.choice([-1.0, 1.0], K)
    inner, right = CellGram(problem.boxes, points, problem.basis, targets).products(patterns, signs)
    columns = [s * p[:, None] * points for s, p in zip(signs, patterns, strict=True)]
    F = np.hstack([*columns, problem.basis])
    np.testing.assert_allclose(inner, F.T @ F / n, atol=1e-12 * max(1.0, np.abs(inner).max(initial=0.0)))
    np.testing.assert_allclose(right, F.T @ targets / n, atol=1e-12 * max(1.0, np.abs(right).max(initial=0.0)))
