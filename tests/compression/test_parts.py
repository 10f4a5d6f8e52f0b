"""The parts of compression: a pass of coordinate descent, Newton's step, quadratic programs, fewer neurons."""

import numpy as np
import pytest
from scipy.optimize import nnls

from cellsolve.compression.exact import Range, Triangle
from cellsolve.compression.groups import lengths, rows
from cellsolve.compression.kernels import BLOCK, sweep
from cellsolve.compression.multitask import Quadratic
from cellsolve.compression.reduction import independent
from cellsolve.compression.scales import Ridge, descend, nonnegative


def products(N=50, K=12, m=3, seed=0, size=1):
    rng = np.random.default_rng(seed)
    features, outputs = np.maximum(rng.standard_normal((N, K * size)), 0), rng.standard_normal((N, m))
    return Quadratic(features.T @ features / N, features.T @ outputs / N, float(np.sum(outputs**2) / N), size)


def objective(problem, weights, lam):
    smooth = np.vdot(weights, problem.gram @ weights / 2 - problem.cross) + problem.square / 2
    return smooth + lam * lengths(weights, problem.size).sum()


def swept(problem, weights, lam):
    """A pass, a group after the other."""
    weights, size = weights.copy(), problem.size
    for group, bound in enumerate(problem.bounds):
        at = slice(group * size, (group + 1) * size)
        moved = problem.cross[at] - problem.gram[at] @ weights + bound * weights[at]
        length = np.linalg.norm(moved)
        weights[at] = moved * max(0.0, 1 - lam / length) / bound
    return weights


@pytest.mark.parametrize(("K", "size"), [(12, 1), (3 * BLOCK + 5, 1), (BLOCK, 3), (5, BLOCK + 3)])
def test_a_pass_is_that_of_the_formula(K, size):
    problem = products(K=K, size=size)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal(problem.cross.shape) * rng.integers(0, 2, (K * size, 1))
    lam = 0.3 * problem.lam_max
    expected = swept(problem, weights, lam)
    room = np.empty((BLOCK + 2 * size, 3))
    before = objective(problem, weights, lam)
    sweep(problem.gram, problem.cross, lam, problem.bounds, size, weights, room)
    assert weights == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert objective(problem, weights, lam) < before


def test_a_neuron_that_is_never_active_stays_out():
    problem = products()
    gram, cross = problem.gram.copy(), problem.cross.copy()
    gram[4], gram[:, 4], cross[4] = 0, 0, 0
    weights = np.zeros_like(cross)
    sweep(gram, cross, 0.01, np.ascontiguousarray(gram.diagonal()), 1, weights, np.empty((BLOCK + 2, 3)))
    assert not weights[4].any() and weights.any()


@pytest.mark.parametrize("size", [1, 3])
def test_the_step_is_newtons(size):
    problem = products(size=size)
    lam, scales = 0.05, np.random.default_rng(2).uniform(0.5, 1.5, 12)

    def value(scales):
        return Ridge(problem.gram, problem.cross, lam, scales, size).value

    h = 1e-4
    unit = np.eye(12) * h
    slopes = np.array([(value(scales + e) - value(scales - e)) / (2 * h) for e in unit])
    pairs = [(scales + e, scales - e) for e in unit]
    mixed = [[value(up + f) - value(up - f) - value(down + f) + value(down - f) for f in unit] for up, down in pairs]
    hessian = np.array(mixed) / (4 * h * h)
    ridge = Ridge(problem.gram, problem.cross, lam, scales, size)
    shape, roots = ridge.curvatures
    assert shape * np.outer(roots, roots) == pytest.approx(hessian, rel=1e-4, abs=1e-6)
    root = np.linalg.cholesky(hessian)
    expected = nnls(root.T, root.T @ scales - np.linalg.solve(root, slopes))[0]
    assert scales + ridge.step() == pytest.approx(expected, abs=1e-3)
    # where the scales are the lengths, f is the objective
    sizes = lengths(ridge.weights, size)
    again = Ridge(problem.gram, problem.cross, lam, sizes, size)
    assert again.value <= objective(problem, ridge.weights, lam) - problem.square / 2 + 1e-12 <= ridge.value + 2e-12


