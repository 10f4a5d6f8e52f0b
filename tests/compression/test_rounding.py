"""Compression where float64 has few digits to spare: bounds hold, what is called exact is, nothing is half done."""

from fractions import Fraction
from operator import mul

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cellsolve as cs
from cellsolve.compression import Moments, Triangle, compressed, exact, moments, multitask
from cellsolve.solution import Status

Long = np.longdouble


def value(features, outputs, weights, lam, fit_intercept):
    """The objective with digits to spare."""
    missed = outputs.astype(Long) - features.astype(Long) @ weights.T.astype(Long)
    missed = missed - missed.mean(axis=0) if fit_intercept else missed
    return float(np.sum(missed**2) / (2 * len(features)) + lam * np.sqrt(np.sum(weights.astype(Long) ** 2, 0)).sum())


def nearly_dependent(rng):
    """Features that differ little from each other or from their means, or are of very different sizes."""
    N, K = int(rng.integers(3, 60)), int(rng.integers(2, 30))
    features, little = rng.standard_normal((N, K)), 10.0 ** -rng.uniform(0, 10)
    kind = rng.integers(4)
    if kind == 0:
        features += 10.0 ** rng.uniform(-2, 8)
    elif kind == 1:
        features = features[:, rng.integers(0, K, K)] + little * features
    elif kind == 2:
        features *= 10.0 ** rng.uniform(-8, 8, K)
    else:
        features = features[:, rng.integers(0, K, K)] + little * features + 10.0 ** rng.uniform(-2, 8)
    outputs = rng.standard_normal((N, 2)) if rng.random() < 0.5 else features @ rng.standard_normal((K, 2))
    return features.astype(np.float32) if rng.random() < 0.3 else features, outputs


@pytest.mark.parametrize("kept", ["samples", "products"])
def test_a_bound_is_below_the_objective_of_its_own_weights(kept):
    rng, proven = np.random.default_rng(0), 0
    for _ in range(400):
        features, outputs = nearly_dependent(rng)
        sums = Moments(fit_intercept=rng.random() < 0.4)
        for rows in np.array_split(np.arange(len(features)), 2):
            sums.update(features[rows], outputs[rows])
        lam = sums.lam_max() * 10.0 ** -rng.uniform(0, 12)
        if not lam:
            continue
        data = (features, outputs) if kept == "samples" else (sums,)
        found = cs.compress(*data, lam=lam, tol=1e-4, fit_intercept=sums.fit_intercept)
        true = value(features, outputs, found.weights, lam, sums.fit_intercept)
        assert found.objective * (1 - found.gap) <= true
        assert 0 <= found.gap <= 1
        if found.status == Status.OPTIMAL:
            assert true == pytest.approx(found.objective, rel=found.gap + 1e-12)
        proven += found.status == Status.OPTIMAL
    assert proven > 150


def test_a_bound_is_below_what_is_feasible_in_exact_arithmetic():
    rng, proven = np.random.default_rng(0), 0
    for _ in range(300):
        N, K, m, power = rng.integers(2, 20), rng.integers(2, 25), rng.integers(1, 4), rng.integers(8, 36)
        whole = rng.integers(-4, 5, (N, K)).astype(float)
        whole = whole[:, rng.integers(0, K, K)] if rng.random() < 0.5 else whole[rng.integers(0, N, N)]
        features = whole + rng.integers(-4, 5, (N, K)) * 2.0**-power
        weights = rng.integers(-2, 3, (K, m)) * (rng.random((K, 1)) < 0.5)
        outputs = features @ weights  # of so few digits that nothing is rounded
        found = cs.compress(features, outputs)
        assert found.objective * (1 - found.gap) <= np.linalg.norm(weights, axis=1).sum()
        assert found.error < 1e-10
        proven += found.status == Status.OPTIMAL
    assert proven > 150
    features = np.array([[-1, 4, 0, -3], [-1, 4, 0, -3], [-1, 2, -4, 4]]) + 2.0**-34 * np.array(
        [[0, 3, 1, 2], [2, 3, 0, -1], [1, 2, -1, -4]]
    )
    found = cs.compress(features, features[:, 1])
    assert found.objective * (1 - found.gap) <= 1


def best_of_one(features, outputs, lam):
    """The optimum with one feature, one output and an intercept, in fractions: var(y) / 2 - (|c| - lam)+^2 / 2 g."""
    x, y, lam = [Fraction(v) for v in features[:, 0]], [Fraction(v) for v in outputs[:, 0]], Fraction(lam)
    x, y = ([v - sum(part) / len(part) for v in part] for part in (x, y))
    g, c, s = (sum(map(mul, *pair)) / len(x) for pair in ((x, x), (x, y), (y, y)))
    return s / 2 - max(abs(c) - lam, 0) ** 2 / (2 * g) if g else s / 2


