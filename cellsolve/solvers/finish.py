"""From an outcome to an answer: few neurons, their weights solved for again, the certificate in exact arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellsolve.certificate import Certificate, exact_dual, exact_lower_bound, statement
from cellsolve.data import Array, fingerprint
from cellsolve.measure import SparseMeasure
from cellsolve.problem import Problem, Units
from cellsolve.solution import Status
from cellsolve.solvers.conic import MasterSolution, SolverFailure
from cellsolve.solvers.generation import Budget, Outcome, lower_bound_of
from cellsolve.solvers.neuron_master import neuron_master
from cellsolve.solvers.polish import can_polish, polish

#: distances of directions within which neurons are tried as one, the widest first
MERGE_TRIALS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
#: relative room between the oracle's supremum and the claim, for the multipliers that a checker finds by itself, by the
#: order of the potential: exact least squares, or a linear program in floating point
CHECKER_ROOM = {2: 1e-12, 1: 1e-10}
#: neurons lighter than this share of the norm are solver dust
DUST = 1e-9


def refine(problem: Problem, outcome: Outcome, oracle, budget: Budget) -> Outcome:
    """Return the outcome with its neurons polished, where that makes the gap no larger."""
    if not can_polish(problem) or outcome.status in (Status.UNPROVEN, Status.TIME_LIMIT, Status.INTERRUPTED):
        return outcome
    solution = outcome.solution
    theta, weights = solution.theta, solution.weights
    size = np.abs(weights[:, 0])
    keep = size > DUST * size.sum()
    nearly = theta[keep], weights[keep], solution.coefficients, outcome.objective
    polished = polish(problem, *nearly, spent=lambda: budget.spent)
    if polished is None:
        return outcome
    alpha = problem.dual_candidate(polished.alpha)
    lower = lower_bound_of(problem, alpha, oracle.price(alpha, problem.level).supremum)
    better = lower > outcome.lower_bound
    return replace(
        outcome,
        solution=MasterSolution(polished.theta, polished.weights, polished.coefficients, polished.alpha),
        objective=polished.objective,
        alpha=alpha if better else outcome.alpha,
        lower_bound=lower if better else outcome.lower_bound,
    )


def tidy(original: Problem, problem: Problem, units: Units, outcome: Outcome, allowed: float) -> SparseMeasure:
    """Return the outcome's network in the caller's units, merged and pruned, its objective up by at most `allowed`.

    Merging neurons that are not parallel changes the function; what decides is the objective after their weights
    were solved for once more.
    """
    solution = outcome.solution
    weights, theta = solution.weights, solution.theta
    if not len(theta):
        return _outside(original, units, theta, weights, solution.coefficients)
    size = np.linalg.norm(weights, axis=1)
    keep = size > DUST * size.sum()
    raw = _outside(original, units, theta[keep], weights[keep], solution.coefficients)
    limit = original.objective(raw) + allowed
    miss = max(original.residual(raw), 1e-10 * np.abs(original.targets).max())
    trials = [raw.merge(tol).neurons for tol in (*MERGE_TRIALS, 0.0)]
    if problem.interpolates and problem.basis.shape[1]:
        trials.insert(0, raw.neurons[:0])  # the free part alone may do
    for neurons in trials:
        merged = _weigh_again(original, problem, units, neurons)
        if merged is None or original.objective(merged) > limit:
            continue
        if not original.interpolates or original.residual(merged) <= miss:
            raw = merged
            break
    pruned = raw.prune(original.X, original.penalty)
    return pruned if pruned.n_neurons < raw.n_neurons else raw.normalized(original.penalty, original.X)


def _outside(original: Problem, units: Units, theta: Array, weights: Array, coefficients: Array) -> SparseMeasure:
    return original.measure(units.neurons(theta), units.weights(weights), units.coefficients(coefficients))


def _weigh_again(original: Problem, problem: Problem, units: Units, theta: Array) -> SparseMeasure | None:
    """Solve (L) on these neurons; for interpolation the support is then fitted to rounding."""
    master = neuron_master(problem)
    master.add(units.neurons_inside(theta))
    try:
        solution = master.solve()
    except SolverFailure:
        return None
    size = np.linalg.norm(solution.weights, axis=1)
    keep = size > DUST * size.sum()
    weights, coefficients = solution.weights[keep], solution.coefficients
    if problem.interpolates:
        system = np.hstack([master.columns[:, keep], problem.basis])
        values = np.vstack([weights, coefficients])
        values = values + np.linalg.lstsq(system, problem.targets - system @ values, rcond=1e-10)[0]
        weights, coefficients = values[: keep.sum()], values[keep.sum() :]
    return _outside(original, units, master.theta[keep], weights, coefficients)


def _scaled_down(value: float, factor: float) -> float:
    """Value * factor, rounded down: a power of two is exact but in the subnormal range."""
    result = value * factor
    return result if result / factor == value else float(np.nextafter(result, -np.inf))


def certificate_of(
    original: Problem, problem: Problem, units: Units, oracle, alpha: Array, objective: float
) -> Certificate:
    """Return the certificate that `alpha` (of the normalized problem) proves, in the caller's units."""
    room = CHECKER_ROOM[problem.penalty.order]
    answers = []
    for candidate in (alpha, np.zeros_like(alpha)):  # alpha = 0 always proves something: the least loss possible
        dual = exact_dual(problem, candidate)
        supremum = oracle.price(candidate, problem.level, dual.correction()).supremum * (1 + room)
        lower = exact_lower_bound(problem, dual, supremum)
        answers.append((lower, supremum, dual))
    lower, supremum, dual = max(answers, key=lambda answer: answer[0])
    flat = units.alpha(dual.alpha)
    return Certificate(
        alpha=flat[:, 0] if original.y.ndim == 1 else flat,
        rows=dual.named_rows,
        supremum=units.supremum(supremum),
        lower_bound=_scaled_down(lower, units.value),
        objective=objective,
        scale=original.scale,
        data=fingerprint(original.X, original.y),
        **statement(original),
    )
