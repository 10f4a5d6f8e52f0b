"""compress: the optimum of the multitask lasso by two other ways, the proof of the gap, degenerate data."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import MultiTaskLasso

import cellsolve as cs
from cellsolve.compression import Moments, Triangle, multitask
from cellsolve.solution import Status


def layer(N=60, K=40, m=5, seed=0, rank=None):
    """Features of ReLU neurons and outputs of few of them, with noise."""
    rng = np.random.default_rng(seed)
    inner = rng.standard_normal((N, rank or K)) @ rng.standard_normal((rank or K, K)) / np.sqrt(rank or K)
    features = np.maximum(inner, 0)
    weights = rng.standard_normal((K, m)) * (rng.random(K) < 0.3)[:, None]
    return features, features @ weights + 0.1 * rng.standard_normal((N, m))


def value(features, outputs, weights, lam, size=1, intercept=0.0):
    missed = features @ weights.T + intercept - outputs
    return np.sum(missed**2) / (2 * len(features)) + lam * norms(weights, size).sum()


def norms(weights, size=1):
    return np.linalg.norm(weights.T.reshape(-1, size * len(weights)), axis=1)


def reference(features, outputs, lam=None, size=1, fit_intercept=False):
    """The optimum by cvxpy."""
    N, K = features.shape
    scale = np.abs(features).max(), np.abs(outputs).max()
    features, outputs = features / scale[0], outputs / scale[1]
    V = cp.Variable((K, outputs.shape[1]))
    shift = cp.Variable((1, outputs.shape[1])) if fit_intercept else np.zeros((1, outputs.shape[1]))
    cost = sum(cp.norm(V[k : k + size], "fro") for k in range(0, K, size))
    fit = features @ V + np.ones((N, 1)) @ shift
    if lam is None:
        problem = cp.Problem(cp.Minimize(cost), [fit == outputs])
        return problem.solve(solver="CLARABEL") * scale[1] / scale[0]
    inside = lam / scale[0] / scale[1]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(fit - outputs) / (2 * N) + inside * cost))
    return problem.solve(solver="CLARABEL") * scale[1] ** 2


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("share", [0.5, 0.05, 0.002])
def test_same_optimum_as_cvxpy(share, size, fit_intercept):
    features, outputs = layer()
    features, outputs = features + 1.0, outputs + 3.0
    lam = share * Moments(fit_intercept=fit_intercept).update(features, outputs).lam_max(size)
    found = cs.compress(features, outputs, lam=lam, group_size=size, fit_intercept=fit_intercept, tol=1e-8)
    optimum = reference(features, outputs, lam, size, fit_intercept)
    assert found.status == Status.OPTIMAL and found.gap <= 1e-8
    assert found.objective == pytest.approx(optimum, rel=1e-6)
    shift = 0.0 if found.intercept is None else found.intercept
    assert value(features, outputs, found.weights, lam, size, shift) == pytest.approx(found.objective, rel=1e-12)
    assert np.array_equal(found.kept, np.flatnonzero(norms(found.weights, size)))
    assert found.lam == lam and found.lam_max == pytest.approx(lam / share)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(("N", "m", "size"), [(10, 3, 1), (25, 1, 1), (12, 4, 4), (30, 6, 1)])
def test_exact_outputs_at_the_cost_of_cvxpy(N, m, size, fit_intercept):
    rng = np.random.default_rng(N)
    features, outputs = np.maximum(rng.standard_normal((N, 40)), 0), rng.standard_normal((N, m))
    found = cs.compress(features, outputs, group_size=size, fit_intercept=fit_intercept, tol=1e-8)
    assert found.status == Status.OPTIMAL and found.error < 1e-12 and found.lam is None
    assert np.abs(found.predict(features) - outputs).max() < 1e-11
    assert found.objective == pytest.approx(norms(found.weights, size).sum(), rel=1e-12)
    assert found.objective == pytest.approx(reference(features, outputs, None, size, fit_intercept), rel=1e-6)
    assert found.n_kept <= found.rank_bound


def test_same_objective_as_scikit_learn():
    features, outputs = layer(200, 50, 30)
    for fit_intercept in (False, True):
        found = cs.compress(features, outputs, lam=0.02, fit_intercept=fit_intercept, tol=1e-9)
        peer = MultiTaskLasso(0.02, fit_intercept=fit_intercept, tol=1e-12, max_iter=10**5).fit(features, outputs)
        objective = value(features, outputs, peer.coef_, 0.02, intercept=peer.intercept_)
        assert found.objective == pytest.approx(objective, rel=1e-8)
        assert found.weights == pytest.approx(peer.coef_, abs=1e-3 * np.abs(peer.coef_).max())


# -- the proof ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 10), st.integers(1, 4), st.integers(0, 10**6), st.floats(1e-4, 1.2),
    st.sampled_from(["plain", "duplicates", "zeros", "rank"]), st.booleans(),
)  # fmt: skip
def test_the_bound_is_below_every_objective(N, K, m, seed, share, kind, fit_intercept):
    rng = np.random.default_rng(seed)
    features, outputs = rng.standard_normal((N, K)), rng.standard_normal((N, m))
    if kind == "duplicates":
        features = features[:, rng.integers(0, K, K)]
    elif kind == "zeros":
        features[:, rng.random(K) < 0.5] = 0.0
    elif kind == "rank":
        features = np.outer(features[:, 0], features[0])
    moments = Moments(fit_intercept=fit_intercept).update(features, outputs)
    lam = share * moments.lam_max() or 1.0
    found = cs.compress(features, outputs, lam=lam, fit_intercept=fit_intercept)
    bound = found.objective * (1 - found.gap)
    assert found.status == Status.OPTIMAL
    assert found.n_kept <= found.rank_bound and (share <= 1 or not found.n_kept)
    means = outputs.mean(axis=0) if fit_intercept else 0.0
    for scale in (0.0, 1e-3, 0.1):
        other = found.weights + scale * rng.standard_normal(found.weights.shape)
        shift = means - features.mean(axis=0) @ other.T if fit_intercept else 0.0
        assert value(features, outputs, other, lam, intercept=shift) >= bound * (1 - 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 8), st.integers(1, 30), st.integers(1, 4), st.integers(0, 10**6), st.integers(1, 8), st.booleans()
)
def test_exact_outputs_of_degenerate_features(N, K, m, seed, rank, repeat):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((N, rank)) @ rng.standard_normal((rank, K))
    if repeat:
        features = features[:, rng.integers(0, K, K)]
    weights = rng.standard_normal((m, K))
    outputs = features @ weights.T
    found = cs.compress(features, outputs)
    assert found.status == Status.OPTIMAL and found.error < 1e-9
    assert found.objective * (1 - found.gap) <= norms(weights).sum() * (1 + 1e-9)
    assert found.n_kept <= found.rank_bound


def test_appraisal_holds_far_from_the_optimum():
    features, outputs = layer()
    problem = multitask.Quadratic(features.T @ features / 60, features.T @ outputs / 60, float(np.sum(outputs**2) / 60))
    optimum = reference(features, outputs, 0.05)
    rng = np.random.default_rng(0)
    for scale in (1e-6, 1e-2, 1.0, 1e3):
        for weights in (scale * rng.standard_normal((40, 5)), scale * problem.cross, -scale * problem.cross):
            answer = multitask.appraise(problem, 0.05, weights)
            assert answer.objective == pytest.approx(value(features, outputs, weights.T, 0.05), rel=1e-9)
            assert answer.objective - answer.distance <= optimum * (1 + 1e-6)


# -- batches, scales, starts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_batches_are_the_whole(fit_intercept, dtype):
    features, outputs = (part.astype(dtype) for part in layer(600))
    moments, triangle = Moments(fit_intercept=fit_intercept), Triangle(fit_intercept=fit_intercept)
    wide = np.vstack([features[:, :20].T] * 2)[:15]  # fewer samples than neurons
    for rows in np.array_split(np.arange(600), 7):
        moments.update(features[rows], outputs[rows])
    for rows in np.array_split(np.arange(15), 4):
        triangle.update(wide[rows], wide[rows, :3] + dtype(1))
    whole = cs.compress(features, outputs, lam=0.03, fit_intercept=fit_intercept, tol=1e-9)
    parts = cs.compress(moments, lam=0.03, tol=1e-9)
    assert parts.objective == pytest.approx(whole.objective, rel=1e-7)
    assert parts.error == pytest.approx(whole.error, rel=1e-4)
    assert moments.n_samples == 600
    whole = cs.compress(wide, wide[:, :3] + dtype(1), fit_intercept=fit_intercept)
    parts = cs.compress(triangle)
    assert parts.objective == pytest.approx(whole.objective, rel=2e-6)


@pytest.mark.parametrize("sizes", [(0, 0), (150, 150), (-150, 120), (120, -170)])
def test_scales(sizes):
    features, outputs = layer()
    scaled = features * 2.0 ** (3 * sizes[0]), outputs * 2.0 ** (3 * sizes[1])
    plain = cs.compress(features, outputs, lam=0.03)
    if abs(3 * (sizes[0] + sizes[1])) < 1000:
        same = cs.compress(*scaled, lam=0.03 * 2.0 ** (3 * (sizes[0] + sizes[1])))
        assert np.array_equal(same.weights, plain.weights * 2.0 ** (3 * (sizes[1] - sizes[0])))
        assert same.gap == plain.gap
    plain, same = cs.compress(features[:9], outputs[:9]), cs.compress(scaled[0][:9], scaled[1][:9])
    assert np.array_equal(same.kept, plain.kept) and same.error < 1e-12


def test_a_start_is_where_it_starts(monkeypatch):
    features, outputs = layer()
    first = cs.compress(features, outputs, lam=0.05, tol=1e-8)
    monkeypatch.setattr(multitask, "ROUNDS", 1)
    again = cs.compress(features, outputs, lam=0.05, tol=1e-8, start=first)
    cold = cs.compress(features, outputs, lam=0.05, tol=1e-8)
    assert again.status == Status.OPTIMAL and cold.status == Status.STALLED
    with pytest.raises(ValueError, match="start has weights of shape"):
        cs.compress(features[:, :20], outputs, lam=0.05, start=first)


def test_tiny_and_huge_lam():
    features, outputs = layer(30, 40)
    for lam in (1e-300, 1e-25, 1e-13):
        found = cs.compress(features, outputs, lam=lam)
        bound = found.objective * (1 - found.gap)
        assert np.isfinite(found.objective) and bound <= value(features, outputs, found.weights, lam) * (1 + 1e-9)
    found = cs.compress(features, outputs, lam=1e300)
    assert not found.n_kept and found.gap < 1e-11 and found.error == 1
    assert found.objective == pytest.approx(np.sum(outputs**2) / 60)


def test_nothing_to_give():
    features, _ = layer()
    for lam in (None, 0.1):
        found = cs.compress(features, np.zeros((60, 2)), lam=lam)
        assert found.status == Status.OPTIMAL and not found.n_kept and found.objective == 0 and found.error == 0
    found = cs.compress(np.zeros((5, 3)), np.ones((5, 2)), lam=0.1)
    assert not found.n_kept and found.objective == pytest.approx(1.0) and found.rank_bound == 0


def test_neurons_that_are_alike_are_one():
    features, outputs = layer()
    once = cs.compress(features, outputs, lam=0.02, tol=1e-9)
    twice = cs.compress(np.hstack([features, features]), outputs, lam=0.02, tol=1e-9)
    assert twice.n_kept == once.n_kept and twice.objective == pytest.approx(once.objective, rel=1e-8)
    exact = cs.compress(np.hstack([features[:9], features[:9]]), outputs[:9], tol=1e-9)
    assert exact.n_kept == cs.compress(features[:9], outputs[:9], tol=1e-9).n_kept


@pytest.mark.parametrize("N", [9, 80])
def test_neurons_that_are_never_active_are_not_kept(N):
    features, outputs = layer(N, 40)
    features[:, ::3] = 0
    outputs = features @ np.ones((40, 2))
    for lam in (None, 0.01):
        assert not np.isin(cs.compress(features, outputs, lam=lam).kept, np.arange(0, 40, 3)).any()


def test_badly_conditioned_features():
    x = np.linspace(0, 1, 300)[:, None]
    features = np.maximum(x - np.linspace(0, 1, 120), 0)  # neighbours are nearly the same
    outputs = np.hstack([np.sin(9 * x), np.cos(7 * x), x**2])
    for lam in (1e-3, 1e-5, 1e-7):
        found = cs.compress(features, outputs, lam=lam)
        assert found.status == Status.OPTIMAL, found


def test_ctrl_c_returns_the_best_so_far(monkeypatch):
    features, outputs = layer()
    calls = []

    def interrupting(*args, **keywords):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return descend(*args, **keywords)

    descend = multitask.descend
    monkeypatch.setattr(multitask, "descend", interrupting)
    found = cs.compress(features, outputs, lam=0.001, tol=1e-12)
    assert found.status == Status.INTERRUPTED and found.gap < 1
    calls.clear()
    found = cs.compress(features[:9], outputs[:9], tol=1e-12)
    assert found.status == Status.INTERRUPTED


# -- bad input ----------------------------------------------------------------------------------------------------

F, O = np.ones((3, 2)), np.ones((3, 1))


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((F, O), {"lam": -1.0}, "lam is -1.0"),
        ((F, O), {"lam": 0}, "lam is 0"),
        ((F, O), {"lam": np.nan}, "lam is nan"),
        ((F, O), {"lam": "a"}, "lam is 'a'"),
        ((F, O), {"lam": 1, "tol": 0}, "tol is 0"),
        ((F, O), {"lam": 1, "group_size": 0}, "group_size is 0"),
        ((F, O), {"lam": 1, "group_size": 3}, "does not divide the 2 columns"),
        ((F,), {"lam": 1}, "outputs are missing"),
        ((F, O[:2]), {"lam": 1}, "outputs have 2 rows but features have 3"),
        ((np.ones((2, 2, 2)), O), {"lam": 1}, "features have 3 dimensions"),
        ((F[:0], O[:0]), {"lam": 1}, "at least one row"),
        ((F * 1j, O), {"lam": 1}, "dtype complex"),
        ((F, O.astype(str)), {"lam": 1}, "dtype <U"),
        (
            (np.array([[1.0, np.nan]] * 3), O),
            {"lam": 1},
            r"features have a NaN or an infinite value, the first at \(0, 1\)",
        ),
        ((F, np.array([[1.0], [np.inf], [1]])), {}, r"outputs have a NaN .* at \(1, 0\)"),
        ((F, np.array([[1.0], [2.0], [3.0]])), {}, "no linear function of the features"),
        ((Moments(), O), {"lam": 1}, "beside a Moments"),
        ((Moments(),), {"lam": 1}, "no samples yet"),
        ((Moments(),), {}, "pass the arrays or a Triangle"),
        ((Triangle(),), {"lam": 1}, "pass a Moments"),
    ],
)
def test_bad_input(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        cs.compress(*arguments, **keywords)


@pytest.mark.parametrize("kind", [Moments, Triangle])
def test_batches_that_do_not_fit(kind):
    sums = kind().update(F, O)
    with pytest.raises(ValueError, match="features have 3 columns, but those of the batches before had 2"):
        sums.update(np.ones((3, 3)), O)
    with pytest.raises(ValueError, match="outputs have 2 columns"):
        sums.update(F, np.ones((3, 2)))
    assert sums.n_samples == 3
    if kind is Moments:
        with pytest.raises(ValueError, match="too large beside those of the first"):
            sums.update(F * 1e200, O)


def test_light_import():
    import subprocess
    import sys

    code = "import cellsolve, sys; cellsolve.compress; assert not {'torch', 'cvxpy', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