@pytest.mark.parametrize("offset", [0.0, 1e5, 1e7, 1e9, 1e11, 1e13])
def test_the_bound_of_one_feature_is_below_its_optimum(offset):
    rng = np.random.default_rng(11)
    for _ in range(40):
        N = int(rng.integers(2, 7))
        features = rng.standard_normal((N, 1)) + offset
        outputs = features - offset if rng.random() < 0.5 else rng.standard_normal((N, 1)) + offset
        lam = 10.0 ** -rng.uniform(0, 8)
        sums = Moments(fit_intercept=True)
        for row in range(N):
            sums.update(features[row : row + 1], outputs[row : row + 1])
        optimum = best_of_one(features, outputs, lam)
        for data in ((features, outputs), (sums,)):
            found = cs.compress(*data, lam=lam, fit_intercept=True)
            assert Fraction(found.objective) * (1 - Fraction(found.gap)) <= optimum
            if found.status == Status.OPTIMAL and offset < 1e12:  # beyond, some outputs count as constant
                assert found.objective == pytest.approx(float(optimum), rel=2e-6)


def test_what_varies_too_little_to_be_seen_is_not_left_out_of_the_bound():
    features = 1e14 + np.array([[0.0], [1], [2], [4]])
    found = cs.compress(features, features - 1e14, lam=1e-3, fit_intercept=True)  # a weight of 1 costs 1e-3
    assert not found.n_kept and found.objective * (1 - found.gap) <= 1e-3 and found.status == Status.STALLED
    with pytest.raises(ValueError, match="what varies by less than 1e-13 of its mean counts as constant"):
        cs.compress(features, features - 1e14, fit_intercept=True)
    # beside another feature that gives the outputs, it may stand for them all the same
    both = np.hstack([features, 1e-3 * (features - 1e14)])
    found = cs.compress(both, features - 1e14, fit_intercept=True)
    assert found.objective == pytest.approx(1e3) and found.objective * (1 - found.gap) <= 1 + 1e-9


def test_the_appraisal_takes_every_rounding_in():
    gram, cross, lam = np.array([[1.0, 0.2], [0.2, 0.5]]), np.array([[0.7], [0.1]]), 0.3
    weights, square, precision = np.array([[0.4], [0.0]]), 1.0, 1e-3
    problem = multitask.Quadratic(gram, cross, square, 1, precision, np.array([0.0, 0.7]))
    slopes = cross - gram @ weights
    missed = square - 2 * np.sum(weights * cross) + np.sum(weights * (gram @ weights))
    for size in (1.0 + 0.4, np.sqrt(missed) + precision * 1.4):
        given = None if size < 1.4 else size
        noise = size * (precision * np.sqrt([1.0, 0.5]) + [0.0, 0.7])
        share = lam / (np.abs(slopes[:, 0]) + noise).max()
        dual = share * (missed + np.sum(weights * slopes)) - share**2 * missed / 2
        answer = multitask.judge(problem, lam, weights, slopes, missed, given)
        assert share < 1 and answer.objective == pytest.approx(missed / 2 + lam * 0.4)
        assert answer.objective - answer.distance == pytest.approx(dual - 2 * precision * size * 1.4)
    assert (
        multitask.appraise(problem, lam, weights).distance
        == multitask.judge(problem, lam, weights, slopes, missed, 1.4).distance
        == pytest.approx(answer.distance, rel=1)
    )


@pytest.mark.parametrize(("N", "K", "size", "m"), [(15, 4, 2, 1), (15, 10, 2, 1), (40, 30, 2, 2)])
def test_groups_of_copies_are_exact_at_least_cost(N, K, size, m):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((N, K))[:, rng.integers(0, K, K)]
        weights = rng.standard_normal((K, m)) * (rng.random((K, 1)) < 0.5)
        found = cs.compress(features, features @ weights, group_size=size)
        assert found.status == Status.OPTIMAL and found.error < 1e-10, (seed, found)


def test_copies_are_left_out_where_products_see_only_rounding():
    excess = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((5, 30))[:, rng.integers(0, 30, 30)]
        outputs = rng.standard_normal((5, 1))
        lam = 1e-7 * Moments().update(features, outputs).lam_max()
        found = cs.compress(features, outputs, lam=lam)
        assert found.status == Status.OPTIMAL
        excess += found.n_kept > found.rank_bound
    assert excess <= 2  # without a second look one of six


