r"""The problem on one input, on given neurons: its Newton systems are least squares over a chain of observed states.

With f the sum of kinks :math:`c_k (x - \tau_k)_+` and a state (f, f') at the first observation,

.. math::
    \min_{c, \text{state}} \sum_j \max_{\beta \in [l_j, u_j]} \big[\beta (f_j - y_j) - \tfrac12 R_j \beta^2\big]
    + \sum_k \omega_k |c_k|,

the observations being values of f or, where the squared loss adds up many points between two kinks, of f and f'. Every
loss of the package but the logistic one is of this form. A neuron that
faces left, or is active on all data, is a kink and a linear function, or that alone: what linear functions there are
in sum is one equation more for the slope, and one for the value, where they cost something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array
from cellsolve.solvers.chain_kernels import KINK, VALUE, potentials, rest_of_start, smooth, values

#: share of y that a solved system may leave before it is solved for that, and how often
SMALL, REFINED = 1e-13, 4


@dataclass(frozen=True)
class Push:
    """What observations add that are no longer any: their multipliers are known, and the chain is without them.

    Attributes
    ----------
    phi : (J,)
        Their share of the multipliers of the jumps.
    moments : (2,)
        Their share of the sums of alpha, as `Chain.multipliers` returns them.
    size, worth : float
        The sum of |alpha|, and of their losses, about.
    """

    phi: Array
    moments: Array
    size: float = 0.0
    worth: float = 0.0


@dataclass
class Chain:
    """Observations and kinks in order, and what they cost.

    Attributes
    ----------
    kind, step, index : (E,)
        Events, as `chain_kernels.smooth` takes them; the first one is an observation.
    place : (n,)
        Where the observations are.
    y, R, low, high : (n,)
        Observed values, curvature of the conjugate, and the box of its argument.
    kinks, shifts : int
        How many jumps of f' there are, and of f. Both are numbered from left to right, the kinks first; after them come
        the neurons that are linear on the data, and then linear functions that these may move along.
    cost : (J,)
        omega.
    stiffness : (M,)
        The quadratic cost of the shifts and the last linear functions: v^2 stiffness / 2; `cost` is their linear cost.
    linear : (J, b)
        Slope, and value at the first observation, of the linear part of each jump, as far as linear functions cost
        something: b = 2, 1 (constants are free) or 0.
    push : Push
    """

    kind: np.ndarray
    step: Array
    index: np.ndarray
    place: Array
    y: Array
    R: Array
    low: Array
    high: Array
    kinks: int
    shifts: int
    cost: Array
    stiffness: Array
    linear: Array
    push: Push

    def __post_init__(self) -> None:
        q = 1 + self.linear.shape[1]
        n, K = len(self.y), self.kinks + self.shifts
        last = len(self.cost) - (len(self.stiffness) - self.shifts)
        self.neurons = np.concatenate([np.arange(self.kinks), np.arange(K, last)])
        self.moved = np.concatenate([np.arange(self.kinks, K), np.arange(last, len(self.cost))])
        #: the observations whose dual interval has a lower end, and an upper one
        self.bounded = np.flatnonzero(np.isfinite(self.low)), np.flatnonzero(np.isfinite(self.high))
        self._rows, self._jumps = np.empty((n, 4 + q)), np.empty((K, 3 + 2 * q))
        self._pull, self._jump, self._start = np.empty((n, q)), np.empty((K, q)), np.empty((2, q))
        events = self.kind, self.step, self.index
        self._events = events
        # multipliers with the moments (slope, value) = (1, 0) and (0, 1), on the first and the last observation of f
        seen = np.zeros(n, dtype=bool)
        seen[self.index[self.kind == VALUE]] = True
        order = self.index[self.kind < KINK]
        first, last = order[seen[order]][[0, -1]]
        reach, away = self.place[last] - self.place[first], self.place[first] - self.place[order[0]]
        self._shift, self._bent = np.zeros((n, 2)), np.zeros((K, 2))
        self._shift[[first, last], 0] = -1 / reach, 1 / reach
        self._shift[[first, last], 1] = 1 + away / reach, -away / reach
        for c in range(2):
            phi = np.empty(K)
            potentials(*events, np.ascontiguousarray(self._shift[:, c]), np.empty((K, 0)), phi, np.empty(2))
            self._bent[:, c] = phi

    def observed(self, jumps: Array, start: Array) -> tuple[Array, Array]:
        """Return what is observed of f, and by how much the linear functions that cost something differ (b,)."""
        value, rest = np.empty(len(self.y)), np.empty(self.linear.shape[1])
        values(*self._events, jumps[: self.kinks + self.shifts], start, value)
        rest_of_start(self.linear, jumps, start, rest)
        return value, rest

    def multipliers(self, alpha: Array) -> tuple[Array, Array]:
        """Return phi of the jumps (J,), and the sums (2 - b,) of alpha that vanish where linear functions are free."""
        phi, moments, b = np.zeros(len(self.cost)), np.empty(2), self.linear.shape[1]
        potentials(*self._events, np.ascontiguousarray(alpha), self.linear, phi, moments)
        return phi, moments[: 2 - b]

    def priced(self, alpha: Array) -> tuple[Array, Array]:
        """Return phi and those sums with what `push` adds to them."""
        phi, moments = self.multipliers(alpha)
        return phi + self.push.phi, moments + self.push.moments[: len(moments)]

    def newton(self, R: Array, T: Array, r: Array, t: Array, miss: Array, moments: Array):
        """Solve as `once`, and for what that leaves where it is not small: of data over many decades it may not be."""
        step = self.once(R, T, r, t, miss, moments)
        if not self.linear.shape[1]:
            return step
        size = float(np.abs(self.y).max(initial=0.0))
        rest, wrong = self._left(step, R, T, r, t, miss, moments)
        for _ in range(REFINED):
            if not SMALL * size < wrong < np.inf:
                break
            more = self.once(R, T, *rest)
            better = tuple(a + b for a, b in zip(step, more, strict=True))
            rest, less = self._left(better, R, T, r, t, miss, moments)
            if not less < 0.5 * wrong:
                break
            step, wrong = better, less
        return step

    def _left(self, step, R: Array, T: Array, r: Array, t: Array, miss: Array, moments: Array):
        """Return what a solution leaves of the right side, and how much of it in f."""
        dalpha, dc, dphi, dstart = step
        df, rest = self.observed(dc, dstart)
        left = r - R * dalpha - df, t + T * dphi - dc, miss + rest, moments + self.multipliers(dalpha)[1]
        return left, float(np.abs(left[0]).max())

    def once(self, R: Array, T: Array, r: Array, t: Array, miss: Array, moments: Array):
        """Solve df + R dalpha = r, dc = t + T dphi, and the equations of the linear functions.

        Parameters
        ----------
        miss : (b,)
            By how much the linear functions that cost something differ.
        moments : (2 - b,)
            Sums of alpha that are to vanish, because linear functions cost nothing: the value's, then the slope's.

        Returns
        -------
        dalpha (n,), dc (J,), dphi (J,), dstart (2,)
        """
        b, K = self.linear.shape[1], self.kinks + self.shifts
        missing = -moments[::-1]
        fixed = self._shift[:, b:] @ missing
        rows = np.column_stack([r - R * fixed, -R[:, None] * self._shift[:, :b]])
        offsets = self.linear.copy()
        offsets[:K] += self._bent[:, :b]
        t = t.copy()
        t[:K] += T[:K] * (self._bent[:, b:] @ missing)
        drift = np.column_stack([t, T[:, None] * offsets])
        smooth(
            *self._events, R, T[:K], rows, np.ascontiguousarray(drift[:K]),
            self._rows, self._jumps, self._pull, self._jump, self._start,
        )  # fmt: skip
        pull, jump, start = self._pull, np.vstack([self._jump, drift[K:]]), self._start
        if not b:
            dalpha = pull[:, 0] + fixed
            return dalpha, jump[:, 0], self.multipliers(dalpha)[0], start[:, 0]
        # start - linear^T c = 0, in which the multipliers of the linear functions are the unknowns
        system = start[::-1][:b] - self.linear.T @ jump
        delta = _solve(system[:, 1:], -miss - system[:, 0])
        mix = np.append(1.0, delta)
        dalpha = pull @ mix + self._shift[:, :b] @ delta + fixed
        return dalpha, jump @ mix, self.multipliers(dalpha)[0], start @ mix


def _solve(matrix: Array, right: Array) -> Array:
    """Solve a semidefinite system of one or two equations in units of their own."""
    size = np.sqrt(np.abs(np.diag(matrix)))
    size = np.where(size > 0, size, 1.0)
    scaled = matrix / size / size[:, None]
    if not np.isfinite(scaled).all():
        return np.full(len(right), np.nan)
    return np.linalg.lstsq(scaled, right / size, rcond=None)[0] / size
