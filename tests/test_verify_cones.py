"""Trees of cones: what the solver proved is proven again from the file, and no file proves more than is true."""

import base64
import json
import math
import zlib
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
from mutations import subtree, wrong_trees

import cellsolve as cs
from cellsolve import verify_cones
from cellsolve.verify import Claim, verify
from cellsolve.verify_cones import EXACT, FLOATS

CASES = [
    (penalty, free, bias)
    for penalty, free, bias in product(["variation", "slope", "l1"], ["none", "constant", "affine"], [True, False])
    if not (penalty == "slope" and bias and free == "none")
]
LOSSES = ["squared", "absolute", "huber", "logistic", "hinge", None]


def _data(kind, rng, n=12, d=2):
    X = rng.standard_normal((n, d))
    if kind == "grid":
        X = np.round(X)
    elif kind == "repeated":
        X = np.repeat(X, 2, axis=0)[:n]
    elif kind == "collinear":
        X = np.outer(np.round(8 * X[:, 0]), [0.25, -0.5]) + 1.0  # on one line exactly
    elif kind == "far":
        X = 1e3 * X + 1e4
    return X, np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(n)


def _solved(X, y, loss="squared", share=0.05, **statement):
    """A solution whose bound was proven over cones."""
    if loss in ("logistic", "hinge"):
        y = np.where(y > 0, 1.0, -1.0)
    lam = share * cs.lam_max(X, y, loss=loss, **statement)
    return cs.solve(X, y, lam=lam, loss=loss, max_cells=1, **statement), y


