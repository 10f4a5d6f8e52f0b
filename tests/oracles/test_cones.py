"""Branch and bound over cones against the enumeration of every cell, and against what sampling finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsolve import LabelNoise, Problem, solve
from cellsolve.cells import enumerate_lifted
from cellsolve.exact_dual import exact_dual
from cellsolve.oracles import cones
from cellsolve.oracles.cones import FLOOR, ROUGH, ConeOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.pricing import Interrupted

ACCURACY = 1e-7
CONTINUOUS = [
    (penalty, free, bias)
    for penalty in ("variation", "slope", "l1")
    for free in ("none", "constant", "affine")
    for bias in (True, False)
    if not (penalty == "slope" and free == "none" and bias)
]


def _problem(rng, n, d, penalty="variation", free="none", bias=True, grid=False):
    X = rng.standard_normal((n, d))
    if grid:
        X = np.round(2 * X) / 2
    return Problem(X, rng.standard_normal(n), lam=0.1, penalty=penalty, free=free, fit_bias=bias).normalized()[0]


def _alpha(problem, rng):
    return problem.dual_candidate(rng.standard_normal((problem.n, 1)) / problem.n)


def _compare(problem, alpha, level=0.0):
    if np.abs(alpha).max() < 1e-14 / problem.n:
        return  # B leaves nothing but rounding of alpha, and either answer is rounding too
    every = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted, max_cells=10**6)).price(alpha, level)
    cones = ConeOracle(problem, ACCURACY).price(alpha, level)
    assert cones.exhaustive
    truth = max(level, every.supremum)
    assert cones.supremum >= every.supremum * (1 - 1e-10)
    rough = ROUGH * max(0.0, every.supremum / level - 1) if level > 0 else 0.0
    floor = 2 * FLOOR * problem.penalty.crude_bound(alpha, problem.lifted, problem.fit_bias)
    assert cones.supremum <= truth * (1 + 3 * ACCURACY + 1.01 * rough) + floor
    assert np.all(cones.ratios <= every.supremum * (1 + 1e-10) + 1e-15)


@pytest.mark.parametrize(("penalty", "free", "bias"), CONTINUOUS)
def test_supremum_is_that_of_every_cell(penalty, free, bias):
    rng = np.random.default_rng(3)
    for n, d in ((1, 2), (2, 2), (6, 1), (14, 2), (9, 3)):
        if d == 1 and not bias:
            continue
        problem = _problem(rng, n, d, penalty, free, bias)
        _compare(problem, _alpha(problem, rng))


@pytest.mark.parametrize(("penalty", "free", "bias"), CONTINUOUS)
def test_repeated_and_collinear_points(penalty, free, bias):
    rng = np.random.default_rng(4)
    for n in (5, 12):
        problem = _problem(rng, n, 2, penalty, free, bias, grid=True)
        _compare(problem, _alpha(problem, rng))


@pytest.mark.parametrize("penalty", ["label_noise", LabelNoise(full=True)], ids=["eq13", "full"])
def test_label_noise_in_general_position(penalty):
    # the bound near the all-inactive cell is that of the undecided points, which no linear minorant of w closes
    rng = np.random.default_rng(5)
    for n, d in ((5, 1), (12, 2), (25, 2)):
        problem = _problem(rng, n, d, penalty)
        _compare(problem, _alpha(problem, rng))


def test_slope_along_the_bias_axis():
    # the supremum is reached by a -> far biases only, where every point is active: |sum alpha_i x_i|
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    problem = Problem(X, [0.0, 1.0, 1.0], lam=0.1, penalty="slope").normalized()[0]
    alpha = np.array([[-1.0], [0.5], [0.5]])
    _compare(problem, alpha)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(CONTINUOUS), st.booleans(), st.floats(0.3, 2.0))
def test_any_level(seed, case, grid, share):
    rng = np.random.default_rng(seed)
    penalty, free, bias = case
    problem = _problem(rng, int(rng.integers(1, 8)), 2, penalty, free, bias, grid)
    alpha = _alpha(problem, rng)
    every = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted, max_cells=10**6)).price(alpha, 0.0)
    _compare(problem, alpha, share * every.supremum)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise"])
def test_no_sampled_neuron_is_above_the_supremum(penalty):
    rng = np.random.default_rng(6)
    problem = _problem(rng, 300, 2, penalty, "affine")
    alpha = _alpha(problem, rng)
    answer = ConeOracle(problem, ACCURACY).price(alpha, 0.0)
    assert answer.exhaustive
    aim = problem.lifted[rng.integers(300, size=100_000)]
    theta = rng.standard_normal((100_000, 3))
    theta[::2] -= (np.sum(theta * aim, axis=1) / np.sum(aim**2, axis=1))[::2, None] * aim[::2]
    cost = problem.neuron_costs(theta)
    phi = np.abs(problem.responses(theta).T @ alpha[:, 0])
    assert np.all(phi <= answer.supremum * cost * (1 + 1e-9) + 1e-14)


def test_a_correction_of_alpha_is_in_the_bound():
    rng = np.random.default_rng(7)
    for penalty in ("variation", "l1"):
        problem = _problem(rng, 12, 2, penalty)
        alpha = _alpha(problem, rng)
        correction = np.full_like(alpha, 1e-10 * np.abs(alpha).max())  # of the size of rounding: all it is for
        bound = ConeOracle(problem, ACCURACY).price(alpha, 0.0, correction).supremum
        for _ in range(20):
            other = alpha + correction * rng.choice([-1, 1], size=alpha.shape)
            assert ConeOracle(problem, ACCURACY).price(other, 0.0).ratios[0] <= bound


def test_a_proof_that_is_given_up_is_the_crude_bound():
    rng = np.random.default_rng(8)
    problem = _problem(rng, 200, 4)
    alpha = _alpha(problem, rng)
    answer = ConeOracle(problem, ACCURACY, max_work=2_000).price(alpha, 0.0)
    crude = problem.penalty.crude_bound(alpha, problem.lifted, True)
    assert not answer.exhaustive and answer.supremum == crude
    late = ConeOracle(problem, ACCURACY).price(alpha, 0.0, max_time=0.0)
    assert not late.exhaustive and late.supremum == crude
    unproven = ConeOracle(problem, ACCURACY).price(alpha, 0.0, prove=False)
    assert not unproven.exhaustive and unproven.supremum == crude


def test_threads_find_the_same_supremum():
    rng = np.random.default_rng(9)
    problem = _problem(rng, 100, 3)
    alpha = _alpha(problem, rng)
    one, two = (ConeOracle(problem, ACCURACY, n_jobs=jobs).price(alpha, 0.0).supremum for jobs in (1, 2))
    assert one == pytest.approx(two, rel=3 * ACCURACY)


def test_more_cells_than_are_listed_are_proven():
    rng = np.random.default_rng(10)
    X = rng.uniform(-1, 1, (30, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(30)
    for penalty in ("variation", "slope"):
        beyond = solve(X, y, lam=3e-3, penalty=penalty, max_cells=10)
        listed = solve(X, y, lam=3e-3, penalty=penalty, method="neurons")
        assert beyond.status == listed.status == "optimal"
        assert beyond.objective == pytest.approx(listed.objective, rel=2e-6)
        assert beyond.certificate.verify(X, y)


@pytest.mark.slow
def test_500_random_dual_vectors_beside_every_cell():
    rng = np.random.default_rng(11)
    for k in range(500):
        penalty, free, bias = CONTINUOUS[k % len(CONTINUOUS)]
        d = int(rng.integers(1 if bias else 2, 5 if penalty in ("variation", "slope") else 3))
        n = int(rng.integers(1, 26 if d < 4 else 13))
        problem = _problem(rng, n, d, penalty, free, bias, grid=bool(k % 3 == 0 and d < 3))
        _compare(problem, _alpha(problem, rng))


@pytest.mark.parametrize(("penalty", "free", "bias"), CONTINUOUS)
def test_a_proof_goes_on_from_the_last_ones_cones(penalty, free, bias):
    """What was halved for another dual vector, or was left when time ran out, is halved again, and proves as much."""
    rng = np.random.default_rng(11)
    problem = _problem(rng, 20, 2, penalty, free, bias)
    alpha = _alpha(problem, rng)
    other = problem.dual_candidate(alpha + 0.05 * np.abs(alpha).max() * rng.standard_normal(alpha.shape))
    warm, cold = ConeOracle(problem, ACCURACY), ConeOracle(problem, ACCURACY)
    warm.price(other, 0.0)
    assert any(max(tree) > 0 for tree in warm.memory.trees.values())
    warm.memory.trees = {
        number: tree[: len(tree) // 2] if number % 2 else tree for number, tree in warm.memory.trees.items()
    }
    again, fresh = warm.price(alpha, 0.0), cold.price(alpha, 0.0)
    assert again.exhaustive and fresh.exhaustive
    assert again.supremum == pytest.approx(fresh.supremum, rel=3 * ACCURACY)
    assert again.ratios[0] == pytest.approx(fresh.ratios[0], rel=3 * ACCURACY)


def test_an_affine_free_part_needs_half_of_the_orthants():
    rng = np.random.default_rng(5)
    sizes = {}
    for free in ("constant", "affine"):
        problem = _problem(rng, 15, 2, free=free)
        oracle = ConeOracle(problem, ACCURACY)
        oracle.price(problem.dual_candidate(_alpha(problem, rng)), 0.0)
        sizes[free] = len(oracle.memory.trees)
    assert sizes == {"constant": 16, "affine": 8}


def test_with_many_coordinates_a_proof_stops_at_what_violates_and_the_next_goes_on_there(monkeypatch):
    monkeypatch.setattr(cones, "MANY", 3)
    rng = np.random.default_rng(2)
    problem = _problem(rng, 25, 2)
    alpha = _alpha(problem, rng)
    every = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted, max_cells=10**6)).price(alpha, 0.0)
    oracle = ConeOracle(problem, ACCURACY)
    first = oracle.price(alpha, every.supremum, max_time=1e3)
    assert first.exhaustive and oracle.memory.least < np.inf and first.supremum <= every.supremum * (1 + 3 * ACCURACY)

    half = 0.5 * every.supremum
    thorough = cones._Search(oracle, alpha, None, ACCURACY, half, cones.UNLIMITED, hasty=False)
    thorough.run(np.inf)
    assert thorough.finished and thorough.reached >= every.supremum

    stopped = cones._Search(oracle, alpha, None, ACCURACY, half, cones.UNLIMITED, hasty=True)
    stopped.run(np.inf)
    found = np.concatenate(stopped.ratios)
    assert not stopped.finished and found.max() > half
    assert 0 < stopped.proven < len(stopped.cones)

    reached = every.supremum * (1 + ACCURACY)
    whole = cones._Search(oracle, alpha, None, ACCURACY, reached, cones.UNLIMITED, hasty=True)
    assert next(whole._tasks(cones.Deadline(np.inf)))[0] == oracle.memory.turn
    whole.run(np.inf)
    assert whole.finished and all(whole.trees)


@pytest.mark.parametrize("d", [6, 9])
def test_with_many_features_the_bound_is_as_close_as_there_is_work_for(d):
    rng = np.random.default_rng(3)
    problem = _problem(rng, 60, d)
    alpha = _alpha(problem, rng)
    crude = problem.penalty.crude_bound(alpha, problem.lifted, True)
    level = ConeOracle(problem, ACCURACY).price(alpha, 0.0, prove=False).ratios[0]
    bounds = []
    for work in (1, 10**6, 2 * 10**7):
        answer = ConeOracle(problem, ACCURACY, max_work=work).price(alpha, level)
        assert answer.supremum >= level and (work > 10**6 or not answer.exhaustive)
        bounds.append(answer.supremum)
        assert (answer.tree is None) == (answer.supremum == crude)
    assert bounds[2] < 0.9 * bounds[1] and bounds[1] <= bounds[0] <= crude
    theta = rng.standard_normal((10_000, d + 1))
    assert bounds[2] >= np.max(np.abs(problem.responses(theta).T @ alpha)[:, 0] / problem.neuron_costs(theta))


def test_what_steps_proved_before_ctrl_c_is_kept(monkeypatch):
    monkeypatch.setattr(cones, "MANY", 3)
    rng = np.random.default_rng(4)
    problem = _problem(rng, 30, 2)
    alpha = _alpha(problem, rng)
    level = 0.9 * ConeOracle(problem, ACCURACY).price(alpha, 0.0).supremum
    run, calls = cones._Search.run, []

    def stopped(search, end):
        calls.append(search.accuracy)
        if len(calls) == 4:
            raise KeyboardInterrupt
        run(search, end)

    monkeypatch.setattr(cones._Search, "run", stopped)
    with pytest.raises(Interrupted) as stop:
        ConeOracle(problem, ACCURACY).price(alpha, level)
    kept = stop.value.pricing
    assert kept.tree and not kept.exhaustive
    assert level < kept.supremum <= level / 0.9 * (1 + calls[2]) * (1 + ACCURACY)


@pytest.mark.parametrize("free", ["constant", "affine"])
def test_slope_is_not_proven_again_for_what_rounding_changes(free):
    rng = np.random.default_rng(6)
    problem = _problem(rng, 20, 2, "slope", free)
    alpha = problem.dual_candidate(_alpha(problem, rng))
    dual = exact_dual(problem, alpha)
    correction = dual.correction()
    assert correction.any()
    oracle = ConeOracle(problem, ACCURACY)
    again = oracle.price(dual.alpha, 0.0, correction)
    first = oracle.price(alpha, 0.0)
    bound = oracle.corrected(first.supremum, dual.alpha, correction)
    assert again.ratios[0] <= bound <= first.supremum * (1 + ACCURACY)
