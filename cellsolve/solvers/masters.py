"""Which master of program (L) a problem gets."""

from __future__ import annotations

from cellsolve.problem import Problem
from cellsolve.solvers.conic_master import ConicMaster
from cellsolve.solvers.gram_master import GramMaster
from cellsolve.solvers.group_master import GroupMaster
from cellsolve.solvers.linear_master import LinearMaster
from cellsolve.solvers.neuron_master import NeuronMaster


def neuron_master(problem: Problem, count: int = 0) -> NeuronMaster:
    """Return the master that fits the problem, and so many neurons: inner products pay where there are more points."""
    one = problem.n_outputs == 1
    if one and (problem.interpolates or problem.loss.conic(problem.targets[:1, 0]).is_linear):
        return LinearMaster(problem)
    if not problem.interpolates and problem.loss.name == "squared" and 2 * count <= problem.n:
        return GramMaster(problem) if one else GroupMaster(problem)
    return ConicMaster(problem)