@pytest.mark.parametrize("kind", ["general", "grid", "repeated", "collinear", "far"])
@pytest.mark.parametrize(("penalty", "free", "bias"), CASES)
def test_what_was_proven_is_proven_again(penalty, free, bias, kind, monkeypatch):
    rng = np.random.default_rng(7)
    X, y = _data(kind, rng, n=7 if penalty == "l1" else 12)
    solution, _ = _solved(X, y, penalty=penalty, free=free, fit_bias=bias)
    certificate = solution.certificate
    assert solution.status == "optimal"
    verdict = certificate.check(X, y)
    assert verdict.ok and verdict.method == EXACT, verdict
    if certificate.tree is not None:
        monkeypatch.setattr(verify_cones, "MOST_EXACT", 0)
        verdict = certificate.check(X, y)
        assert verdict.ok and verdict.method == FLOATS, verdict
        # the other way to the same number: every cell
        assert replace(certificate, tree=None, scales=()).check(X, y).ok


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_losses_and_dimensions(loss, d):
    rng = np.random.default_rng(d)
    X = rng.standard_normal((10, d))
    y = np.where(np.sin(3 * X[:, 0]) > 0, 1.0, -1.0)
    if loss is None:
        solution = cs.interpolate(X, y, max_cells=1)
    else:
        solution, y = _solved(X, y, loss, fit_bias=True)
    assert solution.status == "optimal" and solution.certificate.check(X, y).ok


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (80, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(80)
    certificate = cs.solve(X, y, lam=2e-3).certificate
    path = tmp_path_factory.mktemp("proof") / "proof.json"
    certificate.save(path)
    assert certificate.tree and certificate.check(X, y).ok
    return X, y, certificate, path


def test_a_file_is_the_proof(good):
    X, y, certificate, path = good
    again = cs.Certificate.load(path)
    assert again.tree == certificate.tree and again.scales == certificate.scales
    assert again.check(X, y).ok
    content = json.loads(path.read_text())
    packed = base64.b64decode(content["tree"])
    assert 8 * len(packed) <= 4 * len(certificate.tree)  # bits a cone
    older = {key: value for key, value in content.items() if key not in ("tree", "scales")}
    path.with_suffix(".old").write_text(json.dumps(older))
    assert cs.Certificate.load(path.with_suffix(".old")).check(X, y).ok  # over all cells


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("shift", [30.0, -1e6])
def test_where_biases_cost_nothing_the_tree_is_one_for_moved_points(shift, exact, monkeypatch):
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    X, y = _data("general", np.random.default_rng(7))
    X[:, 0] += shift
    solution, _ = _solved(X, y, penalty="slope", free="constant")
    certificate = solution.certificate
    assert solution.status == "optimal" and certificate.tree
    assert np.abs(X[:, 0] - certificate.centre[0]).max() < 5 and certificate.centre[1] == 0.0
    assert certificate.check(X, y).method == (EXACT if exact else FLOATS)
    there = certificate.centre[0]
    for centre in [(), (0.0, 0.0), (there,), (there, 0.0, 0.0), (2.1 * there, 0.0), (-there, 0.0), (there, 1.0)]:
        assert not replace(certificate, centre=centre).check(X, y).ok, centre
    for centre in [(np.nan, 0.0), (np.inf, 0.0), (int(there), 0), (True, 0.0), "ab", 3, ((there,), 0.0), [None, 0.0]]:
        assert not replace(certificate, centre=centre).check(X, y).ok, centre
    # another tree of cones shows it too, where it is fine enough
    monkeypatch.setattr(verify_cones, "EXTRA", 10**5)
    other = replace(certificate, centre=(there + 1.0, 0.0), supremum=certificate.supremum * 1.01, lower_bound=0.0)
    assert other.check(X, y).ok
    assert not replace(other, supremum=certificate.supremum * 0.99).check(X, y).ok
    weighed = replace(certificate, penalty="variation", lower_bound=0.0, supremum=certificate.supremum * 2)
    assert "centre" in weighed.check(X, y).reason


def test_half_of_the_orthants_prove_something_with_an_affine_free_part_only():
    X, y = _data("general", np.random.default_rng(7))
    certificate = _solved(X, y, free="affine")[0].certificate
    assert certificate.tree and certificate.check(X, y).ok
    roots, place = 0, 0
    while place < len(certificate.tree):
        roots, place = roots + 1, subtree(certificate.tree, place)
    assert roots == 8  # two signs, half of 2^3
    # the bound holds with a smaller free part too, but these trees do not show it
    smaller = replace(certificate, free="constant", rows=certificate.rows[:1])
    assert "cut off" in smaller.check(X, y).reason
    assert replace(smaller, tree=None, scales=()).check(X, y).ok


@pytest.mark.parametrize("exact", [True, False])
def test_wrong_trees_are_refused(good, exact, monkeypatch):
    X, y, certificate, _ = good
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    wrong = wrong_trees(certificate.tree, 16, 6, np.random.default_rng(0))
    for name, mutant in wrong.items():
        assert not replace(certificate, tree=mutant).check(X, y).ok, name
    for scales in [(), (0, 0), (0, 0, 0.5), (0, 0, True), (0, 0, 10**6), "abc", None]:
        assert not replace(certificate, scales=scales).check(X, y).ok, scales


@pytest.mark.parametrize("exact", [True, False])
def test_claims_beyond_the_proof_are_refused(good, exact, monkeypatch):
    X, y, certificate, _ = good
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    monkeypatch.setattr(verify_cones, "EXTRA", 2)
    rng = np.random.default_rng(1)
    for share in (1e-9, 1e-6, 1e-3):
        assert not replace(certificate, lower_bound=certificate.lower_bound * (1 + share)).check(X, y).ok
    for share in (1e-6, 1e-5, 1e-2):
        assert not replace(certificate, supremum=certificate.supremum * (1 - share)).check(X, y).ok
    for _ in range(4):  # other dual vectors: each neuron of the solution touches the bound
        k = rng.integers(len(y))
        alpha = certificate.alpha.copy()
        alpha[k] += rng.choice([-1.0, 1.0]) * 1e-3 * np.abs(alpha).max()
        assert not replace(certificate, alpha=alpha).check(X, y).ok
    assert not certificate.check(X + 1e-4 * rng.standard_normal(X.shape), y).ok
    assert not certificate.check(X, 0.999 * y).ok
    assert not certificate.check(X[::-1], y).ok
    assert not replace(certificate, penalty="slope", free="constant").check(X, y).ok
    assert not replace(certificate, penalty="label_noise").check(X, y).ok
    assert not replace(certificate, fit_bias=False).check(X, y).ok


@pytest.mark.parametrize(
    "packed", ["", "AAAA", "not base64!", 7, base64.b64encode(zlib.compress(b"x" * 99)[:-5]).decode()]
)
def test_packed_trees_that_are_none(good, packed):
    _, _, _, path = good
    content = json.loads(path.read_text()) | {"tree": packed}
    wrong = path.with_name("wrong.json")
    wrong.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not a certificate"):
        cs.Certificate.load(wrong)


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_a_bound_holds_where_no_neuron_breaks_it(penalty):
    """The supremum of a file that was accepted is above phi / w at neurons that climb, in the user's own units."""
    rng = np.random.default_rng(5)
    X, y = _data("far", rng, n=15)
    solution, _ = _solved(X, y, penalty=penalty, free="constant")
    certificate = solution.certificate
    assert certificate.tree
    assert certificate.check(X, y).ok
    problem = certificate.problem(X, y)
    theta = np.concatenate([solution.measure.neurons, rng.standard_normal((2000, 3)) * [1.0, 1.0, 1e4]])
    theta = np.concatenate([theta, -theta])
    ratios = np.abs(problem.responses(theta).T @ certificate.alpha) / problem.neuron_costs(theta)
    assert ratios.max() <= certificate.supremum * (1 + 1e-9)
    assert ratios.max() >= certificate.supremum * (1 - 1e-4)


def test_progress_reaches_the_end(good):
    X, y, certificate, _ = good
    seen = []
    claim = Claim(**{field.name: getattr(certificate, field.name) for field in fields(Claim)})
    assert verify(claim, X, y, progress=lambda done, total: seen.append((done, total))).ok
    assert seen[-1] == (len(certificate.tree), len(certificate.tree))


def test_floats_are_refused_what_would_underflow(monkeypatch):
    """Relative error bounds say nothing of what is lost below the smallest float."""
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 0)
    ones = np.ones((9, 1))
    tiny = {"alpha": np.full(9, 1e-60), "rows": (), "supremum": 0.0, "lower_bound": math.inf, "tree": bytes(8)}
    assert not verify(Claim(**tiny, scales=(-300, -300)), ones, ones[:, 0]).ok
    assert not verify(Claim(**tiny, scales=(-900, -900)), ones, ones[:, 0]).ok
    small = {"alpha": np.full(9, 1e-200), "rows": (), "supremum": 0.0, "lower_bound": math.inf, "tree": bytes(4)}
    assert not verify(Claim(**small, scales=(0,), fit_bias=False), 1e-200 * ones, ones[:, 0]).ok


def test_a_supremum_that_floats_cannot_hold():
    m = 2**54 + 4
    claim = {"rows": (), "lower_bound": -1e300, "lam": 1.0, "penalty": "l1", "fit_bias": False, "tree": bytes(4)}
    assert verify(Claim(alpha=[float(m)], supremum=float(m), scales=(0,), **claim), [[1.0]], [1.0]).ok
    assert not verify(Claim(alpha=[float(m)], supremum=m - 1, scales=(0,), **claim), [[1.0]], [1.0]).ok
    assert not verify(Claim(alpha=[float(m)], supremum=10**400, scales=(0,), **claim), [[1.0]], [1.0]).ok


def test_a_short_tree_of_many_orthants_is_refused_at_once():
    X = np.ones((5, 120))
    numbers = {"supremum": 1e3, "lower_bound": -1e300, "lam": 1.0}
    claim = Claim(alpha=np.ones(5), rows=(), **numbers, tree=bytes(1000), scales=(0,) * 121)
    assert "cut off" in verify(claim, X, np.ones(5)).reason


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": "cellsolve-certificate-1", "alpha": [1' + "0" * 400 + "]}"]
)
def test_files_that_json_cannot_read(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a certificate"):
        cs.Certificate.load(path)
