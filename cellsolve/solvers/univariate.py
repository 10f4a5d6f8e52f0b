"""Method "univariate": one input dimension in linear time, a chain of kinks and a closed form for the supremum.

The chain is solved on the kinks known so far; the largest |phi| / w on every interval then says where there should be
more. Within an interval a kink moves to where the cost, to second order, has it: each round squares the distance from
the optimum.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellsolve.certificate import relative_gap
from cellsolve.data import Array
from cellsolve.line import FLAT, LEFT, RIGHT, Line
from cellsolve.oracles.interval import IntervalOracle
from cellsolve.problem import Problem
from cellsolve.solution import Round, Status
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.generation import Outcome, lower_bound_of
from cellsolve.solvers.line_network import Fit, Neurons, settled, summed, without_dust
from cellsolve.solvers.line_program import LineProgram
from cellsolve.solvers.neurons import solve_neurons
from cellsolve.solvers.options import Options
from cellsolve.solvers.runs import falls_into_runs, may_fall_into_runs, solve_runs

#: kinks to begin with, evenly among the data: enough to see where the function bends
FIRST = 64
#: relative gap down to which the loop goes on by itself: the places of kinks are known to the square root of the gap
SHARP = 1e-15
#: the same of the first chain, which only has to say where more kinks should be
COARSE = 1e-10
#: rounds, of which 5 to 15 are usual
MOST = 60
#: rounds without half the gap, or half the excess over the bound, after which there is no more to gain
PATIENCE = 5
#: share by which fewer neurons may raise the objective: rounding
ROOM = 1e-11
#: shares of y up to which neurons may move f to be dust, if the objective is the same without: what is left of those
#: that an iteration sends to 0, of which the objective may only know the square
DUST = (1e-6, 1e-11)
#: share of the largest excess over the bound below which that of a neuron found is left alone
FAR = 1e-3
#: an interpolant that misses the targets by this share of them, or less, meets them
MET = 1e-12
#: one that misses those that it does not observe by no more than this passes them by
CLOSE = 1e-9
#: share by which the supremum may exceed its bound when neurons of wide cells begin to move
NEAR = 1e-3
#: share of its box that alpha may take: products that round have to stay inside
WITHIN = 1 - 2.0**-46
#: share of its box within which a border of alpha is taken for it: what iterations leave
BORDER = 1e-13
#: singular values of the free part below this share of the largest are rounding
RANK = 1e-13


def solve_univariate(problem: Problem, oracle: IntervalOracle, options: Options, every: bool = False) -> Outcome:
    """Solve the normalized `problem` of one input with biases and one output; `every` is that of `LineProgram`."""
    if may_fall_into_runs(problem):
        outcome = solve_runs(problem, oracle, options)
        if outcome is not None:
            return outcome
    line = oracle.line
    if line.x[0] == line.x[-1]:  # one place: one neuron
        return solve_neurons(problem, oracle, options)
    program = LineProgram(problem, line, every)
    neurons = pool = _first(problem, line, program, options)
    fit = program.solve(neurons, COARSE)  # what is stopped before there is anything has no answer
    best, misses = (np.inf, fit), np.inf
    zero = np.zeros_like(problem.targets)
    bound: tuple[float, Array, float] = (-np.inf if problem.interpolates else problem.dual_value(zero), zero, 0.0)
    history: list[Round] = []
    status, quiet, least, excess = Status.STALLED, 0, np.inf, np.inf
    steady, still = True, 0
    try:
        for _ in range(MOST):
            alpha = _dual_vector(problem, program, fit)
            supremum, facing, place, ratios = oracle.look(alpha[:, 0], problem.level * (1 + SHARP))
            before, excess = excess, supremum / problem.level - 1
            lower = lower_bound_of(problem, alpha, supremum)
            bound = max(bound, (lower, alpha, supremum), key=lambda each: each[0])
            exact = program.met(fit) if problem.interpolates else fit
            objective, miss = program.objective(exact), program.miss(exact)
            if (max(miss, MET), objective) <= (max(misses, MET), best[0]):
                best, misses = (objective, exact), miss
            gap = relative_gap(best[0], bound[0], problem.scale)
            history.append(Round(options.budget.elapsed, best[0], bound[0], len(neurons)))
            if options.report is not None:
                options.report(history[-1])
            still = still if still >= PATIENCE else 0 if gap < 0.5 * least else still + 1
            quiet = 0 if gap < 0.5 * least or (gap > options.tol and excess < 0.5 * before) else quiet + 1
            least = min(least, gap)
            if gap <= SHARP or quiet >= (1 if gap <= options.tol else PATIENCE):
                break
            if options.budget.spent:
                status = Status.TIME_LIMIT
                break
            worth = ratios > problem.level * (1 + FAR * excess)  # others are rounding of kinks that are known
            found = Neurons.at(facing[worth], place[worth])
            steady &= fit.steady
            near = steady and supremum <= problem.level * (1 + NEAR)
            neurons = _next(line, fit, found, pool, near, quiet > 0, still >= PATIENCE)
            pool = (pool + found.take(np.flatnonzero(_corners(line, found)))).distinct()
            fit = program.solve(neurons, SHARP)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    met = not (program.guesses and misses > CLOSE)
    if met and relative_gap(best[0], bound[0], problem.scale) <= options.tol and status is not Status.INTERRUPTED:
        status = Status.OPTIMAL
    if status is Status.STALLED and (options.start is not None or program.guesses):  # another way may end elsewhere
        again = solve_univariate(problem, oracle, replace(options, start=None), every=options.start is None)
        if again.status is not Status.STALLED:
            return replace(again, history=history + again.history)
    objective, fit = best
    try:
        few = settled(problem, line, fit)
        if problem.interpolates:
            few = program.met(few)
        value = program.objective(few)
        if value <= objective + ROOM * abs(objective) and max(program.miss(few), MET) <= max(misses, MET):
            objective, fit = value, few
        for share in () if problem.interpolates else DUST:
            few = without_dust(line, fit, share * float(np.abs(program.y).max()))
            value = program.objective(few)
            if len(few.weights) < len(fit.weights) and value <= objective + ROOM * abs(objective):
                objective, fit = value, few
                break
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    lower, alpha, supremum = bound
    return Outcome(_solution(problem, line, fit), objective, alpha, lower, supremum, status, history, final=True)


def frame_on_line(problem: Problem) -> Frame:
    """Return the coordinates in which a problem of one input is solved."""
    return Frame.of_runs(problem) if falls_into_runs(problem) else Frame.of(problem)


def _dual_vector(problem: Problem, program: LineProgram, fit: Fit) -> Array:
    """Return a dual vector (n, 1) in its domain, on its borders where it is so but for rounding."""
    alpha = program.line.unsorted(fit.alpha)[:, None]
    if not program.balanced(fit.alpha):
        alpha = problem.dual_candidate(alpha)
    low, high = (WITHIN * side for side in problem.dual_box())
    near = BORDER * np.minimum(high - low, 1 / problem.n)
    return np.where(alpha - low < near, low, np.where(high - alpha < near, high, alpha))


def _solution(problem: Problem, line: Line, fit: Fit) -> MasterSolution:
    theta = line.theta(fit.neurons.facing, fit.neurons.place)
    cost = line.costs(fit.neurons.facing, fit.neurons.place)
    free = fit.offset + fit.slope * (problem.lifted[:, 0] - line.x[0])
    coefficients = np.linalg.lstsq(problem.basis, free, rcond=RANK)[0][:, None]
    alpha = line.unsorted(fit.alpha)[:, None]
    return MasterSolution(theta / cost[:, None], (fit.weights * cost)[:, None], coefficients, alpha)


def _first(problem: Problem, line: Line, program: LineProgram, options: Options) -> Neurons:
    """Neurons to begin with: those of a start, some kinks, and the corners of the cell that is active everywhere."""
    inner = line.knots[(line.knots > line.x[0]) & (line.knots < line.x[-1])]
    picks = inner[np.unique(np.linspace(0, len(inner) - 1, min(FIRST, len(inner))).astype(int))]
    if problem.interpolates:  # which may need a kink at every corner
        picks = np.union1d(picks, line.x[program.corners[1:-1]])
    neurons = Neurons.at(np.full(len(picks), RIGHT), picks)
    if not problem.one_facing:
        flat = [FLAT] if line.right.all_costs[1] > 0 else []
        facing = np.array([RIGHT, LEFT, *flat])
        ends = Neurons.at(facing, np.array([line.x[0], line.x[-1], 0.0])[: len(facing)])
        neurons += Neurons.at(np.full(len(picks), LEFT), picks) + ends
    if options.start is not None:
        neurons += Neurons.at(*line.kinks_of(options.start.theta, one_facing=problem.one_facing))
    return neurons.distinct()


def _next(line: Line, fit: Fit, found: Neurons, pool: Neurons, near: bool, stuck: bool, apart: bool) -> Neurons:
    """The neurons of the next round: those of a fit, those found, and those of the pool.

    Those found in a segment where one moves are left out, unless moving has brought nothing; where it has not for long,
    kinks of a segment that face apart move apart. Those that are linear on the data, whose cell is wide, move when they
    are near their places; then others in that cell but its corners only share the weight of the one that moves.
    """
    old, _ = summed(line, fit, as_one=not apart)
    outside = line.outside(old.facing, old.place)
    if not near:
        old = replace(old, weight=np.where(outside, 0.0, old.weight))
    if not stuck:
        moving = old.take(np.flatnonzero(old.weight))
        taken = np.isin(_cells(line, found), _cells(line, moving))
        found = found.take(np.flatnonzero(~taken | np.isin(found.place, line.knots)))
    if (outside & (old.weight != 0)).any():
        pool = pool.take(np.flatnonzero((pool.place >= line.x[0]) & (pool.place <= line.x[-1])))
    return (old + found + pool).distinct()


def _cells(line: Line, neurons: Neurons) -> np.ndarray:
    """A number for the segment and facing of neurons, one for all that are linear on the data."""
    cells = 2 * line.segment(neurons.place) + (neurons.facing > 0)
    return np.where(line.outside(neurons.facing, neurons.place), -1, cells)


def _corners(line: Line, neurons: Neurons) -> np.ndarray:
    """Which neurons to keep, those at knots or linear on the data: most that a round drops are wanted again."""
    return np.isin(neurons.place, line.knots) | line.outside(neurons.facing, neurons.place)
