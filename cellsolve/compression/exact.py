"""The least sum of norms that gives the outputs exactly: the method of multipliers around the penalised problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lstsq, svd

from cellsolve.compression.blocks import lengths, rows
from cellsolve.compression.moments import as_batch, blocks, refuse_widths, unit_of
from cellsolve.compression.multitask import Answer, Quadratic, minimise
from cellsolve.data import Array

#: lam of the penalised problems, as a share of the least that makes all weights zero: a smaller one takes fewer rounds,
#: each with more neurons; measured on 10 to 200 samples, 300 to 500 neurons, a hundredth is best
SHARE = 1e-2
#: where what is missed does not fall to a share SLOW of that before, the multiplier is large beside 1 / lam, which is
#: made SMALLER
SLOW, SMALLER = 0.25, 0.1
#: rounds of multipliers; two or three suffice
ROUNDS = 50
#: gap of the penalised problems, beside tol: what misses there is made good exactly, at a cost of that size
INNER = 1e-2


class Triangle:
    """Features and outputs of many samples as a triangular factor with as many rows as columns, batch by batch.

    Its distances and angles are those of the samples, to the last digits, which their products do not keep. `precision`
    is the relative rounding of the features, by which their rank is told from it.
    """

    def __init__(self, *, fit_intercept: bool = False) -> None:
        self.fit_intercept = bool(fit_intercept)
        self.n_samples = 0
        self.units = (0, 0)
        self.precision = float(np.finfo(float).eps)

    def update(self, features: ArrayLike, outputs: ArrayLike) -> Triangle:
        """Add a batch of samples: features (N, K), outputs (N, m); return self."""
        first, second = as_batch(features, outputs)
        if not self.n_samples:
            self.units = unit_of(first), unit_of(second)
            self.n_neurons = first.shape[1]
            self._factor = np.zeros((0, self.fit_intercept + first.shape[1] + second.shape[1]))
        refuse_widths((first, second), (self.n_neurons, self._factor.shape[1] - self.fit_intercept - self.n_neurons))
        if first.dtype.kind == "f":
            self.precision = max(self.precision, float(np.finfo(first.dtype).eps))
        for phi, psi in blocks(first, second, self.units):
            stacked = np.hstack([np.ones((len(phi), int(self.fit_intercept))), phi, psi])
            self._factor = np.vstack([self._factor, stacked])
            if len(self._factor) > self._factor.shape[1]:
                self._factor = _triangular(self._factor)
        self.n_samples += len(first)
        return self

    @property
    def parts(self) -> tuple[Array, Array]:
        """Rows of features and outputs, less their means where an intercept is fitted, in units."""
        factor = self._factor
        if self.fit_intercept:
            factor = _triangular(factor)[1:, 1:]
        return factor[:, : self.n_neurons], factor[:, self.n_neurons :]

    @property
    def means(self) -> tuple[Array, Array]:
        """The means of features and outputs, in units; zero without an intercept."""
        count = self.n_neurons
        if not self.fit_intercept:
            return np.zeros(count), np.zeros(self._factor.shape[1] - count)
        first = _triangular(self._factor)[0]
        return first[1 : 1 + count] / first[0], first[1 + count :] / first[0]


def _triangular(rows: Array) -> Array:
    return np.asarray(np.linalg.qr(rows, mode="r"))


class Range:
    """The constraint Phi V = Psi with orthonormal rows, in which the penalised problems are well conditioned."""

    def __init__(self, features: Array, outputs: Array, precision: float) -> None:
        left, values, right = svd(features, full_matrices=False, check_finite=False)
        rank = int(np.sum(values > values.max(initial=0.0) * max(features.shape) * precision))
        inside = left[:, :rank].T @ outputs
        # neurons that are never active stay so, in spite of rounding
        self.rows, self.targets = right[:rank] * features.any(axis=0), inside / values[:rank, None]
        size = np.linalg.norm(outputs)
        #: |Psi - what features reach of it| / |Psi|
        self.missed = float(np.linalg.norm(outputs - left[:, :rank] @ inside) / size) if size else 0.0
        self.gram = self.rows.T @ self.rows
        #: what a product of matrices rounds, or the samples were rounded to, as a share of the targets
        self.noise = len(self.gram) * max(precision, 1e-12)


def interpolate(inside: Range, size: int, *, tol: float) -> Answer:
    """Minimise sum_g |V_g| over V with rows V = targets, to a proven gap of tol.

    The multiplier M / lam of the penalised problem with targets shifted by M is nearly feasible in the dual,
    max <T, targets> over |rows_g' T| <= 1, and is divided by what it is too large; the weights are made to give the
    targets exactly by the least change in the metric of their norms.
    """
    shift, weights, bound, interrupted = np.zeros_like(inside.targets), None, 0.0, False
    best = inside.rows.T @ inside.targets
    cost = float(lengths(best, size).sum())
    if not cost:
        return Answer(best, 0.0, 0.0)
    lam = SHARE * float(lengths(inside.rows.T @ inside.targets, size).max())
    missed = np.inf
    for _ in range(ROUNDS):
        shifted = inside.targets + shift
        problem = Quadratic(inside.gram, inside.rows.T @ shifted, float(np.vdot(shifted, shifted)), size)
        answer = minimise(problem, lam, tol=INNER * tol, start=weights)
        weights, interrupted = answer.weights, answer.interrupted
        before, missed = missed, float(np.linalg.norm(inside.targets - inside.rows @ weights))
        shift = shifted - inside.rows @ weights
        reach = float(lengths(inside.rows.T @ shift, size).max()) * (1 + 4 * len(shift) * np.finfo(float).eps)
        bound = max(bound, float(np.vdot(shift, inside.targets)) / max(lam, reach))
        exact = on_support(inside, weights, size)
        if exact is not None and lengths(exact, size).sum() < cost:
            best, cost = exact, float(lengths(exact, size).sum())
        if interrupted or cost - bound <= tol * cost:
            break
        if missed > SLOW * before:
            lam, shift = SMALLER * lam, SMALLER * shift
    return Answer(best, cost, max(cost - bound, 0.0), interrupted)


def on_support(inside: Range, weights: Array, size: int) -> Array | None:
    """Return the weights V on the same neurons that give the targets, least in sum |V_g|^2 / |weights_g|; or None."""
    scales = lengths(weights, size)
    support = np.flatnonzero(scales)
    if not len(support):
        return None
    at, roots = rows(support, size), np.repeat(np.sqrt(scales[support]), size)
    solution = lstsq(inside.rows[:, at] * roots, inside.targets, lapack_driver="gelsy", check_finite=False)[0]
    exact = np.zeros_like(weights)
    exact[at] = roots[:, None] * solution
    missed = np.linalg.norm(inside.targets - inside.rows @ exact)
    return exact if missed <= inside.noise * np.linalg.norm(inside.targets) else None
