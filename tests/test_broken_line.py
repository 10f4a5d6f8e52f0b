"""Convex runs: what data say beforehand of their interpolants."""

from __future__ import annotations

import numpy as np
import pytest

import cellsolve as cs

SIX = (
    np.array([0, 0.5487959217, 0.7695369072, 1.4092668895, 1.9575248036, 2.4938190452]),
    np.array([0, -0.5487959217, -0.6227071975, -0.4515847194, 0.1389587984, 1.0651145778]),
)


def test_runs_of_a_zigzag_and_a_parabola():
    x = np.arange(9.0)
    y = np.array([0, 1, 0, 1, 0, 1, 4, 9, 16.0])  # up, down, ...; then convex from the fourth point on
    runs = cs.convex_runs(x, y)
    assert runs.sign.tolist() == [-1, 1, -1, 1]
    assert runs.points.tolist() == [3, 3, 3, 6]  # a bend has a point before it and one after
    assert runs.first.tolist() == [0, 1, 2, 3] and runs.last.tolist() == [2, 3, 4, 8]
    assert not runs.sparse and runs.violations.tolist() == [3]
    assert runs.fewest_kinks == 1 + 1 + 1 + 2
    assert runs.unique("variation") and not runs.unique("slope")


def test_order_repeats_and_scale_do_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(40), rng.standard_normal(40)
    runs = cs.convex_runs(x, y)
    mixed = rng.permutation(np.tile(np.arange(40), 2))
    for other in (cs.convex_runs(x[mixed, None], y[mixed]), cs.convex_runs(cs.Problem(1e90 * x, 1e-90 * y))):
        assert np.array_equal(other.points, runs.points) and np.array_equal(other.sign, runs.sign)


def test_points_on_a_line_end_runs_and_have_none():
    x = np.arange(8.0)
    assert (
        len(cs.convex_runs(x, 3 * x + 1))
        == len(cs.convex_runs([1.0], [2.0]))
        == len(cs.convex_runs([1, 2], [3, 0]))
        == 0
    )
    runs = cs.convex_runs(x, np.abs(x - 2) + np.abs(x - 5))
    assert runs.points.tolist() == [3, 3] and runs.first.tolist() == [1, 4] and runs.last.tolist() == [3, 6]
    rounded = cs.convex_runs(0.1 * np.arange(200), 0.3 * (0.1 * np.arange(200)) - 1.7)  # a line but for its roundings
    assert len(rounded) == 0


def test_six_points_are_one_too_many():
    runs = cs.convex_runs(*SIX)
    assert len(runs) == 1 and not runs.sparse and runs.fewest_kinks == 2
    assert "6 points" in repr(runs)
    assert cs.convex_runs(SIX[0][:5], SIX[1][:5]).sparse


def test_a_kink_on_the_first_segment_may_be_one_too_many():
    """Where 1 + x_1 x_2 < 0 a kink moves out onto it, and the least norm is not with the fewest kinks."""
    x = np.array([-5, 0.5, 5, 6])
    y = np.cumsum(np.append(0, np.diff(x) * [0, 1, 1.05]))
    runs = cs.convex_runs(x, y)
    assert not len(runs.violations) and not runs.inner_ends and not runs.sparse
    assert len(cs.interpolate(x, y, free="affine").measure.kinks()[0]) == 2 > runs.fewest_kinks
    assert cs.convex_runs(x + 6, y).sparse


def test_whether_there_is_one_minimiser_is_what_the_contact_set_says():
    rng = np.random.default_rng(0)
    compared = set()
    for _ in range(12):
        x, y = np.sort(rng.uniform(-0.9, 0.9, 6)), rng.standard_normal(6)
        runs = cs.convex_runs(x, y)
        for penalty in ("variation", "slope"):
            solution = cs.interpolate(x, y, penalty=penalty, free="affine")
            assert cs.contact_set(solution, x, y).unique == runs.unique(penalty)
            compared.add(runs.unique(penalty))
    assert compared == {True, False}


def test_other_data_are_refused():
    with pytest.raises(ValueError, match="2 columns"):
        cs.convex_runs(np.arange(6.0).reshape(3, 2), [1, 2, 3])
    with pytest.raises(ValueError, match="whose rows of X are equal"):
        cs.convex_runs([1.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="contact_set"):
        cs.convex_runs([1.0, 2.0], [0.0, 1.0]).unique("l1")
