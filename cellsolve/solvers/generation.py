"""THE loop: a master weighs the neurons it has, an oracle looks for neurons that it should have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cellsolve.certificate import relative_gap
from cellsolve.data import Array
from cellsolve.oracles.pricing import Interrupted, Pricing, spread
from cellsolve.problem import VANISHED, Problem
from cellsolve.solution import Round, Status
from cellsolve.solvers.conic import MasterSolution, OutOfTime, SolverFailure
from cellsolve.solvers.gather import CAREFUL, MET, gather

#: progress of a round: the gap shrinks by a tenth, or the objective falls by this share of tol
PROGRESS = 0.1
#: share of the time after which there is to be a proof, of whatever dual vector there is: later, none might end in time
LATE = 1 / 3
#: points up to which the loop gathers in the plane too: it costs little, and few points make degenerate dual vectors,
#: of which an inexact one may take branch and bound minutes. With more, the right corner of every neuron is soon known
FEW = 500


@dataclass(frozen=True)
class Patience:
    """Rounds after which the loop ends, in which the objective fell by no more than the share `progress`."""

    rounds: int
    progress: float


#: fewer rounds would stop on the plateaus of degenerate duals
PROVEN = 12
#: for an oracle that proves nothing: the tail of a search without a bound is long and worth little
UNPROVEN = Patience(3, 1e-3)


@dataclass
class Budget:
    """Seconds left and a clock."""

    max_time: float | None = None
    start: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return np.inf if self.max_time is None else max(0.0, self.max_time - self.elapsed)

    @property
    def spent(self) -> bool:
        """Whether `max_time` has passed."""
        return self.max_time is not None and self.elapsed >= self.max_time


@dataclass
class Outcome:
    """The best network and the best dual vector of a run, in the units of the problem that was given.

    `supremum` is the proven one of |phi_alpha| / w, by `tree` where cones were needed; `sparse` says whether the
    neurons have been gathered to few, `final` whether they are the answer as they are.
    """

    solution: MasterSolution
    objective: float
    alpha: Array
    lower_bound: float
    supremum: float
    status: Status
    history: list[Round]
    tree: bytes | None = None
    sparse: bool = False
    final: bool = False

    @property
    def stopped(self) -> bool:
        """Whether the run was cut short from outside, so that nothing may follow it."""
        return self.status in (Status.INTERRUPTED, Status.TIME_LIMIT)

    def share(self, problem: Problem) -> float:
        """Its objective, as a share of that of zero: where it is small, inner products lose the digits of the rest."""
        return self.objective / problem.objective_of(np.zeros_like(problem.targets), 0.0)

    def falls_short(self, problem: Problem, tol: float) -> bool:
        """Whether the run came to its end above `tol`, by itself: another program may have another end."""
        gap = relative_gap(self.objective, self.lower_bound, problem.scale)
        return self.status is Status.STALLED and gap > tol

    @property
    def bound(self) -> tuple[float, Array, float, bytes | None]:
        """The lower bound, and what proves it."""
        return self.lower_bound, self.alpha, self.supremum, self.tree


def generate(
    problem: Problem,
    master: Any,
    oracle,
    budget: Budget,
    tol: float,
    report: Callable[[Round], None] | None = None,
    patience: Patience | None = None,
    start: Outcome | None = None,
) -> Outcome:
    """Alternate master and oracle until the gap is at most `tol`, nothing violates, or the budget is spent.

    The bound of a round is that of its dual vector shrunk by the oracle's supremum (docs/mathematics.md); the
    best one is kept, since the dual vectors of column generation wander. A proof is asked for only where it may end
    the loop: when the neurons found leave no gap, or are none that the master does not know. Where rounds bring no
    more, and after a proof that failed, the network is gathered to few neurons first, and its dual vector exact, but
    for many points in the plane.

    Parameters
    ----------
    master
        solve(max_time) -> MasterSolution; add(theta, pulls (K, m)) -> how many are new, pulls being the directions that
        their weights want to take; at most `most` are offered a round;
        after(solution, fell), which may forget, and add on its own; `wanders`, whether its dual vectors need a center.
    oracle
        price(alpha, level, prove=..., max_time=...) -> Pricing; `proves`, whether it can.
    patience
        What progress is, and how long it is waited for.
    start
        A network that is to be improved on, with its bound.
    """
    history: list[Round] = [] if start is None else list(start.history)
    best = None if start is None else replace(start, history=history)
    search = _Search(problem, master, oracle, budget, tol, start)
    quiet, last, proves = 0, np.inf, oracle.proves
    if patience is None:
        patience = Patience(PROVEN, PROGRESS * tol) if proves else UNPROVEN
    status = Status.STALLED
    try:
        while True:
            try:
                solution = master.solve(np.inf if best is None else budget.left)
            except SolverFailure as failure:
                if best is None:
                    raise ValueError(
                        f"the first program, on {len(master)} neurons or cells, was not solved ({failure}): X has "
                        "columns or offsets on scales too far apart for the convex solver. Centre and rescale X."
                    ) from failure
                status = Status.TIME_LIMIT if isinstance(failure, OutOfTime) else Status.STALLED
                break
            objective = solution.objective(problem)
            if best is None or objective < best.objective or problem.interpolates:
                best = Outcome(solution, objective, search.alpha, search.lower, search.supremum, status, history)
            before = relative_gap(best.objective, search.lower, problem.scale)
            fell = objective < last - max(patience.progress, PROGRESS * tol) * abs(objective)
            last = min(last, objective)
            oracle.around(solution.theta, solution.weights)
            found = search.begin(solution.alpha)
            if master.wanders and history:
                found += search.look(0.5 * (solution.alpha + search.alpha))
            hopeful, nearer = search.hopeful(best.objective), search.nearer(best.objective)
            settled = not found or not (fell or nearer)
            worth = problem.n <= FEW or problem.lifted.shape[1] > 3
            if proves and worth and search.open(best.objective) and (search.proofs if hopeful else settled):
                # what the master leaves is not exact enough for the last digits of a dual vector
                near, allowed = problem.dual_candidate(solution.alpha), PROGRESS * tol * abs(objective)
                sharp = gather(problem, solution, near, objective, allowed, lambda: budget.left, CAREFUL)
                if sharp is not None:
                    master.add(sharp.theta, sharp.weights)
                    found += search.look(sharp.alpha)
                    if problem.interpolates or sharp.objective(problem) < best.objective:
                        best = replace(best, solution=sharp, objective=sharp.objective(problem))
                hopeful = search.hopeful(best.objective)
            late = not search.proofs and budget.elapsed > LATE * (budget.max_time or np.inf)
            if proves and search.open(best.objective) and (not found or hopeful or late):
                found += search.prove(thorough=2 * quiet >= patience.rounds)  # before it is given up
            round_ = Round(budget.elapsed, best.objective, search.lower, len(master))
            history.append(round_)
            if report is not None:
                report(round_)
            gap = relative_gap(best.objective, search.lower, problem.scale)
            quiet = 0 if fell or gap < (1 - PROGRESS) * before else quiet + 1
            if gap <= tol:
                status = Status.OPTIMAL
                break
            if budget.spent:
                status = Status.TIME_LIMIT
                break
            if not found or quiet >= patience.rounds:
                status = Status.STALLED if proves and search.complete else Status.UNPROVEN
                break
            master.after(solution, fell)
    except KeyboardInterrupt:
        if best is None:
            raise
        status = Status.INTERRUPTED
    best.alpha, best.lower_bound, best.supremum = search.alpha, search.lower, search.supremum
    best.tree, best.status = search.tree, status
    return best


class _Search:
    """The dual side of the loop: the best bound proven so far, and the dual vector that promises most this round."""

    def __init__(
        self, problem: Problem, master: Any, oracle: Any, budget: Budget, tol: float, start: Outcome | None
    ) -> None:
        self.problem, self.master, self.oracle, self.budget, self.tol = problem, master, oracle, budget, tol
        self.alpha = np.zeros_like(problem.targets)
        self.supremum = 0.0
        self.tree: bytes | None = None
        self.lower = -np.inf if problem.interpolates else problem.dual_value(self.alpha)
        if start is not None:
            self.lower, self.alpha, self.supremum, self.tree = start.bound
        self.promising: Array | None = None
        self.promised = -np.inf
        self.least = np.inf
        #: proofs that were tried, and whether the last one came to its end
        self.proofs, self.complete = 0, True

    def begin(self, raw: Array) -> int:
        """Look at the first dual vector of a round; what others promised is forgotten."""
        self.promising, self.promised = None, -np.inf
        return self.look(raw)

    def look(self, raw: Array) -> int:
        """Offer the neurons that violate the dual constraint, as far as they are found without a proof."""
        alpha = self.problem.dual_candidate(raw)
        pricing = self.oracle.price(alpha, self.problem.level, prove=False, max_time=self.budget.left)
        self._keep(alpha, pricing)
        if not pricing.exhaustive:
            largest = float(pricing.ratios[0]) if len(pricing.ratios) else 0.0
            promised = lower_bound_of(self.problem, alpha, max(largest, self.problem.level))
            if promised > self.promised:
                self.promising, self.promised = alpha, promised
        return _offer(self.master, alpha, pricing)

    def open(self, objective: float) -> bool:
        """Whether the bound does not do yet."""
        return relative_gap(objective, self.lower, self.problem.scale) > self.tol

    def hopeful(self, objective: float) -> bool:
        """Whether the most promising dual vector would do, if a proof found nothing more."""
        return relative_gap(objective, self.promised, self.problem.scale) <= self.tol

    def nearer(self, objective: float) -> bool:
        """Whether that dual vector promises half the gap of all before it."""
        promise = relative_gap(objective, self.promised, self.problem.scale)
        before, self.least = self.least, min(promise, self.least)
        return promise < 0.5 * before

    def prove(self, thorough: bool) -> int:
        """Prove the supremum of the most promising dual vector, and offer the neurons found on the way."""
        if self.promising is None:
            return 0
        alpha = self.promising
        self.promising, self.promised = None, -np.inf
        try:
            pricing = self.oracle.price(alpha, self.problem.level, max_time=self.budget.left, thorough=thorough)
        except Interrupted as stopped:
            self._keep(alpha, stopped.pricing)
            raise
        self._keep(alpha, pricing)
        self.proofs, self.complete = self.proofs + 1, pricing.exhaustive
        return _offer(self.master, alpha, pricing)

    def _keep(self, alpha: Array, pricing: Pricing) -> None:
        lower = lower_bound_of(self.problem, alpha, pricing.supremum)
        if lower > self.lower:
            self.lower, self.alpha, self.supremum, self.tree = lower, alpha, pricing.supremum, pricing.tree


def _offer(master, alpha: Array, pricing) -> int:
    """Offer the neurons found to the master, each with its phi; return how many it did not know."""
    theta = spread(pricing.theta, master.most)
    return master.add(theta, master.problem.responses(theta).T @ alpha)


def better(problem: Problem, first: Outcome, second: Outcome) -> Outcome:
    """The lower objective and the higher bound of two runs; of interpolants the one that meets the data."""

    def rank(outcome: Outcome) -> tuple[float, float]:
        met = MET * np.abs(problem.targets).max()
        return max(met, outcome.solution.residual(problem)) if problem.interpolates else 0.0, outcome.objective

    upper = min(first, second, key=rank)
    lower = first if first.lower_bound > second.lower_bound else second
    history = first.history + second.history
    return replace(
        second,
        solution=upper.solution,
        objective=upper.objective,
        alpha=lower.alpha,
        lower_bound=lower.lower_bound,
        supremum=lower.supremum,
        tree=lower.tree,
        history=history,
    )


def free_part_alone(problem: Problem) -> Outcome | None:
    """Return the network without neurons where its residuals are rounding, since nothing is better."""
    coefficients = np.asarray(np.linalg.lstsq(problem.basis, problem.targets, rcond=1e-13)[0], dtype=np.float64)
    fit = problem.basis @ coefficients
    miss = np.abs(fit - problem.targets).max()
    zero = problem.objective_of(fit, 0.0) <= problem.scale
    if miss > VANISHED * np.abs(problem.targets).max() or not zero:
        return None
    D, m = problem.lifted.shape[1], problem.n_outputs
    solution = MasterSolution(np.zeros((0, D)), np.zeros((0, m)), coefficients, np.zeros_like(problem.targets))
    return Outcome(solution, problem.objective_of(fit, 0.0), solution.alpha, 0.0, 0.0, Status.OPTIMAL, [])


def lower_bound_of(problem: Problem, alpha: Array, supremum: float) -> float:
    """Return the dual objective, in floating point, of alpha shrunk to sup |phi| / w <= lam."""
    if problem.interpolates:
        return problem.dual_value(alpha) / supremum if supremum > 0 else 0.0
    return problem.dual_value(alpha * min(1.0, problem.level / supremum)) if supremum > 0 else problem.dual_value(alpha)