def test_descent_is_monotone_and_ends_at_the_optimum():
    problem = products(K=40, N=30)
    lam = 0.1 * problem.lam_max
    weights = 0.1 * problem.cross
    values = [objective(problem, weights, lam)]
    for _ in range(30):
        weights = descend(problem.gram, problem.cross, lam, weights, 1, enough=0.0, steps=1)
        values.append(objective(problem, weights, lam))
    assert (np.diff(values) <= 1e-13 * values[0]).all()
    support = lengths(weights, 1) > 0
    slopes = (problem.cross - problem.gram @ weights)[support]
    assert slopes == pytest.approx(lam * weights[support] / lengths(weights, 1)[support, None], rel=1e-6)


def test_descent_leaves_what_it_cannot_factorise():
    gram, weights = np.ones((3, 3)), np.ones((3, 1))
    gram[0, 0] = -5.0
    assert descend(gram, weights, 1e-3, weights, 1, enough=0.0) is weights


@pytest.mark.parametrize("seed", range(20))
def test_quadratic_programs(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    root = rng.standard_normal((n + int(rng.integers(0, 3)), n))
    hessian = root.T @ root + 1e-6 * np.eye(n)
    slopes, scales = rng.standard_normal(n), rng.uniform(0, 1, n)
    step = nonnegative(hessian, slopes, scales)
    solution, gradient = scales + step, slopes + hessian @ step
    assert (solution >= 0).all() and gradient.min() >= -1e-6
    assert np.abs(solution * gradient).max() <= 1e-6 * max(1.0, solution.max())


def test_a_quadratic_program_that_never_ends_is_still_a_step(monkeypatch):
    monkeypatch.setattr("cellsolve.compression.scales.PIVOTS", 1)
    step = nonnegative(np.eye(3), np.array([5.0, -1.0, 5.0]), np.ones(3))
    assert (1 + step >= 0).all()


@pytest.mark.parametrize("size", [1, 2])
def test_fewer_neurons_give_the_same(size):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((4, 30 * size))
    weights = rng.standard_normal((30 * size, 2))
    gram = features.T @ features
    fewer = independent(gram, weights, size)
    count = np.count_nonzero(lengths(fewer, size))
    assert count <= np.linalg.matrix_rank(features) * 2 < 30
    assert features @ fewer == pytest.approx(features @ weights, rel=1e-9)
    assert lengths(fewer, size).sum() <= lengths(weights, size).sum() * (1 + 1e-12)
    kept = rows(np.flatnonzero(lengths(fewer, size)), size)
    ratios = fewer[kept] / weights[kept]
    assert (ratios > 0).all() and np.ptp(ratios.reshape(count, -1), axis=1).max() < 1e-9
    assert independent(gram, fewer, size) is fewer


def test_one_of_two_neurons_that_are_alike():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 3))[:, [0, 1, 2, 0]]
    weights = rng.standard_normal((4, 2))
    assert independent(features.T @ features, weights, 1) is weights  # they point elsewhere
    weights[3] = 2 * weights[0]
    fewer = independent(features.T @ features, weights, 1)
    assert np.count_nonzero(lengths(fewer, 1)) == 3
    assert features @ fewer == pytest.approx(features @ weights, rel=1e-12)


@pytest.mark.parametrize("N", [5, 50])
def test_a_triangle_is_its_rows(N):
    rng = np.random.default_rng(0)
    features, outputs = rng.standard_normal((N, 7)), rng.standard_normal((N, 2))
    for shift in (False, True):
        triangle = Triangle(fit_intercept=shift).update(features[:3], outputs[:3]).update(features[3:], outputs[3:])
        first, second = (np.ldexp(part, unit) for part, unit in zip(triangle.parts, triangle.units))
        means = features.mean(axis=0) * shift, outputs.mean(axis=0) * shift
        assert first.T @ first == pytest.approx((features - means[0]).T @ (features - means[0]), abs=1e-12)
        assert first.T @ second == pytest.approx((features - means[0]).T @ (outputs - means[1]), abs=1e-12)
        for mean, found, unit in zip(means, triangle.means, triangle.units):
            assert np.ldexp(found, unit) == pytest.approx(mean, abs=1e-14)


def test_the_range_has_the_rank_of_the_samples():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 4)) @ rng.standard_normal((4, 30))
    inside = Range(features, features[:, :2], np.finfo(float).eps)
    assert inside.rows.shape == (4, 30) and inside.missed < 1e-14
    assert inside.rows @ inside.rows.T == pytest.approx(np.eye(4), abs=1e-12)
    rounded = features.astype(np.float32)
    assert len(Range(rounded.astype(float), features[:, :2], np.finfo(np.float32).eps).rows) == 4
    assert len(Range(rounded.astype(float), features[:, :2], np.finfo(float).eps).rows) > 4
