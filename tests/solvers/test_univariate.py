"""Method "univariate" against other methods, a cvxpy chain, and hard data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import FREE, PENALTIES, SIGNED

import cellsolve as cs
from cellsolve.losses import LOSSES
from cellsolve.solvers import univariate

CASES = [
    (loss, penalty, free)
    for loss, penalty, free in itertools.product([*LOSSES, None], PENALTIES, FREE)
    if (penalty, free) != ("slope", "none")
]


def draw(case, seed):
    """Draw a problem of one input, repeated points and far offsets included; None where there is no minimum."""
    loss, penalty, free = case
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 30))
    X = rng.integers(-4, 5, n).astype(float) if seed % 3 == 0 else rng.standard_normal(n) * 10.0 ** rng.integers(-1, 2)
    X = X + (10 if seed % 5 == 0 else 0)
    X = np.unique(X) if loss is None else X
    y = rng.standard_normal(len(X)) * 10.0 ** rng.integers(-1, 2)
    y = np.where(y > 0, 1.0, -1.0) if loss in SIGNED else y
    statement = {} if loss is None else {"loss": loss, "lam": 10.0 ** rng.uniform(-3.5, 0)}
    try:
        problem = cs.Problem(X, y, penalty=penalty, free=free, **statement)
        problem.refuse_unattained()
    except ValueError:
        return None
    return problem


def answer(problem, **options):
    return (cs.interpolate if problem.interpolates else cs.solve)(problem, **options)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_generated_neurons_and_its_proof_is_accepted(case):
    """Another master, other columns, the same oracle; and a checker that knows neither."""
    compared = 0
    for seed in range(4):
        problem = draw(case, seed)
        if problem is None:
            continue
        try:
            ours = answer(problem)
        except ValueError:  # no interpolant
            continue
        assert ours.method == "univariate"
        assert ours.status == "optimal" and ours.gap <= 1e-8
        assert ours.certificate.verify(problem.X, problem.y)
        assert ours.measure.n_neurons <= problem.n
        if problem.interpolates:
            assert ours.residual <= 1e-9 * np.abs(problem.y).max()
        other = answer(problem, method="neurons", tol=1e-8)
        assert ours.lower_bound <= other.objective * (1 + 1e-9) + problem.scale
        if other.status == "optimal":
            assert ours.objective <= other.objective * (1 + 1e-7) + problem.scale
        compared += 1
    assert compared or case[0] == "logistic"


def program_in_cvxpy(x, y, lam, kinks):
    """The penalised problem with the affine part free, in cvxpy, on kinks at the data and where a solution has them."""
    import cvxpy as cp

    kinks = kinks[np.abs(kinks[:, None] - x).min(axis=1) > 1e-9]
    where = np.concatenate([x[1:-1], kinks])
    c, a, b = cp.Variable(len(where)), cp.Variable(), cp.Variable()
    f = np.maximum(x[:, None] - where, 0) @ c + a * x + b
    objective = 0.5 * cp.sum_squares(f - y) / len(x) + lam * np.hypot(1, where) @ cp.abs(c)
    return cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL", tol_gap_rel=1e-10, tol_gap_abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_agrees_with_a_program_in_cvxpy_on_its_own_kinks(seed):
    """With the kinks of the solution among its own the program is exact: no other kinks would lower it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 60))
    x, y = np.sort(rng.uniform(-1, 1, n)), rng.choice([-1.0, 1.0], n)
    lam = 10.0 ** rng.uniform(-4, -1)
    ours = cs.solve(x, y, lam=lam, free="affine")
    where = ours.measure.kinks()[0]
    value = program_in_cvxpy(x, y, lam, where[(where > x[0]) & (where < x[-1])])
    assert ours.gap <= 1e-8
    assert ours.objective == pytest.approx(value, rel=1e-7)


@given(st.integers(0, 10**6))
def test_random_problems_are_solved_to_their_gap(seed):
    problem = draw(CASES[seed % len(CASES)], seed)
    if problem is None:
        return
    try:
        solution = answer(problem)
    except ValueError:
        return
    # jumps of w, and losses with corners, end at the rounding of kinks that are steep
    assert solution.gap <= 1e-6, repr(problem)
    assert solution.certificate.verify(problem.X, problem.y)


