"""The verifier accepts what is true and refuses what is not, by references that share no code with it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from claims import PENALTIES, basis_of, check_both_ways, data, lifted_of, make_claim

from cellsolve.verify import Claim, verify
from cellsolve.verify_integers import solve

# -- true claims, and a little more than the truth ----------------------------------------------------------------


@pytest.mark.parametrize("fit_bias", [True, False])
@pytest.mark.parametrize("penalty, params", PENALTIES)
@pytest.mark.parametrize("d", [1, 2])
def test_potentials(penalty, params, fit_bias, d):
    rng, X, y, alpha = data(1, 7, d)
    free = "constant" if penalty == "slope" and fit_bias else "none"
    options = {"free": free, "fit_bias": fit_bias, "penalty": penalty, "penalty_params": params}
    check_both_ways(make_claim(X, y, alpha, rng=rng, **options), X, y)


@pytest.mark.parametrize("penalty, params", PENALTIES)
def test_three_dimensions(penalty, params):
    rng, X, y, alpha = data(2, 6, 3)
    free = "constant" if penalty == "slope" else "none"
    claim = make_claim(X, y, alpha, rng=rng, lam=0.05, free=free, penalty=penalty, penalty_params=params)
    check_both_ways(claim, X, y)


@pytest.mark.parametrize("fit_bias", [True, False])
@pytest.mark.parametrize("free", ["constant", "affine"])
@pytest.mark.parametrize("penalty, params", PENALTIES)
def test_free_parts(penalty, params, free, fit_bias):
    rng, X, y, alpha = data(3, 6, 2)
    options = {"free": free, "fit_bias": fit_bias, "penalty": penalty, "penalty_params": params}
    check_both_ways(make_claim(X, y, alpha, rng=rng, lam=0.03, **options), X, y)


@pytest.mark.parametrize("free", ["none", "constant"])
@pytest.mark.parametrize("penalty, params", PENALTIES)
def test_two_outputs(penalty, params, free):
    rng, X, y, alpha = data(4, 5, 2, m=2)
    free = "constant" if penalty == "slope" else free
    claim = make_claim(X, y, alpha, rng=rng, lam=0.05, free=free, penalty=penalty, penalty_params=params, inflate=1e-8)
    check_both_ways(claim, X, y)


@pytest.mark.parametrize("penalty, params", PENALTIES)
def test_more_outputs_than_dimensions(penalty, params):
    """Outputs that are multiples of one output: the supremum is that of one output times the norm of the factors."""
    rng, X, y, alpha = data(5, 6, 2)
    free = "constant" if penalty == "slope" else "none"
    one = make_claim(X, y, alpha, rng=rng, free=free, penalty=penalty, penalty_params=params)
    factors = np.array([1.0, -2.0, 2.0, 4.0])  # of norm 5
    many = replace(one, alpha=one.alpha[:, None] * factors, supremum=5 * one.supremum * (1 + 1e-9), lower_bound=-np.inf)
    Y = np.ones((6, 4))
    verdict = verify(many, X, Y)
    assert verdict.ok, verdict.reason
    assert not verify(replace(many, supremum=many.supremum * (1 - 1e-6)), X, Y).ok


@pytest.mark.parametrize(
    "loss, params, size",
    [
        ("squared", {}, 1.0),
        ("absolute", {}, 0.1),
        ("huber", {"delta": 0.5}, 0.05),
        ("quantile", {"q": 0.3}, 0.05),
        ("logistic", {}, 0.1),
        ("hinge", {}, 0.1),
        ("squared_hinge", {}, 0.1),
    ],
)
@pytest.mark.parametrize("m", [None, 2])
@pytest.mark.parametrize("lam", [0.001, 10.0])
def test_losses(loss, params, size, m, lam):
    rng, X, y, alpha = data(6, 5, 1, m)
    alpha = alpha * size
    if loss in ("logistic", "hinge", "squared_hinge"):
        y = np.where(y > 0, 1.0, -1.0)
        alpha = np.abs(alpha) * y  # -n alpha y in [-1, 0]
    check_both_ways(make_claim(X, y, alpha, rng=rng, lam=lam, loss=loss, loss_params=params, inflate=1e-8), X, y)


@pytest.mark.parametrize("loss, params", [("absolute", {}), ("huber", {"delta": 1.0}), ("quantile", {"q": 0.4})])
def test_dual_domain_is_closed_and_nothing_more(loss, params):
    X, y = np.array([[0.0], [1.0]]), np.array([-4.0, 4.0])
    edge = {"absolute": 1.0, "huber": 1.0, "quantile": 0.4}[loss]  # u = -n alpha in [-edge, edge] or [-q, 1 - q]
    claim = Claim(np.array([0.0, edge / 2]), (), 5.0, -np.inf, 10.0, loss, params)
    assert verify(claim, X, y).ok
    outside = replace(claim, alpha=np.array([0.0, np.nextafter(edge / 2, 1)]))
    assert "domain" in verify(outside, X, y).reason


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
def test_labels(loss):
    X = np.array([[0.0], [1.0]])
    claim = Claim(np.array([0.0, 0.25]), (), 5.0, -np.inf, 10.0, loss)
    assert verify(claim, X, [1.0, 1.0]).ok
    assert "domain" in verify(claim, X, [1.0, -1.0]).reason
    assert "labels" in verify(claim, X, [1.0, 2.0]).reason


# -- data that is not in general position -------------------------------------------------------------------------

DEGENERATE = {
    "grid": np.array([[i, j] for i in range(3) for j in range(3)], dtype=float),
    "repeated": np.repeat(np.array([[0.1, 0.2], [-1.0, 0.5], [0.3, 0.7]]), 2, axis=0),
    "collinear": np.column_stack([np.arange(5.0), 0.25 * np.arange(5.0)]),
    "zero row": np.array([[0.0, 0.0], [1.0, 2.0], [-1.0, 1.0], [2.0, -1.0]]),
    "one point": np.array([[0.3, -0.4]]),
    "units": np.random.default_rng(0).standard_normal((6, 2)) * [1e-5, 1e4],
    "far away": 1e4 + np.random.default_rng(0).standard_normal((6, 2)),
}


@pytest.mark.parametrize("fit_bias", [True, False])
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("penalty, params", PENALTIES)
def test_degenerate_data(name, penalty, params, fit_bias):
    """Accepted a little above the best neuron that climbing finds, refused a little below it."""
    X = DEGENERATE[name]
    rng = np.random.default_rng(7)
    alpha = rng.standard_normal(len(X))
    free = "constant" if penalty == "slope" and fit_bias else "none"
    if free == "constant":
        alpha -= alpha.mean()
    seen = climbed_supremum(alpha, lifted_of(X, fit_bias), penalty, params, fit_bias, rng)
    claim = Claim(alpha, (0,) if free == "constant" else (), max(1.05 * seen, 1e-9), -np.inf, 1.0, free=free)
    claim = replace(claim, fit_bias=fit_bias, penalty=penalty, penalty_params=params)
    verdict = verify(claim, X, np.zeros(len(X)))
    assert verdict.ok, verdict.reason
    if seen > 1e-9:
        assert not verify(replace(claim, supremum=seen * (1 - 1e-6)), X, np.zeros(len(X))).ok


def climbed_supremum(alpha, L, penalty, params, fit_bias, rng):
    """The largest |phi| / w seen while climbing by random steps, from many neurons."""
    D = L.shape[1]

    def ratio(theta):
        response = np.maximum(theta @ L.T, 0)
        cost = np.linalg.norm(theta[:, : D - 1] if penalty == "slope" and fit_bias else theta, axis=1)
        if penalty == "label_noise":
            cost = np.sqrt(np.mean(response**2, axis=1))
            if params:
                cost *= 2 * np.sqrt(np.mean((response > 0) * (L**2).sum(axis=1), axis=1))
        if penalty == "l1":
            cost = np.abs(theta).sum(axis=1)
        enough = cost > 1e-9 * np.linalg.norm(theta * np.abs(L).max(axis=0), axis=1) / len(L)
        return np.where(enough, np.abs(response @ alpha) / np.where(enough, cost, 1.0), 0.0)

    def propose(count):
        step = rng.standard_normal((count, D)) / np.abs(L).max(axis=0)
        step[::2] = rng.standard_normal((len(step[::2]), D))
        return step / np.linalg.norm(step, axis=1, keepdims=True)

    theta = propose(20_000)
    if fit_bias:  # half of them through a point
        theta[:10_000, -1] = -(theta[:10_000, :-1] * L[rng.integers(len(L), size=10_000), :-1]).sum(axis=1)
    value = ratio(theta)
    best = 0.0
    for start in np.argsort(-value)[[0, 1, 2, 10, 100, 1000]]:
        here, height, size = theta[start], value[start], 0.3
        for _ in range(200):
            near = here + size * 0.5 ** rng.integers(0, 20, (100, 1)) * propose(100) * np.linalg.norm(here)
            heights = ratio(near)
            if heights.max() > height:
                here, height = near[heights.argmax()], heights.max()
            else:
                size *= 0.9
        best = max(best, float(height))
    return best


def test_exactly_tight_claim_is_accepted():
    """sigma(theta) at x = 3/4 without bias: the supremum of 3 sigma is 9/4, to the last bit."""
    for penalty in ("variation", "l1", "slope"):
        claim = Claim(np.array([3.0]), (), 2.25, 1.0, None, penalty=penalty, fit_bias=False)
        assert verify(claim, [[0.75]], [0.75]).ok
        assert not verify(replace(claim, supremum=np.nextafter(2.25, 0)), [[0.75]], [0.75]).ok
        assert not verify(replace(claim, lower_bound=np.nextafter(1.0, 2)), [[0.75]], [0.75]).ok


def test_alpha_that_no_neuron_sees():
    """Supremum 0: kappa is 1, and for interpolation every multiple of alpha is feasible."""
    X = np.array([[1.0], [1.0]])
    claim = Claim(np.array([1.0, -1.0]), (), 0.0, 0.0, None)
    assert verify(claim, X, [1.0, 1.0]).ok
    assert verify(replace(claim, lower_bound=np.inf), X, [1.0, 0.5]).ok  # contradictory: no interpolant at all
    assert not verify(replace(claim, lower_bound=1e-9), X, [1.0, 1.0]).ok
    penalised = replace(claim, alpha=np.array([0.25, -0.25]), lam=1e-3, lower_bound=0.0625)
    assert verify(penalised, X, [1.0, 0.5 - 0.125]).ok is False  # 0.15625 - 0.125 = 0.03125
    assert verify(replace(penalised, lower_bound=0.03125), X, [1.0, 0.5 - 0.125]).ok


def test_correction_is_exact():
    """Floats do not sum to zero against the points; the corrected alpha does, and the verdict is about that one."""
    rng, X, y, alpha = data(8, 6, 2)
    claim = make_claim(X, y, alpha, rng=rng, free="affine", penalty="slope", rows=(5, 1, 3))
    assert (basis_of(X, "affine", True).T @ claim.alpha != 0).any()
    check_both_ways(claim, X, y)


# -- wrong claims -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good():
    rng, X, y, alpha = data(9, 6, 2)
    claim = make_claim(X, y, alpha, rng=rng, lam=0.02, free="affine", loss="huber", loss_params={"delta": 5.0})
    assert verify(claim, X, y).ok
    return claim, X, y


def changed(array, place, value):
    array = np.array(array)
    array[place] = value
    return array


@pytest.mark.parametrize(
    "changes",
    [
        {"supremum": np.nan},
        {"supremum": np.inf},
        {"supremum": -1.0},
        {"supremum": None},
        {"supremum": "1"},
        {"supremum": True},
        {"lower_bound": np.nan},
        {"lower_bound": np.inf},
        {"lower_bound": 1e9},
        {"lam": 0.0},
        {"lam": -1.0},
        {"lam": np.nan},
        {"lam": "big"},
        {"rows": ()},
        {"rows": (0,)},
        {"rows": (0, 1)},
        {"rows": (0, 1, 1)},
        {"rows": (0, 1, 6)},
        {"rows": (0, 1, -1)},
        {"rows": (0, 1, 2, 3)},
        {"rows": (0.0, 1.0, 2.0)},
        {"rows": None},
        {"loss": "hubert"},
        {"loss": None},
        {"loss": ["huber"]},
        {"loss_params": {}},
        {"loss_params": {"delta": -1.0}},
        {"loss_params": {"delta": np.nan}},
        {"loss_params": {"delta": 1e-6}},
        {"loss_params": {"delta": 5.0, "q": 0.5}},
        {"loss_params": None},
        {"penalty": "l2"},
        {"penalty": None},
        {"penalty_params": {"full": True}},
        {"penalty": "label_noise", "penalty_params": {"full": 2}},
        {"free": "linear"},
        {"free": "none"},
        {"free": None},
        {"fit_bias": 1},
        {"alpha": np.zeros(5)},
        {"alpha": np.zeros((6, 1))},
        {"alpha": "alpha"},
        {"alpha": None},
    ],
    ids=str,
)
def test_wrong_claims_are_refused_with_a_reason(good, changes):
    claim, X, y = good
    verdict = verify(replace(claim, **changes), X, y)
    assert not verdict.ok and not verdict
    assert verdict.reason not in ("", "proven")


def test_mutations(good):
    """On the corrected rows alpha may change: the claim is about alpha', which is determined by the others."""
    claim, X, y = good
    assert claim.rows == (0, 1, 2)
    assert verify(replace(claim, alpha=changed(claim.alpha, 1, 17.0)), X, y).ok
    for i in range(6):
        for value in (np.nan, np.inf):
            assert not verify(replace(claim, alpha=changed(claim.alpha, i, value)), X, y).ok
    for i in (3, 4, 5):
        moved = [replace(claim, alpha=changed(claim.alpha, i, claim.alpha[i] + step)) for step in (-1e-3, 1e-3)]
        assert not all(verify(worse, X, y).ok for worse in moved)


