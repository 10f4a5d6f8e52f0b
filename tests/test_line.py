"""Costs of neurons on a line, against the potentials themselves."""

from __future__ import annotations

import numpy as np
import pytest
from problems import PENALTIES

import cellsolve as cs
from cellsolve.line import FLAT, LEFT, RIGHT, Line
from cellsolve.potentials import as_potential


def lines(penalty, unit=0.25):
    rng = np.random.default_rng(3)
    for x in (rng.standard_normal(9), np.array([2.0, 2.0, 3.0, 5.0, 5.0]), -5 + rng.standard_normal(6)):
        lifted = np.column_stack([x, np.full(len(x), unit)])
        yield Line(x, as_potential(penalty), unit), lifted


@pytest.mark.parametrize("penalty", PENALTIES)
def test_costs_are_those_of_the_potential(penalty):
    rng = np.random.default_rng(0)
    for line, lifted in lines(penalty):
        span = line.x[-1] - line.x[0]
        place = rng.uniform(line.x[0] - span, line.x[-1] + span, 60)
        facing = rng.choice([RIGHT, LEFT, FLAT], 60)
        responds = np.where(facing == RIGHT, place < line.x[-1], np.where(facing == LEFT, place > line.x[0], True))
        facing, place = facing[responds], place[responds]
        theta = line.theta(facing, place)
        expected = as_potential(penalty).value(theta, lifted, True)
        np.testing.assert_allclose(line.costs(facing, place), expected, rtol=1e-12)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_bends_are_derivatives_of_the_costs(penalty):
    for line, _ in lines(penalty):
        s = np.arange(len(line.knots) - 1)
        place = np.concatenate([line.knots[:-1] + 0.4 * np.diff(line.knots), [line.x[0] - 1.0]])
        h = 1e-3 * np.append(np.diff(line.knots), 1.0)
        if line.potential.name == "l1" and line.x[0] - 1 < 0 < line.x[0]:
            place[-1] = line.x[0] / 2
        for facing in (RIGHT, LEFT):
            face = np.full(len(place), facing)
            if facing == LEFT:
                place = np.where(np.arange(len(place)) == len(s), line.x[-1] + 1.0, place)
            values = [line.costs(face, place + k * h) for k in (-1, 0, 1)]
            first, second = line.bends(face, place)
            live = values[1] > 0
            numeric = (values[2] - values[0]) / (2 * h)
            scale = np.abs(numeric).max() + 1e-12
            np.testing.assert_allclose(first[live], numeric[live], atol=1e-5 * scale)
            bend = (values[2] - 2 * values[1] + values[0]) / h**2
            np.testing.assert_allclose(
                second[live], bend[live], atol=1e-4 * np.abs(bend).max() + 8e-16 * values[1].max() / (h**2).min()
            )


def test_a_constant_turns_without_cost_to_first_order():
    for penalty in ("variation", "label_noise"):
        for line, lifted in lines(penalty):
            centre, bend = line.tilt
            for u in (1e-3, -1e-3):
                theta = np.array([[u, (1 - u * centre) / line.unit]])
                cost = float(as_potential(penalty).value(theta, lifted, True)[0])
                assert cost - line.right.all_costs[1] == pytest.approx(0.5 * bend * u**2, rel=1e-2)


def test_linear_functions_are_neurons_that_are_active_everywhere():
    line = Line(np.array([1.0, 2.0, 4.0]), as_potential("variation"))
    slope, at_first = np.array([1.0, -2.0, 0.0, 1.0, 1.0]), np.array([0.5, -1.0, 3.0, -1.0, -2.5])
    facing, place, weight = line.linear_neurons(slope, at_first)
    values = np.where(facing == FLAT, 1.0, np.maximum(facing * (line.x[:, None] - place), 0.0)) * weight
    expected = at_first + slope * (line.x[:, None] - 1.0)
    np.testing.assert_allclose(values[:, :3], expected[:, :3])
    # one that changes its sign gives way to the nearest that does not
    np.testing.assert_allclose(values[:, 3], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(values[:, 4], [-3.0, -2.0, 0.0])


def test_neurons_are_read_back_from_theta():
    line = Line(np.array([0.1, 0.3, 0.7, 0.9]), as_potential("variation"), 0.5)
    facing, place = np.array([RIGHT, LEFT, FLAT, RIGHT]), np.array([0.3, 0.7, 0.0, -2.0])
    theta = line.theta(facing, place) * np.array([[3.0], [0.7], [2.0], [1.1]])
    back = line.kinks_of(theta, one_facing=False)
    np.testing.assert_array_equal(back[0], facing)
    np.testing.assert_array_equal(back[1], place)
    dead = line.theta(np.array([RIGHT, LEFT]), np.array([0.9, 0.1]))
    assert not len(line.kinks_of(dead, one_facing=False)[0])
    one, where = line.kinks_of(theta, one_facing=True)
    assert set(one) == {RIGHT} and set(where) == {0.3, 0.7}


def test_values_of_a_network_of_steep_kinks_keep_their_digits():
    rng = np.random.default_rng(0)
    K = 3000
    x = np.sort(rng.uniform(-1, 1, K))
    weights = rng.standard_normal(K) * 1e6
    network = cs.SparseMeasure(np.column_stack([np.ones(K), -x]), weights)
    wide = np.maximum(np.longdouble(x)[:, None] - np.longdouble(x), 0) @ np.longdouble(weights)
    scale = np.abs(wide).max()
    assert np.abs(network.predict(x) - wide.astype(float)).max() <= 1e-15 * scale
    mixed = cs.SparseMeasure(rng.standard_normal((K, 2)), rng.standard_normal((K, 3)), offset=np.ones(3))
    plain = np.maximum(np.column_stack([x, np.ones(K)]) @ mixed.neurons.T, 0) @ mixed.weights + 1.0
    np.testing.assert_allclose(mixed.predict(x), plain, atol=1e-10)
