"""The closed form of one input, against every cell and against neurons drawn at random."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import PENALTIES

from cellsolve import Problem
from cellsolve.cells import enumerate_lifted
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.interval import IntervalOracle
from cellsolve.oracles.interval_kernels import hinge_sums

POINTS = {
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "grid": lambda rng, n: rng.integers(-3, 4, n).astype(float),
    "far": lambda rng, n: 10 + rng.standard_normal(n),
    "decades": lambda rng, n: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-6, 6, n),
}


def draw(points, penalty, free, seed):
    rng = np.random.default_rng(seed)
    X = POINTS[points](rng, int(rng.integers(1, 13)))
    free = "constant" if (penalty, free) == ("slope", "none") else free
    problem = Problem(X, rng.standard_normal(len(X)), lam=0.1, penalty=penalty, free=free).normalized()[0]
    alpha = rng.standard_normal((len(X), 1))
    basis = problem.basis
    return problem, alpha - basis @ np.linalg.lstsq(basis, alpha, rcond=1e-13)[0]


@pytest.mark.parametrize("free", ["none", "constant", "affine"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("points", POINTS)
def test_the_formula_is_the_supremum_over_every_cell(points, penalty, free):
    compared = 0
    for seed in range(15):
        problem, alpha = draw(points, penalty, free, seed)
        every = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted, max_cells=1000)).price(alpha, 0.0)
        if np.abs(alpha).max() <= 1e-9 or every.ratios[0] <= 1e-9 * np.abs(alpha).max():
            continue  # alpha, or phi, is rounding of what B^T alpha = 0 leaves
        formula = IntervalOracle(problem).price(alpha, 0.0)
        # on data over many decades the exhaustive oracle allows for more rounding than there is
        assert formula.supremum <= every.supremum * (1 + 1e-12)
        assert formula.supremum >= every.ratios[0] * (1 - 1e-9)
        if points != "decades":
            assert formula.supremum == pytest.approx(every.supremum, rel=1e-8)
        compared += 1
    assert compared >= 8


@pytest.mark.parametrize("penalty", PENALTIES)
def test_neurons_found_have_the_ratios_stated_and_the_best_is_the_supremum(penalty):
    for seed in range(20):
        problem, alpha = draw("gaussian", penalty, "none", seed)
        pricing = IntervalOracle(problem).price(alpha, 0.0)
        if not len(pricing.theta):
            continue
        ratios = np.abs(problem.responses(pricing.theta).T @ alpha)[:, 0] / problem.neuron_costs(pricing.theta)
        np.testing.assert_allclose(ratios, pricing.ratios, rtol=1e-7)
        assert pricing.ratios[0] == pytest.approx(pricing.supremum, rel=1e-9)
        assert (np.diff(pricing.ratios) <= 0).all()


@given(st.integers(0, 10**6), st.sampled_from(PENALTIES))
def test_no_neuron_is_above_the_supremum(seed, penalty):
    problem, alpha = draw("far" if seed % 2 else "grid", penalty, "none", seed)
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal((200, 2)) * 10.0 ** rng.uniform(-2, 2, (200, 1))
    theta[::2, 1] = -theta[::2, 0] * rng.choice(problem.lifted[:, 0], 100) / problem.lifted[0, 1]  # near corners
    cost = problem.neuron_costs(theta)
    if problem.penalty.free_constant(True):
        alpha = alpha - alpha.mean()
    phi = np.abs(problem.responses(theta).T @ alpha)[:, 0]
    supremum = IntervalOracle(problem).price(alpha, 0.0).supremum
    rounding = 1e-13 * np.abs(alpha).sum() * np.abs(theta).sum(axis=1) * np.abs(problem.lifted).max()
    assert (phi <= supremum * cost * (1 + 1e-12) + rounding).all()


def test_sums_of_hinges_are_exact_where_floats_cancel():
    """Steep kinks that cancel: the rounded value of the rational sum, with its bound."""
    rng = np.random.default_rng(0)
    knots = np.sort(rng.uniform(-1, 1, 300))
    alpha = rng.standard_normal(300) * 10.0 ** rng.uniform(0, 12, 300)
    phi = np.empty(300)
    total, error = hinge_sums(knots, np.arange(301), alpha, np.zeros(300), False, phi)
    x, a = [Fraction(v) for v in knots], [Fraction(v) for v in alpha]
    for i in range(0, 300, 17):
        exact = sum(w * (t - x[i]) for w, t in zip(a[i:], x[i:], strict=True))
        assert abs(Fraction(float(phi[i])) - exact) <= abs(exact) * Fraction(2) ** -52 + Fraction(error)
    assert abs(Fraction(total) - sum(a)) <= abs(sum(a)) * Fraction(2) ** -52 + Fraction(error)
    assert error <= 1e-20 * np.abs(alpha).sum()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_bound_on_a_change_of_alpha_is_kept(penalty):
    for seed in range(10):
        problem, alpha = draw("gaussian", penalty, "constant", seed)
        if problem.n < 3:
            continue
        rng = np.random.default_rng(seed)
        change = 1e-3 * rng.standard_normal(alpha.shape)
        change -= change.mean()
        oracle = IntervalOracle(problem)
        moved = oracle.price(alpha + change, 0.0).supremum
        assert moved <= oracle.price(alpha, 0.0, np.abs(change)).supremum * (1 + 1e-12)


@pytest.mark.parametrize("free", ["none", "affine"])
def test_obtuse_arcs_are_never_below_their_supremum(free):
    """Far on both sides of 0 neighbouring neurons are nearly opposite: held against the checker's integers."""
    from cellsolve.exact_dual import exact_dual
    from cellsolve.verify_integers import Refused
    from cellsolve.verify_line import prove_line

    rng, sharp = np.random.default_rng(0), 0
    for _ in range(200):
        n = int(rng.integers(3, 7))
        x = 10.0 ** rng.uniform(2, 15) * rng.choice([-1.0, 1.0], n) * rng.uniform(0.2, 1, n)
        problem = Problem(x, rng.standard_normal(n), free=free)
        dual = exact_dual(problem, rng.standard_normal((n, 1)) / np.abs(x).max())
        supremum = IntervalOracle(problem).exactly(dual, np.inf)
        exact = [Fraction(float(a)) for a in dual.alpha[:, 0]]
        for i, _, change in dual.changes():
            exact[i] += change
        denominator = np.lcm.reduce(np.array([a.denominator for a in exact], dtype=object))
        alpha = np.array([int(a * denominator) for a in exact], dtype=object)
        claim = {"penalty": "variation", "full": False}
        prove_line(alpha, int(denominator), supremum, x, **claim)  # or it raises
        try:
            prove_line(alpha, int(denominator), supremum * (1 - 1e-6), x, **claim)
        except Refused:
            sharp += 1
    assert sharp >= 100  # of the others the correction of alpha is what matters
