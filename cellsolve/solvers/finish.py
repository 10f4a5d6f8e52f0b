"""From an outcome to an answer: few neurons, their weights solved for again, the certificate in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cellsolve.certificate import Certificate, statement
from cellsolve.data import Array, fingerprint
from cellsolve.exact_dual import ExactDual, exact_dual, exact_lower_bound
from cellsolve.measure import SparseMeasure
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem
from cellsolve.solution import Status
from cellsolve.solvers.conic import SolverFailure
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.gather import DUST, gather
from cellsolve.solvers.generation import Budget, Outcome, lower_bound_of
from cellsolve.solvers.masters import neuron_master

#: distances of directions within which neurons are tried as one, the widest first
MERGE_TRIALS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
#: two directions face apart where their sum is at most this: the square root of what the objective settles
OPPOSED = 1e-5
#: relative room between the oracle's supremum and the claim, for the multipliers that a checker finds by itself, by the
#: order of the potential: exact least squares, or a linear program in floating point
CHECKER_ROOM = {2: 1e-12, 1: 1e-9}
#: rows up to which a final network is made basic, by dense algebra; with more rows than that it has fewer neurons
PRUNABLE = 2000
#: and a network that is final already: what is superfluous there is a kink or two, which many rows do not tell apart
FEW_ROWS = 300
#: share of the time so far, and seconds beside it, that an answer may take when there is no time left
GRACE = 0.25


def finish(
    frame: Frame, outcome: Outcome, oracle, budget: Budget, allowed: float
) -> tuple[SparseMeasure, Certificate, bool]:
    """Return the network, its certificate, and whether Ctrl-C cut this short: then it is what there was before.

    Parameters
    ----------
    frame : Frame
    outcome : Outcome
        Of the problem inside the frame.
    allowed : float
        By how much the objective may rise for the sake of fewer neurons, in each of two steps.
    """
    interrupted = False
    late = Budget(GRACE * (1 + budget.elapsed))
    if outcome.status is Status.INTERRUPTED:
        budget = late
    elif budget.left > late.left:
        late = Budget(budget.left)
    try:
        if not outcome.final:
            outcome = refine(frame.inside, outcome, oracle, budget, allowed)
        measure = tidy(frame, outcome, allowed * frame.units.value, late)
    except KeyboardInterrupt:
        interrupted = True
        measure = _as_it_is(frame, outcome)
    objective = frame.original.objective(measure)
    for seconds in (late.left, GRACE):
        try:
            return measure, certificate_of(frame, oracle, outcome, objective, seconds), interrupted
        except KeyboardInterrupt:
            interrupted = True
    return measure, certificate_of(frame, None, outcome, objective), interrupted  # the bound that needs no search


def refine(problem: Problem, outcome: Outcome, oracle, budget: Budget, allowed: float) -> Outcome:
    """Return the outcome with few neurons, each at its best place, its objective up by at most `allowed`.

    An interpolant that met the data less closely before may rise by what that had saved.
    """
    known = max(outcome.objective, outcome.lower_bound)  # an interpolant that misses a little may be below
    sharp = gather(problem, outcome.solution, outcome.alpha, known, allowed, lambda: budget.left)
    if sharp is None:
        return outcome
    better = replace(outcome, solution=sharp, objective=sharp.objective(problem), sparse=True)
    settled = outcome.status in (Status.OPTIMAL, Status.UNPROVEN)  # proven, or a proof was given up already
    if not oracle.proves or outcome.stopped or (settled and not oracle.exact):
        return better
    alpha = problem.dual_candidate(sharp.alpha)
    pricing = oracle.price(alpha, problem.level, max_time=budget.left)
    lower = lower_bound_of(problem, alpha, pricing.supremum)
    if lower > outcome.lower_bound:
        better = replace(better, alpha=alpha, supremum=pricing.supremum, tree=pricing.tree, lower_bound=lower)
    return better


def tidy(frame: Frame, outcome: Outcome, allowed: float, budget: Budget) -> SparseMeasure:
    """Return the outcome's network in the caller's units, merged and pruned, its objective up by at most `allowed`.

    Merging neurons that are not parallel changes the function; what decides is the objective after their weights
    were solved for once more.
    """
    original, problem = frame.original, frame.inside
    raw = _as_it_is(frame, outcome)
    if not raw.n_neurons:
        return raw
    if outcome.final:
        few = original.n <= FEW_ROWS and raw.n_neurons > original.n - problem.basis.shape[1]
        return raw.prune(original.X, original.penalty) if few else raw
    limit = original.objective(raw) + allowed
    miss = max(original.residual(raw), 1e-10 * np.abs(original.targets).max())
    for neurons in _fewer(raw, outcome.sparse, bool(problem.interpolates and problem.basis.shape[1])):
        if budget.spent:
            break
        merged = _weigh_again(frame, neurons, budget.left)
        if merged is None or original.objective(merged) > limit:
            continue
        if not original.interpolates or original.residual(merged) <= miss:
            raw = merged
            break
    pruned = raw.prune(original.X, original.penalty)
    return pruned if pruned.n_neurons < raw.n_neurons else raw.normalized(original.penalty, original.X)


def _fewer(raw: SparseMeasure, sparse: bool, free_alone: bool) -> Iterator[Array]:
    """Yield neurons that may do instead, the fewest first."""
    if free_alone:
        yield raw.neurons[:0]
    if not sparse:
        for tol in (*MERGE_TRIALS, 0.0):
            yield raw.merge(tol).neurons
        return
    opposed = _opposed(raw.neurons, raw.weights)
    if not np.array_equal(opposed, raw.neurons):
        yield opposed


def _opposed(theta: Array, weights: Array) -> Array:
    """Turn neurons of one sign that face apart, but for what a solver leaves, exactly apart.

    relu(t) - relu(-t) = t: then they are linearly dependent, and all but a few of them need not be two.
    """
    theta, signs = theta.copy(), np.sign(weights)
    for k in range(len(theta)):
        lengths = np.linalg.norm(theta, axis=1)
        sums = np.linalg.norm(theta[:k] / lengths[:k, None] + theta[k] / lengths[k], axis=1)
        near = np.flatnonzero((sums <= OPPOSED) & np.all(signs[:k] == signs[k], axis=tuple(range(1, signs.ndim))))
        if len(near):
            theta[k] = -theta[near[0]] * (lengths[k] / lengths[near[0]])
    return theta


def _as_it_is(frame: Frame, outcome: Outcome) -> SparseMeasure:
    solution = outcome.solution
    if outcome.final:
        return frame.measure(solution.theta, solution.weights, solution.coefficients)
    size = np.linalg.norm(solution.weights, axis=1)
    keep = size > DUST * size.sum()
    return frame.measure(solution.theta[keep], solution.weights[keep], solution.coefficients)


def _weigh_again(frame: Frame, theta: Array, max_time: float) -> SparseMeasure | None:
    """Solve (L) on these neurons; for interpolation the support is then fitted to rounding."""
    problem = frame.inside
    master = neuron_master(problem, len(theta))
    master.add(frame.neurons_inside(theta))
    try:
        solution = master.solve(max_time)
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
    return frame.measure(solution.theta[keep], weights, coefficients)


def _scaled_down(value: float, factor: float) -> float:
    """Value * factor, rounded down: a power of two is exact but in the subnormal range."""
    result = value * factor
    return result if result / factor == value else float(np.nextafter(result, -np.inf))


def certificate_of(frame: Frame, oracle, outcome: Outcome, objective: float, max_time: float = np.inf) -> Certificate:
    """Return the certificate that the dual vector of `outcome` proves, in the caller's units.

    Where a supremum has to be proven again, `max_time` seconds are for that; without an `oracle` it is the crude bound.
    """
    original, problem, units = frame.original, frame.exact, frame.units
    formula = oracle is not None and oracle.exact_dual
    room = 0.0 if formula else CHECKER_ROOM[problem.penalty.order]  # a formula has no multipliers to guess
    answers = []
    # alpha = 0 always proves something: the least loss possible
    for candidate, known, cones in (
        (outcome.alpha, outcome.supremum, outcome.tree),
        (np.zeros_like(outcome.alpha), 0.0, None),
    ):
        dual = exact_dual(problem, candidate)
        supremum, tree = _supremum(problem, oracle, dual, known, cones, max_time)
        supremum *= 1 + (room if tree is None else max(room, _tree_room(problem, dual, supremum)))
        lower = exact_lower_bound(problem, dual, supremum)
        answers.append((lower, supremum, dual, tree))
        if lower > problem.dual_value(np.zeros_like(candidate)):
            break
    lower, supremum, dual, tree = max(answers, key=lambda answer: answer[0])
    if problem.penalty.depends_on_data:
        tree = None  # a checker of label noise lists the cells
    flat = units.alpha(dual.alpha)
    return Certificate(
        alpha=flat[:, 0] if original.y.ndim == 1 else flat,
        rows=dual.named_rows,
        supremum=units.supremum(supremum),
        lower_bound=_scaled_down(lower, units.value),
        objective=objective,
        scale=original.scale,
        data=fingerprint(original.X, original.y),
        tree=tree,
        scales=() if tree is None else tuple(int(-c) for c in units.columns),
        centre=() if tree is None else tuple(frame.centre.tolist()),
        **statement(original),
    )


def _supremum(
    problem: Problem, oracle, dual: ExactDual, known: float, tree: bytes | None, max_time: float
) -> tuple[float, bytes | None]:
    """Bound the supremum of the corrected dual vector, `known` being that of the one before: |phi| is subadditive.

    Not so where constants cost nothing: before the correction the supremum is infinite. Also returns the tree of cones
    that shows it, where one does.
    """
    correction = dual.correction()
    if not (dual.alpha.any() or correction.any()):
        return 0.0, None
    exact = None if oracle is None else oracle.exactly(dual, known)
    if exact is not None:
        return exact, None
    constants = problem.penalty.free_constant(problem.fit_bias)
    if oracle is None and (constants or known == np.inf):
        size = np.abs(dual.alpha) + correction
        return problem.penalty.crude_bound(size, problem.lifted, problem.fit_bias), None
    if constants:
        if tree is not None:
            return oracle.corrected(known, dual.alpha, correction), tree
        pricing = oracle.price(dual.alpha, problem.level, correction, max_time=max_time)
        return pricing.supremum, pricing.tree
    if not correction.any():
        return known, tree
    more = problem.penalty.crude_bound(correction, problem.lifted, problem.fit_bias)
    return (known + more) * (1 + 4 * UNIT), tree


def _tree_room(problem: Problem, dual: ExactDual, supremum: float) -> float:
    """Relative room for a checker that replays a tree of cones: the rounding of its sums over the data, twice."""
    (n, D), m = problem.lifted.shape, problem.n_outputs
    sizes = np.abs(problem.lifted).T @ np.abs(dual.alpha).sum(axis=1)
    rounding = (16 * n + 32 * D * D + 32 * m + 4000) * UNIT * float(np.linalg.norm(sizes))
    return rounding / supremum if supremum > 0 else 0.0
