"""From a nearly optimal network to a sparse one: neurons between which the dual function stays at its bound are one.

By complementary slackness every minimiser lives where |phi_alpha| = lam w. An interior-point method spreads the weight
of one neuron over all that are near it: over the cells that share the face on which it lies, over both facings where
the affine part is free. Their sum is in the contact set too, but for the distance that the bound drops between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cellsolve.data import Array
from cellsolve.oracles.ascent import dual_function
from cellsolve.problem import Problem
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.conic import MasterSolution, SolverFailure
from cellsolve.solvers.polish import can_polish, polish

#: when two neurons are tried as one, the most daring first: drops below the bound, relative to it, and distances of
#: directions, for contact sets that are more than points (`slope`), where no drop alone will do
TRIALS = ((1e-2, 2.0), (1e-3, 2.0), (1e-4, 2.0), (1e-5, 2.0), (1e-6, 2.0), (1e-7, 2.0), (1e-4, 1e-2), (1e-6, 1e-4))
#: the same for no more than what a convex solver leaves
CAREFUL = ((1e-7, 2.0),)
#: the sums of a program's neurons meet again in fewer cells
PASSES = 3
#: neurons times coordinates: a program with more takes longer than what is gained by it
LARGEST = 4000
#: objectives that differ by this share are one but for what a convex solver leaves
SAME = 1e-9
#: what not quite meeting the data may save, as a share of the norm
SAVED = 1e-6
#: data are met where the largest residual is this share of the targets: what the convex solvers are asked for
MET = 1e-10
#: neighbours of a neuron that are looked at
NEIGHBOURS = 8
#: places from one neuron to another where the dual function is evaluated
PLACES = np.linspace(0.0, 1.0, 7)
#: neurons lighter than this share of the norm are solver dust
DUST = 1e-9
#: a polished dual vector larger than the master's by this is one of many that solve a singular system, and no bound
BEYOND = 1e8


def can_gather(problem: Problem) -> bool:
    """One output, and a w that is continuous between cells."""
    return problem.n_outputs == 1 and not problem.penalty.jumps


def gather(
    problem: Problem,
    solution: MasterSolution,
    alpha: Array,
    objective: float,
    allowed: float,
    left: Callable[[], float],
    trials: Sequence[tuple[float, float]] = TRIALS,
) -> MasterSolution | None:
    """Return a network of few neurons, each at its best place in its cell, that is about as good, or better.

    Parameters
    ----------
    solution : MasterSolution
        A nearly optimal network.
    alpha : (n, 1)
        A nearly optimal dual vector.
    objective, allowed : float
        What its objective is measured by: it is to be less than the sum. Fewer neurons are worth `allowed`.
    left : callable
        Says how many seconds are left.
    trials
        See `TRIALS`.

    Returns
    -------
    MasterSolution or None
        None where no attempt came down to that.
    """
    if not can_gather(problem) or solution.theta.size > LARGEST:
        return None
    best, least = None, np.inf
    room = max(solution.residual(problem), MET * np.abs(problem.targets).max())
    for drop, distance in trials:
        if left() <= 0 or (best is not None and distance < trials[0][1]):
            break
        found = _gathered(problem, solution, alpha, drop, distance, min(objective, least) + allowed, left)
        if found is None:
            continue
        value = found.objective(problem)
        if value > min(objective, least) + allowed or (problem.interpolates and found.residual(problem) > room):
            continue
        if best is not None and value >= least - allowed:  # no better, so it has to have fewer neurons
            if len(found.theta) > len(best.theta) or (len(found.theta) == len(best.theta) and value >= least):
                break
        best, least = found, value
    return best


def _gathered(
    problem: Problem,
    solution: MasterSolution,
    alpha: Array,
    drop: float,
    distance: float,
    most: float,
    left: Callable[[], float],
) -> MasterSolution | None:
    """One attempt; None where the cells of the sums do not hold a network of an objective of at most `most`."""
    for again in range(PASSES):
        sums, signs = together(problem, solution, alpha, drop, distance)
        if again and len(sums) == len(solution.theta):
            break
        master = CellMaster(problem)
        master.add(sums, signs)
        try:
            solution = master.solve(left())
        except SolverFailure:
            return None
    if not problem.interpolates and solution.objective(problem) > most * (1 + SAME):
        return None
    if not can_polish(problem):
        return solution
    exact = polish(problem, solution, left)
    room = SAVED if problem.interpolates else SAME
    if exact is None or exact.objective(problem) > solution.objective(problem) * (1 + room):
        return solution
    singular = np.abs(exact.alpha).max() > BEYOND * np.abs(solution.alpha).max()
    return replace(exact, alpha=solution.alpha) if singular else exact


def together(
    problem: Problem, solution: MasterSolution, alpha: Array, drop: float, distance: float = 2.0
) -> tuple[Array, Array]:
    """Sum the neurons of one sign between which |phi| / (level w) is nowhere below 1 - drop; return sums and signs.

    Only neighbours whose directions are within `distance` are joined.
    """
    size = np.abs(solution.weights[:, 0])
    keep = size > DUST * size.sum()
    u, signs = size[keep, None] * solution.theta[keep], np.sign(solution.weights[keep, 0])
    if len(u) < 2:
        return u, signs[:, None]
    count, labels = components(problem, u, signs, alpha, drop, distance)
    lengths = np.linalg.norm(u, axis=1)
    heaviest = np.argsort(-lengths, kind="stable")
    leaders = np.empty(count, dtype=int)
    leaders[labels[heaviest[::-1]]] = heaviest[::-1]
    if problem.one_facing:
        u = u * np.where(np.sum(u * u[leaders[labels]], axis=1) < 0, -1.0, 1.0)[:, None]
    sums = np.zeros((count, u.shape[1]))
    np.add.at(sums, labels, u)
    return sums, signs[leaders, None]


def components(
    problem: Problem, u: Array, signs: Array, alpha: Array, drop: float, distance: float = 2.0
) -> tuple[int, np.ndarray]:
    """Number the sets of neurons between which the dual function, of these signs, stays above 1 - drop of its bound.

    Returns their count, and the number of each neuron's set.
    """
    first, second, facing = _neighbours(problem, u, signs)
    lengths = np.linalg.norm(u, axis=1, keepdims=True)
    start, end = u[first] / lengths[first], facing[:, None] * u[second] / lengths[second]
    between = ((1 - PLACES)[:, None] * start[:, None] + PLACES[:, None] * end[:, None]).reshape(-1, u.shape[1])
    phi = dual_function(problem, alpha, between)[:, 0].reshape(-1, len(PLACES)) * signs[first, None]
    cost = problem.neuron_costs(between).reshape(-1, len(PLACES)) * problem.level
    joined = np.all((phi >= (1 - drop) * cost) & (cost > 0), axis=1)
    joined &= np.linalg.norm(start - end, axis=1) <= distance
    graph = coo_matrix((np.ones(joined.sum()), (first[joined], second[joined])), (len(u), len(u)))
    return connected_components(graph, directed=False)


def _neighbours(problem: Problem, u: Array, signs: Array) -> tuple[np.ndarray, np.ndarray, Array]:
    """Pairs (first, second) of neurons of one sign, each with those nearest to it, and -1 where they face apart."""
    directions = u / np.linalg.norm(u, axis=1, keepdims=True)
    cosines = directions @ directions.T
    facing = np.where(cosines < 0, -1.0, 1.0) if problem.one_facing else np.ones_like(cosines)
    closeness = np.where(signs[:, None] == signs, facing * cosines, -np.inf)
    np.fill_diagonal(closeness, -np.inf)
    near = np.argsort(-closeness, axis=1, kind="stable")[:, :NEIGHBOURS]
    first, second = np.repeat(np.arange(len(u)), near.shape[1]), near.ravel()
    real = closeness[first, second] > 0
    first, second = first[real], second[real]
    return first, second, facing[first, second]
