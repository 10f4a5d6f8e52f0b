"""solve, interpolate, path, lam_max, certify: validate, choose, call."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike

from cellsolve.certificate import Certificate
from cellsolve.checks import count, jobs, positive, seconds, seed
from cellsolve.data import as_floats
from cellsolve.losses import Loss
from cellsolve.measure import SparseMeasure
from cellsolve.oracles.choice import choose_oracle
from cellsolve.oracles.pricing import Oracle
from cellsolve.potentials import Potential
from cellsolve.problem import Problem, as_problem
from cellsolve.reporting import reporter
from cellsolve.scoring import refuse_impossible, values_and_norm
from cellsolve.solution import Solution, Status
from cellsolve.solvers import Budget, Method, Options, choose
from cellsolve.solvers.conic import MasterSolution, SolverFailure
from cellsolve.solvers.finish import finish
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.generation import free_part_alone
from cellsolve.solvers.runs import falls_into_runs
from cellsolve.solvers.zero import zero_level
from cellsolve.tasks import outcomes

#: residual, as a share of the targets less their free part, up to which a network interpolates
INTERPOLATES = 1e-6
#: share of tol to which an oracle proves a supremum: the rest is for what the solvers leave
ACCURACY = 0.1
#: share of tol by which the objective may rise for the sake of fewer neurons, each of two times
SLACK = 0.1


def solve(
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    lam: float | None = None,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    method: str = "auto",
    tol: float | None = None,
    max_time: float | None = None,
    max_cells: int | None = None,
    solver: str = "CLARABEL",
    n_jobs: int | None = None,
    random_state: Any = None,
    progress: bool = False,
    warm_start: Solution | SparseMeasure | None = None,
) -> Solution:
    r"""Find the best shallow ReLU network of any width, with a proof of how good it is.

    .. math:: \min_\nu \frac1n \sum_i \ell(f_\nu(x_i), y_i) + \lambda \int w\, d|\nu|

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,), or Problem
    y : array-like, shape (n,) or (n, m)
    lam : float
        Weight of the penalty.
    loss, penalty, free, fit_bias
        See `Problem`.
    method : {"auto", "univariate", "active_cells", "neurons", "all_cells"}
        "univariate" is for one input and grows with n as sorting does; "active_cells" solves a small convex program
        over the cells that matter; "neurons" generates neurons by the dual; "all_cells" is one convex program over
        every cell. "auto" is "univariate" for one input and output, "active_cells" for one output and at most 8
        coordinates, else "neurons".
    tol : float, optional
        Relative gap to stop at, by default 1e-6, of "univariate" 1e-8.
    max_time : float, optional
        Seconds, after which the best network so far is returned with the bound proven so far; the one program of
        "all_cells" is not stopped. With 9 to 12 coordinates they are spent on the bound, which is crude without them.
    max_cells : int, optional
        Up to this number of cells all of them are listed, to prove bounds with. Above it branch and bound proves them
        for at most 8 coordinates (biases count as one), and comes closer for at most 12 with a `max_time`, but not for
        label noise of several outputs; nothing else does, and "all_cells" refuses.
    solver : {"CLARABEL", "ECOS", "SCS"}
        Convex solver of "all_cells".
    n_jobs : int, optional
        joblib threads for pricing the cells; a `joblib.parallel_config` moves branch and bound to its workers.
    random_state : int or Generator, optional
        Used where cells are sampled, and to start interpolation; None is a fixed seed, so that the same call gives
        the same answer.
    progress : bool
        Show a line a round on a terminal.
    warm_start : Solution or SparseMeasure, optional
        Neurons to start from.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        See `Problem`; also an infimum that is not attained.
    """
    if not isinstance(X, Problem) and lam is None:
        raise ValueError("lam is missing; pass a positive number, or call interpolate for the limit lam -> 0.")
    problem = as_problem(X, y, lam=lam, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    return _solve(
        problem,
        None,
        method=method,
        tol=tol,
        max_time=max_time,
        max_cells=max_cells,
        solver=solver,
        n_jobs=n_jobs,
        random_state=random_state,
        progress=progress,
        warm_start=warm_start,
    )


def interpolate(
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    sparsest: bool = False,
    **options: Any,
) -> Solution:
    r"""Find the interpolant of least norm: min ∫ w d|ν| subject to f(x_i) = y_i.

    Parameters
    ----------
    X, y, penalty, free, fit_bias
        See `Problem`.
    sparsest : bool
        Of the interpolants of least norm return one with the fewest kinks, on one input with ``free="affine"``: of
        `slope` bends at neighbouring points are joined, and of `variation` there is only one.
    **options
        As in `solve`: method, tol, max_time, max_cells, solver, n_jobs, random_state, progress, warm_start.

    Returns
    -------
    Solution
        Its ``residual`` says how exactly it interpolates.

    Raises
    ------
    ValueError
        Repeated points with different y, targets that no network reaches, or another problem with ``sparsest=True``.
    """
    problem = as_problem(X, y, penalty=penalty, free=free, fit_bias=fit_bias)
    if not problem.interpolates:
        raise ValueError("the Problem has a lam; call solve, or problem.replace(lam=None).")
    _refuse_unknown(options, "interpolate")
    if sparsest and not falls_into_runs(problem):
        raise ValueError(
            "sparsest=True is for one input and output, biases, free='affine', and 'variation' or 'slope'."
        )
    return _solve(problem, None, sparsest=bool(sparsest), **options)


def path(
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    lams: ArrayLike | None = None,
    n_lams: int = 50,
    lam_min_ratio: float = 1e-3,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    warm_start: Solution | SparseMeasure | None = None,
    max_time: float | None = None,
    **options: Any,
) -> list[Solution]:
    """Solve for a sequence of lam, from the largest down, each warm-started from the one before.

    With more than one worker, by `n_jobs` or a `joblib.parallel_config`, the points are tasks of their own instead, in
    other processes unless the config says otherwise. Then each starts from `warm_start`.

    Parameters
    ----------
    X, y, loss, penalty, free, fit_bias
        See `Problem`; the lam of a Problem is not used.
    lams : array-like, optional
        Values of lam; by default `n_lams` values from `lam_max` down to `lam_min_ratio` times it, evenly in log.
    n_lams, lam_min_ratio
        See `lams`.
    max_time : float, optional
        Seconds for the whole path; what is left is shared evenly among the values that are left.
    **options
        As in `solve`; of points that are tasks `progress` shows nothing.

    Returns
    -------
    list of Solution
        In decreasing order of lam, one certificate each; Ctrl-C ends the list with the one it interrupted, the first
        that is not done. Those after it are lost.
    """
    _refuse_unknown(options, "path")
    budget = Budget(seconds(max_time))
    problem = _any_lam(X, y, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    _, method = _choose(options.get("method", "auto"), problem)
    limited = max_time is not None
    oracle = _oracle(Frame.of(problem).inside, method, **_oracle_options(options), limited=limited)
    if lams is None:
        n_lams, lam_min_ratio = count(n_lams, "n_lams"), positive(lam_min_ratio, "lam_min_ratio", 1.0)
        if lam_min_ratio > 1:
            raise ValueError(f"lam_min_ratio is {lam_min_ratio!r}; pass a number above 0 and at most 1.")
        top = _lam_max(problem, oracle, budget.left / (n_lams + 1))
        if top == 0:
            top = 1.0
        lams = top * np.geomspace(1.0, lam_min_ratio, n_lams) if n_lams > 1 else [top]
    values = np.sort(as_floats(lams, "lams").ravel())[::-1]
    if not len(values) or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("lams has to hold positive finite numbers, at least one.")
    points = [problem.replace(lam=float(lam)) for lam in values]
    workers = min(len(points), effective_n_jobs(options.get("n_jobs")))
    if workers > 1:
        left = None if max_time is None else budget.left
        return _apart(points, workers, warm_start, left, options | {"n_jobs": 1, "progress": False})
    solutions: list[Solution] = []
    for k, point in enumerate(points):
        share = None if max_time is None else budget.left / (len(points) - k)
        solutions.append(_solve(point, oracle, warm_start=warm_start, max_time=share, **options))
        warm_start = solutions[-1]
        if solutions[-1].status is Status.INTERRUPTED:
            break
    return solutions


def lam_max(
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    max_cells: int | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> float:
    """Return the smallest lam whose solution has no neuron.

    It is the least sup |phi_alpha| / w over the dual vectors of the best free part alone. Where there are too many
    cells to look into all, it is the value of the neurons found, which is a lower bound.

    Parameters
    ----------
    X, y, loss, penalty, free, fit_bias
        See `Problem`; the lam of a Problem is not used.
    max_cells, n_jobs, random_state
        As in `solve`.
    """
    problem = _any_lam(X, y, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    _, method = choose("auto", problem)
    oracle = _oracle(Frame.of(problem).inside, method, max_cells=max_cells, n_jobs=n_jobs, random_state=random_state)
    return _lam_max(problem, oracle)


def certify(
    network: Any,
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    lam: float | None = None,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    certificate: Certificate | Solution | None = None,
    norm: float | None = None,
    **options: Any,
) -> Certificate:
    """Bound how far a network is from the best of any width on these data.

    Parameters
    ----------
    network : SparseMeasure, torch module or callable
        A callable X -> f(X) needs its `norm`, sum |c_k| w(theta_k).
    X, y, lam, loss, penalty, free, fit_bias
        See `Problem`; lam=None scores the norm of an interpolant, which the network has to be.
    certificate : Certificate or Solution, optional
        From a solve of the same problem on the same data, whose bound is then used; without it the problem is solved
        here, because a network's own residual makes a poor dual vector.
    norm : float, optional
        Norm of a callable.
    **options
        As in `solve`.

    Returns
    -------
    Certificate
        Its ``excess`` is the proven answer: objective / lower bound - 1.

    Raises
    ------
    ValueError
        A network that does not fit the problem, values that no network of that norm has, or a certificate of another
        problem or other data.
    """
    _refuse_unknown(options, "certify")
    problem = as_problem(X, y, lam=lam, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    if callable(network) and hasattr(network, "state_dict"):
        network = SparseMeasure.from_torch(network)
    fit, size = values_and_norm(network, problem, norm)
    objective = problem.objective_of(fit, size)
    if isinstance(certificate, Solution):
        certificate = certificate.certificate
    if not isinstance(certificate, Certificate | None):
        raise ValueError(
            f"certificate is a {type(certificate).__name__}; pass a Certificate or a Solution, or leave it out."
        )
    if certificate is None:
        certificate = _solve(problem, None, **options).certificate
    elif differences := certificate.differences(problem):
        raise ValueError(
            f"certificate is of another problem: it differs in {', '.join(differences)}; "
            "solve this one, or leave certificate out."
        )
    refuse_impossible(network, problem, fit, objective, certificate)
    return replace(certificate, objective=objective)


# -- inside -------------------------------------------------------------------------------------------------------

_OPTION_NAMES = set("method tol max_time max_cells solver n_jobs random_state progress warm_start".split())


def _solve(
    problem: Problem,
    oracle: Any,
    *,
    method: str = "auto",
    tol: float | None = None,
    max_time: float | None = None,
    max_cells: int | None = None,
    solver: str = "CLARABEL",
    n_jobs: int | None = None,
    random_state: Any = None,
    progress: bool = False,
    warm_start: Solution | SparseMeasure | None = None,
    sparsest: bool = False,
) -> Solution:
    budget = Budget(seconds(max_time))
    name, chosen = _choose(method, problem)
    tol = positive(tol, "tol", chosen.tol)
    problem.refuse_unattained()
    random_state = seed(random_state)
    frame = chosen.frame(problem)
    inside, units = frame.inside, frame.units
    if oracle is None:
        oracle = _oracle(
            inside,
            chosen,
            tol=tol,
            max_cells=max_cells,
            n_jobs=n_jobs,
            random_state=random_state,
            progress=progress,
            limited=max_time is not None,
        )
    with reporter(progress, units) as report:
        options = Options(
            asked=tol,
            tol=0.3 * tol,  # tidying up may raise the objective by a tenth of tol, rounding adds its share
            budget=budget,
            solver=solver,
            start=_start(warm_start, problem, frame),
            random_state=random_state,
            report=report,
            sparsest=sparsest,
        )
        outcome = None if frame.plain else free_part_alone(inside)
        if outcome is None:
            outcome = chosen.run(inside, oracle, options)
    allowed = SLACK * tol * abs(outcome.objective)
    measure, certificate, interrupted = finish(frame, outcome, oracle, budget, allowed)
    status, residual = outcome.status, problem.residual(measure)
    if interrupted or status is Status.INTERRUPTED:  # whatever the gap: a path ends here
        status = Status.INTERRUPTED
    elif problem.interpolates and (
        residual > INTERPOLATES * frame.size or certificate.objective < (1 - tol) * certificate.lower_bound
    ):
        status = Status.STALLED if status is Status.OPTIMAL else status
    elif certificate.gap <= tol:
        status = Status.OPTIMAL
    elif status is Status.OPTIMAL:
        status = Status.STALLED
    history = [
        type(r)(r.time, r.objective * units.value, r.lower_bound * units.value, r.cells) for r in outcome.history
    ]
    return Solution(measure, certificate, status, residual, history, budget.elapsed, name)


def _apart(
    points: list[Problem], workers: int, warm_start: Any, max_time: float | None, options: dict[str, Any]
) -> list[Solution]:
    """Solve the points of a path as tasks, none of which knows another."""
    end = None if max_time is None else time.time() + max_time  # a clock that other processes have too
    every = options | {"warm_start": warm_start}
    tasks = ((k, point, end, workers / max(workers, len(points) - k), every) for k, point in enumerate(points))
    done: dict[int, Solution] = {}
    with suppress(KeyboardInterrupt):
        done.update(outcomes(workers, _solve_until, tasks))
    solutions: list[Solution] = []
    for k, point in enumerate(points):
        if k not in done:  # what a worker had of it is lost
            start = solutions[-1] if solutions else warm_start
            cut_short = _solve(point, None, warm_start=start, max_time=0.0, **options)
            done[k] = replace(cut_short, status=Status.INTERRUPTED)
        solutions.append(done[k])
        if done[k].status is Status.INTERRUPTED:
            break
    return solutions


def _solve_until(
    k: int, problem: Problem, end: float | None, share: float, options: dict[str, Any]
) -> tuple[int, Solution]:
    """Solve point k in its share of the time that is left until the clock is at `end`."""
    max_time = None if end is None else share * max(0.0, end - time.time())
    return k, _solve(problem, None, max_time=max_time, **options)


def _oracle(
    inside: Problem, method: Method, *, tol=None, max_cells=None, n_jobs=None, random_state=None, **rest
) -> Oracle:
    return choose_oracle(
        inside,
        method.cells_of(inside) if max_cells is None else count(max_cells, "max_cells"),
        every_cell=method.needs_all_cells,
        accuracy=ACCURACY * positive(tol, "tol", method.tol),
        n_jobs=jobs(n_jobs),
        random_state=seed(random_state),
        **rest,
    )


def _oracle_options(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in ("tol", "max_cells", "n_jobs", "random_state", "progress") if key in options}


def _any_lam(X: Any, y: Any, **statement: Any) -> Problem:
    if isinstance(X, Problem):
        as_problem(X, y, **statement)
        return X.replace(lam=X.lam or 1.0)
    return as_problem(X, y, lam=1.0, **statement)


def _lam_max(problem: Problem, oracle: Any, max_time: float = np.inf) -> float:
    problem.refuse_unattained()
    frame = Frame.of(problem)
    try:
        return frame.units.supremum(zero_level(frame.inside, oracle, max_time))
    except SolverFailure as failure:
        raise ValueError(
            f"the free part alone was not fitted ({failure}): y, or a parameter of the loss, is on another scale. "
            "Rescale them."
        ) from failure


def _start(start: Solution | SparseMeasure | None, problem: Problem, frame: Frame) -> MasterSolution | None:
    if start is None:
        return None
    measure = start.measure if isinstance(start, Solution) else start
    if (
        not isinstance(measure, SparseMeasure)
        or measure.neurons.shape[1] != problem.lifted.shape[1]
        or measure.weights.shape[1:] != problem.y.shape[1:]
    ):
        raise ValueError(
            "warm_start has to be a Solution or SparseMeasure on the same features and outputs, with fit_bias as here."
        )
    return frame.start(measure)


def _refuse_unknown(options: dict[str, Any], function: str) -> None:
    if unknown := set(options) - _OPTION_NAMES:
        raise TypeError(f"{function} got unknown arguments: {', '.join(sorted(unknown))}")


def _choose(method: Any, problem: Problem) -> tuple[str, Method]:
    if not isinstance(method, str):
        raise ValueError(f"method is {method!r}; pass the name of one, 'auto' say.")
    return choose(method, problem)
