"""The checker of one input: it accepts what every cell proves, and refuses a claim a hair below the supremum."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from problems import PENALTIES

import cellsolve as cs
from cellsolve.verify_integers import Refused, to_integers
from cellsolve.verify_line import prove_line
from cellsolve.verify_suprema import prove_supremum

DATA = {
    "gaussian": lambda rng: rng.standard_normal(int(rng.integers(1, 9))),
    "repeated": lambda rng: rng.integers(-2, 3, 7).astype(float),
    "right of 0": lambda rng: 3 + rng.random(5),
    "left of 0": lambda rng: -3 - rng.random(5),
    "tenths": lambda rng: rng.integers(-9, 9, 6) / 10,
}


def accepted(prove):
    try:
        prove()
    except Refused:
        return False
    return True


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise", "full"])
@pytest.mark.parametrize("data", DATA)
def test_agrees_with_the_checker_that_lists_cells(data, penalty):
    """At claims on both sides of the supremum, nearer than any float error, on the same integers."""
    name, full = ("label_noise", True) if penalty == "full" else (penalty, False)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = DATA[data](rng)
        alpha = rng.integers(-50, 51, len(x)).astype(object)
        if penalty == "slope":
            alpha[0] -= alpha.sum()
        low, high = 0.0, float(np.abs(alpha).sum() * (10 + np.abs(x).sum()) * 100 + 1)
        for _ in range(90):  # the least claim that is accepted
            middle = 0.5 * (low + high)
            good = accepted(lambda: prove_line(alpha, 64, middle, x, penalty=name, full=full))  # noqa: B023
            low, high = (low, middle) if good else (middle, high)
        every = {"fit_bias": True, "penalty": name, "full": full}
        column = alpha[:, None]
        assert accepted(lambda: prove_supremum(column, 64, high * (1 + 1e-15), x[:, None], **every))  # noqa: B023
        if low > 0:
            assert not accepted(lambda: prove_supremum(column, 64, low * (1 - 1e-12), x[:, None], **every))  # noqa: B023


@pytest.mark.parametrize("penalty", PENALTIES)
def test_solutions_are_proven_and_a_claim_beyond_is_not(penalty):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, 3000), rng.standard_normal(3000)
    y += np.sin(9 * x)
    solution = cs.solve(x, y, lam=1e-3, penalty=penalty)
    assert solution.measure.n_neurons > 4
    certificate = solution.certificate
    verdict = certificate.check(x, y)
    assert verdict.ok and verdict.method == "exact rationals"
    assert not replace(certificate, lower_bound=certificate.lower_bound * (1 + 1e-9)).verify(x, y)
    assert not replace(certificate, supremum=certificate.supremum * (1 - 1e-9)).verify(x, y)
    changed = certificate.alpha.copy()
    changed[7] += 1e-6 * np.abs(changed).max()
    assert not replace(certificate, alpha=changed).verify(x, y)
    assert not certificate.verify(x, y[::-1])
    assert not certificate.verify(x[::-1], y)


def test_what_lies_between_two_points_counts():
    """alpha whose ratio is largest inside a segment: both ends allow a smaller claim than its middle."""
    x = np.array([-1.0, 1.0, 2.0])
    alpha, one = to_integers(np.array([0.0, 1.0, -0.25]))
    at = [
        abs(sum(Fraction(a) * max(t - k, 0) for a, t in zip([0, 1, Fraction(-1, 4)], [-1, 1, 2], strict=True)))
        for k in (-1, 1)
    ]
    ends = max(float(at[0]) / np.sqrt(2), float(at[1]) / np.sqrt(2))
    best = float(np.hypot(1 - 0.5, 0.75))
    assert best > ends * 1.01
    assert not accepted(lambda: prove_line(alpha, one, 0.5 * (ends + best), x, penalty="variation", full=False))
    assert accepted(lambda: prove_line(alpha, one, best * 1.5, x, penalty="variation", full=False))
