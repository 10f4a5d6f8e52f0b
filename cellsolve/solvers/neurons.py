"""Method "neurons": program (L) on generated neurons, until no neuron violates the dual constraint.

This is de Dios & Bruna's eq. 21 for locations that are not known: the oracle finds them.
"""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic_master import ConicMaster
from cellsolve.solvers.generation import Outcome, better, generate
from cellsolve.solvers.gram_master import GramMaster
from cellsolve.solvers.group_master import GroupMaster
from cellsolve.solvers.masters import neuron_master
from cellsolve.solvers.neuron_master import NeuronMaster
from cellsolve.solvers.options import Options
from cellsolve.solvers.sliding_master import first_network

#: relative residual up to which first neurons count as interpolating: what a convex solver can reach
FEASIBLE = 1e-9
#: below this share of the objective of zero a network of several outputs nearly interpolates: inner products lose the
#: digits of its rest
TIGHT = 0.03
#: a response that is in the span of others but for this share is one of them
RANK = 1e-12


def solve_neurons(problem: Problem, oracle, options: Options) -> Outcome:
    """Solve the normalized `problem`; the oracle decides whether the bound is a proof."""
    master = neuron_master(problem)
    first = first_network(problem, oracle, options)
    if first is not None and first.stopped:
        return first
    if isinstance(master, GroupMaster) and (first is None or first.share(problem) <= TIGHT):
        master = ConicMaster(problem)
    start = options.start if first is None else first.solution
    if start is not None:
        master.add(start.theta)
    if problem.interpolates:
        master.add(interpolating_neurons(problem, master, np.random.default_rng(options.random_state)))
    run = options.budget, options.tol, options.report
    outcome = generate(problem, master, oracle, *run, start=first)
    if isinstance(master, GramMaster) and outcome.falls_short(problem, options.asked) and not options.budget.spent:
        exact = ConicMaster(problem)  # inner products came to their end
        exact.add(outcome.solution.theta)
        outcome = better(problem, outcome, generate(problem, exact, oracle, *run))
    return outcome


def interpolating_neurons(problem: Problem, master: NeuronMaster, rng: np.random.Generator) -> Array:
    """Return neurons on which some network interpolates: dots connected along a line, then random ones.

    Raises
    ------
    ValueError
        No network interpolates: y breaks a linear relation of the responses (possible without biases only).
    """
    lifted = problem.lifted
    n, D = lifted.shape
    candidates = []
    if problem.fit_bias:
        candidates.append(_along_a_line(lifted, rng))
    for count in (4 * n, 16 * n):
        candidates.append(_aimed(lifted, rng.standard_normal((count, D)), rng))
    theta = np.zeros((0, D))
    for more in candidates:
        if problem.penalty.jumps:  # off the borders, where w would depend on rounding
            more = more + 1e-9 * np.linalg.norm(more, axis=1, keepdims=True) * rng.standard_normal(more.shape)
        theta = np.concatenate([theta, more])
        columns = np.hstack([master.columns, _unit_columns(problem.responses(theta)), problem.basis])
        miss = problem.targets - columns @ np.linalg.lstsq(columns, problem.targets, rcond=1e-12)[0]
        if np.abs(miss).max() <= FEASIBLE * np.abs(problem.targets).max(initial=1.0):
            return theta
    raise ValueError(
        "no network interpolates: y breaks a linear relation that all responses fulfil. "
        "Use fit_bias=True, a larger free part, or lam."
    )


def independent(problem: Problem, theta: Array) -> tuple[Array, Array]:
    """Return as many of these neurons as their responses and the free part span, and weights that interpolate."""
    from scipy.linalg import qr

    sizes = np.linalg.norm(theta, axis=1) * np.linalg.norm(problem.lifted, axis=1).max()
    theta = theta[problem.responses(theta).max(axis=0) > RANK * sizes]  # the others respond by rounding
    if not len(theta):
        raise ValueError("no neuron responds by more than rounding: the columns of X are on scales too far apart.")
    columns = np.hstack([_unit_columns(problem.basis), _unit_columns(problem.responses(theta))])
    triangle, order = qr(columns, mode="r", pivoting=True)
    diagonal = np.abs(np.diagonal(triangle))
    kept = np.sort(order[: int(np.sum(diagonal > RANK * diagonal[0]))])
    weights = np.linalg.lstsq(columns[:, kept], problem.targets[:, 0], rcond=None)[0]
    free = problem.basis.shape[1]
    return theta[kept[kept >= free] - free], weights[kept >= free]


def _along_a_line(lifted: Array, rng: np.random.Generator) -> Array:
    """Neurons that are constant across a random direction, with a kink at each point's place along it."""
    points, one = lifted[:, :-1], lifted[:, -1:]
    spread = points.std(axis=0)
    direction = rng.standard_normal(points.shape[1]) / np.where(spread > 0, spread, 1.0)
    direction /= np.linalg.norm(direction) or 1.0
    place = points @ direction
    theta = np.column_stack([np.tile(direction, (len(points), 1)), -place / one[:, 0]])
    constant = np.append(np.zeros(points.shape[1]), 1.0)
    return np.concatenate([theta, -theta, constant[None]])


def _aimed(lifted: Array, directions: Array, rng: np.random.Generator) -> Array:
    """Half of the directions, and the other half turned so that their hyperplane meets a random data point."""
    half = len(directions) // 2
    aim = lifted[rng.integers(len(lifted), size=half)]
    size = np.maximum(np.sum(aim**2, axis=1, keepdims=True), np.finfo(float).tiny)
    turned = directions[:half] - np.sum(directions[:half] * aim, axis=1, keepdims=True) / size * aim
    return np.concatenate([turned, directions[half:]])


def _unit_columns(columns: Array) -> Array:
    size = np.linalg.norm(columns, axis=0)
    return columns / np.where(size > 0, size, 1.0)