def test_other_data(good):
    claim, X, y = good
    assert not verify(claim, 1.1 * X, y).ok
    assert not verify(claim, X, y - np.sign(claim.alpha) * 1e-6).ok
    assert not verify(claim, X[:5], y[:5]).ok
    assert not verify(claim, X, y[:, None]).ok
    assert not verify(claim, changed(X, (0, 0), np.nan), y).ok
    assert not verify(claim, X, changed(y, 0, np.inf)).ok
    assert not verify(claim, "X", y).ok


def test_slope_with_constants_that_cost_nothing_needs_them_free():
    """Without sum(alpha) = 0 phi grows with the bias and w does not: no supremum is finite."""
    X, y = np.array([[0.0], [1.0], [2.0]]), np.zeros(3)
    claim = Claim(np.array([1.0, -0.5, 0.25]), (), 1e6, -np.inf, 1.0, penalty="slope")
    assert not verify(claim, X, y).ok
    assert verify(replace(claim, rows=(2,), free="constant"), X, y).ok


@pytest.mark.parametrize("penalty, params", PENALTIES)
@pytest.mark.parametrize("scale", [1e-150, 1e150, [1e-150, 1e150], 1e300])
def test_extreme_scales_do_not_raise(penalty, params, scale):
    _, X, y, alpha = data(10, 5, 2)
    claim = Claim(alpha, (0,), 1.0, -np.inf, 1.0, free="constant", penalty=penalty, penalty_params=params)
    with np.errstate(all="ignore"):
        verdict = verify(claim, X * scale, y)
    assert verdict.ok == (verdict.reason == "proven")


