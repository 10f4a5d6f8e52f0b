"""The least sum of norms that gives the outputs exactly: the method of multipliers around the penalised problem."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lstsq, svd

from cellsolve.compression.groups import lengths, rows
from cellsolve.compression.moments import FLAT, UNIT, as_batch, in_units, refuse_widths, unit_of
from cellsolve.compression.multitask import NEARER, Answer, Quadratic, minimise
from cellsolve.data import Array

#: lam of the penalised problems, as a share of the least that makes all weights zero: a smaller one takes fewer rounds,
#: each with more neurons; measured on 10 to 200 samples, 300 to 500 neurons, a hundredth is best
SHARE = 1e-2
#: where what is missed does not fall to a share SLOW of that before, the multiplier is large beside 1 / lam, which is
#: made SMALLER
SLOW, SMALLER = 0.25, 0.1
#: rounds of multipliers, two or three suffice, and those without a bound or a cost that is better until they end
ROUNDS, PATIENCE = 50, 5
#: gap of the penalised problems, beside tol: what misses there is made good exactly, at a cost of that size
INNER = 1e-2
#: times that what the weights miss is solved for again: a residual in float64 is worth that many digits more
REFINED = 3
#: outputs count as given where the samples miss by this many times what K products round
EXACT = 100


class Triangle:
    """Features and outputs of many samples as a triangular factor with as many rows as columns, batch by batch.

    Its distances and angles are those of the samples, to the last digits, which their products do not keep. `precision`
    is the relative rounding of the features, by which their rank is told from it.
    """

    def __init__(self, *, fit_intercept: bool = False) -> None:
        self.fit_intercept = bool(fit_intercept)
        self.units = (0, 0)
        self.precision = float(np.finfo(float).eps)
        # the number of samples, of neurons, of factorisations, and rows whose triangle is that of all samples
        self._state: tuple[int, int, int, tuple[Array, ...]] = (0, 0, 0, ())
        # what is taken off all rows before, if an intercept is fitted: the means of the first ones
        self._origin = np.zeros(0)

    def update(self, features: ArrayLike, outputs: ArrayLike) -> Triangle:
        """Add a batch of samples: features (N, K), outputs (N, m); return self.

        Raises
        ------
        ValueError
            For anything that is not finite and real, or does not fit to the batches before. Nothing is added then, nor
            at Ctrl-C.
        """
        first, second = as_batch(features, outputs)
        samples, neurons, turns, stack = self._state
        if not samples:
            self.units = unit_of(first), unit_of(second)
            neurons = first.shape[1]
            self._origin = np.hstack([p.mean(axis=0) for p in next(in_units(first, second, self.units))])
            self._origin *= self.fit_intercept
        else:
            refuse_widths((first, second), (neurons, stack[0].shape[1] - self.fit_intercept - neurons))
        with np.errstate(over="ignore"):  # refused below
            for phi, psi in in_units(first, second, self.units):
                block = np.hstack([phi, psi]) - self._origin
                if self.fit_intercept:
                    block = np.hstack([np.ones((len(block), 1)), block])
                if not np.isfinite(block @ np.ones(block.shape[1])).all():
                    raise ValueError(
                        "features or outputs of this batch are too large beside those of the first for float64."
                    )
                stack = (*stack, block)
                if sum(map(len, stack)) > 2 * block.shape[1]:
                    stack, turns = (_triangular(stack),), turns + 1
        for part in (first, second):
            if part.dtype.kind == "f":
                self.precision = max(self.precision, float(np.finfo(part.dtype).eps))
        self.__dict__.pop("_factor", None)
        self._state = samples + len(first), neurons, turns, stack
        return self

    @property
    def n_samples(self) -> int:
        """Number of samples so far."""
        return self._state[0]

    @property
    def n_neurons(self) -> int:
        """Number of features K."""
        return self._state[1]

    @property
    def noise(self) -> tuple[Array, float]:
        """What the columns of features, and all outputs, may be wrong by in `parts`, in length.

        The usual of Householder's method, a share of the length of a column with its mean.
        """
        share = (self._state[2] + 1) * sum(self._factor.shape) * UNIT
        sizes = share * np.linalg.norm(self._factor[:, int(self.fit_intercept) :], axis=0)
        sizes += self._flat * np.linalg.norm(self._factor[1:, int(self.fit_intercept) :], axis=0)
        return sizes[: self.n_neurons], float(np.linalg.norm(sizes[self.n_neurons :]))

    @property
    def parts(self) -> tuple[Array, Array]:
        """Rows of features and outputs, less their means where an intercept is fitted, in units."""
        factor = self._factor
        if self.fit_intercept:
            factor = np.where(self._flat, 0.0, factor[1:, 1:])
        return factor[:, : self.n_neurons], factor[:, self.n_neurons :]

    @property
    def means(self) -> tuple[Array, Array]:
        """The means of features and outputs, in units; zero without an intercept."""
        count, factor = self.n_neurons, self._factor
        means = self._origin + (factor[0, 1:] / factor[0, 0] if self.fit_intercept else 0.0)
        return means[:count], means[count:]

    @property
    def _flat(self) -> np.ndarray:
        """Which columns are constant but for rounding, and so nothing is left of without their means."""
        if not self.fit_intercept:
            return np.zeros(self._factor.shape[1], dtype=bool)
        spreads = np.linalg.norm(self._factor[1:, 1:], axis=0) / np.sqrt(self.n_samples)
        flat: np.ndarray = spreads <= FLAT * np.abs(np.hstack(self.means))
        return flat

    @cached_property
    def _factor(self) -> Array:
        """The rows, or their triangle where there are more than columns, or means to be taken off."""
        stack = self._state[3]
        if not stack:
            raise ValueError("this Triangle has no samples yet; call its update.")
        factor = stack[0] if len(stack) == 1 else np.vstack(stack)
        return _triangular((factor,)) if self.fit_intercept or len(factor) > factor.shape[1] else factor


def _triangular(stack: tuple[Array, ...]) -> Array:
    return np.asarray(np.linalg.qr(np.vstack(stack), mode="r"))


class Range:
    """The constraint Phi V = Psi with orthonormal rows, in which the penalised problems are well conditioned."""

    def __init__(
        self, features: Array, outputs: Array, precision: float, noise: tuple[Array, float] | None = None
    ) -> None:
        self.features, self.outputs = features, outputs
        self.left, self.values, right = svd(features, full_matrices=False, check_finite=False)
        least = min(max(features.shape) * precision, np.sqrt(precision)) * self.values.max(initial=0.0)
        rank = int(np.sum(self.values > least))
        self.left, self.values = self.left[:, :rank], self.values[:rank, None]
        # neurons that are never active stay so, in spite of rounding
        self.rows = right[:rank] * features.any(axis=0)
        self.targets = self.inside(outputs)
        self.size = float(np.linalg.norm(outputs))
        self.gram = self.rows.T @ self.rows
        #: |Psi - what features reach of it| / |Psi|
        self.missed = 0.0
        if self.size:
            self.missed = float(np.linalg.norm(outputs - self.left @ (self.left.T @ outputs))) / self.size
        self.precision = precision
        #: what weights that count as exact may miss, as a share of |Psi|
        self.tolerance = self.missed + min(EXACT * features.shape[1] * precision, np.sqrt(precision))
        # what products with features and outputs may be wrong by, as a share of the other factor's length
        share = (sum(features.shape) + outputs.shape[1]) * UNIT
        first, second = noise or (0.0, 0.0)
        self._noise = first + share * np.linalg.norm(features, axis=0), second + share * self.size

    def inside(self, values: Array) -> Array:
        """Return targets: what rows V should be, so that Phi V is the part of the values that features reach."""
        return self.left.T @ values / self.values

    def error(self, weights: Array) -> float:
        """Return |Phi V - Psi| / |Psi|."""
        return float(np.linalg.norm(self.features @ weights - self.outputs)) / self.size if self.size else 0.0

    def bound(self, multiplier: Array, size: int) -> float:
        """Return what sum_g |V_g| is at least where Phi V = Psi, for a multiplier of rows V = targets.

        That is <T, Psi> / max_g |Phi_g' T| for any T whatever, here one for the samples, T = U diag(values)^-1
        multiplier, as Phi V = Psi is known to the last digit and the targets are not. Its rounding is taken off.
        """
        dual = self.left @ (multiplier / self.values)
        first, second = self._noise
        length = float(np.linalg.norm(dual))
        reach = lengths(self.features.T @ dual, size) + length * lengths(first[:, None], size)
        value = float(np.sum(dual * self.outputs)) - length * second
        return max(value, 0.0) / float(reach.max()) if reach.any() else 0.0


def interpolate(inside: Range, size: int, *, tol: float) -> Answer:
    """Minimise sum_g |V_g| over V with rows V = targets, to a proven gap of tol.

    The multiplier M / lam of the penalised problem with targets shifted by M is nearly feasible in the dual; the
    weights are made to give the targets exactly by the least change in the metric of their norms.
    """
    shift, weights, bound, interrupted = np.zeros_like(inside.targets), None, 0.0, False
    best = inside.rows.T @ inside.targets
    cost = float(lengths(best, size).sum())
    if not cost:
        return Answer(best, 0.0, 0.0)
    lam = SHARE * float(lengths(best, size).max())
    missed, idle = np.inf, 0
    try:
        for _ in range(ROUNDS):
            shifted = inside.targets + shift
            problem = Quadratic(inside.gram, inside.rows.T @ shifted, float(np.vdot(shifted, shifted)), size)
            answer = minimise(problem, lam, tol=INNER * tol, start=weights)
            weights, interrupted = answer.weights, answer.interrupted
            before, missed = missed, float(np.linalg.norm(inside.targets - inside.rows @ weights))
            shift = shifted - inside.rows @ weights
            gap = cost - bound
            bound = max(bound, inside.bound(shift, size))
            exact = on_support(inside, weights, size, tol)
            if exact is not None and lengths(exact, size).sum() < cost:
                best, cost = exact, float(lengths(exact, size).sum())
            idle = 0 if cost - bound < NEARER * gap else idle + 1
            if interrupted or cost - bound <= tol * cost or idle == PATIENCE:
                break
            if missed > SLOW * before:
                lam, shift = SMALLER * lam, SMALLER * shift
    except KeyboardInterrupt:
        interrupted = True
    return Answer(best, cost, max(cost - bound, 0.0), interrupted)


def on_support(inside: Range, weights: Array, size: int, tol: float) -> Array | None:
    """Return the weights V on the same neurons that give the outputs, least in sum |V_g|^2 / |weights_g|; or None.

    Neurons that are alike but for rounding look independent, and then make up for it at any cost, so directions of
    that size are left out where this makes a difference of more than tol.
    """
    scales = lengths(weights, size)
    support = np.flatnonzero(scales)
    if not len(support):
        return None
    found: list[Array] = []
    for least in (None, np.sqrt(inside.precision)):
        exact = _refined(inside, rows(support, size), np.repeat(np.sqrt(scales[support]), size), least)
        if inside.error(exact) <= inside.tolerance:
            found.append(exact)
    return min(found, key=lambda exact: lengths(exact, size).sum() * (1 + tol * (exact is not found[0])), default=None)


def _refined(inside: Range, at: np.ndarray, roots: Array, least: float | None) -> Array:
    """Return weights on the columns `at`, solved for in units of `roots` and refined by what the samples miss."""
    matrix, targets = inside.rows[:, at] * roots, inside.targets
    exact, error = np.zeros((len(inside.gram), targets.shape[1])), np.inf
    for _ in range(REFINED):
        solution = lstsq(matrix, targets, cond=least, lapack_driver="gelsy", check_finite=False)[0]
        tried = exact.copy()
        tried[at] += roots[:, None] * solution
        before, error = error, inside.error(tried)
        if error >= before:
            break
        exact = tried
        if error <= inside.missed + UNIT * len(exact) or before < 2 * error:
            break
        targets = inside.inside(inside.outputs - inside.features[:, at] @ exact[at])
    return exact
