"""Method "all_cells": the reference, one convex program (G) over every cell through cvxpy."""

from __future__ import annotations

import numpy as np

from cellsolve.problem import Problem
from cellsolve.programs import group_lasso
from cellsolve.solution import Round, Status
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.generation import Outcome, lower_bound_of
from cellsolve.solvers.options import Options

#: weights below this share of the norm are what an interior-point method leaves where a weight should be zero
DUST = 1e-9


def solve_all_cells(problem: Problem, oracle, options: Options) -> Outcome:
    """Solve (G) over the oracle's cells; `oracle` has to be exhaustive."""
    program = group_lasso(problem, cells=oracle.data_cells)
    program.solve(options.solver)
    theta, signs = program.atoms()
    cells = np.flatnonzero(oracle.data_cells.patterns.any(axis=1))
    theta = oracle.inside(theta, np.tile(cells, 2))  # rounding may have put them into the cell beside, at another cost
    cost = problem.neuron_costs(theta)
    keep = cost > DUST * max(cost.sum(), np.finfo(float).tiny)
    weights, theta = signs[keep] * cost[keep, None], theta[keep] / cost[keep, None]
    solution = MasterSolution(theta, weights, program.coefficients(), program.alpha())
    objective = solution.objective(problem)
    alpha = problem.dual_candidate(solution.alpha)
    supremum = oracle.price(alpha, problem.level).supremum
    lower = lower_bound_of(problem, alpha, supremum)
    history = [Round(options.budget.elapsed, objective, lower, len(oracle.data_cells))]
    if options.report is not None:
        options.report(history[0])
    return Outcome(solution, objective, alpha, lower, supremum, Status.STALLED, history)
