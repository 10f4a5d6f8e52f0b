"""Method "active_cells": the convex program (G) on the few cells that matter, found by ascents and sliding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellsolve.certificate import relative_gap
from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.generation import Outcome, generate
from cellsolve.solvers.neuron_master import neuron_master
from cellsolve.solvers.neurons import interpolating_neurons
from cellsolve.solvers.options import Options


def solve_active_cells(problem: Problem, oracle, options: Options) -> Outcome:
    """Solve the normalized `problem`; the oracle decides whether the bound is a proof."""
    master = CellMaster(problem)
    theta = np.zeros((0, problem.lifted.shape[1])) if options.neurons is None else options.neurons
    if problem.interpolates:
        rng = np.random.default_rng(options.random_state)
        theta = np.concatenate([theta, interpolating_neurons(problem, neuron_master(problem), rng)])
    for sign in (1.0, -1.0):
        master.add(theta, np.full(len(theta), sign))
    outcome = generate(problem, master, oracle, options.budget, options.tol, options.report)
    gap = relative_gap(outcome.objective, outcome.lower_bound, problem.scale)
    if outcome.status is not Status.STALLED or gap <= options.asked or options.budget.spent:
        return outcome
    # the convex solver came to its end on these cones; program (L) on the same neurons is a simpler one
    neurons = neuron_master(problem)
    neurons.add(np.concatenate([outcome.solution.theta, theta]))
    return _better(outcome, generate(problem, neurons, oracle, options.budget, options.tol, options.report))


def _better(first: Outcome, second: Outcome) -> Outcome:
    """The lower objective and the higher bound of two runs."""
    upper = first if first.objective < second.objective else second
    lower = first if first.lower_bound > second.lower_bound else second
    history = first.history + second.history
    return replace(
        second,
        solution=upper.solution,
        objective=upper.objective,
        alpha=lower.alpha,
        lower_bound=lower.lower_bound,
        supremum=lower.supremum,
        history=history,
    )