def test_what_is_called_exact_is():
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((6, 8)) * 10.0 ** rng.integers(-7, 8, 8)
        outputs = features[:, :3] @ rng.standard_normal((3, 1))
        found = cs.compress(features, outputs)
        missed = np.linalg.norm(found.predict(features) - outputs) / np.linalg.norm(outputs)
        assert missed == pytest.approx(found.error, abs=1e-14)
        assert found.status == Status.STALLED or missed < 1e-11
        seen.add(found.status)
    assert Status.OPTIMAL in seen


def test_a_solve_that_misses_is_not_optimal(monkeypatch):
    rng = np.random.default_rng(0)
    features, outputs = rng.standard_normal((5, 9)), rng.standard_normal((5, 2))
    plain = cs.compress(features, outputs)
    with monkeypatch.context() as patch:
        solve = exact.lstsq
        patch.setattr(exact, "lstsq", lambda *args, **keywords: (1.00001 * solve(*args, **keywords)[0],))
        refined = cs.compress(features, outputs)
    assert refined.error < 1e-8 and refined.objective == pytest.approx(plain.objective, rel=1e-5)
    missed = exact.Range.error
    monkeypatch.setattr(exact.Range, "error", lambda self, weights: missed(self, weights) + 1e-9)
    found = cs.compress(features, outputs)
    assert plain.status == Status.OPTIMAL and found.status == Status.STALLED


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_features_of_few_digits(dtype):
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((12, 40)), 0).astype(dtype)
    outputs = features.astype(float) @ rng.standard_normal((40, 3))
    found = cs.compress(features, outputs)
    assert found.status == Status.OPTIMAL and found.error < np.sqrt(np.finfo(dtype).eps)
    deep = rng.standard_normal((400, 30)).astype(dtype)  # as many as float16 has digits
    found = cs.compress(deep, deep.astype(float) @ np.ones((30, 1)))
    assert found.status == Status.OPTIMAL and found.n_kept == 30 and found.error < 1e-12


def test_batches_far_from_each_other():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((1000, 4)) * [1, 10, 100, 1000]
    features[5:] += 1e6 * np.array([0, 0, 1, 1])
    outputs = rng.standard_normal((1000, 2)) + 1e7
    sums = Moments(fit_intercept=True)
    for rows in (slice(0, 5), slice(5, 300), slice(300, 1000)):
        sums.update(features[rows], outputs[rows])
    first, second = (part.astype(Long) - part.astype(Long).mean(axis=0) for part in (features, outputs))
    roots = np.sqrt(np.mean(first**2, axis=0)).astype(float)
    gram, cross = np.ldexp(sums.gram, 2 * sums.units[0]), np.ldexp(sums.cross, sum(sums.units))
    assert np.abs(gram / np.outer(roots, roots) - (first.T @ first / 1000 / np.outer(roots, roots))).max() < 1e-13
    size = np.sqrt(np.mean(np.sum(second**2, axis=1)))
    assert np.abs((cross - first.T @ second / 1000) / roots[:, None] / size).max() < sums.rounding < 1e-10


def test_constant_features_and_outputs_are_offsets():
    rng = np.random.default_rng(0)
    features = np.hstack([rng.standard_normal((3000, 3)), np.full((3000, 2), 0.1), np.full((3000, 1), 1e9 / 3)])
    outputs = np.hstack([features[:, :1], np.full((3000, 1), 0.7)])
    for N, lam in ((3000, 1e-3), (3, None)):
        found = cs.compress(features[:N], outputs[:N], lam=lam, fit_intercept=True)
        assert found.status == Status.OPTIMAL and not np.isin(found.kept, [3, 4, 5]).any()
        assert found.intercept[1] == pytest.approx(0.7, rel=1e-12)
    outputs = features[:, 3:] @ rng.standard_normal((3, 4))  # whose rows BLAS may round in different ways
    for lam in (1e-3, None):
        found = cs.compress(features[:, 3:], outputs, lam=lam, fit_intercept=True)
        assert not found.n_kept and found.objective == 0 and found.gap == 0 and found.status == Status.OPTIMAL


