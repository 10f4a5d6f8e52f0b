"""Trees of cones of several outputs: what was proven is proven again, and no file proves more than is true."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from mutations import wrong_trees

import cellsolve as cs
from cellsolve import verify_cones
from cellsolve.verify_cones import EXACT, FLOATS

CASES = [
    (penalty, free, bias)
    for penalty, free, bias in product(["variation", "slope", "l1"], ["none", "constant", "affine"], [True, False])
    if not (penalty == "slope" and bias and free == "none")
]


def _data(kind, rng, n=10, m=2):
    X = rng.standard_normal((n, 2))
    if kind == "grid":
        X = np.round(X)
    elif kind == "repeated":
        X = np.repeat(X, 2, axis=0)[:n]
    elif kind == "far":
        X = 1e3 * X + 1e4
    return X, np.sin(2 * X[:, :1] + np.arange(m)) + 0.3 * rng.standard_normal((n, m))


def _certificate(X, y, share=0.1, **statement):
    """A certificate whose bound was proven over cones."""
    lam = share * cs.lam_max(X, y, **statement)
    solution = cs.solve(X, y, lam=lam, max_cells=1, **statement)
    assert solution.status == "optimal"
    return solution.certificate


@pytest.mark.parametrize(("penalty", "free", "bias"), CASES)
def test_what_was_proven_is_proven_again(penalty, free, bias, monkeypatch):
    rng = np.random.default_rng(7)
    X, y = _data("general", rng)
    certificate = _certificate(X, y, penalty=penalty, free=free, fit_bias=bias)
    assert certificate.tree is not None
    assert certificate.check(X, y).method == EXACT
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 0)
    assert certificate.check(X, y).method == FLOATS
    # the other way to the same number: every cell
    assert replace(certificate, tree=None, scales=()).check(X, y).ok


@pytest.mark.parametrize("kind", ["grid", "repeated", "far"])
@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_data_that_are_not_in_general_position(penalty, kind, monkeypatch):
    rng = np.random.default_rng(9)
    X, y = _data(kind, rng, n=8)
    certificate = _certificate(X, y, share=0.3, penalty=penalty, free="constant")
    assert certificate.check(X, y).ok
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 0)
    assert certificate.check(X, y).ok


@pytest.fixture(scope="module")
def good():
    """More cells than are listed for several outputs."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (50, 2))
    y = np.sin(3 * X[:, :1] + [0, 1, 2]) * np.cos(2 * X[:, 1:]) + 0.1 * rng.standard_normal((50, 3))
    solution = cs.solve(X, y, lam=3e-2)
    certificate = solution.certificate
    assert solution.status == "optimal" and certificate.tree and certificate.check(X, y).ok
    return X, y, certificate


@pytest.mark.parametrize("exact", [True, False])
def test_wrong_trees_are_refused(good, exact, monkeypatch, tmp_path):
    X, y, certificate = good
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    certificate.save(tmp_path / "proof.json")
    assert cs.Certificate.load(tmp_path / "proof.json").check(X, y).ok
    wrong = wrong_trees(certificate.tree, 8, 4, np.random.default_rng(0))
    for name, mutant in wrong.items():
        assert not replace(certificate, tree=mutant).check(X, y).ok, name


@pytest.mark.parametrize("exact", [True, False])
def test_claims_beyond_the_proof_are_refused(good, exact, monkeypatch):
    X, y, certificate = good
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    monkeypatch.setattr(verify_cones, "EXTRA", 2)
    rng = np.random.default_rng(1)
    for share in (1e-9, 1e-6, 1e-3):
        assert not replace(certificate, lower_bound=certificate.lower_bound * (1 + share)).check(X, y).ok
    for share in (1e-6, 1e-2):
        assert not replace(certificate, supremum=certificate.supremum * (1 - share)).check(X, y).ok
    for _ in range(4):  # other dual vectors: each neuron of the solution touches the bound
        k, j = rng.integers(50), rng.integers(3)
        alpha = certificate.alpha.copy()
        alpha[k, j] += rng.choice([-1.0, 1.0]) * 1e-3 * np.abs(alpha).max()
        assert not replace(certificate, alpha=alpha).check(X, y).ok
    assert not certificate.check(X + 1e-4 * rng.standard_normal(X.shape), y).ok
    assert not certificate.check(X, 0.999 * y).ok
    assert not certificate.check(X[::-1], y).ok
    assert not certificate.check(X, y[:, ::-1]).ok
    assert not certificate.check(X, y[:, 0]).ok
    assert not replace(certificate, penalty="label_noise").check(X, y).ok


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1"])
def test_a_bound_holds_where_no_neuron_breaks_it(penalty):
    """No tree, however long, shows a supremum below what a neuron has: the cones are halved as far as it takes."""
    rng = np.random.default_rng(5)
    X, y = _data("general", rng, n=6)
    certificate = _certificate(X, y, share=0.3, penalty=penalty, free="constant")
    problem = certificate.problem(X, y)
    theta = rng.standard_normal((20_000, 3))
    sizes = np.linalg.norm(problem.responses(theta).T @ certificate.alpha, axis=1)
    reached = float((sizes / problem.neuron_costs(theta)).max())
    assert reached <= certificate.supremum * (1 + 1e-12)
    assert not replace(certificate, supremum=0.999 * reached, lower_bound=-1e300).check(X, y).ok


@pytest.mark.parametrize("exact", [True, False])
def test_outputs_of_which_some_are_zero(exact, monkeypatch):
    monkeypatch.setattr(verify_cones, "MOST_EXACT", 10**9 if exact else 0)
    rng = np.random.default_rng(6)
    X, y = _data("general", rng)
    y[:, 1] = 0.0
    certificate = _certificate(X, y)
    assert not certificate.alpha[:, 1].any()
    assert certificate.check(X, y).ok
    assert not replace(certificate, supremum=certificate.supremum * (1 - 1e-6)).check(X, y).ok


def test_thin_cones_of_slope_need_all_digits_of_a_neurons_bias():
    """Fifteen points of a grid: the cone's last linear majorant is found only if the bias of its neuron is exact."""
    X = np.array("2 2 0 -2 1 -1 -2 -1 -1 1 1 0 -1 0 2 -1 0 0 0 -1 0 -1 0 -1 2 1 1 1 0 0".split(), float).reshape(-1, 2)
    codes = "++-- ---- -+-+ ++-- -+-+ +-+- ++++ +-+- ++-- ++++ -++- ++-- ---- +-+- -+++".split()
    y = np.array([[1.0 if c == "+" else -1.0 for c in code] for code in codes])
    statement = {"loss": "squared_hinge", "penalty": "slope", "free": "affine"}
    solution = cs.solve(X, y, lam=0.04128784040944518, max_cells=1, **statement)
    assert solution.status == "optimal" and solution.certificate.tree
    assert solution.certificate.check(X, y).ok
