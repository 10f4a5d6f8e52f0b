"""Least-norm interpolants of one input against a cone program, an enumeration, and the fewest kinks of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.line_interpolants import bends, chain_in_cvxpy, exact_kinks, fewest_kinks, run_lengths

import cellsolve as cs

#: six convex points whose least-norm interpolant is not the one with the fewest kinks
SIX_X = np.array([0, 0.5487959217, 0.7695369072, 1.4092668895, 1.9575248036, 2.4938190452])
SIX_Y = np.array([0, -0.5487959217, -0.6227071975, -0.4515847194, 0.1389587984, 1.0651145778])


def wide(rng, most):
    """Few points on both sides of 0: neighbours' directions (1, x_i) may be more than a right angle apart."""
    return 5 * rng.standard_normal(rng.integers(4, most))


def within(rng):
    return rng.uniform(-1, 1, rng.integers(4, 61))


DRAWS = {
    "signs": (within, lambda x, rng: rng.choice([-1.0, 1.0], len(x))),
    "normal": (within, lambda x, rng: rng.standard_normal(len(x))),
    "nearly convex": (within, lambda x, rng: np.cosh(3 * x) + 0.05 * rng.standard_normal(len(x))),
    "wide": (lambda rng: wide(rng, 10), lambda x, rng: rng.standard_normal(len(x))),
    "wide and convex": (lambda rng: wide(rng, 7), lambda x, rng: x**2 + rng.standard_normal(len(x))),
    "grid": (
        lambda rng: rng.choice(np.arange(-40.0, 41), rng.integers(4, 61), replace=False),
        lambda x, rng: rng.integers(-2, 3, len(x)).astype(float),
    ),
}


def draw(seed):
    """Draw points in order, of each kind in turn."""
    place, value = list(DRAWS.values())[seed % len(DRAWS)]
    rng = np.random.default_rng(seed)
    x = np.sort(place(rng))
    return x, value(x, rng)


def interpolate(x, y, penalty="variation", **options):
    """Interpolate, and check what has to hold of every solution."""
    solution = cs.interpolate(x, y, free="affine", penalty=penalty, **options)
    assert solution.residual <= 1e-9 * np.abs(y).max()
    assert 0 <= solution.gap <= 1e-8
    assert solution.certificate.verify(x, y)
    return solution


