"""Frames: the same problem without its free part, and back; data far from the origin."""

from __future__ import annotations

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.solvers.frame import Frame


def _years(loss="squared", penalty="variation", free="affine", shift=0.0, lam=0.1):
    rng = np.random.default_rng(0)
    x = np.arange(1980, 2021).astype(float)
    y = 0.3 * np.abs(x - 2000) + 0.5 * rng.standard_normal(len(x)) + shift
    if loss == "logistic":
        y = np.sign(y - np.median(y) + 1e-3)
    return cs.Problem(x, y, lam=lam, loss=loss, penalty=penalty, free=free)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute", "logistic"])
@pytest.mark.parametrize("free", ["none", "constant", "affine"])
def test_the_objective_is_the_same_inside(loss, free):
    problem = _years(loss, free=free)
    frame = Frame.of(problem)
    inside = frame.inside
    rng = np.random.default_rng(1)
    theta, weights = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    coefficients = rng.standard_normal((inside.basis.shape[1], 1))
    fit = inside.responses(theta) @ weights + inside.basis @ coefficients
    value = inside.objective_of(fit, float(np.abs(weights[:, 0]) @ inside.neuron_costs(theta)))
    measure = frame.measure(theta, weights, coefficients)
    assert problem.objective(measure) == pytest.approx(value * frame.units.value, rel=1e-9)


def test_inside_the_targets_are_orthogonal_to_the_free_part():
    frame = Frame.of(_years(shift=1e6))
    inside = frame.inside
    assert np.abs(inside.basis.T @ inside.targets).max() <= 1e-8
    np.testing.assert_allclose(inside.basis.T @ inside.basis / inside.n, np.eye(2), atol=1e-12)
    assert np.abs(frame.exact.targets).max() > 1e4 * np.abs(inside.targets).max()


def test_a_free_part_of_smaller_rank():
    X = np.outer(np.arange(6.0), [1.0, 2.0])  # two columns and a constant, of rank 2
    frame = Frame.of(cs.Problem(X, np.arange(6) ** 2, lam=0.01, free="affine"))
    assert frame.exact.basis.shape[1] == 3 and frame.inside.basis.shape[1] == 2
    assert cs.solve(frame.original).status == "optimal"


def test_what_the_free_part_fits_needs_no_neurons():
    x = np.arange(12.0)
    for y in (np.full(12, 1e9 / 3), 1e6 + x / 7):
        solution = cs.solve(x, y, lam=0.01, free="affine")
        assert solution.status == "optimal" and solution.gap == 0 and solution.measure.n_neurons == 0
        assert cs.interpolate(x, y, free="affine").measure.n_neurons == 0


@pytest.mark.parametrize("shift", [0.0, 1e5])
@pytest.mark.parametrize("penalty", ["variation", "slope", "label_noise"])
@pytest.mark.parametrize("free", ["constant", "affine"])
def test_years_and_large_offsets(free, penalty, shift):
    problem = _years(penalty=penalty, free=free, shift=shift)
    problem = problem.replace(lam=cs.lam_max(problem) / 100)
    solution = cs.solve(problem)
    assert solution.status == "optimal"
    assert solution.measure.n_neurons <= 12
    assert solution.certificate.verify(problem.X, problem.y)
    plain = cs.solve(_years(penalty=penalty, free=free, lam=problem.lam))
    assert solution.objective == pytest.approx(plain.objective, rel=1e-6)


@pytest.mark.parametrize("step", ["refine", "tidy", "certificate_of"])
def test_ctrl_c_at_the_end_loses_nothing(step, monkeypatch):
    from cellsolve.solvers import finish as module

    rng = np.random.default_rng(0)
    problem = cs.Problem(rng.standard_normal((15, 2)), rng.standard_normal(15), lam=0.01, penalty="slope")
    whole = cs.solve(problem)
    original, calls = getattr(module, step), []

    def interrupt(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, step, interrupt)
    solution = cs.solve(problem)
    assert solution.status == "interrupted"
    assert solution.objective == pytest.approx(whole.objective, rel=1e-5)
    assert solution.lower_bound <= whole.objective
    assert solution.certificate.verify(problem.X, problem.y)


@pytest.mark.parametrize("penalty", ["slope", "label_noise"])
@pytest.mark.parametrize("shift", [300.0, 1e7])
def test_moved_data_are_the_same_problem(penalty, shift):
    """Where w does not know where the origin is, neither does the solver."""
    rng = np.random.default_rng(2)
    X = np.round(rng.uniform(-1, 1, (40, 2)), 4)
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(40)
    lam = 0.03 * cs.lam_max(X, y, penalty=penalty)
    there = X + np.array([shift, -2 * shift])
    here, moved = (cs.solve(points, y, lam=lam, penalty=penalty, max_cells=1) for points in (X, there))
    assert moved.status == "optimal" and here.status == "optimal"
    assert moved.objective == pytest.approx(here.objective, rel=1e-6)
    np.testing.assert_allclose(moved.predict(there), here.predict(X), atol=1e-3)
    warm = cs.solve(there, y, lam=lam, penalty=penalty, max_cells=1, warm_start=moved)
    assert warm.status == "optimal" and warm.history[0].objective <= moved.objective * (1 + 1e-5)
    peaks = cs.contact_set(moved, there, y).neurons
    signs = np.sign(peaks @ np.column_stack([there, np.ones(40)]).T)
    assert (np.abs(signs.sum(axis=1)) < 40).any()  # kinks amid the data


def test_data_near_the_origin_are_not_moved():
    X = np.random.default_rng(0).standard_normal((9, 2))
    y = np.ones(9)
    assert Frame.of(cs.Problem(X, y, lam=1.0, penalty="slope")).centre.size == 0
    assert Frame.of(cs.Problem(X + 99, y, lam=1.0)).centre.size == 0  # the origin matters
    assert Frame.of(cs.Problem(X + 99, y, lam=1.0, penalty="slope")).centre.tolist() == [98.0, 99.0]
    assert Frame.of(cs.Problem(X + 99, y, lam=1.0, penalty="slope", fit_bias=False)).centre.size == 0
    full = cs.LabelNoise(full=True)
    assert Frame.of(cs.Problem(X + 99, y, lam=1.0, penalty=full)).centre.size == 0
