"""Potentials: the value is the norm on the cell, the crude bound is one, units change as stated; features."""

from __future__ import annotations

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.cells import enumerate_lifted
from cellsolve.data import lift
from cellsolve.potentials import POTENTIALS

ALL = [*(cls() for cls in POTENTIALS.values()), cs.LabelNoise(full=True)]
IDS = [f"{p.name}{p.params or ''}" for p in ALL]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9, 2))
    return X, rng.standard_normal((300, 3)), rng


@pytest.mark.parametrize("potential", ALL, ids=IDS)
@pytest.mark.parametrize("bias", [True, False])
def test_value_is_the_norm_on_the_cell(data, potential, bias):
    X, theta, _ = data
    lifted = lift(X, bias)
    theta = theta[:, : lifted.shape[1]]
    cells = enumerate_lifted(lifted)
    matrices = potential.cell_matrices(cells.patterns, lifted, bias)
    value = potential.value(theta, lifted, bias)
    for k, row in enumerate(theta):
        M = matrices[cells.index(row) if len(matrices) > 1 else 0]
        assert np.linalg.norm(M @ row, potential.order) == pytest.approx(value[k], abs=1e-12)
    np.testing.assert_allclose(potential.value(3 * theta, lifted, bias), 3 * value)


@pytest.mark.parametrize("potential", ALL, ids=IDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("m", [1, 2])
def test_crude_bound(data, potential, bias, m):
    X, theta, rng = data
    lifted = lift(X, bias)
    theta = theta[:, : lifted.shape[1]]
    for _ in range(20):
        alpha = rng.standard_normal((len(X), m))
        if potential.free_constant(bias):
            alpha -= alpha.mean(axis=0)
        phi = np.linalg.norm(np.maximum(lifted @ theta.T, 0).T @ alpha, axis=1)
        assert np.all(phi <= potential.crude_bound(alpha, lifted, bias) * potential.value(theta, lifted, bias) + 1e-12)


@pytest.mark.parametrize("potential", ALL, ids=IDS)
def test_units(data, potential):
    X, _, rng = data
    y = rng.standard_normal(len(X))
    problem = cs.Problem(X * 300, y * 7e5, lam=0.3, penalty=potential)
    inside, units = problem.normalized()
    theta, weights = rng.standard_normal((4, 3)), rng.standard_normal((4, 1))
    theta[:, 2] += 3  # every neuron responds somewhere
    coefficients = rng.standard_normal((inside.basis.shape[1], 1))
    fit = inside.responses(theta) @ weights + inside.basis @ coefficients
    value = inside.objective_of(fit, float(np.abs(weights[:, 0]) @ inside.neuron_costs(theta)))
    measure = problem.measure(units.neurons(theta), units.weights(weights), units.coefficients(coefficients))
    assert problem.objective(measure) == pytest.approx(value * units.value, rel=1e-12)
    np.testing.assert_array_equal(units.neurons_inside(units.neurons(theta)), theta)
    alpha = rng.standard_normal((len(X), 1))
    assert problem.dual_value(units.alpha(alpha)) == pytest.approx(inside.dual_value(alpha) * units.value)
    ratio = np.abs(inside.responses(theta).T @ alpha)[:, 0] / inside.neuron_costs(theta)
    outside = units.neurons(theta)
    expected = np.abs(problem.responses(outside).T @ units.alpha(alpha))[:, 0] / problem.neuron_costs(outside)
    np.testing.assert_allclose([units.supremum(r) for r in ratio], expected)


def test_cell_features(data):
    X, _, rng = data
    cells = cs.enumerate_cells(X)
    features = cs.cell_features(X, cells)
    dense = features.toarray()
    assert dense.shape == (9, len(cells) * 3)
    u, v = rng.standard_normal(dense.shape[1]), rng.standard_normal(9)
    np.testing.assert_allclose(features @ u, dense @ u)
    np.testing.assert_allclose(features.T @ v, dense.T @ v)
    np.testing.assert_allclose(features.tosparse().toarray(), dense)
    np.testing.assert_allclose(features.block(5), dense[:, 15:18])
    with pytest.raises(ValueError, match="pass the same X"):
        cs.cell_features(X[:5], cells)


def test_relu_features(data):
    X, theta, _ = data
    A = cs.relu_features(X, theta[:7], "slope")
    np.testing.assert_allclose(A, np.maximum(lift(X, True) @ theta[:7].T, 0) / np.linalg.norm(theta[:7, :2], axis=1))
    with pytest.raises(ValueError, match="w = 0"):
        cs.relu_features(X, [[0.0, 0.0, 1.0]], "slope")
    with pytest.raises(ValueError, match="neurons has 2 columns"):
        cs.relu_features(X, [[0.0, 1.0]])
