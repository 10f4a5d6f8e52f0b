"""Stopped anywhere: by Ctrl-C as a signal or by max_time, what comes back is a network with its bound."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

import cellsolve as cs

CASES = {
    "squared": dict(lam=1e-3),
    "logistic": dict(lam=3e-3, loss="logistic", penalty="slope"),
    "absolute": dict(lam=1e-2, loss="absolute", penalty="l1"),
    "interpolation": dict(lam=None, penalty="variation"),
}


def _problem(name):
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (40 if name == "interpolation" else 120, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(len(X))
    return cs.Problem(X, np.sign(y) if name == "logistic" else y, **CASES[name])


def _judge(problem, solution, whole):
    assert solution.lower_bound <= whole.objective * (1 + 1e-9)
    assert solution.lower_bound <= solution.objective * (1 + (1e-6 if problem.interpolates else 0))
    assert np.isfinite(solution.measure.neurons).all() and np.isfinite(solution.measure.weights).all()
    np.testing.assert_allclose(problem.objective(solution.measure), solution.objective, rtol=1e-9)
    if not problem.interpolates:  # an interpolant that is not done yet may miss the data
        assert solution.objective >= whole.lower_bound


# what a signal raises inside of some __del__ is lost, and the solve goes on
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("max_cells", [10, None])
def test_ctrl_c_at_any_moment(name, max_cells):
    problem = _problem(name)
    run = cs.solve if problem.lam else cs.interpolate
    run(problem, max_cells=max_cells)  # compiles
    start = time.perf_counter()
    whole = run(problem, max_cells=max_cells)
    seconds = time.perf_counter() - start
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    stopped = 0
    try:
        for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95):
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, share * seconds))
            try:
                solution = run(problem, max_cells=max_cells)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:  # before there was a network
                continue
            _judge(problem, solution, whole)
            stopped += solution.status is cs.Status.INTERRUPTED
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped


@pytest.mark.parametrize("name", CASES)
def test_max_time_at_any_moment(name):
    problem = _problem(name)
    run = cs.solve if problem.lam else cs.interpolate
    run(problem, max_cells=10)  # compiles
    start = time.perf_counter()
    whole = run(problem, max_cells=10)
    seconds = time.perf_counter() - start
    ends = [run(problem, max_cells=10, max_time=share * seconds) for share in (0.0, 0.05, 0.2, 0.4, 0.6, 0.8)]
    for solution in ends:
        _judge(problem, solution, whole)
    assert ends[0].status is cs.Status.TIME_LIMIT


def test_ctrl_c_is_followed_by_no_proof(monkeypatch):
    problem = _problem("squared")
    cs.solve(problem, max_cells=10)
    from cellsolve.oracles.cones import ConeOracle

    price, proofs = ConeOracle.price, []

    def counted(self, alpha, level, correction=None, prove=True, max_time=np.inf, thorough=True):
        if prove:
            proofs.append(max_time)
            if len(proofs) == 1:
                raise KeyboardInterrupt
        return price(self, alpha, level, correction, prove, max_time, thorough)

    monkeypatch.setattr(ConeOracle, "price", counted)
    solution = cs.solve(problem, max_cells=10)
    assert solution.status is cs.Status.INTERRUPTED and len(proofs) == 1
    assert 0 < solution.lower_bound < solution.objective


def test_ctrl_c_in_a_check_does_no_harm():
    """Exact arithmetic is interrupted often: NumPy's loops over long integers would crash the interpreter."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (40, 2)), rng.standard_normal(40)
    certificate = cs.solve(X, y, lam=0.05, max_cells=1).certificate
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    stopped = 0
    try:
        for seconds in np.linspace(1e-3, 0.2, 20):
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                certificate.check(X, y)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                stopped += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped and certificate.check(X, y).ok