def compare(seed):
    """Compare with both references, the rows being in any order."""
    x, y = draw(seed)
    mix = np.random.default_rng(seed).permutation(len(x))
    solution = interpolate(x[mix], y[mix])
    assert solution.status == "optimal"
    assert 0 <= solution.lower_bound <= solution.objective * (1 + 1e-9)
    assert solution.objective == pytest.approx(chain_in_cvxpy(x, y), rel=1e-7)
    where, jumps = solution.measure.kinks()
    places, sizes = exact_kinks(x, y)
    assert len(where) == len(places)
    np.testing.assert_allclose(where, places, rtol=0, atol=1e-8 * np.ptp(x))
    np.testing.assert_allclose(jumps, sizes, rtol=0, atol=1e-8 * np.abs(sizes).max(initial=0.0))
    assert solution.objective == pytest.approx(np.abs(sizes) @ np.hypot(1, places), rel=1e-10)


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_a_cone_program_and_an_enumeration(seed):
    compare(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_agrees_on_a_thousand_data_sets(block):
    for seed in range(100 * block, 100 * (block + 1)):
        try:
            compare(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_draws_have_what_is_hard():
    """Right angles are passed at both ends and inside runs, runs are long, and points are collinear."""
    left = right = inside = collinear = longest = 0
    for seed in range(60):
        x, y = draw(seed)
        bend = np.array([0, *map(float, bends(x, y)), 0])
        obtuse = 1 + x[:-1] * x[1:] < 0
        left += obtuse[0] and bend[1] != 0
        right += obtuse[-1] and bend[-2] != 0
        inside += np.any(obtuse & (bend[:-1] * bend[1:] > 0))
        collinear += np.any(bend[1:-1] == 0)
        longest = max(longest, *run_lengths(x, y))
    assert min(left, right, inside, collinear) >= 1
    assert 7 <= longest <= 12  # the enumeration is for short ones


@pytest.mark.parametrize(
    "data",
    [
        {-3: -2, -2: 1, -1: 2, 1: 2, 4: 1},
        {-8: -1, -7: 0, -4: -1, 0: -2, 1: -2, 8: 2},
        {-4: -1, -1: 1, 1: 2, 2: 2, 4: -1, 5: -2, 8: 2},
        {-8: 2, -7: 1, -2: 2, -1: 2, 1: 1, 4: -1, 8: -1},
        {-4: 4, -3: 2, -2: 2, -1: 1, 0: 0, 1: 0, 3: 1, 4: 5},
        {-4: 17, -3: 8, -2: 3, -1: 1, 0: -1, 1: 0, 2: 4, 4: 16},
        {-4: 4, -3: 1, -1: -1, 2: 2},
    ],
    ids=str,
)
def test_kinks_may_be_just_at_a_point(data):
    """The best split of a bend is all or nothing, and what either way costs is the same to first order."""
    x, y = (np.array(list(values), dtype=float) for values in (data.keys(), data.values()))
    solution = interpolate(x, y)
    assert solution.status == "optimal"
    where, jumps = solution.measure.kinks()
    places, sizes = exact_kinks(x, y)
    assert len(where) == len(places)
    np.testing.assert_allclose(where, places, atol=1e-12)
    np.testing.assert_allclose(jumps, sizes, atol=1e-12)


# -- the fewest kinks ----------------------------------------------------------------------------------------------


def few(seed):
    """Draw at most twelve points in order."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 13))
    if seed % 3 == 0:
        x, y = rng.integers(-8, 9, n).astype(float), rng.integers(-2, 3, n).astype(float)
        x, first = np.unique(x, return_index=True)
        return x, y[first]
    x = np.sort(rng.uniform(-1, 1, n) if seed % 3 == 1 else 5 * rng.standard_normal(n))
    return x, rng.choice([0.0, 0.3, 1.0]) * x**2 + rng.standard_normal(n)


def test_is_sparsest_without_six_points_in_convex_position():
    """Boursier & Flammarion 2023, theorem 3, where both ends are within a right angle."""
    compared = 0
    for seed in range(600):
        x, y = few(seed)
        if max(run_lengths(x, y), default=0) > 3 or len(x) < 3 or 1 + x[0] * x[1] < 0 or 1 + x[-2] * x[-1] < 0:
            continue
        where, _ = interpolate(x, y).measure.kinks()
        assert len(where) == fewest_kinks(x, y), f"seed {seed}"
        compared += 1
    assert compared >= 300


def test_ends_beyond_a_right_angle_may_take_a_kink_more():
    """A part of the first bend is cheaper in the first segment, at -1 / x_1, than where it meets the second bend."""
    x = np.array([-5, 0.5, 5, 6])
    y = np.array([0, 0, 4.5, 5.55])  # slopes 0, 1, 1.05
    solution = interpolate(x, y)
    assert fewest_kinks(x, y) == 1
    assert solution.objective == pytest.approx(chain_in_cvxpy(x, y), rel=1e-8)
    assert solution.objective < 1.29 < np.hypot(1.05, 0.75)  # of one kink, with a jump of 1.05 at 0.75 / 1.05
    where, jumps = solution.measure.kinks()
    np.testing.assert_allclose(where, [0.2, 17 / 19], rtol=1e-12)
    np.testing.assert_allclose(jumps, [33 / 65, 0.57], rtol=1e-12)


def test_six_points_in_convex_position_may_take_a_kink_more():
    solution = interpolate(SIX_X, SIX_Y)
    assert solution.objective == pytest.approx(4.323780957896, rel=1e-9)
    assert chain_in_cvxpy(SIX_X, SIX_Y, signed=False) == pytest.approx(4.323780957896, rel=1e-8)
    for where, jumps in (solution.measure.kinks(), exact_kinks(SIX_X, SIX_Y)):
        np.testing.assert_allclose(where, [0.5487959, 1.1000199, 1.8459953], atol=3e-7)
        np.testing.assert_allclose(jumps, [0.6651674, 1.2460101, 0.8157771], atol=1e-6)
    assert fewest_kinks(SIX_X, SIX_Y) == 2


# -- penalty "slope" -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [draw, few])
def test_sparsest_has_the_fewest_kinks_at_the_same_cost(draw):
    """Every interpolant of least cost bends as the dots do, so that two bends in a row make one kink at best."""
    for seed in range(150):
        x, y = draw(seed)
        if len(x) < 3:
            continue
        variation = float(sum(abs(bend) for bend in bends(x, y)))
        at_points, between = interpolate(x, y, "slope"), interpolate(x, y, "slope", sparsest=True)
        for solution in (at_points, between):
            assert solution.objective == pytest.approx(variation, rel=1e-10), f"seed {seed}"
        lengths = run_lengths(x, y)
        kinks = len(between.measure.kinks()[0])
        assert kinks == sum((K + 1) // 2 for K in lengths), f"seed {seed}"
        assert kinks == fewest_kinks(x, y), f"seed {seed}"  # of all, at any cost: Debarre et al. 2022
        assert len(at_points.measure.kinks()[0]) == sum(lengths), f"seed {seed}"


# -- any data ------------------------------------------------------------------------------------------------------


@st.composite
def any_data(draw):
    """Draw points in any order: integers or decimals, repeated, collinear or collinear but for rounding."""
    places = draw(st.lists(st.integers(-50, 50), min_size=1, max_size=draw(st.sampled_from([1, 2, 3, 30]))))
    values = st.integers(-9, 9) if draw(st.booleans()) else st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
    slope, offset = draw(values), draw(values)
    of_place = {}
    for place in sorted(set(places)):
        on_line = draw(st.booleans())
        of_place[place] = slope * (place * 0.1) + offset if on_line else draw(values)
    # far from 0 only places that are floats: rounded ones bend a line by what no network could tell apart
    shift, unit = draw(
        st.sampled_from([(0.0, 1.0), (0.0, 0.1), (0.0, 1e-3), (0.0, 1e3), (0.5, 0.25), (100.0, 2.0**-7)])
    )
    x = np.array([place * unit + shift for place in places])
    return x, np.array([of_place[place] for place in places], dtype=float)


@settings(max_examples=400)
@given(any_data(), st.sampled_from(["variation", "slope"]), st.booleans())
def test_any_data_are_met_and_proven(data, penalty, sparsest):
    interpolate(*data, penalty, sparsest=sparsest)


REVIEWED = {
    # the arc between the neurons of points on both sides of 0 is obtuse, far from it its ends are nearly opposite
    "far on both sides": (
        [-27504817361.713898, -10881460219.52346, 14013380673.624397, 27193684493.1007],
        [-1000.0, -873.2889754868052, 1000.0, 1000.0],
    ),
    # one of two bends is tiny, so that their kink is next to a point
    "a kink next to a point": (
        [-93.39521506685287, -75.37326878672206, -64.73912572637457, 0.6672895972813961, 72.09513609152418],
        np.logaddexp(
            0, [-93.39521506685287, -75.37326878672206, -64.73912572637457, 0.6672895972813961, 72.09513609152418]
        ),
    ),
    "straight beside an obtuse end": ([-4.0, -5, 3, -2, -3], [1.0, -1, 0, 0, 0]),
    "straight beside an obtuse end, longer": ([-10.0, -9, -8, -7, 5], [1.0, -1, 0, 0, 0]),
}


@pytest.mark.parametrize("sparsest", [False, True])
@pytest.mark.parametrize("penalty", ["variation", "slope"])
@pytest.mark.parametrize("data", REVIEWED)
def test_data_that_a_reviewer_found(data, penalty, sparsest):
    x, y = (np.asarray(part) for part in REVIEWED[data])
    solution = cs.interpolate(x, y, penalty=penalty, free="affine", sparsest=sparsest)
    assert solution.status == "optimal" and solution.residual <= 1e-12 * np.abs(y).max()
    assert solution.certificate.verify(x, y)


@pytest.mark.parametrize("free", ["none", "constant", "affine"])
def test_bounds_far_on_both_sides_of_zero_hold(free):
    """Not every such problem is solved; what is claimed of it is true."""
    rng = np.random.default_rng(0)
    for trial in range(16):
        n = rng.integers(2, 8)
        x, y = 10.0 ** rng.uniform(8, 14) * rng.standard_normal(n), 1e3 * rng.choice([-1.0, 0.0, 1.0], n)
        lam = None if trial % 2 else 10.0 ** rng.uniform(-3, 3)
        problem = cs.Problem(x, y, lam=lam, free=free)
        solution = cs.interpolate(problem) if lam is None else cs.solve(problem)
        assert solution.certificate.verify(x, y)
