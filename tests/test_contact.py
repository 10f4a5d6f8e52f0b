"""The contact set: every minimiser lives on it."""

from __future__ import annotations

import numpy as np
import pytest
from problems import PENALTIES

import cellsolve as cs


def _data(n=40, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, d))
    return X, np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(n)


def _unit(theta):
    return theta / np.linalg.norm(theta, axis=1, keepdims=True)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_neurons_of_a_solution_touch_the_bound(penalty):
    X, y = _data()
    solution = cs.solve(X, y, lam=3e-3, penalty=penalty, free="affine")
    contact = cs.contact_set(solution, X, y)
    problem = cs.Problem(X, y, lam=3e-3, penalty=penalty, free="affine")
    assert (np.diff(contact.ratios) <= 0).all() and contact.ratios[-1] >= 1 - contact.slack
    assert contact.ratios[0] <= 1 + 1e-9  # the bound is proven
    np.testing.assert_allclose(problem.neuron_costs(contact.neurons), 1.0)
    phi = problem.responses(contact.neurons).T @ solution.certificate.alpha
    kappa = min(1.0, 3e-3 / solution.certificate.supremum)
    np.testing.assert_allclose(kappa * np.abs(phi) / 3e-3, contact.ratios, rtol=1e-6)
    np.testing.assert_array_equal(np.sign(phi), contact.signs)
    # where theta and -theta are one neuron the other facing may be the one that was found
    near = np.linalg.norm(_unit(solution.measure.neurons)[:, None] - _unit(contact.neurons), axis=2)
    if problem.one_facing:
        near = np.minimum(
            near, np.linalg.norm(_unit(solution.measure.neurons)[:, None] + _unit(contact.neurons), axis=2)
        )
    weight = np.abs(solution.measure.weights) * problem.neuron_costs(solution.measure.neurons)
    far = near.min(axis=1) > 1e-3 + contact.widths.max()
    assert weight[far].sum() <= 2 * contact.outside


def test_no_other_solution_has_more_outside_than_is_said():
    X, y = _data(60, 1)
    contact = cs.contact_set(cs.solve(X, y, lam=3e-3), X, y)
    other = cs.solve(X, y, lam=3e-3, method="all_cells").measure
    near = np.linalg.norm(_unit(other.neurons)[:, None] - _unit(contact.neurons), axis=2).min(axis=1)
    weight = np.abs(other.weights) * np.linalg.norm(other.neurons, axis=1)
    assert weight[near > 1e-4].sum() <= 2 * contact.outside


def test_one_minimiser_is_told_from_many():
    X, y = _data(40, 1)
    assert cs.contact_set(cs.solve(X, y, lam=3e-3, free="affine"), X, y).unique
    # convex data: the second derivative of an interpolant may lie anywhere between the second and third point
    x, convex = np.arange(4.0), np.array([0.0, 0.0, 1.0, 3.0])
    assert not cs.contact_set(cs.interpolate(x, convex, penalty="slope", free="affine"), x, convex).unique
    # without a free part two antipodal pairs make every linear function, a third pair one of them twice
    assert not cs.contact_set(cs.solve(X, y, lam=3e-3), X, y).unique


def test_a_network_without_neurons_has_no_contact():
    X, y = _data()
    solution = cs.solve(X, y, lam=2 * cs.lam_max(X, y))
    contact = cs.contact_set(solution, X, y)
    assert len(contact.neurons) == 0 and contact.unique and contact.outside == 0


def test_it_does_not_depend_on_units():
    X, y = _data(30)
    one = cs.contact_set(cs.solve(X, y, lam=3e-3, random_state=0), X, y)
    size = 2.0**20
    two = cs.contact_set(cs.solve(size * X, size * y, lam=3e-3 * size**2, fit_bias=False), size * X, size * y)
    three = cs.contact_set(cs.solve(X, y, lam=3e-3, fit_bias=False), X, y)
    assert len(one.neurons) and len(two.neurons) == len(three.neurons)
    np.testing.assert_allclose(two.ratios, three.ratios, rtol=1e-9)


def test_wrong_input_is_refused():
    X, y = _data(20)
    solution = cs.solve(X, y, lam=1e-2)
    with pytest.raises(ValueError, match="data"):
        cs.contact_set(solution, X, -y)
    for slack in (0.0, 1.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="slack"):
            cs.contact_set(solution, X, y, slack=slack)
    both = np.column_stack([y, -y])
    with pytest.raises(ValueError, match="outputs"):
        cs.contact_set(cs.solve(X[:8], both[:8], lam=1e-2), X[:8], both[:8])


def test_nothing_is_said_of_a_network_that_is_far_from_optimal():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    y = np.cos(3 * X[:, 0])
    contact = cs.contact_set(cs.solve(X, y, lam=1e-3, max_time=0), X, y)
    whole = cs.solve(X, y, lam=1e-3)
    assert not contact.unique
    assert contact.outside >= whole.measure.norm("variation", X)