# -- nothing half done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Moments, Triangle])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_ctrl_c_leaves_a_batch_out(kind, fit_intercept, monkeypatch):
    rng = np.random.default_rng(0)
    features, outputs = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    whole = moments.in_units

    def interrupted(*args):
        yield next(whole(*args))
        raise KeyboardInterrupt

    def state(sums):
        parts = sums.parts if kind is Triangle else (sums.gram, sums.cross)
        return [*(part.copy() for part in parts), sums.n_samples]

    sums = kind(fit_intercept=fit_intercept).update(features, outputs)
    before = state(sums)
    module = moments if kind is Moments else exact
    monkeypatch.setattr(module, "in_units", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sums.update(features + 1, outputs)
    empty = kind(fit_intercept=fit_intercept)
    with pytest.raises(KeyboardInterrupt):
        empty.update(100 * features, outputs)
    monkeypatch.undo()
    assert all(np.array_equal(a, b) for a, b in zip(before, state(sums)))
    assert empty.n_samples == 0
    again = state(empty.update(features, outputs))
    assert all(np.array_equal(a, b) for a, b in zip(before, again))


def test_a_triangle_of_single_rows():
    rng = np.random.default_rng(0)
    features, outputs = rng.standard_normal((60, 8)) + 1e6, rng.standard_normal((60, 2))
    whole, rows = Triangle(fit_intercept=True).update(features, outputs), Triangle(fit_intercept=True)
    for phi, psi in zip(features, outputs):
        rows.update(phi[None], psi[None])
    first, second = (np.ldexp(sums.parts[0], sums.units[0]) for sums in (whole, rows))
    centred = features - features.mean(axis=0)
    assert first.T @ first == pytest.approx(centred.T @ centred, abs=1e-7)
    assert second.T @ second == pytest.approx(centred.T @ centred, abs=1e-7)
    assert np.ldexp(rows.means[0], rows.units[0]) == pytest.approx(features.mean(axis=0), rel=1e-14)
    with pytest.raises(ValueError, match="too large beside those of the first"):
        Triangle().update(1e-200 * features, outputs).update(1e200 * features, outputs)


def test_ctrl_c_while_neurons_are_left_out(monkeypatch):
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((50, 20)), 0)
    outputs = features @ rng.standard_normal((20, 3))
    monkeypatch.setattr(compressed, "independent", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    found = cs.compress(features, outputs, lam=0.01)
    assert found.status == Status.INTERRUPTED and found.gap < 1e-6


def test_sizes_at_the_ends_of_float64():
    rng = np.random.default_rng(0)
    features, outputs = np.maximum(rng.standard_normal((30, 20)), 0), rng.standard_normal((30, 3))
    plain = cs.compress(features, outputs, lam=0.1)
    for size in (1e-300, 1e300):
        found = cs.compress(size * features, outputs, lam=0.1 * size)
        assert found.objective == pytest.approx(plain.objective) and found.n_kept == plain.n_kept
        assert not cs.compress(features / 1e10, outputs, lam=1e300).n_kept
        found = cs.compress(features[:9] * size, outputs[:9])
        assert found.error < 1e-12
    assert not cs.compress(5e-324 * np.ones((3, 2)), np.ones((3, 1)), lam=1.0).n_kept
    with pytest.raises(ValueError, match="weights overflow; divide both"):
        cs.compress(1e-300 * features[:9], 1e300 * outputs[:9])


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((np.ones((3, 2)), np.ones(3)), {"lam": 1, "tol": 1.0}, "tol is 1; pass a relative gap below 1"),
        ((Moments().update(np.ones((3, 2)), np.ones(3)),), {"lam": 1, "fit_intercept": True}, "has no means; give it"),
        ((Triangle().update(np.eye(2), np.ones(2)),), {"fit_intercept": True}, "this Triangle has no means"),
        ((csr_matrix(np.eye(3)), np.ones(3)), {"lam": 1}, "features are a csr_matrix; pass a plain array"),
        ((np.ma.masked_less(np.eye(3), 0.5), np.ones(3)), {"lam": 1}, "features are a MaskedArray"),
        (([[1, 2], [3]], [1, 2]), {"lam": 1}, "features cannot be read as a matrix"),
    ],
)
def test_what_would_be_ignored_or_misread(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        cs.compress(*arguments, **keywords)


def test_a_start_or_features_that_do_not_fit():
    features, outputs = np.random.default_rng(0).standard_normal((2, 5, 4))
    found = cs.compress(features, outputs, lam=0.1)
    with pytest.raises(ValueError, match="start is for a path of lam"):
        cs.compress(features, outputs, start=found)
    with pytest.raises(ValueError, match=r"features have shape \(5, 3\); pass \(N, 4\)"):
        found.predict(features[:, :3])
    with pytest.raises(ValueError, match="start is a ndarray; pass what compress returned"):
        cs.compress(features, outputs, lam=0.1, start=found.weights)
    far = cs.compress(1e300 * features, outputs, lam=1e299, start=found)
    assert far.objective == pytest.approx(found.objective, rel=1e-5)
    for sums in (Moments(), Triangle()):
        with pytest.raises(ValueError, match="no samples yet; call"):
            sums.lam_max() if isinstance(sums, Moments) else sums.parts
    with pytest.raises(ValueError, match="group_size is 3, which does not divide the 4 columns"):
        Moments().update(features, outputs).lam_max(3)
