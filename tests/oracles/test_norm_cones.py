"""Branch and bound over cones with several outputs: against every cell, one output, and what sampling finds."""

from __future__ import annotations

import numpy as np
import pytest

from cellsolve import Problem, solve
from cellsolve.cells import enumerate_lifted
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.choice import choose_oracle
from cellsolve.oracles.cones import ROUGH, ConeOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.hinges import on_hinges
from cellsolve.oracles.spheres import CLOSED

ACCURACY = 1e-7
CASES = [
    (penalty, free, bias)
    for penalty in ("variation", "slope", "l1")
    for free in ("none", "constant", "affine")
    for bias in (True, False)
    if not (penalty == "slope" and free == "none" and bias)
]
KINDS = {
    "general": lambda X: X,
    "grid": lambda X: np.round(X),
    "repeated": lambda X: np.repeat(X, 2, axis=0)[: len(X)],
    "collinear": lambda X: np.outer(np.round(8 * X[:, 0]), np.arange(1, X.shape[1] + 1)) + 1.0,
    "with zeros": lambda X: X * (np.arange(len(X)) % 3 > 0)[:, None],
    "far": lambda X: 1e3 * X + 1e4,
}


def _problem(rng, n, d, m, penalty="variation", free="none", bias=True, kind="general"):
    X = KINDS[kind](rng.standard_normal((n, d)))
    y = rng.standard_normal((n, m))
    return Problem(X, y, lam=0.1, penalty=penalty, free=free, fit_bias=bias).normalized()[0]


def _alpha(problem, rng):
    return problem.dual_candidate(rng.standard_normal(problem.targets.shape) / problem.n)


def _compare(problem, alpha, level=0.0):
    crude = problem.penalty.crude_bound(alpha, problem.lifted, problem.fit_bias)
    every = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted, max_cells=10**6)).price(alpha, 0.0)
    if every.supremum <= 1e-11 * crude:
        return  # phi is rounding of what the free part leaves
    level *= every.supremum
    cones = ConeOracle(problem, ACCURACY).price(alpha, level)
    rough = ROUGH * max(0.0, every.supremum / level - 1) if level > 0 else 0.0
    assert cones.exhaustive
    assert cones.supremum >= every.ratios[0] * (1 - 1e-12)
    assert cones.supremum >= every.supremum * (1 - 2 * CLOSED)
    assert cones.supremum <= max(level, every.supremum) * (1 + 3 * ACCURACY + 1.01 * rough)
    assert np.all(cones.ratios <= every.supremum * (1 + 1e-10))


@pytest.mark.parametrize(("penalty", "free", "bias"), CASES)
def test_supremum_is_that_of_every_cell(penalty, free, bias):
    rng = np.random.default_rng(3)
    for n, d, m in ((1, 2, 2), (6, 1, 3), (9, 2, 2), (7, 2, 3), (7, 3, 2)):
        if d == 1 and not bias:
            continue
        problem = _problem(rng, n, d, m, penalty, free, bias)
        for level in (0.0, 0.6, 1.01):
            _compare(problem, _alpha(problem, rng), level)


@pytest.mark.parametrize(("penalty", "bias"), [(penalty, bias) for penalty, free, bias in CASES if free == "constant"])
@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_points_that_are_not_in_general_position(penalty, bias, kind):
    rng = np.random.default_rng(5)
    for n, d, m in ((6, 2, 3), (8, 2, 2)):
        problem = _problem(rng, n, d, m, penalty, "constant", bias, kind)
        _compare(problem, _alpha(problem, rng))


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_outputs_that_are_multiples_of_one(penalty):
    # the supremum of one output, times the length of the multiples
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((80, 2)), rng.standard_normal(80)
    one, several = (
        Problem(X, targets, lam=0.1, penalty=penalty, free="constant").normalized()[0]
        for targets in (y, np.outer(y, np.ones(4)))
    )
    factors = np.array([1.0, -2.0, 2.0, 4.0])  # of length 5
    alpha = _alpha(one, rng)
    truth = 5 * ConeOracle(one, ACCURACY).price(alpha, 0.0).supremum
    answer = ConeOracle(several, ACCURACY).price(alpha * factors, 0.0)
    assert answer.exhaustive and answer.supremum == pytest.approx(truth, rel=3 * ACCURACY)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_no_sampled_neuron_is_above_the_supremum(penalty):
    rng = np.random.default_rng(6)
    problem = _problem(rng, 200, 2, 3, penalty, "affine")
    alpha = _alpha(problem, rng)
    answer = ConeOracle(problem, ACCURACY).price(alpha, 0.0)
    assert answer.exhaustive
    aim = problem.lifted[rng.integers(200, size=100_000)]
    theta = rng.standard_normal((100_000, 3))
    theta[::2] -= (np.sum(theta * aim, axis=1) / np.sum(aim**2, axis=1))[::2, None] * aim[::2]
    sizes = np.linalg.norm(problem.responses(theta).T @ alpha, axis=1)
    assert np.all(sizes <= answer.supremum * problem.neuron_costs(theta) * (1 + 1e-9) + 1e-14)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_maxima_on_hinges_are_found_from_beside_them(penalty):
    rng = np.random.default_rng(7)
    problem = _problem(rng, 40, 2, 2, penalty, "constant")
    alpha = _alpha(problem, rng)
    best = ConeOracle(problem, 1e-9).price(alpha, 0.0)
    beside = best.theta[:1] + 1e-5 * np.linalg.norm(best.theta[0]) * rng.standard_normal((20, 3))
    M = AscentOracle(problem).M
    found = np.concatenate(list(on_hinges(problem, M, alpha, beside)))
    cost = problem.neuron_costs(found)
    found, cost = found[cost > 1e-6], cost[cost > 1e-6]
    ratios = np.linalg.norm(problem.responses(found).T @ alpha, axis=1) / cost
    assert ratios.max() == pytest.approx(best.supremum, rel=2e-9)


