"""The master over active cells against the cvxpy program on the same cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from cellsolve import LabelNoise, Problem, enumerate_cells, interpolate, solve
from cellsolve.programs import group_lasso
from cellsolve.solvers.cell_master import CellMaster, facets_around
from cellsolve.solvers.conic import OutOfTime
from cellsolve.solvers.frame import Frame

LOSSES = ["squared", "absolute", "huber", "quantile", "logistic", "hinge", "squared_hinge", None]
PENALTIES = ["variation", "slope", "l1", "label_noise"]


def _frame(loss, penalty, free=None, n=9):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    y = X[:, 0] - np.abs(X[:, 1]) + 0.3 * rng.standard_normal(n)
    if loss in ("logistic", "hinge", "squared_hinge"):
        y = np.where(y > 0, 1.0, -1.0)
    lam = None if loss is None else 0.01
    return Frame.of(Problem(X, y, lam=lam, loss=loss or "squared", penalty=penalty, free=free))


def _problem(loss, penalty, free=None, n=9):
    return _frame(loss, penalty, free, n).inside


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_all_cells_at_once_are_the_reference_program(loss, penalty):
    frame = _frame(loss, penalty)
    problem = frame.inside
    cells = enumerate_cells(problem.lifted, fit_bias=False)
    master = CellMaster(problem)
    inner = cells.interior_points()
    for sign in (1.0, -1.0):
        master.add(inner, np.full((len(inner), 1), sign))
    assert len(master) == 2 * (len(cells) - 1)  # the cell without active points is of no use
    objective = master.solve().objective(problem)
    # ten times as many cells as neurons is hard on an interior-point method, exponential cones most of all
    miss = 5e-4 if loss == "logistic" else 5e-6
    certified = solve(frame.original, method="neurons")
    assert certified.gap <= 1e-6
    assert objective == pytest.approx(certified.objective / frame.units.value, rel=miss, abs=1e-9)
    reference = group_lasso(problem, cells=cells)
    reference.solve("CLARABEL")
    assert reference.problem.value == pytest.approx(objective, rel=2e-4, abs=1e-9)


def test_known_cells_are_not_added_again_and_idle_ones_are_dropped():
    problem = _problem("squared", "variation")
    master = CellMaster(problem)
    theta = np.random.default_rng(1).standard_normal((40, 3))
    first = master.add(theta, np.ones((40, 1)))
    assert first == len(master) > 5
    assert master.add(2.0 * theta, np.ones((40, 1))) == 0
    assert master.add(theta[:1], -np.ones((1, 1))) == 1
    objectives = []
    for _ in range(3):
        solution = master.solve()
        fit = problem.responses(solution.theta) @ solution.weights
        objectives.append(problem.objective_of(fit, float(np.abs(solution.weights).sum())))
        master.after(solution, True)
    assert len(master) < first
    assert objectives == sorted(objectives, reverse=True)


def test_time_limit():
    problem = _problem("squared", "variation", n=60)
    master = CellMaster(problem)
    master.add(np.random.default_rng(1).standard_normal((50, 3)), np.ones((50, 1)))
    with pytest.raises(OutOfTime):
        master.solve(max_time=0.0)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_facets_describe_the_cell(d, scale):
    """They are the constraints without which some direction of the cell breaks them, as linear programs see it."""
    rng = np.random.default_rng(d)
    points = np.column_stack([rng.standard_normal((25, d)), np.ones(25)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pointed = 0
    for theta in scale * rng.standard_normal((12, d + 1)):
        rows = facets_around(points, theta)
        sides = np.where(points @ theta > 0, 1.0, -1.0)[:, None] * points

        def least(row, others):
            return linprog(row, A_ub=-others, b_ub=np.zeros(len(others)), bounds=(-1, 1), method="highs").fun

        needed = {i for i in range(25) if least(sides[i], np.delete(sides, i, axis=0)) < -1e-9}
        assert set(rows.tolist()) <= needed
        if least(theta / scale, sides) > -1e-9:  # no direction of the cell turns away from theta
            assert set(rows.tolist()) == needed
            pointed += 1
    assert pointed


@pytest.mark.parametrize("penalty", PENALTIES)
def test_active_cells_find_what_every_cell_gives(penalty):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((11, 2))
    y = np.abs(X[:, 0]) - X[:, 1] ** 2
    some = solve(X, y, lam=0.02, penalty=penalty, method="active_cells")
    every = solve(X, y, lam=0.02, penalty=penalty, method="all_cells")
    assert some.status == every.status == "optimal"
    assert some.objective == pytest.approx(every.objective, rel=2e-6)
    some, every = (interpolate(X, y, penalty=penalty, method=method) for method in ("active_cells", "all_cells"))
    assert some.gap <= 1e-6 and some.objective == pytest.approx(every.objective, rel=2e-6)


def test_neurons_on_borders_count_in_the_cell_that_they_come_from():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, y = rng.uniform(-1, 1, (8, 2)), rng.standard_normal(8)
        found = interpolate(X, y, penalty=LabelNoise(full=True), method="all_cells")
        assert found.status == "optimal", seed