def test_too_many_cells():
    n = 600
    alpha = np.random.default_rng(1).standard_normal(n)
    verdict = verify(Claim(alpha, (), 1e-3, -1e9, 1.0), np.random.default_rng(0).standard_normal((n, 2)), np.zeros(n))
    assert not verdict.ok and "too many cells" in verdict.reason


@pytest.mark.parametrize("damage", ["missing", "repeated", "wrong"])
def test_a_wrong_list_of_cells_is_noticed(good, monkeypatch, damage):
    from cellsolve import cells, verify_suprema

    claim, X, y = good

    def enumerate_wrongly(X, **options):
        right = cells.enumerate_cells(X, **options)
        neurons = right.interior_points()
        if damage == "missing":
            return right.take(range(1, len(right)))
        packed, neurons = right.packed.copy(), neurons.copy()
        packed[3] = packed[4] if damage == "repeated" else 255 - packed[3]
        neurons[3] = neurons[4] if damage == "repeated" else neurons[3]
        return cells.CellArrangement(right.lifted, packed, facets=right.facets, interior=neurons, complete=True)

    monkeypatch.setattr(verify_suprema, "enumerate_cells", enumerate_wrongly)
    verdict = verify(claim, X, y)
    assert not verdict.ok and "cell" in verdict.reason


def test_progress_reaches_the_end(good):
    claim, X, y = good
    calls = []
    assert verify(claim, X, y, progress=lambda done, total: calls.append((done, total))).ok
    assert calls[0] == (0, 32) and calls[-1] == (32, 32)


def test_solve_in_integers():
    rng = np.random.default_rng(0)
    for _ in range(50):
        A = rng.integers(-9, 10, (4, 3)) @ rng.integers(-2, 3, (3, 5))
        b = A @ rng.integers(-9, 10, (5, 2))
        x, d, rank = solve(A.tolist(), b.tolist())
        assert d > 0 and rank == np.linalg.matrix_rank(A)
        assert (A @ np.array(x) == d * b).all()
    assert solve([[1, 2], [2, 4]], [[1], [3]]) is None


def test_imports_nothing_of_the_solvers():
    code = "import sys, cellsolve.verify; print(*(name for name in sys.modules if name.startswith('cellsolve')))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    allowed = ("cellsolve.cells", "cellsolve.checks", "cellsolve.data", "cellsolve.tasks", "cellsolve.verify")
    assert "cellsolve.verify" in names
    assert [n for n in names if n != "cellsolve" and not n.startswith(allowed)] == []