def test_a_correction_of_alpha_is_in_the_bound():
    rng = np.random.default_rng(8)
    for penalty in ("variation", "l1"):
        problem = _problem(rng, 12, 2, 2, penalty)
        alpha = _alpha(problem, rng)
        correction = np.full_like(alpha, 1e-10 * np.abs(alpha).max())
        bound = ConeOracle(problem, ACCURACY).price(alpha, 0.0, correction).supremum
        for _ in range(10):
            other = alpha + correction * rng.choice([-1, 1], size=alpha.shape)
            assert ConeOracle(problem, ACCURACY).price(other, 0.0).ratios[0] <= bound


def test_a_proof_that_is_given_up_is_the_crude_bound():
    rng = np.random.default_rng(9)
    problem = _problem(rng, 200, 4, 2)
    alpha = _alpha(problem, rng)
    crude = problem.penalty.crude_bound(alpha, problem.lifted, True)
    for limits, late in (({"max_work": 2_000}, np.inf), ({}, 0.0)):
        answer = ConeOracle(problem, ACCURACY, **limits).price(alpha, 0.0, max_time=late)
        assert not answer.exhaustive and answer.supremum == crude


def test_threads_find_the_same_supremum():
    rng = np.random.default_rng(10)
    problem = _problem(rng, 60, 3, 2)
    alpha = _alpha(problem, rng)
    one, two = (ConeOracle(problem, ACCURACY, n_jobs=jobs).price(alpha, 0.0).supremum for jobs in (1, 2))
    assert one == pytest.approx(two, rel=3 * ACCURACY)


def test_label_noise_of_several_outputs_is_not_proven():
    rng = np.random.default_rng(11)
    problem = _problem(rng, 20, 2, 2, "label_noise")
    assert not choose_oracle(problem, 10).proves
    with pytest.raises(ValueError, match="one output"):
        ConeOracle(problem)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_more_cells_than_are_listed_are_proven(penalty):
    rng = np.random.default_rng(12)
    X = rng.uniform(-1, 1, (25, 2))
    y = np.sin(3 * X[:, :1] + [0, 1]) * np.cos(2 * X[:, 1:]) + 0.1 * rng.standard_normal((25, 2))
    beyond, listed = (solve(X, y, lam=1e-2, penalty=penalty, max_cells=cells) for cells in (10, 10_000))
    assert beyond.status == listed.status == "optimal"
    assert beyond.certificate.tree is not None and listed.certificate.tree is None
    assert beyond.objective == pytest.approx(listed.objective, rel=2e-6)
    assert beyond.certificate.verify(X, y)


@pytest.mark.slow
def test_random_dual_vectors_beside_every_cell():
    rng = np.random.default_rng(13)
    for k in range(300):
        penalty, free, bias = CASES[k % len(CASES)]
        d = int(rng.integers(1 if bias else 2, 4))
        n = int(rng.integers(1, 14 if d < 3 else 9))
        kind = list(KINDS)[k % len(KINDS)]
        problem = _problem(rng, n, d, int(rng.integers(2, 4)), penalty, free, bias, kind)
        _compare(problem, _alpha(problem, rng), rng.choice([0.0, 0.5, 0.9, 1.1]))
