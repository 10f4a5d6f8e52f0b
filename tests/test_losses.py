"""Losses: value, gradient, conjugate and convex forms say the same."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellsolve as cs
from cellsolve.losses import LOSSES, Huber, Logistic, Quantile
from cellsolve.problem import Problem
from cellsolve.solvers.masters import neuron_master

ALL = [*(cls() for cls in LOSSES.values()), Huber(delta=0.3), Quantile(q=0.9)]
IDS = [f"{loss.name}{loss.params or ''}" for loss in ALL]


def targets(loss, f):
    return np.where(np.arange(len(f)) % 2, 1.0, -1.0) if loss.classification else np.sin(np.arange(len(f)))


@pytest.mark.parametrize("loss", ALL, ids=IDS)
def test_gradient_and_curvature(loss):
    f = np.random.default_rng(0).standard_normal(200) * 2
    y, h = targets(loss, f), 1e-6
    slope = (loss.value(f + h, y) - loss.value(f - h, y)) / (2 * h)
    np.testing.assert_allclose(loss.gradient(f, y), slope, atol=1e-5)
    bend = (loss.gradient(f + h, y) - loss.gradient(f - h, y)) / (2 * h)
    smooth = np.abs(bend) < 10  # no kink in between
    np.testing.assert_allclose(loss.curvature(f, y)[smooth], bend[smooth], atol=1e-5)


@pytest.mark.parametrize("loss", ALL, ids=IDS)
def test_fenchel_young(loss):
    """l(f) >= u f - l*(u) for every u of the domain, with equality at u = l'(f)."""
    f = np.linspace(-3, 3, 60)
    y = targets(loss, f)
    u = loss.gradient(f, y)
    np.testing.assert_allclose(loss.value(f, y), u * f + loss.dual(u, y), atol=1e-12)
    low, high = loss.domain(y)
    for share in np.linspace(0, 1, 21):
        u = np.maximum(low, -4) * (1 - share) + np.minimum(high, 4) * share
        assert np.all(loss.value(f, y) >= u * f + loss.dual(u, y) - 1e-12)
        for i in range(0, 60, 7):
            exact = loss.dual_exact(Fraction(float(u[i])), Fraction(float(y[i])))
            if exact is None:  # outside by a rounding of the mixture
                assert not low[i] < u[i] < high[i]
            else:
                assert float(exact) == pytest.approx(loss.dual(u[i : i + 1], y[i : i + 1])[0], abs=1e-13)


@given(st.fractions(0, 1, max_denominator=10**9))
def test_entropy_is_bounded_from_below(p):
    bound = Logistic().dual_exact(-p, Fraction(1))
    with localcontext() as context:
        context.prec = 60
        true = Decimal(0)
        for part in (p, 1 - p):
            if 0 < part < 1:
                value = Decimal(part.numerator) / Decimal(part.denominator)
                true -= value * value.ln()
        below = Decimal(bound.numerator) / Decimal(bound.denominator)
        assert below <= true + Decimal(10) ** -55
        assert true - below <= Decimal(10) ** -36


@pytest.mark.parametrize("loss", ALL, ids=IDS)
def test_outside_the_domain_is_refused(loss):
    y = np.array([1.0])
    low, high = loss.domain(y)
    for end, step in ((low[0], -1e-9), (high[0], 1e-9)):
        if np.isfinite(end):
            assert loss.dual_exact(Fraction(end + step), Fraction(1)) is None


@pytest.mark.parametrize("loss", [loss for loss in ALL if not loss.classification])
def test_scaled(loss):
    f = np.linspace(-3, 3, 30)
    y = targets(loss, f)
    inner, factor = loss.scaled(8.0)
    np.testing.assert_allclose(loss.value(8 * f, 8 * y), factor * inner.value(f, y))


@pytest.mark.parametrize("loss", ALL, ids=IDS)
def test_conic_form_minimises_the_loss(loss):
    """The master without neurons is the best constant; so is a search over constants."""
    y = targets(loss, np.zeros(9))
    y[0] = y[2]
    problem = Problem(np.arange(9.0), y, lam=1.0, loss=loss, free="constant")
    constant = neuron_master(problem).solve().coefficients[0, 0]
    grid = np.linspace(-3, 3, 6001)
    best = min(np.mean(loss.value(np.full(9, g), y)) for g in grid)
    assert np.mean(loss.value(np.full(9, constant), y)) <= best + 1e-8


@pytest.mark.parametrize("number", [np.float32(0.3), np.float64(0.3), np.int64(1), np.float16(0.5), 1])
def test_numpy_scalars_are_taken(number, tmp_path):
    losses = [Huber(number)] + ([Quantile(number)] if number < 1 else [])
    for loss in losses:
        assert {type(value) for value in loss.params.values()} == {float}
        solution = cs.solve([0.0, 1, 2, 3], [0.0, 1, 0, 5], lam=0.01, loss=loss)
        assert solution.certificate.verify([0.0, 1, 2, 3], [0.0, 1, 0, 5])
        solution.certificate.save(tmp_path / "c.json")


def test_full_as_a_numpy_bool_can_be_saved(tmp_path):
    solution = cs.solve([0.0, 1, 2, 3], [0.0, 1, 0, 5], lam=0.01, penalty=cs.LabelNoise(full=np.True_))
    solution.certificate.save(tmp_path / "c.json")
    assert cs.Certificate.load(tmp_path / "c.json").penalty_params == {"full": True}
