"""Method "active_cells": the convex program (G) on the few cells that matter, found by ascents and sliding.

For the squared loss the last digits are those of program (L) on neurons in these cells: most neurons of a solution lie
in corners of cells, where the neighbours of a corner cost one number each, and a cell costs D and its facets.
"""

from __future__ import annotations

import numpy as np

from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.conic_master import ConicMaster
from cellsolve.solvers.generation import Outcome, Patience, better, generate
from cellsolve.solvers.gram_master import GramMaster
from cellsolve.solvers.masters import neuron_master
from cellsolve.solvers.neuron_master import NeuronMaster
from cellsolve.solvers.neurons import independent, interpolating_neurons
from cellsolve.solvers.options import Options
from cellsolve.solvers.sliding_master import first_network

#: for the squared loss: cells until a round gains less than this share, then rays within them
UNTIL = Patience(1, 1e-4)
#: below this share of the objective of zero a network nearly interpolates: inner products lose the digits of its rest
TIGHT = 1e-4


def solve_active_cells(problem: Problem, oracle, options: Options) -> Outcome:
    """Solve the normalized `problem`; the oracle decides whether the bound is a proof."""
    master = CellMaster(problem)
    neurons = neuron_master(problem)
    first = first_network(problem, oracle, options)
    if first is not None and first.stopped:
        return first
    start = options.start if first is None else first.solution
    if start is not None:
        master.add(start.theta, start.weights)
    if problem.interpolates:
        rng = np.random.default_rng(options.random_state)
        theta, weights = independent(problem, interpolating_neurons(problem, neurons, rng))
        neurons.add(theta)
        master.add(theta, weights[:, None])
    run = options.budget, options.tol, options.report
    main: CellMaster | NeuronMaster = master
    other: CellMaster | NeuronMaster = neurons
    if isinstance(neurons, GramMaster) and not oracle.exact:  # of few cells the program over cells is soon exact
        first = generate(problem, master, oracle.ascents or oracle, *run, patience=UNTIL, start=first)
        if first.stopped or first.status is Status.OPTIMAL:
            return first
        if first.share(problem) > TIGHT:
            neurons.add(first.solution.theta, first.solution.weights)
            main, other = neurons, master
    outcome = generate(problem, main, oracle, *run, start=first)
    if not outcome.falls_short(problem, options.asked) or options.budget.spent:
        return outcome
    # the convex solver came to its end on this program; the other one has another end
    if isinstance(other, GramMaster) and outcome.share(problem) <= TIGHT:
        other = ConicMaster(problem)
    other.add(outcome.solution.theta, outcome.solution.weights)
    return better(problem, outcome, generate(problem, other, oracle, *run))
