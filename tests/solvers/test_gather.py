"""Few neurons, each at its best place: gathering and Newton's method on the faces, against the reference program."""

from __future__ import annotations

import numpy as np
import pytest

from cellsolve import Problem, enumerate_cells, interpolate, solve
from cellsolve.programs import group_lasso
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.gather import can_gather, gather, together
from cellsolve.solvers.polish import polish


def _statement(n=40, **statement):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(n)
    if statement.get("loss") in ("logistic", "squared_hinge"):
        y = np.sign(y)
    return Problem(X, y, **({"lam": 1e-3} | statement))


def _problem(**statement):
    return Frame.of(_statement(**statement)).inside


def _solved(**statement):
    """The problem inside, the optimum in the cells where there is a neuron, and each neuron spread over four."""
    frame = Frame.of(_statement(**statement))
    problem = frame.inside
    measure = solve(frame.original).measure
    master = CellMaster(problem)
    master.add(frame.units.neurons_inside(measure.neurons), np.sign(measure.weights)[:, None])
    solution = master.solve()
    near = np.repeat(solution.theta, 4, axis=0)
    near = near + 1e-7 * np.random.default_rng(1).standard_normal(near.shape)
    near /= problem.neuron_costs(near)[:, None]
    spread = MasterSolution(near, np.repeat(solution.weights, 4, axis=0) / 4, solution.coefficients, solution.alpha)
    return problem, solution, spread


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic", "squared_hinge"])
@pytest.mark.parametrize("penalty", ["variation", "slope", "label_noise", "l1"])
@pytest.mark.parametrize("free", ["constant", "affine"])
def test_what_was_spread_is_gathered_again(loss, penalty, free):
    problem, solution, spread = _solved(loss=loss, penalty=penalty, free=free)
    best = solution.objective(problem)
    alpha = problem.dual_candidate(solution.alpha)
    gathered = gather(problem, spread, alpha, best, 1e-7 * best, lambda: np.inf)
    assert gathered is not None
    assert len(gathered.theta) <= len(solution.theta)
    assert gathered.objective(problem) <= best * (1 + 1e-7)


def test_no_attempt_below_the_limit_is_none():
    problem, solution, spread = _solved()
    limit = solution.objective(problem) * (1 - 1e-3)
    assert gather(problem, spread, problem.dual_candidate(solution.alpha), limit, 0.0, lambda: np.inf) is None


def test_neurons_with_a_dip_between_them_are_two():
    problem, solution, spread = _solved()
    sums, signs = together(problem, spread, problem.dual_candidate(solution.alpha), 1e-5)
    assert len(sums) == len(signs) <= len(solution.theta)
    everything, _ = together(problem, spread, problem.dual_candidate(solution.alpha), 10.0)
    assert len(everything) < len(sums)


def test_facings_meet_where_the_affine_part_is_free():
    problem = _problem(free="affine")
    assert problem.one_facing
    assert not _problem().one_facing
    assert not _problem(free="affine", penalty="label_noise").one_facing
    theta = np.array([[1.0, 0.3, 0.1], [-1.0, -0.3, -0.1]])
    both = MasterSolution(theta, np.array([[2.0], [3.0]]), np.zeros((3, 1)), np.zeros((40, 1)))
    sums, _ = together(problem, both, np.zeros((40, 1)), 2.0)
    np.testing.assert_allclose(np.abs(sums), [np.abs(5.0 * theta[0])])


@pytest.mark.parametrize("loss", ["squared", "absolute", "logistic", None])
@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_half_of_the_cells_are_enough_where_the_affine_part_is_free(loss, penalty):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9, 2))
    y = X[:, 0] - np.abs(X[:, 1]) + 0.3 * rng.standard_normal(9)
    if loss == "logistic":
        y = np.array([1.0, -1, 1, 1, -1, -1, 1, -1, 1])
    problem = Problem(X, y, lam=None if loss is None else 0.01, loss=loss or "squared", penalty=penalty, free="affine")
    problem = problem.normalized()[0]
    cells = enumerate_cells(problem.lifted, fit_bias=False)
    master, inner = CellMaster(problem), cells.interior_points()
    for sign in (1.0, -1.0):
        master.add(inner, np.full((len(inner), 1), sign))
    assert len(master) == len(cells) - 2  # of all, without the two in which the responses are linear
    reference = group_lasso(problem, cells=cells)
    reference.solve("CLARABEL")
    assert master.solve().objective(problem) == pytest.approx(reference.problem.value, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("penalty", ["variation", "label_noise"])  # under slope a bias may be held by nothing
def test_polishing_is_stationary(penalty):
    problem, solution, _ = _solved(penalty=penalty)
    exact = polish(problem, solution)
    assert exact is not None
    assert exact.objective(problem) <= solution.objective(problem) * (1 + 1e-12)
    # complementary slackness: every neuron touches the bound
    phi = problem.responses(exact.theta).T @ exact.alpha[:, 0]
    np.testing.assert_allclose(phi * np.sign(exact.weights[:, 0]), problem.level, rtol=1e-9)


def test_an_interpolant_with_few_neurons():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, 40))[:12]
    y = (np.sin(np.sort(np.random.default_rng(0).uniform(-3, 3, 40))) + 0.1 * rng.standard_normal(40))[:12]
    solution = interpolate(x, y, free="affine")
    assert solution.measure.n_neurons == 7
    assert solution.residual <= 1e-12 and solution.gap <= 1e-8


def test_a_singular_system_has_no_dual_vector_to_tell():
    """Many points on hinges of few neurons: the multipliers that solve for them may be of any size."""
    rng = np.random.default_rng([2, 5, 6])
    X, through = rng.uniform(-1, 1, (12, 2)), rng.uniform(-1, 1, (5, 2))
    slopes = rng.standard_normal((5, 2))
    neurons = np.column_stack([slopes, -np.sum(slopes * through, axis=1)])
    y = np.maximum(np.c_[X, np.ones(12)] @ neurons.T, 0) @ rng.choice([-1.0, 1.0], 5)
    solution = interpolate(X, y)  # overflow would be a warning
    assert solution.status == "optimal" and solution.gap <= 1e-8


@pytest.mark.parametrize(("free", "neurons"), [("none", 22), ("affine", 19)])
def test_facings_that_may_be_one_are_not_two(free, neurons):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (100, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(100)
    solution = solve(X, y, lam=1e-3, free=free)
    assert solution.status == "optimal" and solution.measure.n_neurons <= neurons


def test_jumps_are_not_gathered():
    from cellsolve import LabelNoise

    assert not can_gather(_problem(penalty=LabelNoise(full=True)))
