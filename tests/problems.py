"""Random and degenerate problems over every loss, potential, free part and bias, shared by the tests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

import cellsolve as cs
from cellsolve.losses import LOSSES

PENALTIES = ["variation", "slope", "l1", "label_noise", cs.LabelNoise(full=True)]
FREE = ["none", "constant", "affine"]
SIGNED = ("logistic", "hinge", "squared_hinge")


@dataclass(frozen=True)
class Case:
    """One statement of a problem; `loss` None is interpolation."""

    loss: str | None
    penalty: object
    free: str
    fit_bias: bool

    @property
    def statement(self) -> dict:
        """Keywords of the problem but lam."""
        keywords = {"penalty": self.penalty, "free": self.free, "fit_bias": self.fit_bias}
        return keywords if self.loss is None else keywords | {"loss": self.loss}


CASES = [
    Case(loss, penalty, free, bias)
    for loss, penalty, free, bias in itertools.product([*LOSSES, None], PENALTIES, FREE, [True, False])
    if not (penalty == "slope" and free == "none" and bias)
]


def draw(case: Case, rng: np.random.Generator, n_outputs: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw small data: Gaussian or on an integer grid (repeated and collinear points), n from 1, d from 1 to 3."""
    d = int(rng.integers(1, 4))
    n = int(rng.integers(1, (18, 12, 9)[d - 1]))
    on_grid = rng.random() < 0.4
    X = rng.integers(-2, 3, (n, d)).astype(float) if on_grid else rng.standard_normal((n, d))
    if case.loss is None:
        X = np.unique(X, axis=0)
        n = len(X)
    shape = (n, n_outputs) if n_outputs else n
    y = np.where(rng.random(shape) < 0.5, -1.0, 1.0) if case.loss in SIGNED else rng.standard_normal(shape)
    return X, y


def pose(case: Case, rng: np.random.Generator, n_outputs: int = 0) -> cs.Problem | None:
    """Draw a problem; None where it has no solution and says so (no interpolant, separated classes)."""
    X, y = draw(case, rng, n_outputs)
    if case.loss is None:
        return cs.Problem(X, y, **case.statement)
    problem = cs.Problem(X, y, lam=1.0, **case.statement)
    try:
        top = cs.lam_max(problem)
    except ValueError as error:
        assert "separated by the free part" in str(error)
        return None
    return problem.replace(lam=10 ** rng.uniform(-3, -0.3) * (top if top > 0 else 1.0))


def random_network(problem: cs.Problem, rng: np.random.Generator) -> cs.SparseMeasure:
    """A network of the problem's kind with random neurons, its weights and free part fitted by ridge or at random."""
    K = int(rng.integers(1, 2 * problem.n + 2))
    theta = rng.standard_normal((K, problem.lifted.shape[1]))
    system = np.hstack([problem.responses(theta), problem.basis])
    ridge = 10 ** rng.uniform(-6, 1)
    if rng.random() < 0.3:
        values = rng.standard_normal((system.shape[1], problem.n_outputs))
    else:
        values = np.linalg.solve(system.T @ system + ridge * np.eye(system.shape[1]), system.T @ problem.targets)
    return problem.measure(theta, values[:K], values[K:])