HARD = {
    "six decades": lambda rng: (np.sort(10.0 ** rng.uniform(-3, 3, 60)), rng.standard_normal(60)),
    "huge y": lambda rng: (rng.standard_normal(50), 1e100 * rng.standard_normal(50)),
    "tiny y": lambda rng: (rng.standard_normal(50), 1e-100 * rng.standard_normal(50)),
    "equal y": lambda rng: (rng.standard_normal(10**5), np.full(10**5, 3.7)),
    "alternating": lambda rng: (np.arange(400.0), np.tile([1.0, -1.0], 200)),
    "line and outlier": lambda rng: (np.arange(100.0), 2 * np.arange(100.0) + 7 * (np.arange(100) == 40)),
    "two places": lambda rng: (np.repeat([1.0, 2.0], 30), rng.standard_normal(60)),
    "one place": lambda rng: (np.full(9, 2.0), rng.standard_normal(9)),
    "one point": lambda rng: (np.array([3.0]), np.array([2.0])),
    "far away": lambda rng: (1e7 + np.arange(50.0), rng.standard_normal(50)),
    "nearly repeated": lambda rng: (np.repeat(rng.standard_normal(20), 2) * (1 + 1e-15 * np.arange(40)), np.ones(40)),
}


@pytest.mark.parametrize("free", ["none", "affine"])
@pytest.mark.parametrize("data", HARD)
def test_hard_data(data, free):
    x, y = HARD[data](np.random.default_rng(1))
    lam = 1e-3 * np.abs(y).max() ** 2 / np.abs(y).max()
    solution = cs.solve(x, y, lam=lam, free=free)
    assert solution.status == "optimal" and solution.gap <= 1e-8
    if len(x) <= 1000:
        assert solution.certificate.verify(x, y)
    if data == "line and outlier" and free == "affine":
        places, _ = solution.measure.kinks()
        assert len(places) <= 5 and np.abs(places - 40).max() <= 5
    if data == "equal y" and free == "affine":
        assert solution.measure.n_neurons == 0 and solution.objective <= 1e-20


def test_few_neurons_and_no_dust():
    """Noisy data: as many kinks as bends, each one neuron, whichever way it faces."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 3000)
    y = np.sin(5 * x) + 0.1 * rng.standard_normal(3000)
    for free, more in (("affine", 0), ("constant", 1), ("none", 3)):
        measure = cs.solve(x, y, lam=1e-3, free=free).measure
        where, jumps = measure.kinks()
        assert measure.n_neurons <= len(where) + more <= 25
        assert np.abs(jumps).min() >= 1e-6 * np.abs(jumps).max()


def test_other_data_are_refused_with_the_way_out():
    x, y, method = np.arange(4.0), np.ones(4), "univariate"
    with pytest.raises(ValueError, match="one input, biases"):
        cs.solve(np.column_stack([x, x]), y, lam=0.1, method=method)
    with pytest.raises(ValueError, match="one input, biases"):
        cs.solve(x, y, lam=0.1, fit_bias=False, method=method)
    with pytest.raises(ValueError, match="takes one output"):
        cs.solve(x, np.column_stack([y, y]), lam=0.1, method=method)


def test_stops_in_time_and_at_ctrl_c(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(500), rng.standard_normal(500)
    late = cs.solve(x, y, lam=1e-3, max_time=0.0)
    assert late.status == "time_limit" and late.lower_bound <= late.objective < np.inf
    solve, calls = univariate.LineProgram.solve, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return solve(self, *arguments)

    monkeypatch.setattr(univariate.LineProgram, "solve", interrupted)
    stopped = cs.solve(x, y, lam=1e-3)
    assert stopped.status == "interrupted" and 0 < stopped.gap < 1
    assert stopped.certificate.verify(x, y)


def test_ctrl_c_while_neurons_are_summed_up_keeps_the_answer(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(200), rng.standard_normal(200)
    whole = cs.solve(x, y, lam=1e-3)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(univariate, "settled", interrupted)
    stopped = cs.solve(x, y, lam=1e-3)
    assert stopped.status == "interrupted"
    assert stopped.objective == pytest.approx(whole.objective, rel=1e-8)


def test_warm_start_saves_rounds():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 4000)
    y = np.sin(9 * x) + 0.1 * rng.standard_normal(4000)
    cold = cs.solve(x, y, lam=1e-4)
    warm = cs.solve(x, y, lam=1e-4, warm_start=cold)
    assert len(warm.history) < len(cold.history)
    assert warm.objective == pytest.approx(cold.objective, rel=1e-8)


def test_orders_and_repeats_do_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 80).astype(float), rng.standard_normal(80)
    mix = rng.permutation(80)
    one, other = cs.solve(x, y, lam=0.01, loss="huber"), cs.solve(x[mix], y[mix], lam=0.01, loss="huber")
    assert one.objective == pytest.approx(other.objective, rel=1e-9)
    np.testing.assert_allclose(one.certificate.alpha[mix], other.certificate.alpha, atol=1e-7)
