"""SparseMeasure: one function written in many ways."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellsolve as cs


def draw(seed, K=9, d=2, m=0, free=True, bias=True):
    rng = np.random.default_rng(seed)
    shape = (K, m) if m else K
    outputs = (m,) if m else ()
    offset = rng.standard_normal(outputs) if free else None
    linear = rng.standard_normal((d, *outputs)) if free else None
    measure = cs.SparseMeasure(
        rng.standard_normal((K, d + bias)), rng.standard_normal(shape), offset=offset, linear=linear, fit_bias=bias
    )
    return measure, rng.standard_normal((14, d))


@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3]), st.booleans(), st.booleans())
def test_same_function(seed, m, free, bias):
    measure, X = draw(seed, m=m, free=free, bias=bias)
    expected = measure.predict(X)
    for penalty in ("variation", "l1"):
        same = measure.normalized(penalty)
        np.testing.assert_allclose(same.predict(X), expected, atol=1e-11)
        assert same.norm(penalty) == pytest.approx(measure.norm(penalty))
        np.testing.assert_allclose(cs.relu_features(X, same.neurons, penalty, fit_bias=bias).T @ np.ones(14) > -1, True)
    np.testing.assert_allclose(measure.merge(1e-12).predict(X), expected, atol=1e-11)
    inner, outer = measure.balanced()
    np.testing.assert_allclose(np.linalg.norm(inner, axis=1), np.linalg.norm(outer, axis=1))
    assert 0.5 * (np.sum(inner**2) + np.sum(outer**2)) == pytest.approx(measure.norm())


@given(
    st.integers(0, 10**6),
    st.sampled_from(["variation", "slope", "l1", "label_noise"]),
    st.sampled_from([0, 2]),
    st.booleans(),
)
def test_prune_keeps_the_fit_and_lowers_norm_and_count(seed, penalty, m, free):
    measure, X = draw(seed, K=40, m=m, free=free)
    X = X[:6]
    pruned = measure.prune(X, penalty)
    rank = 3 if free else 0
    assert pruned.n_neurons <= len(X) * max(m, 1) - rank * max(m, 1)
    assert pruned.norm(penalty, X) <= measure.norm(penalty, X) * (1 + 1e-9)
    np.testing.assert_allclose(pruned.predict(X), measure.predict(X), atol=1e-8)
    again = pruned.prune(X, penalty)
    assert again.n_neurons == pruned.n_neurons


def test_prune_of_repeated_points():
    measure, X = draw(3, K=30, free=False)
    X = np.repeat(X[:4], 3, axis=0)
    assert measure.prune(X, "variation").n_neurons <= 4


def test_merge_sums_parallel_neurons_and_cancels():
    measure = cs.SparseMeasure([[1.0, 1], [2, 2], [0, 1]], [1.0, 2.0, 0.5])
    merged = measure.merge()
    assert merged.n_neurons == 2
    np.testing.assert_allclose(merged.predict([0.5, -3.0]), measure.predict([0.5, -3.0]))
    assert cs.SparseMeasure([[1.0, 1], [2, 2]], [2.0, -1.0]).merge().n_neurons == 0


def test_merge_turns_opposite_neurons_with_an_affine_part():
    measure = cs.SparseMeasure([[1.0, 0.5], [-1.0, -0.5]], [1.0, 2.0], offset=0.0, linear=[0.0])
    merged = measure.merge()
    x = np.linspace(-2, 2, 9)
    assert merged.n_neurons == 1
    np.testing.assert_allclose(merged.predict(x), measure.predict(x), atol=1e-14)
    without = cs.SparseMeasure([[1.0, 0.5], [-1.0, -0.5]], [1.0, 2.0])
    assert without.merge().n_neurons == 2


def test_kinks():
    measure = cs.SparseMeasure([[2.0, -1.0], [-2.0, 1.0], [1.0, 3.0], [0.0, 1.0]], [1.0, 0.5, -1.0, 4.0])
    where, jumps = measure.kinks()
    np.testing.assert_allclose(where, [-3.0, 0.5])
    np.testing.assert_allclose(jumps, [-1.0, 3.0])
    with pytest.raises(ValueError, match="kinks needs a measure on one feature"):
        draw(0)[0].kinks()


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e12])
def test_kinks_that_are_equal_to_rounding_are_one(unit):
    # two neurons face each other at 0.3, at 2 and at 0, as a solver leaves them; two are distinct at 2 and 2 + 1e-12
    theta = np.array([[1, -0.3], [-1, 0.3 + 3e-15], [2, -4], [-3, 6 + 1e-14], [1, -2 - 1e-12], [1, 1e-17], [-1, 1e-17]])
    weights = np.array([[1.0, 2], [3, -4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14]])
    measure = cs.SparseMeasure(theta * [1, unit], weights)
    where, jumps = measure.kinks()
    np.testing.assert_allclose(where, np.array([0, 0.3, 2, 2 + 1e-12]) * unit, rtol=1e-14, atol=1e-16 * unit)
    np.testing.assert_allclose(jumps, [[24, 26], [4, -2], [31, 36], [9, 10]])


def test_a_kink_far_out_leaves_the_others_apart():
    measure = cs.SparseMeasure([[1, -0.1], [1, -0.2], [1, -0.3], [1e-14, 1.0]], np.ones(4))
    np.testing.assert_allclose(measure.kinks()[0], [-1e14, 0.1, 0.2, 0.3])
    assert [len(part) for part in cs.SparseMeasure([[0.0, 1.0]], [1.0]).kinks()] == [0, 0]


def test_zero_neurons():
    empty = cs.SparseMeasure(np.zeros((0, 3)), np.zeros(0), offset=2.0)
    X = np.ones((4, 2))
    np.testing.assert_array_equal(empty.predict(X), 2.0)
    for same in (empty.merge(), empty.prune(X), empty.normalized()):
        np.testing.assert_array_equal(same.predict(X), 2.0)
    assert empty.norm() == 0.0
    assert [len(part) for part in empty.balanced()] == [0, 0]


def test_constant_neurons_of_slope_move_into_the_offset():
    measure = cs.SparseMeasure([[0.0, 2.0], [1.0, 0.0], [0.0, -1.0]], [3.0, 1.0, 5.0])
    same = measure.normalized("slope")
    assert same.n_neurons == 1
    np.testing.assert_allclose(same.predict([-1.0, 2.0]), measure.predict([-1.0, 2.0]))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=4, max_size=4))
def test_save_and_load_are_exact(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("measures") / "m.json"
    measure = cs.SparseMeasure([numbers[:2]], [numbers[2]], offset=numbers[3])
    measure.save(path)
    loaded = cs.SparseMeasure.load(path)
    assert loaded.neurons.tobytes() == measure.neurons.tobytes()
    assert loaded.weights.tobytes() == measure.weights.tobytes()
    assert loaded.offset.tobytes() == measure.offset.tobytes()
    assert json.loads(path.read_text())["format"]


@pytest.mark.parametrize("m", [0, 2])
def test_save_and_load_shapes(tmp_path, m):
    for K in (0, 3):
        measure, X = draw(0, K=K, m=m)
        measure.save(tmp_path / "m.json")
        np.testing.assert_array_equal(cs.SparseMeasure.load(tmp_path / "m.json").predict(X), measure.predict(X))


def test_features_and_norms_that_need_data():
    measure, X = draw(0)
    with pytest.raises(ValueError, match="depends on the data; pass X"):
        measure.norm("label_noise")
    with pytest.raises(ValueError, match="X has 3 features; this measure was made for 2"):
        measure.predict(np.ones((2, 3)))
    assert measure.norm("label_noise", X) > 0


@pytest.mark.parametrize("unit", [1e-200, 1e200])
@pytest.mark.parametrize("m", [0, 2])
def test_neurons_whose_squares_float64_cannot_hold(unit, m):
    X = np.array([[1.0, 0.3], [2.0, -1.0], [-1.0, 4.0]])
    theta, weights = np.array([[1.0, -1, 0.5], [0.5, 1, 1], [1, 0, 2]]), np.ones((3, m) if m else 3)
    plain = cs.SparseMeasure(theta, weights)
    same = cs.SparseMeasure(theta * unit, weights / unit)
    for penalty in ("variation", "slope", "label_noise", cs.LabelNoise(full=True), "l1"):
        assert same.norm(penalty, X) == pytest.approx(plain.norm(penalty, X), rel=1e-12)
        np.testing.assert_allclose(same.normalized(penalty, X).predict(X), plain.predict(X), rtol=1e-12)
    np.testing.assert_allclose(same.merge().predict(X), plain.predict(X), rtol=1e-12)
    for part, expected in zip(same.balanced(), plain.balanced(), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)


@pytest.mark.parametrize("outputs", [None, 2])
@pytest.mark.parametrize("copies", [1, 3000])  # few points, and so many that a walk is quicker
def test_values_of_one_input_far_from_zero_are_right_to_rounding(outputs, copies):
    """Neurons, those without a kink, the line and the constant cancel, and are rounded once."""
    rng = np.random.default_rng(0)
    x = 1e9 + rng.uniform(0, 1, 40)
    shape = () if outputs is None else (outputs,)
    kinks, weights = rng.choice(x, 30), rng.standard_normal((30, *shape))
    neurons = np.vstack([np.column_stack([np.ones(30), -kinks]), [[0.0, 3.0], [0.0, -1.0], [1.0, 5.0]]])
    weights = np.concatenate([weights, 1e3 * rng.standard_normal((3, *shape))])
    linear = -weights[-1:]  # what the last neuron is at these points, but for a constant
    offset = -np.asarray(3 * weights[30] + 5 * weights[-1]) + 0.1
    measure = cs.SparseMeasure(neurons, weights, offset=offset if shape else float(offset), linear=linear)

    def exactly(at, c, b0, a0):
        terms = (
            Fraction(w) * max(Fraction(a) * Fraction(at) + Fraction(b), Fraction(0)) for (a, b), w in zip(neurons, c)
        )
        return float(sum(terms) + Fraction(b0) + Fraction(a0) * Fraction(at))

    values = measure.predict(np.tile(x, copies))[:40].reshape(40, -1)
    columns = weights.reshape(33, -1).T, offset.reshape(-1), linear.reshape(-1)
    expected = np.array([[exactly(at, c, b0, a0) for c, b0, a0 in zip(*columns)] for at in x])
    np.testing.assert_allclose(values, expected, rtol=1e-15, atol=1e-15)


def test_slopes_that_vanish_beside_the_bias_are_constants():
    measure = cs.SparseMeasure([[5e-324, 2.0], [1e-310, -1.0], [1.0, 0.5]], [3.0, 1.0, 1.0])
    normalized = measure.normalized("slope")
    assert normalized.n_neurons == 1 and normalized.offset == 6.0
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(normalized.predict(x), measure.predict(x), rtol=1e-15)
