"""Sliding: the gradient is one, nothing goes up, and a first network is nearly as good as the best."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from cellsolve import LabelNoise, Problem, solve
from cellsolve.oracles.ascent import AscentOracle, dual_function
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.options import Options
from cellsolve.solvers.sliding import Slide, can_slide
from cellsolve.solvers.sliding_master import SlidingMaster, first_network

PENALTIES = ["variation", "slope", "label_noise", "l1", LabelNoise(full=True)]


def _frame(loss="squared", penalty="variation", m=1, n=30, **statement):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, 2))
    y = np.column_stack([np.sin(2 * X[:, 0]) - np.abs(X[:, 1]), X[:, 0] ** 2, X[:, 1]])[:, :m]
    if loss in ("logistic", "squared_hinge"):
        y = np.where(y > 0.1, 1.0, -1.0)
    y = y[:, 0] if m == 1 else y
    return Frame.of(Problem(X, y, lam=0.02, loss=loss, penalty=penalty, **statement))


def _problem(*arguments, **statement):
    return _frame(*arguments, **statement).inside


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", ["squared", "huber", "logistic", "squared_hinge"])
@pytest.mark.parametrize("m", [1, 3])
def test_gradient_is_that_of_the_objective(loss, penalty, m):
    problem = _problem(loss, penalty, m)
    slide, rng = Slide(problem), np.random.default_rng(2)
    shapes = (4, 3), (4, m), (problem.basis.shape[1], m)
    start = [rng.standard_normal(shape) for shape in shapes]

    def value(z):
        parts = np.split(z, np.cumsum([part.size for part in start])[:-1])
        return slide._value(*[part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])[0]

    z = np.concatenate([part.ravel() for part in start])
    gradient = np.concatenate([part.ravel() for part in slide._value(*start)[1:]])
    np.testing.assert_allclose(gradient, approx_fprime(z, value, 1e-7), rtol=2e-5, atol=2e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", ["squared", "huber", "logistic", "squared_hinge"])
@pytest.mark.parametrize("m", [1, 3])
def test_sliding_never_goes_up(loss, penalty, m):
    problem = _problem(loss, penalty, m)
    rng = np.random.default_rng(2)
    theta = rng.standard_normal((6, 3)) + np.array([0.0, 0.0, 2.0])
    theta /= problem.neuron_costs(theta)[:, None]
    weights = rng.standard_normal((6, m))
    coefficients = np.zeros((problem.basis.shape[1], m))
    before = problem.objective_of(problem.responses(theta) @ weights, float(np.linalg.norm(weights, axis=1).sum()))
    landed = Slide(problem).land(theta, weights, coefficients)
    assert can_slide(problem) and len(landed.theta) <= 6
    np.testing.assert_allclose(problem.neuron_costs(landed.theta), 1.0)
    after = landed.objective(problem)
    assert after <= before * (1 + 1e-9)
    np.testing.assert_allclose(landed.alpha, -problem.loss.gradient(landed.fit(problem), problem.targets) / problem.n)
    if m == 1 and not problem.penalty.jumps:
        master = CellMaster(problem)
        master.add(landed.theta, landed.weights)
        assert master.solve().objective(problem) <= after * (1 + 1e-9)


@pytest.mark.parametrize("loss", ["absolute", "hinge", "quantile"])
def test_what_has_no_gradient_does_not_slide(loss):
    rng = np.random.default_rng(0)
    problem = Problem(rng.standard_normal((9, 2)), np.where(rng.random(9) > 0.5, 1.0, -1.0), lam=0.1, loss=loss)
    assert not can_slide(problem) and not can_slide(problem.replace(lam=None, loss="squared"))
    assert first_network(problem, AscentOracle(problem), Options()) is None


@pytest.mark.parametrize("penalty", ["variation", "slope", "label_noise", "l1"])
@pytest.mark.parametrize("free", ["constant", "affine"])
def test_first_network_is_nearly_the_best(penalty, free):
    frame = _frame(penalty=penalty, free=free, n=60)
    problem = frame.inside
    first = first_network(problem, AscentOracle(problem, random_state=0), Options())
    best = solve(frame.original, method="active_cells").objective / frame.units.value
    assert best * (1 - 1e-9) <= first.objective <= 1.05 * best
    assert first.lower_bound <= best * (1 + 1e-9)


def test_no_seconds_no_steps():
    problem = _problem(n=60)
    master = SlidingMaster(problem)
    rng = np.random.default_rng(0)
    assert master.add(rng.standard_normal((20, 3)), rng.standard_normal((20, 1))) == 20 == len(master)
    before = master.here.objective(problem)
    stopped = master.solve(0.0).objective(problem)
    assert master.solve().objective(problem) < stopped < before


def test_dual_function_is_the_sum_over_the_data():
    problem, rng = _problem(m=3, n=700), np.random.default_rng(3)
    alpha, theta = rng.standard_normal((700, 3)), rng.standard_normal((5, 3))
    np.testing.assert_allclose(dual_function(problem, alpha, theta), problem.responses(theta).T @ alpha, rtol=1e-9)
