"""Diagonal linear networks under gradient descent, with and without weight normalisation."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.checks import count, positive
from cellsolve.data import Array, as_floats
from cellsolve.training.diagonal_kernels import CONVERGED, LOST, descend
from cellsolve.training.pursuit import as_system, as_vector
from cellsolve.units import largest_exponent

RECORD = ("step", "loss", "l1", "radius", "time")
#: records come at steps that grow by this factor, as what happens spreads over all orders of magnitude
GROWTH = 1.05
#: products between two looks for Ctrl-C, about 10 ms
SLICE = 10_000_000
#: a loss this many times the first one has diverged
LIMIT = 1e6
#: a radius below this share of the first one does not come back
COLLAPSED = 1e-4
#: exponents of A, b and the first x up to which the loss and its gradient are floats, and down to which the first x is
LARGEST, SMALLEST = 240, -1000

#: every status and its sentence
STATUSES = {
    "converged": "the loss is below tol times that of x = 0",
    "finished": "all steps done, the loss is still above tol times that of x = 0",
    "collapsed": "the radius went to zero, where nothing moves any more; unless x = 0 is the answer, pass a larger "
    "init_scale or a smaller lr_ratio",
    "diverged": "the loss grew out of bounds, or a step was so long that a weight changed its sign; this is the last "
    "record before, pass a smaller lr, or none",
    "interrupted": "interrupted; this is where it was",
}


@dataclass(frozen=True, eq=False)
class DiagonalRun:
    """What `train_diagonal` returns: where gradient descent went.

    Attributes
    ----------
    x : array, shape (N,)
        The last vector, u^L or u^L - v^L.
    weights : array, shape (N,) or (2, N)
        Its weights u, or u and v.
    history : dict of arrays
        Some dozens of records for every factor of ten in steps, the first before the first step and the last of `x`:
        ``step``, ``loss`` (half of |A x - b|²), ``l1`` (of x), ``radius`` (the Euclidean norm of all weights), ``time``
        in seconds, and ``error``, |x - target|, if there was a target.
    status : str
        ``"converged"``, ``"finished"``, ``"collapsed"``, ``"diverged"`` or ``"interrupted"``.
    steps : int
        Number of steps that led to `x`.
    magnification : float
        By how much weight normalisation made the first weights smaller than they were (see `train_diagonal`): above 1
        it helps, below it harms. 1 for plain gradient descent.
    """

    x: Array
    weights: Array
    history: dict[str, np.ndarray]
    status: str
    steps: int
    magnification: float

    @property
    def message(self) -> str:
        """What the status means."""
        return STATUSES[self.status]

    def __repr__(self) -> str:
        loss, l1, seconds = (self.history[name][-1] for name in ("loss", "l1", "time"))
        return (
            f"DiagonalRun(loss={loss:.3g}, l1={l1:.10g}, {self.steps} steps in {seconds:.2g} s, "
            f"{self.status}: {self.message})"
        )


def train_diagonal(
    A: ArrayLike,
    b: ArrayLike,
    *,
    depth: int = 2,
    init_scale: float | ArrayLike = 0.1,
    weight_normalisation: bool = False,
    signed: bool = False,
    lr: float | None = None,
    lr_ratio: float = 0.1,
    steps: int = 1_000_000,
    tol: float = 1e-12,
    target: ArrayLike | None = None,
) -> DiagonalRun:
    r"""Train a diagonal linear network by gradient descent, plain or in polar coordinates.

    With L = `depth`, from positive weights, it goes down

    .. math::
        \mathcal L = \tfrac12 \|A x - b\|_2^2, \qquad x = u^{\odot L} \quad\text{or, signed,}\quad
        x = u^{\odot L} - v^{\odot L}.

    Among the many x with A x = b the steps choose one with a small l1 norm, of which `basis_pursuit` finds the least.
    Weight normalisation writes the weights (signed: u and v together) as :math:`u = r \hat u` with
    :math:`\|\hat u\|_2 = 1`, and descends in these coordinates with rates :math:`\eta` for the direction and
    :math:`\tilde\eta\,\eta` for the radius, where :math:`\tilde\eta` is `lr_ratio`:

    .. math::
        \dot{\hat u} = -\eta\, r\, (I - \hat u \hat u^\top) \nabla_u \mathcal L, \qquad
        \dot r = -\tilde\eta\, \eta\, \hat u^\top \nabla_u \mathcal L.

    Parameters
    ----------
    A : array-like, shape (M, N)
    b : array-like, shape (M,)
    depth : int
        L, at least 2.
    init_scale : float or array-like, shape (N,) or, signed, (2, N)
        The first weights, positive: one number for all, one for each entry of x, or u and v.
    weight_normalisation : bool
        Descend in polar coordinates.
    signed : bool
        Train u^L - v^L, which is the network u^L of the matrix [A, -A].
    lr : float, optional
        Rate of the weights, or of their direction; the same for all steps. None takes, in every step, the longest that
        follows the flow: of which no weight changes by more than 2 % (in polar coordinates twice that), and at most 1
        over :math:`L^2 \|A\|_2^2 \max_k u_k^{2L-2}`. A common factor of both rates is a matter of time only, so the
        way is the same.
    lr_ratio : float
        :math:`\tilde\eta`, in the units of u². The smaller, the nearer to the least l1 norm, and the slower the radius.
    steps : int
        At most so many.
    tol : float
        Stop where the loss is at most `tol` times that of x = 0.
    target : array-like, shape (N,), optional
        A vector whose distance from x goes to the history.

    Returns
    -------
    DiagonalRun
        Also after an interruption by Ctrl-C, and where descent diverges or collapses, which are RuntimeWarnings.

    Raises
    ------
    ValueError
        Arguments that are not finite, do not fit together, or are out of range.

    Notes
    -----
    Along the plain flow :math:`\log u - \log u_0` lies in the range of :math:`A^\top` for L = 2, and
    :math:`u^{2-L} - u_0^{2-L}` for L > 2, so its limit depends on the first weights alone; the smaller they are, the
    nearer it is to the least l1 norm. In polar coordinates :math:`\hat u\, e^{r^2 / 2\tilde\eta}` takes the place of
    u in these invariants. So at any time, and in the limit, the weights are related to :math:`u_0 / \rho` as plain
    ones are to :math:`u_0`, for every L with the same *magnification*

    .. math:: \rho = \frac{r_0}{r}\, \exp\Bigl(\frac{r^2 - r_0^2}{2\tilde\eta}\Bigr).

    It is above 1 for :math:`r > r_0` where :math:`\tilde\eta` is below the logarithmic mean of :math:`r_0^2` and
    :math:`r^2`, in particular for :math:`\tilde\eta \le r_0^2`. Where the radius has to shrink it is above 1 only where
    :math:`\tilde\eta` is above that mean: a small ratio harms then. For :math:`r_0 \to 0` the weights
    :math:`u_0 / \rho` do not vanish, but tend to :math:`r \hat u_0 e^{-r^2 / 2\tilde\eta}`. And the flow runs into zero
    if :math:`r_0^2 \le -\tilde\eta\, \min_s \log \sum_k \hat u_{0k}^2 e^{2 s (A^\top b)_k}` (L = 2, x small beside b),
    which happens only for small weights with :math:`\langle A x_0, b \rangle < 0`.

    After every step the direction is divided by its length. Practice keeps the vector as it is; its length grows a
    little in every step, which divides the rate of the direction by its square, and so changes `lr_ratio` on the way.

    A and b are divided by one power of two each, so that nothing depends on their size but what has units: `init_scale`
    has those of u, `lr_ratio` of u².

    References
    ----------
    Chou, Rauhut and Ward, Robust implicit regularization via weight normalization (2023), Theorems 2.1 to 2.3.
    """
    matrix, right = as_system(A, b)
    depth, steps, tol = count(depth, "depth"), count(steps, "steps"), positive(tol, "tol", 0.0, zero=True)
    if depth < 2:
        raise ValueError("depth is 1, which is linear regression; pass 2 or more.")
    rate, ratio = positive(lr, "lr", 0.0), positive(lr_ratio, "lr_ratio", None)
    start = _first_weights(init_scale, matrix.shape[1], signed)
    goal = None if target is None else as_vector(target, matrix.shape[1], "target")
    of_a, of_b = largest_exponent(matrix), largest_exponent(right)
    if max(abs(of_a), abs(of_b)) > LARGEST:
        raise ValueError("A or b is of a size at which the loss may leave the floats; rescale it.")
    # x has a unit that is a power of two, and so has u, its root
    of_u = round((of_b - of_a) / depth) if right.any() else 0
    of_b = of_a + depth * of_u
    inside = np.ldexp(matrix, -of_a), np.ldexp(right, -of_b)
    of_rate = of_a + of_b + (depth if weight_normalisation else depth - 2) * of_u
    rate, ratio = float(np.ldexp(rate, of_rate)), float(np.ldexp(ratio, -2 * of_u))
    if not (np.isfinite([rate, ratio]).all() and ratio > 0 and (rate > 0) == (lr is not None)):
        raise ValueError(f"lr is {lr} and lr_ratio {lr_ratio}, far from the size of A and b; see their units.")
    first = np.ldexp(start, -of_u)
    orders = depth * np.frexp(first)[1]
    if orders.max() > LARGEST or orders.min() < SMALLEST:
        raise ValueError("init_scale to the power of depth is of another order than x; pass one nearer to its root.")
    descent = _Descent(*inside, first, depth, rate, ratio if weight_normalisation else 0.0)
    status = descent.run(steps, tol, None if goal is None else np.ldexp(goal, -depth * of_u))
    history = {name: np.array(column) for name, column in zip((*RECORD, "error"), zip(*descent.records))}
    shifts = {"loss": 2 * of_b, "l1": depth * of_u, "radius": of_u, "error": depth * of_u}
    history = {name: np.ldexp(column, shifts[name]) if name in shifts else column for name, column in history.items()}
    if status in ("collapsed", "diverged"):
        warnings.warn(f"train_diagonal: {STATUSES[status]}.", RuntimeWarning, stacklevel=2)
    x, weights = np.ldexp(descent.x, depth * of_u), np.ldexp(descent.weights.reshape(start.shape), of_u)
    return DiagonalRun(x, weights, history, status, int(history["step"][-1]), descent.magnification)


class _Descent:
    """The state of a run: weights (K,), their polar coordinates (K + 1,), and the records."""

    def __init__(self, A: Array, b: Array, start: Array, depth: int, rate: float, ratio: float) -> None:
        self.A, self.b, self.depth, self.rate, self.ratio = A, b, depth, rate, ratio
        self.weights = start.ravel().copy()
        self.first_radius = float(np.linalg.norm(self.weights))
        self.polar = np.append(self.weights / self.first_radius, self.first_radius)
        self.records: list[tuple[Any, ...]] = []

    @property
    def x(self) -> Array:
        """u^L, or u^L - v^L."""
        parts = (self.weights**self.depth).reshape(-1, self.A.shape[1])
        return parts[0] - parts[1] if len(parts) == 2 else parts[0]

    @property
    def radius(self) -> float:
        return float(self.polar[-1] if self.ratio else np.linalg.norm(self.weights))

    @property
    def magnification(self) -> float:
        if not self.ratio:
            return 1.0
        r0, r = self.first_radius, self.radius
        with np.errstate(over="ignore", divide="ignore"):
            return float(np.exp(np.log(r0) - np.log(r) + (r * r - r0 * r0) / (2 * self.ratio)))

    def run(self, steps: int, tol: float, target: Array | None) -> str:
        """Descend until something ends it, and return the status; the last record is of the weights that are left."""
        A, b, K = self.A, self.b, len(self.weights)
        start, none = time.perf_counter(), 0.5 * float(b @ b)
        every = max(1, SLICE // (A.shape[0] * K))
        curvature = float(np.linalg.norm(A, 2)) ** 2 * (K // A.shape[1])

        def record(step: int) -> float:
            x = self.x
            loss = 0.5 * float(np.sum((A @ x - b) ** 2))
            error = [] if target is None else [float(np.linalg.norm(x - target))]
            l1 = float(np.abs(x).sum())
            self.records.append((step, loss, l1, self.radius, time.perf_counter() - start, *error))
            return loss

        first = record(0)
        columns, options = np.ascontiguousarray(A.T), (self.depth, self.rate, self.ratio, curvature)
        bounds, clock = (tol * none, LIMIT * max(first, none)), np.zeros(1, dtype=np.int64)
        status, kept = "finished", (self.weights.copy(), self.polar.copy())
        try:
            while clock[0] < steps and status == "finished":
                due = min(steps, int(self.records[-1][0] * GROWTH) + 1)
                stop = min(due, int(clock[0]) + every)
                end = descend(A, columns, b, self.weights, self.polar, *options, *bounds, clock, stop)
                if end == LOST:
                    status, (self.weights, self.polar) = "diverged", kept
                    break
                if end == CONVERGED:
                    status = "converged"
                elif self.ratio and none and self.radius < COLLAPSED * self.first_radius:
                    status = "collapsed"
                if clock[0] == due or status != "finished":
                    record(int(clock[0]))
                    kept = self.weights.copy(), self.polar.copy()
        except KeyboardInterrupt:
            status = "interrupted"
            record(int(clock[0]))
        return status


def _first_weights(init_scale: Any, size: int, signed: bool) -> Array:
    """Return u (N,), or u and v (2, N)."""
    shape = (2, size) if signed else (size,)
    given = as_floats(init_scale, "init_scale")
    if given.shape not in ((), (size,), shape):
        also = f", or (2, {size})" if signed else ""
        raise ValueError(f"init_scale has shape {given.shape}; pass a number, shape ({size},){also}.")
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise ValueError("init_scale has an entry that is not a positive finite number; weights at zero never move.")
    return np.broadcast_to(given, shape).copy()
