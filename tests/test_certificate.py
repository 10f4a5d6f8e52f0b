"""The bound holds in exact arithmetic, for the data as the floats that they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from problems import CASES, pose

import cellsolve as cs
from cellsolve.cells import enumerate_lifted
from cellsolve.certificate import exact_dual, exact_lower_bound, relative_gap
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle


def _fraction(values):
    return [[Fraction(float(v)) for v in row] for row in np.atleast_2d(values)]


def _exact_alpha(certificate, problem):
    """alpha' of the certificate from its definition, by the verifier's elimination."""
    from cellsolve.verify import Claim, _corrected

    fields = {key: value for key, value in certificate.__dict__.items() if key not in ("objective", "scale")}
    alpha = np.atleast_2d(certificate.alpha.T).T
    integers, denominator = _corrected(alpha, Claim(**fields), problem.lifted)
    return [Fraction(int(v), denominator) for v in integers[:, 0]]


@pytest.mark.parametrize("seed", range(12))
def test_no_neuron_breaks_the_supremum_in_rationals(seed):
    """Neurons aimed at the edges of cells, in exact arithmetic, never exceed what was proven."""
    rng = np.random.default_rng(seed)
    cases = [c for c in CASES if c.penalty in ("variation", "l1", "label_noise", "slope")]
    for case in [cases[i] for i in rng.permutation(len(cases))[:6]]:
        problem = pose(case, rng)
        if problem is None:
            continue
        try:
            solution = cs.interpolate(problem) if problem.interpolates else cs.solve(problem)
        except ValueError:
            continue
        certificate = solution.certificate
        alpha = _exact_alpha(certificate, problem)
        lifted = _fraction(problem.lifted)
        limit = Fraction(certificate.supremum) ** 2
        for theta in [*_fraction(solution.measure.neurons), *_edges(problem, rng)]:
            response = [max(sum(t * x for t, x in zip(theta, row, strict=True)), Fraction(0)) for row in lifted]
            phi = sum(a * r for a, r in zip(alpha, response, strict=True))
            if case.penalty == "l1":
                square = sum(abs(t) for t in theta) ** 2
            elif case.penalty == "label_noise":
                square = sum(r * r for r in response) / problem.n
            else:
                free_bias = case.penalty == "slope" and case.fit_bias
                square = sum(t * t for t in (theta[:-1] if free_bias else theta))
            assert phi * phi <= limit * square, f"{case}"


def _edges(problem, rng):
    """Rational directions on which D - 1 points have their hinge, and sums of two of them."""
    D = problem.lifted.shape[1]
    edges = []
    for _ in range(30):
        rows = problem.lifted[rng.integers(problem.n, size=max(D - 1, 1))]
        null = np.linalg.svd(np.atleast_2d(rows))[2][-1]
        edges.append([Fraction(float(v)) for v in rng.choice([-1, 1]) * null])
    sums = [[a + b for a, b in zip(edges[i], edges[j], strict=True)] for i, j in rng.integers(30, size=(20, 2))]
    return [edge for edge in edges + sums if any(edge)]


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_the_lower_bound_is_below_the_exact_dual_value(scale):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 2)) * scale, rng.standard_normal(12) + 1e3
    problem = cs.Problem(X, y, lam=0.05 * scale, free="affine")
    certificate = cs.solve(problem).certificate
    alpha = _exact_alpha(certificate, problem)
    for c in range(3):  # exactly orthogonal to the free part, which no float vector is
        assert sum(a * Fraction(float(b)) for a, b in zip(alpha, problem.basis[:, c], strict=True)) == 0
    kappa = min(Fraction(1), Fraction(problem.lam) / Fraction(certificate.supremum))
    value = (
        sum(-((12 * kappa * a) ** 2) / 2 + 12 * kappa * a * Fraction(float(t)) for a, t in zip(alpha, y, strict=True))
        / 12
    )
    assert Fraction(certificate.lower_bound) <= value
    assert Fraction(certificate.lower_bound) >= value * (1 - Fraction(1, 10**12)) - Fraction(1, 10**12)


def test_exact_dual_gives_up_outside_the_domain():
    problem = cs.Problem([[0.0], [1.0], [2.0]], [1, -1, 1], lam=0.1, loss="hinge", free="constant")
    dual = exact_dual(problem, np.array([[1.0], [-2.0], [1.0]]))
    assert exact_lower_bound(problem, dual, 0.01) == -np.inf


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_oracle_finds_what_ascents_find_and_more(penalty, n_outputs):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((15, 2))
    problem = cs.Problem(X, rng.standard_normal((15, n_outputs)), lam=1.0, penalty=penalty).normalized()[0]
    alpha = problem.dual_candidate(rng.standard_normal((15, n_outputs)))
    exhaustive = ExhaustiveOracle(problem, enumerate_lifted(problem.lifted)).price(alpha, 0.0)
    heuristic = AscentOracle(problem, random_state=0).price(alpha, 0.0)
    assert exhaustive.ratios[0] <= exhaustive.supremum
    assert exhaustive.ratios[0] >= exhaustive.supremum * (1 - 1e-7)
    assert heuristic.ratios[0] <= exhaustive.supremum
    assert heuristic.ratios[0] >= 0.98 * exhaustive.supremum
    assert heuristic.supremum >= exhaustive.ratios[0]


def test_save_load_and_mutations(tmp_path):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((20, 2)), rng.standard_normal(20)
    certificate = cs.solve(X, y, lam=0.02, free="constant").certificate
    certificate.save(tmp_path / "c.json")
    loaded = cs.Certificate.load(tmp_path / "c.json")
    assert loaded.verify(X, y)
    assert loaded.lower_bound == certificate.lower_bound
    assert loaded.alpha.tobytes() == certificate.alpha.tobytes()
    assert loaded.rows == certificate.rows
    bumped = certificate.alpha.copy()
    bumped[(certificate.rows[0] + 1) % 20] *= 1 + 1e-3
    for lie in (
        {"lower_bound": certificate.lower_bound * (1 + 1e-9)},
        {"supremum": certificate.supremum * (1 - 1e-9)},
        {"alpha": bumped},
        {"rows": ()},
        {"lam": certificate.lam * 0.9},
        {"penalty": "label_noise"},
        {"free": "affine"},
    ):
        assert not replace(certificate, **lie).verify(X, y), lie
    assert not certificate.verify(X + 1e-3, y)
    assert not certificate.verify(X, y[::-1])


def test_gap_and_excess():
    assert relative_gap(2.0, 1.0) == 0.5
    assert relative_gap(1.0, 2.0) == 0.0
    assert relative_gap(0.0, 0.0) == 0.0
    assert relative_gap(1e-18, 0.0, scale=1.0) == 0.0
    assert relative_gap(0.0, -1.0) == np.inf
    solution = cs.solve([[0.0], [1.0]], [0.0, 1.0], lam=0.1)
    worse = replace(solution.certificate, objective=2 * solution.lower_bound)
    assert worse.excess == pytest.approx(1.0)
    assert worse.gap == pytest.approx(0.5)


def test_time_limit_and_interrupt_return_what_is_proven(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    problem = cs.Problem(X, y, lam=1e-3)
    stopped = cs.solve(problem, max_time=0.0)
    assert stopped.status == "time_limit"
    assert 0 <= stopped.gap <= 1
    assert stopped.certificate.verify(X, y)
    original, calls = ExhaustiveOracle.price, []

    def price(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(ExhaustiveOracle, "price", price)
    interrupted = cs.solve(problem)
    assert interrupted.status == "interrupted"
    assert interrupted.lower_bound <= cs.solve(problem).objective
    assert interrupted.certificate.verify(X, y)


def test_above_max_cells_the_answer_is_honest():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((25, 2)), rng.standard_normal(25)
    proven = cs.solve(X, y, lam=0.02)
    unproven = cs.solve(X, y, lam=0.02, max_cells=100)
    assert unproven.status == "unproven"
    assert unproven.lower_bound <= proven.lower_bound
    assert unproven.objective >= proven.lower_bound
    assert unproven.objective <= proven.objective * 1.01
    assert unproven.certificate.verify(X, y)
    assert "not every cell was looked at" in repr(unproven)
