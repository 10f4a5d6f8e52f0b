"""The bound holds in exact arithmetic, for the data as the floats that they are."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from problems import CASES, pose

import cellsolve as cs
from cellsolve.cells import enumerate_lifted
from cellsolve.certificate import relative_gap
from cellsolve.exact_dual import exact_dual, exact_lower_bound
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.exhaustive import ExhaustiveOracle


def _fraction(values):
    return [[Fraction(float(v)) for v in row] for row in np.atleast_2d(values)]


def _exact_alpha(certificate, problem):
    """alpha' of the certificate from its definition, by the verifier's elimination."""
    from cellsolve.verify import Claim, _corrected

    claimed = {field.name: getattr(certificate, field.name) for field in fields(Claim)}
    alpha = np.atleast_2d(certificate.alpha.T).T
    integers, denominator = _corrected(alpha, Claim(**claimed), problem.lifted)
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


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute", "quantile", "hinge", "squared_hinge"])
@pytest.mark.parametrize("free", ["none", "affine"])
def test_the_exact_bound_in_bulk_is_the_one_entry_by_entry(loss, free, monkeypatch):
    rng = np.random.default_rng(5)
    y = rng.choice([-1.0, 1.0], 40) if "hinge" in loss else rng.standard_normal(40)
    problem = cs.Problem(rng.standard_normal((40, 2)), y, lam=0.02, loss=loss, free=free)
    low, high = problem.dual_box()
    for alpha in rng.standard_normal((10, 40, 1)) / 200:
        alpha[rng.integers(40, size=10)] *= 1e-200  # on the border of some domains, but for what floats can tell
        dual = exact_dual(problem, problem.dual_candidate(np.clip(alpha, low, high)))
        bulk = exact_lower_bound(problem, dual, 0.03)
        with monkeypatch.context() as patch:
            patch.setattr(type(problem.loss), "bend", None)
            assert exact_lower_bound(problem, dual, 0.03) == bulk


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


def test_a_certificate_knows_its_data():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((12, 2)), rng.standard_normal(12)
    X[0, 0] = 0.0
    problem = cs.Problem(X, y, lam=0.05)
    solution = cs.solve(problem)
    certificate = solution.certificate
    same = X.copy(order="F")
    same[0, 0] = -0.0
    assert certificate.matches(cs.Problem(same, list(y), lam=0.05))
    assert cs.certify(solution.measure, same, y, lam=0.05, certificate=certificate).gap == certificate.gap
    ulp = y.copy()
    ulp[3] = np.nextafter(ulp[3], 9)
    for other in (problem.replace(y=ulp), problem.replace(X=X[:, ::-1]), problem.replace(X=X[::-1])):
        assert certificate.differences(other) == ["data"]
        with pytest.raises(ValueError, match="it differs in data; solve this one"):
            cs.certify(solution.measure, other, certificate=certificate)
    assert certificate.differences(problem.replace(lam=0.1, free="constant")) == ["lam", "free"]


def test_a_proof_holds_for_whatever_data_it_is_checked_on():
    X, y = np.arange(5.0), np.array([0.0, 1.0, 0.0, 2.0, 1.0])
    certificate = cs.solve(X, y, lam=0.1).certificate
    assert replace(certificate, data="of other data").verify(X, y)
    said = "X and y are not the data that it was made for"
    assert certificate.check(X, 0.9 * y).reason.endswith(said)
    assert said not in replace(certificate, lower_bound=9.0).check(X, y).reason
    assert said not in replace(certificate, data=None).check(X, 0.9 * y).reason
    assert "NaN" in certificate.check(X, y * np.nan).reason


def test_files_are_replaced_only_by_whole_ones(tmp_path, monkeypatch):
    solution = cs.solve([0.0, 1.0], [0.0, 1.0], lam=0.1)
    path = tmp_path / "old.json"
    path.write_text("precious")

    def half(self, text, **options):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("disk full")

    for saved in (solution.certificate, solution.measure):
        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.write_text", half)
            with pytest.raises(OSError, match="disk full"):
                saved.save(path)
        assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]
    solution.measure.save(path)
    assert cs.SparseMeasure.load(path).n_neurons == solution.measure.n_neurons


def test_older_and_newer_files_are_read(tmp_path):
    X, y = np.arange(5.0), np.array([0.0, 1.0, 0.0, 2.0, 1.0])
    problem, path = cs.Problem(X, y, lam=0.1), tmp_path / "c.json"
    certificate = cs.solve(problem).certificate
    certificate.save(path)
    assert cs.Certificate.load(path).data == certificate.data
    content = json.loads(path.read_text())
    del content["data"]
    path.write_text(json.dumps(content | {"a key to come": 1}))
    old = cs.Certificate.load(path)
    assert old.data is None and old.verify(X, y)
    assert old.matches(problem) and old.matches(problem.replace(y=y[::-1]))
    assert old.differences(problem.replace(X=X[:4], y=y[:4])) == ["data"]
    path.write_text(json.dumps(content | {"format": "cellsolve-certificate-2"}))
    with pytest.raises(ValueError, match="its format is not"):
        cs.Certificate.load(path)


@pytest.mark.parametrize("lam, loss", [(0.05, cs.Huber(0.3)), (None, "squared")])
def test_the_stated_problem(lam, loss):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((8, 1)), rng.standard_normal(8)
    problem = cs.Problem(X, y, lam=lam, loss=loss, penalty=cs.LabelNoise(full=True), free="affine", fit_bias=False)
    certificate = (cs.interpolate if lam is None else cs.solve)(problem.replace(X=X + 9, fit_bias=True)).certificate
    again = replace(certificate, fit_bias=False).problem(X, y)
    assert repr(again) == repr(problem) and again.loss == problem.loss and again.penalty == problem.penalty
    with pytest.raises(ValueError, match="loss 'ours' or penalty"):
        replace(certificate, loss="ours").problem(X, y)


def test_gap_and_excess():
    assert relative_gap(2.0, 1.0) == 0.5
    assert relative_gap(1.0, 2.0) == 0.0
    assert relative_gap(0.0, 0.0) == 0.0
    assert relative_gap(1e-18, 0.0, scale=1e-17) == 0.0
    assert relative_gap(1e-16, 0.0, scale=1e-17) == 1.0
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

    def price(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    monkeypatch.setattr(ExhaustiveOracle, "price", price)
    interrupted = cs.solve(problem)
    assert interrupted.status == "interrupted"
    assert interrupted.lower_bound <= cs.solve(problem).objective
    assert interrupted.certificate.verify(X, y)


def test_above_max_cells_the_answer_is_honest(monkeypatch):
    monkeypatch.setattr("cellsolve.oracles.choice.PROVABLE", 2)  # nothing but ascents is left
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
