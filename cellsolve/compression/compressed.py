"""compress: the fewest neurons of a trained layer that the multitask lasso needs, with a proven gap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.checks import positive
from cellsolve.compression.exact import Range, Triangle, interpolate, on_support
from cellsolve.compression.groups import lengths
from cellsolve.compression.moments import UNIT, Moments, as_batch, in_units, refuse_size
from cellsolve.compression.multitask import Answer, Quadratic, appraise, judge, minimise
from cellsolve.compression.reduction import independent
from cellsolve.compression.scales import descend
from cellsolve.data import Array
from cellsolve.solution import Status

#: a squared error below this share of the outputs has lost half of its digits in their products
CANCELLED = 1e-8
#: what NumPy's sums of all entries round, which are added in pairs, in units of 2^-53
PAIRS = 64
#: how often neurons that depend on others are left out and the rest solved for again
REPAIRS = 5


@dataclass(frozen=True, eq=False)
class Compression:
    r"""What `compress` returns.

    Attributes
    ----------
    weights : array, shape (m, K)
        What the kept neurons weigh in every output; columns of neurons that are dropped are zero.
    kept : array of int
        The neurons that are kept, as indices of columns (of groups of columns with `group_size`).
    intercept : array, shape (m,), or None
        What is added to the outputs, if an intercept was asked for.
    objective : float
        :math:`\|\Phi V^\top-\Psi\|_F^2/2N+\lambda\sum_k\|v_k\|`, or :math:`\sum_k\|v_k\|` if the outputs are exact.
    gap : float
        Proven relative distance of the objective from the optimum, (objective - lower bound) / objective, what float64
        rounds in it included.
    error : float
        :math:`\|\Phi V^\top-\Psi\|_F/\|\Psi\|_F`, of what is left after the means where there is an intercept. From
        products alone, an error below about 1e-6 is not told from 0.
    lam, lam_max : float or None
        Weight of the penalty, and the least one for which no neuron is kept; None if the outputs are exact.
    rank_bound : int
        rank(Phi) rank(Psi), of Psi that part which the features reach. Some optimal weights have no more neurons, and
        these are such, up to rounding: products do not tell features apart that differ by 1e-7 of their size.
    status : Status
        ``optimal`` if the gap is at most tol, ``interrupted``, or ``stalled`` where rounding left a larger gap, or
        outputs that should be exact are missed by more than rounding.
    """

    weights: Array
    kept: np.ndarray
    intercept: Array | None
    objective: float
    gap: float
    error: float
    lam: float | None
    lam_max: float | None
    status: Status
    _ranks: tuple[Array, Array] = field(repr=False)

    @property
    def n_kept(self) -> int:
        """Number of neurons that are kept."""
        return len(self.kept)

    @cached_property
    def rank_bound(self) -> int:
        """rank(Phi) rank(Psi), more neurons than which are not needed (Shenouda et al. 2023)."""
        first, second = map(np.linalg.matrix_rank, self._ranks)
        return int(first * second)

    def predict(self, features: ArrayLike) -> Array:
        """Return the outputs, shape (N, m), of features (N, K)."""
        values = np.asarray(features, dtype=float)
        if values.ndim != 2 or values.shape[1] != self.weights.shape[1]:
            raise ValueError(f"features have shape {values.shape}; pass (N, {self.weights.shape[1]}).")
        outputs = values @ self.weights.T
        return outputs if self.intercept is None else outputs + self.intercept

    def __repr__(self) -> str:
        return (
            f"Compression({self.n_kept} neurons kept, objective={self.objective:.10g}, gap={self.gap:.2g}, "
            f"error={self.error:.2g}, {self.status})"
        )


def compress(
    features: ArrayLike | Moments | Triangle,
    outputs: ArrayLike | None = None,
    *,
    lam: float | None = None,
    tol: float = 1e-6,
    group_size: int = 1,
    fit_intercept: bool = False,
    start: Compression | None = None,
) -> Compression:
    r"""Find few neurons of a layer that give what the next layer receives: a convex multitask lasso.

    With features :math:`\Phi` (N, K), the activations of K neurons on N samples, and outputs :math:`\Psi` (N, m), it
    solves

    .. math::
        \min_{V\in\mathbb R^{m\times K}}\ \frac1{2N}\|\Phi V^\top-\Psi\|_F^2+\lambda\sum_{k=1}^K\|v_k\|_2
        \qquad\text{or}\qquad
        \min_V\ \sum_{k=1}^K\|v_k\|_2\ \text{ s.t. }\ \Phi V^\top=\Psi,

    whose solutions have neurons with :math:`v_k=0`, which can be dropped. The first is what scikit-learn's
    MultiTaskLasso minimises. Of the samples only products are kept, :math:`\Phi^\top\Phi` and :math:`\Phi^\top\Psi`,
    so nothing after one pass depends on N.

    Parameters
    ----------
    features : array-like, shape (N, K), or Moments, or Triangle
        Samples first. A `Moments`, to which samples were added in batches, stands for both arrays where `lam` is given,
        a `Triangle` where it is not.
    outputs : array-like, shape (N, m) or (N,)
    lam : float, optional
        Weight of the norms, in units of outputs times features; None keeps the outputs exactly (to the precision of
        the features' dtype, see the notes), which drops neurons only where the features have less than full rank, so
        always if there are fewer samples than neurons.
    tol : float
        Proven relative gap at which to stop, below 1.
    group_size : int
        Columns that belong to one neuron, those next to each other: kh * kw for a channel of a convolution.
    fit_intercept : bool
        Add a constant to each output, which costs nothing. Features and outputs that vary by less than 1e-13 of their
        mean count as constant.
    start : Compression, optional
        Where to start, for a path of `lam`.

    Returns
    -------
    Compression

    Raises
    ------
    ValueError
        Arguments that are not finite or do not fit together, a `lam` that is not positive, or outputs that are no
        linear function of the features although they shall be exact.

    Notes
    -----
    One pass of coordinate descent finds neurons, and Newton's method on their norms, of which the problem is a smooth
    convex function, finds how large they are: twenty steps also where the features are so alike that first-order
    methods take tens of thousands (see the page on compression). Exact outputs take a few such problems, by the method
    of multipliers. They are as exact as the features' dtype: directions that rounding of that dtype may have made
    count as none, and outputs may miss by the root of its precision, 1.5e-8 of their size in float64; `error` says by
    how much. Ctrl-C returns the best weights so far.

    The gap takes the rounding of every product in, by worst-case bounds, so it ends above `tol` where the digits of
    float64 do not suffice: of `Moments`, where lam is some 1e-5 of `lam_max` and outputs are a linear function of the
    features, or 1e-9 where they have noise. With the arrays at hand the last residual is computed from the samples, and
    1e-9 is proven in both cases.

    References
    ----------
    Shenouda, Parhi, Lee and Nowak, "Vector-valued variation spaces and width bounds for DNNs: insights on weight decay
    regularization", 2023, Theorem on layer widths.

    Examples
    --------
    >>> import numpy as np
    >>> import cellsolve
    >>> rng = np.random.default_rng(0)
    >>> features = np.maximum(rng.standard_normal((20, 100)), 0)  # 20 samples, 100 neurons
    >>> outputs = features @ rng.standard_normal((100, 3))
    >>> compression = cellsolve.compress(features, outputs)
    >>> compression.n_kept <= compression.rank_bound, bool(compression.error < 1e-12)
    (True, True)
    """
    tol = positive(tol, "tol", 1e-6)
    kind = Triangle if lam is None else Moments
    if tol >= 1:
        raise ValueError(f"tol is {tol:g}; pass a relative gap below 1.")
    if start is not None and lam is None:
        raise ValueError("start is for a path of lam; leave it out where the outputs are exact (lam=None).")
    if isinstance(features, (Moments, Triangle)):
        if fit_intercept and not features.fit_intercept:
            name = type(features).__name__
            raise ValueError(f"fit_intercept is True, but this {name} has no means; give it fit_intercept=True, too.")
        if outputs is not None:
            raise ValueError(f"outputs are given beside a {type(features).__name__}, which has them already.")
        if not isinstance(features, kind):
            raise ValueError(
                f"features are a {type(features).__name__}; "
                + ("pass the arrays or a Triangle for exact outputs (lam=None)." if lam is None else "pass a Moments.")
            )
        if not features.n_samples:
            raise ValueError(f"this {type(features).__name__} has no samples yet; call its update.")
        sums: Moments | Triangle = features
        arrays = None
    else:
        if outputs is None:
            raise ValueError("outputs are missing; pass what the next layer receives, shape (N, m).")
        arrays = as_batch(features, outputs)
        sums = kind(fit_intercept=fit_intercept).update(*arrays)
    size = refuse_size(group_size, sums.n_neurons)
    if isinstance(sums, Triangle):
        return _exact(sums, tol, size)
    return _penalised(sums, arrays, positive(lam, "lam", None), tol, size, start)


def _penalised(
    moments: Moments, arrays: tuple[Any, Any] | None, lam: float, tol: float, size: int, start: Compression | None
) -> Compression:
    features, outputs = moments.units
    gram, cross = moments.gram, moments.cross
    precision = moments.rounding + (sum(cross.shape) + PAIRS) * UNIT
    problem = Quadratic(gram, cross, moments.square, size, precision, moments.unseen)
    with np.errstate(over="ignore"):  # from where it is as good as infinite or nothing, it may be rounded
        inside = float(np.clip(np.ldexp(lam, -features - outputs), np.finfo(float).tiny, np.finfo(float).max / 4))
    begin = None if start is None else _inside(start, problem, moments)
    answer = minimise(problem, inside, tol=tol, start=begin)
    answer = _fewer(problem, inside, answer, tol)
    missed = problem.square + float(np.sum(answer.weights * (problem.gram @ answer.weights - 2 * problem.cross)))
    if arrays is not None and (missed < CANCELLED * problem.square or answer.distance > tol * answer.objective):
        missed, slopes = _seen(arrays, moments, answer.weights)
        seen = judge(problem, inside, answer.weights, slopes, missed)
        if seen.distance < answer.distance:
            answer = replace(seen, interrupted=answer.interrupted)
    error = float(np.sqrt(max(missed, 0.0) / problem.square)) if problem.square else 0.0
    sizes = np.where(problem.heights > 0, problem.heights, 1.0)[:, None]
    most, ranks = moments.lam_max(size), (problem.gram / sizes / sizes.T, problem.cross / sizes)
    return _finish(moments, answer, size, 2 * outputs, tol, error=error, lam=lam, lam_max=most, ranks=ranks)


def _exact(triangle: Triangle, tol: float, size: int) -> Compression:
    features, outputs = triangle.parts
    least = float(np.finfo(float).eps)
    for precision in (triangle.precision, least):
        inside = Range(features, outputs, precision, triangle.noise)
        if inside.missed <= np.sqrt(precision):
            break
    else:
        raise ValueError(
            f"outputs are no linear function of the features: the best one misses them by {inside.missed:.2g} of their "
            "size; pass a lam, with which they need not be exact, and features of very different size divided by it"
            f"{'; what varies by less than 1e-13 of its mean counts as constant' if triangle.fit_intercept else ''}."
        )
    answer = interpolate(inside, size, tol=tol)
    fewer = on_support(inside, independent(inside.gram, answer.weights, size), size, tol)
    if fewer is not None:
        cost = float(lengths(fewer, size).sum())
        distance = max(cost - answer.objective + answer.distance, 0.0)
        if distance <= max(tol * cost, answer.distance):
            answer = Answer(fewer, cost, distance, answer.interrupted)
    error, power = inside.error(answer.weights), triangle.units[1] - triangle.units[0]
    ranks, given = (inside.rows, inside.left.T @ outputs), error <= inside.tolerance
    return _finish(triangle, answer, size, power, tol, error=error, lam=None, lam_max=None, ranks=ranks, given=given)


def _fewer(problem: Quadratic, lam: float, answer: Answer, tol: float) -> Answer:
    """Return an answer as good with neurons that depend on others left out, or the same."""
    best, size = answer, problem.size
    try:
        for _ in range(REPAIRS):
            weights = independent(problem.gram, answer.weights, size)
            if weights is answer.weights or answer.interrupted:
                break
            answer = appraise(problem, lam, descend(problem.gram, problem.cross, lam, weights, size, enough=0.0))
            allowed = max(tol * answer.objective, best.distance)
            if answer.distance > allowed:
                answer = minimise(problem, lam, tol=tol, start=weights)
            fewer = np.count_nonzero(lengths(answer.weights, size)) < np.count_nonzero(lengths(best.weights, size))
            proven = best.distance <= tol * best.objective  # else distances are rounding, and objectives tell more
            same = not proven and answer.objective <= best.objective * (1 + tol / 2)
            if fewer and (same or answer.distance <= allowed):
                best = answer
    except KeyboardInterrupt:
        return replace(best, interrupted=True)
    return replace(best, interrupted=answer.interrupted)


def _seen(arrays: tuple[Any, Any], moments: Moments, weights: Array) -> tuple[float, Array]:
    """Return |R|^2 / N and Phi' R / N from the samples, with the digits that their products lack."""
    means, count = moments.means, moments.n_samples
    missed, slopes, rests = 0.0, np.zeros_like(weights), [np.zeros_like(mean) for mean in means]
    for phi, psi in in_units(*arrays, moments.units):
        if moments.fit_intercept:  # before the product, which would round at the size of the means
            phi -= means[0]
            psi -= means[1]
        psi -= phi @ weights
        missed += float(np.sum(psi**2)) / count
        slopes += phi.T @ psi / count
        for rest, part in zip(rests, (phi, psi)):
            rest += part.sum(axis=0) / count
    if moments.fit_intercept:  # the means are rounded
        missed -= float(rests[1] @ rests[1])
        slopes -= np.outer(*rests)
    return missed, slopes


def _finish(
    sums: Moments | Triangle, answer: Answer, size: int, power: int, tol: float, *, error: float, lam: float | None,
    lam_max: float | None, ranks: tuple[Array, Array], given: bool = True,
) -> Compression:  # fmt: skip
    features, outputs = sums.units
    intercept = None
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(np.ldexp(answer.weights.T, outputs - features))
        objective = float(np.ldexp(answer.objective, power))
        if sums.fit_intercept:
            first, second = sums.means
            intercept = np.ldexp(second - first @ answer.weights, outputs)
    if not np.isfinite(weights).all():
        raise ValueError("features are so much smaller than outputs that weights overflow; divide both by their sizes.")
    gap = answer.distance / answer.objective if answer.objective else 0.0
    reached = Status.OPTIMAL if gap <= tol and given else Status.STALLED
    return Compression(
        weights=weights,
        kept=np.flatnonzero(lengths(answer.weights, size)),
        intercept=intercept,
        objective=objective,
        gap=float(gap),
        error=error,
        lam=lam,
        lam_max=lam_max,
        status=Status.INTERRUPTED if answer.interrupted else reached,
        _ranks=ranks,
    )


def _inside(start: Compression, problem: Quadratic, moments: Moments) -> Array:
    if not isinstance(start, Compression):
        raise ValueError(f"start is a {type(start).__name__}; pass what compress returned.")
    if start.weights.T.shape != problem.cross.shape:
        raise ValueError(f"start has weights of shape {start.weights.shape}; {problem.cross.T.shape} is needed.")
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(np.ldexp(start.weights.T, moments.units[0] - moments.units[1]))
    return weights if np.abs(weights).max() < 1e100 else np.zeros_like(weights)  # of other data: no start at all
