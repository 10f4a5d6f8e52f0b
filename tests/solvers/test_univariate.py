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
    "twelve decades": lambda rng: (np.logspace(-6, 6, 300), rng.standard_normal(300)),
    "twelve decades of both signs": lambda rng: (
        rng.choice([-1, 1], 60) * np.logspace(-6, 6, 60),
        rng.standard_normal(60),
    ),
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
    lam = (1e-6 if data == "line and outlier" else 1e-3) * np.abs(y).max()
    solution = cs.solve(x, y, lam=lam, free=free)
    assert solution.status == "optimal" and solution.gap <= 1e-8
    if len(x) <= 1000:
        assert solution.certificate.verify(x, y)
    if data == "line and outlier" and free == "affine":
        places, _ = solution.measure.kinks()
        assert 0 < len(places) <= 5 and np.abs(places - 40).max() <= 5
    if data == "equal y" and free == "affine":
        assert solution.measure.n_neurons == 0 and solution.objective <= 1e-20


@pytest.mark.parametrize("penalty", ["variation", "slope"])
@pytest.mark.parametrize("data", [name for name in HARD if "place" not in name])
def test_hard_data_are_interpolated(data, penalty):
    x, y = HARD[data](np.random.default_rng(1))
    solution = cs.interpolate(x, y, penalty=penalty, free="affine")
    assert solution.status == "optimal" and solution.gap <= 1e-9
    assert solution.residual <= 1e-9 * np.abs(y).max()
    if len(x) <= 1000:
        assert solution.certificate.verify(x, y)
    if data == "line and outlier":
        np.testing.assert_allclose(solution.measure.kinks()[0], [39, 40, 41], rtol=1e-12)
    if data == "equal y":
        assert solution.measure.n_neurons == 0


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


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_no_neuron_from_lam_max_on(loss):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-1, 1, 40))
    y = np.sin(5 * x) + 0.1 * rng.standard_normal(40)
    for free, penalty in (("affine", "variation"), ("none", "variation"), ("constant", "slope")):
        statement = {"free": free, "penalty": penalty, "loss": loss}
        top = cs.lam_max(x, y, **statement)
        assert cs.solve(x, y, lam=0.99 * top, **statement).measure.n_neurons > 0
        for factor in (1.01, 2, 100):
            assert cs.solve(x, y, lam=factor * top, **statement).measure.n_neurons == 0


@pytest.mark.parametrize("penalty", ["slope", "l1"])
def test_kinks_at_neighbouring_points_are_one(penalty):
    """The sparsest network with these values: two kinks of a sign at neighbours cost as much as one between."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0.5, 1.5, 400))
    y = np.sin(5 * x) + 0.1 * rng.standard_normal(400)
    merged = 0
    for lam in (1e-2, 1e-3, 1e-4):
        solution = cs.solve(x, y, lam=lam, penalty=penalty, free="affine")
        assert solution.status == "optimal" and solution.certificate.verify(x, y)
        places, jumps = solution.measure.kinks()
        at = np.searchsorted(x, places)
        on = np.isclose(x[at.clip(0, len(x) - 1)], places, rtol=1e-12)
        merged += np.sum(~on)
        same = (jumps[1:] > 0) == (jumps[:-1] > 0)
        assert not np.any(on[1:] & on[:-1] & same & (np.diff(at) == 1))
    assert merged > 0


def test_a_warm_start_that_stalls_is_left():
    """Two of the points of this path ended above tol from the network of the one before."""
    rng = np.random.default_rng(11)
    x = rng.uniform(-1, 1, 30000)
    y = np.sin(5 * x) + 0.1 * rng.standard_normal(30000)
    for solution in cs.path(x, y, n_lams=20, free="affine"):
        assert solution.status == "optimal" and solution.gap <= 1e-8


def test_a_cluster_near_zero_is_fitted():
    """Equations of linear functions that are solved again for rounding lead nowhere."""
    x = [-1.2855163790929185e-08, -3.34526022559085e-08, -1.756036571542052e-08]
    x += [-1.517908175396226e-08, 1.3717144226195888e-08, -1.3574754064499478e-08]
    y = [13800.397958068614, 7921.46084959843, -138737.58423410836]
    y += [42639.49693617272, -23181.287074610456, 186306.10445473887]
    solution = cs.solve(x, y, lam=0.00015544318415808617)
    assert solution.status == "optimal" and solution.gap <= 1e-8
