r"""Replay of a branch and bound over cones: a bound on sup |phi_alpha| / w without a list of cells.

On the cone of the generators v_1, ..., v_D every theta is sum_k mu_k v_k with mu >= 0. For any tau_i in [0, 1] and any
g with <g, .> <= w,

.. math::
    h_k = \sum_{\alpha_i > 0} \alpha_i \max(\langle v_k, \tilde x_i\rangle, 0)
          + \sum_{\alpha_i < 0} \alpha_i \tau_i \langle v_k, \tilde x_i\rangle \le t \langle g, v_k\rangle
          \quad\text{for all } k

proves phi <= t w on it: the first terms are convex, the others at most linear. A file says which edges were halved; the
tau and g of each cone are found here, in floats, which only guess. What they give is then compared in integers, or in
floats with a bound on their rounding where there is too much of it.

Several outputs are one along a vector u with |u| >= 1. With R = I - u u^T, |phi|^2 <= <u, phi>^2 + |R phi|^2. Where
|R phi| <= b <= c <= t w, b and c linear, |phi| > t w means that |<u, phi>| > t w - (c - sqrt(c^2 - b^2)), and d_k, the
last bracket at v_k, bounds it by interpolation, because it is convex. So <u, phi> has h_k + d_k in place of h_k, and of
-<u, phi> it is enough that it is at most c - d.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from cellsolve.data import Array, lift
from cellsolve.verify_integers import Ints, Refused, is_semidefinite, to_integers
from cellsolve.verify_multipliers import DUALS, UNIT, Bends

EXACT, FLOATS = "exact rationals", "floating point with error bounds"
#: comparisons in integers, points times outputs times cones, that are made: about a minute of them
MOST_EXACT = 3_000_000
#: what a cone takes beside its points, in comparisons
EACH = 60
#: cones that are halved here beyond those of the file, where the multipliers found do not do
EXTRA = 100
#: coordinates: there are 2^D orthants
MOST_COORDINATES = 24
#: powers of two by which coordinates may be scaled
LARGEST_SCALE = 300
#: where floats are compared all numbers are within 2^-250 and 2^250, so that no product of three is out of range
RANGE = 2.0**-250, 2.0**250
#: more than what a length loses where the squares of its entries underflow
TINY = 2.0**-500


def replay(
    alpha: Ints,
    denominator: int,
    supremum: float,
    X: Array,
    tree: bytes,
    scales: tuple[int, ...],
    centre: tuple[float, ...],
    *,
    fit_bias: bool,
    penalty: str,
    symmetric: bool = False,
    progress: Callable[[int, int], Any] | None = None,
) -> str:
    """Prove ||phi_alpha(theta)|| <= supremum w(theta) for all neurons theta, or raise Refused.

    Parameters
    ----------
    alpha, denominator : array of ints, shape (n, m), and int
        The dual vector times its common denominator.
    supremum : float
    X : array, shape (n, d)
    tree : bytes
        For each sign of alpha, + first (several outputs have but one), and each orthant, in the order of
        ``itertools.product((1, -1), repeat=D)``, a tree: a byte 0 for a cone that is proven as it is, or
        1 + i (i - 1) / 2 + j where the edge of its generators i > j is halved, followed by the tree of the half without
        j and that of the half without i.
    scales : tuple of int
        The orthants' generators are +-2^scales_c along axis c.
    centre : tuple of float
        The tree is one for the points less this, or for the points themselves where it is empty. Where constants cost
        nothing phi / w is the same for both, at other biases.
    fit_bias, penalty
        What w is, as in `cellsolve.verify.Claim`.
    symmetric : bool
        Whether sum_i alpha_i <theta, x~_i> = 0 for every theta. Then phi(-theta) = phi(theta), because
        max(-z, 0) = max(z, 0) - z, and the tree has the orthants with a positive first coordinate only.
    progress : callable, optional
        Called now and then as ``progress(cones_done, cones)``.

    Returns
    -------
    str
        How the comparisons were made.
    """
    if centre:
        if penalty != "slope" or not fit_bias:
            raise Refused("a centre is for penalties that leave biases out")
        X = _centred(X, centre)
    lifted = lift(X, fit_bias)
    D = lifted.shape[1]
    if not isinstance(tree, (bytes, bytearray)) or not _are_scales(scales, D):
        raise Refused("the tree of cones is not one")
    signs = (1, -1) if alpha.shape[1] == 1 else (1,)
    if D > MOST_COORDINATES or len(tree) < len(signs) << (D - symmetric):
        raise Refused("the tree of cones is cut off")
    if penalty not in DUALS:
        raise Refused(f"no tree of cones proves anything of {penalty}")
    exact = (alpha.size + EACH) * tree.count(0) <= MOST_EXACT
    lifted, level = _scaled(lifted, supremum, scales, penalty == "slope" and fit_bias)
    check = (_InIntegers if exact else _InFloats)(lifted, alpha, denominator, level, fit_bias, penalty)
    check.far()
    cones, extra = _Reader(tree), EXTRA
    for sign in signs:
        for axes in itertools.product((1.0,) if symmetric else (1.0, -1.0), *[(1.0, -1.0)] * (D - 1)):
            extra = _orthant(check, sign, np.diag(axes), cones, extra)
            if progress is not None:
                progress(cones.place, len(tree))
    if cones.place < len(tree):
        raise Refused("the tree of cones goes on after its end")
    return EXACT if exact else FLOATS


def _are_scales(scales: Any, D: int) -> bool:
    if not isinstance(scales, (tuple, list)) or len(scales) != D:
        return False
    return all(isinstance(s, int) and not isinstance(s, bool) and abs(s) <= LARGEST_SCALE for s in scales)


def _centred(X: Array, centre: Any) -> Array:
    """X - centre, without rounding: each entry of one is at most twice that of the other (Sterbenz)."""
    if not isinstance(centre, (tuple, list)) or len(centre) != X.shape[1]:
        raise Refused("centre is no point")
    if not all(isinstance(m, float) and math.isfinite(m) for m in centre):
        raise Refused("centre is not finite")
    m = np.array(centre)
    near = (np.sign(X) == np.sign(m)) & (np.abs(X) <= 2 * np.abs(m)) & (np.abs(m) <= 2 * np.abs(X))
    if not np.all(near | (m == 0)):
        raise Refused("points less centre are rounded")
    return X - m


def _scaled(lifted: Array, supremum: float, scales: tuple[int, ...], free_bias: bool) -> tuple[Array, float]:
    """The same in coordinates in which the orthants' generators are unit vectors: powers of two change no digit."""
    if float(supremum) != supremum:  # an integer that floats cannot hold
        raise Refused("supremum is no float")
    supremum = float(supremum)
    costs = scales[:-1] if free_bias else scales
    if len(set(costs)) > 1:
        raise Refused("scales of coordinates that cost differ")
    scaled, level = np.ldexp(lifted, np.array(scales)), float(np.ldexp(supremum, costs[0] if costs else 0))
    same = np.array_equal(np.ldexp(scaled, -np.array(scales)), lifted)
    if not same or np.ldexp(level, -costs[0] if costs else 0) != supremum:
        raise Refused("scales leave the range of floats")
    return scaled, level


class _Reader:
    """Takes the bytes of a tree one by one."""

    def __init__(self, tree: bytes) -> None:
        self.tree, self.place = tree, 0

    def take(self) -> int:
        """Return the next one."""
        if self.place == len(self.tree):
            raise Refused("the tree of cones is cut off")
        self.place += 1
        return self.tree[self.place - 1]


def _orthant(check: _Check, sign: int, root: Array, tree: _Reader, extra: int) -> int:
    """Prove one orthant for one sign; return how many cones may still be split beyond the tree."""
    D = len(root)
    edges = [(i, j) for i in range(D) for j in range(i)]
    stack = [(root, check.everything(), True)]
    while stack:
        V, points, listed = stack.pop()
        points = check.narrow(points, V)
        symbol = tree.take() if listed else 0
        if symbol > len(edges):
            raise Refused("the tree of cones halves an edge that is none")
        if symbol == 0:
            if check.proves(sign, V, points):
                continue
            if extra <= 0 or not edges:
                raise Refused("the supremum is not shown: a cone is not proven")
            extra, listed = extra - 1, False
            i, j = max(edges, key=lambda edge: float(np.linalg.norm(V[edge[0]] - V[edge[1]])), default=(0, 0))
        else:
            i, j = edges[symbol - 1]
        middle = _middle(V[i], V[j])
        without_i, without_j = V.copy(), V.copy()
        without_i[i], without_j[j] = middle, middle
        stack += [(without_i, points, listed), (without_j, points, listed)]  # the last one is taken first
    return extra


def _middle(a: Array, b: Array) -> Array:
    """The middle of two generators, exactly."""
    total = a + b
    middle = 0.5 * total
    if not (np.array_equal(total - a, b) and np.array_equal(total - b, a) and np.array_equal(2 * middle, total)):
        raise Refused("a cone is too thin for floats")
    return middle


# -- what is compared ---------------------------------------------------------------------------------------------


class _Check(ABC):
    """The data, and which of them are undecided on a cone; `_agrees` compares the two sides."""

    def __init__(
        self, lifted: Array, alpha: Ints, denominator: int, supremum: float, fit_bias: bool, penalty: str
    ) -> None:
        self.lifted, self.integers, self.denominator, self.supremum = lifted, alpha, denominator, supremum
        # floats next to alpha: quotients of integers are rounded correctly
        self.alpha = np.array([[int(a) / denominator for a in row] for row in alpha])
        self.dual = DUALS[penalty](fit_bias)
        (n, D), m = lifted.shape, alpha.shape[1]
        #: <slack, |v|> bounds the rounding of all sums over the data, at any cone
        self.slack = (4 * n + 8 * D * D + 8 * m + 1000) * UNIT * (np.abs(lifted).T @ np.linalg.norm(self.alpha, axis=1))
        #: beyond |b| >= reach |a| all points are active, or none, where biases are free
        self.reach = 1.0
        if not np.isfinite(self.slack).all():
            raise Refused("the data are too large for floats")

    def everything(self) -> tuple[np.ndarray, Array]:
        """All points are undecided, and none is known to be active."""
        return np.arange(len(self.lifted)), np.zeros((self.lifted.shape[1], self.alpha.shape[1]))

    def narrow(self, points: tuple[np.ndarray, Array], V: Array) -> tuple[np.ndarray, Array]:
        """The points that are undecided on the cone, and the sum of x~_i alpha_i^T over those known to be active."""
        undecided, active = points
        rows = self.lifted[undecided]
        Z = rows @ V.T
        error = 4 * (V.shape[1] + 2) * UNIT * (np.abs(rows) @ np.abs(V).T)
        on, off = (Z > error).all(axis=1), (Z < -error).all(axis=1)
        if on.any():
            chosen = undecided[on]
            active = active + self.lifted[chosen].T @ self.alpha[chosen]
        return undecided[~(on | off)], active

    def proves(self, sign: int, V: Array, points: tuple[np.ndarray, Array]) -> bool:
        """Whether multipliers are found that prove the cone."""
        if self.dual.free_bias and self._is_far(V):
            return True
        undecided, active = points
        rows = self.lifted[undecided]
        Z = rows @ V.T
        several = self.alpha.shape[1] > 1
        u, more, first = np.array([float(sign)]), np.zeros(len(V)), None
        if several:
            u = _direction(V.sum(axis=0) @ active + np.maximum(Z.sum(axis=1), 0.0) @ self.alpha[undecided])
            high, low = np.maximum(Z, 0.0).max(axis=1, initial=0.0), np.maximum(-Z, 0.0).max(axis=1, initial=0.0)
            shares = np.divide(high, high + low, out=np.zeros_like(high), where=high + low > 0)
            first = shares, self.dual.shrunk(self.dual.gradient(V.sum(axis=0)))
            more = self._rest(u, V, points, *first)
            if more is None:
                return False
        alpha, active = self.alpha[undecided] @ u, active @ u
        convex = alpha > 0
        known = V @ active + alpha[convex] @ np.maximum(Z[convex], 0.0) + np.array(more, dtype=float)
        bends = Bends(V, known, alpha[~convex], rows[~convex], Z[~convex], self.reach)
        guesses = bends.guesses(self.dual, self.supremum)
        if first is not None:
            guesses = itertools.chain([(first[0][~convex], first[1])], guesses)
        tau = np.zeros(len(undecided))
        for part, g in guesses:
            tau[~convex] = np.clip(part, 0.0, 1.0)
            if self._agrees(u, more, V, points, tau, self.dual.shrunk(g)):
                return True
        return False

    def far(self) -> None:
        """With free biases: where |b| is large all points are active or none, and phi is known. Refuse or go on."""
        if not self.dual.free_bias:
            return
        points, unit = to_integers(self.lifted)
        total = self.integers.T @ points
        if total[:, -1].any():
            raise Refused("alpha does not sum to zero, so the supremum is infinite")
        square = (Fraction(self.supremum) * self.denominator * unit) ** 2
        room = square.numerator * np.eye(len(total), dtype=object) - square.denominator * (total @ total.T)
        if not is_semidefinite(room.tolist()):
            raise Refused("the supremum is larger where all points are active")
        self.squares = np.sum(points[:, :-1] ** 2, axis=1)
        self.ones = points[:, -1]
        self.reach = float(np.max(np.linalg.norm(self.lifted[:, :-1], axis=1) / self.lifted[:, -1])) * (1 + 8 * UNIT)

    def _is_far(self, V: Array) -> bool:
        sizes = np.linalg.norm(V[:, :-1], axis=1) * (1 + 4 * (V.shape[1] + 2) * UNIT)
        if not ((V[:, -1] >= self.reach * sizes).all() or (-V[:, -1] >= self.reach * sizes).all()):
            return False
        rows, _ = to_integers(V)
        lengths, heights = np.sum(rows[:, :-1] ** 2, axis=1), rows[:, -1] ** 2
        return all((self.squares * a <= self.ones**2 * b).all() for a, b in zip(lengths, heights, strict=True))

    @abstractmethod
    def _rest(self, u: Array, V: Array, points: tuple[np.ndarray, Array], shares: Array, g: Array) -> Any:
        """The d_k of several outputs, rounded up, or None where there are none.

        phi is L theta, which counts `shares` of undecided points, but for alpha_i times up to r_i, interpolated.
        """

    @abstractmethod
    def _agrees(self, u: Array, more: Any, V: Array, points: tuple[np.ndarray, Array], tau: Array, g: Array) -> bool:
        """Whether h_k + more_k <= supremum <g, v_k> for all k, tau being those of the undecided points."""


def _direction(phi: Array) -> Array:
    """A vector of about that direction whose length is at least 1, and hardly more."""
    size = np.linalg.norm(phi)
    if not size > 0:
        phi, size = np.eye(len(phi))[0], np.float64(1.0)
    return phi / size * (1 + 4 * (len(phi) + 2) * UNIT)


class _InFloats(_Check):
    """Compares floats, with a bound on their rounding."""

    def __init__(self, lifted, alpha, denominator, supremum, fit_bias, penalty) -> None:
        super().__init__(lifted, alpha, denominator, supremum, fit_bias, penalty)
        # the bounds are relative: nothing may underflow, or be lost in it
        sizes = np.abs(np.concatenate([lifted.ravel(), self.alpha.ravel(), [supremum]]))
        sizes = sizes[sizes > 0]
        lost = np.count_nonzero(alpha) > np.count_nonzero(self.alpha)
        if lost or supremum <= 0 or (len(sizes) and (sizes.min() < RANGE[0] or sizes.max() > RANGE[1])):
            raise Refused("numbers too small or too large for floats")

    def _rest(self, u, V, points, shares, g):
        if u @ u < 1 + 2 * (len(u) + 2) * UNIT:
            return None
        undecided, active = points
        alpha, Z = self.alpha[undecided], self.lifted[undecided] @ V.T
        inner, apart = alpha @ u, np.maximum((1 - shares)[:, None] * Z, -shares[:, None] * Z)
        values = V @ active + Z.T @ (shares[:, None] * alpha)
        along = values @ u
        room = 4 * (np.abs(V) @ self.slack) + TINY
        b = np.linalg.norm(values - along[:, None] * u, axis=1) + room
        b += np.linalg.norm(alpha - inner[:, None] * u, axis=1) @ apart
        c = self.supremum * (V @ g - 8 * (len(g) + 2) * UNIT * (np.abs(V) @ np.abs(g)))
        if not (b < c).all():
            return None
        d = b * b / (c + np.sqrt((c - b) * (c + b))) * (1 + 64 * UNIT)
        return d if (np.abs(inner) @ apart - along + room + d <= c).all() else None

    def _agrees(self, u, more, V, points, tau, g):
        undecided, active = points
        alpha, Z = self.alpha[undecided] @ u, self.lifted[undecided] @ V.T
        h = V @ (active @ u) + np.sum(
            np.where(alpha > 0, alpha, 0.0)[:, None] * np.maximum(Z, 0.0) + (alpha * tau)[:, None] * Z, axis=0
        )
        room = np.abs(V) @ (self.slack + 8 * (len(g) + 2) * UNIT * self.supremum * np.abs(g))
        return bool((h + more + room * (1 + 64 * UNIT) <= self.supremum * (V @ g)).all())


class _InIntegers(_Check):
    """Compares integers."""

    def __init__(self, lifted, alpha, denominator, supremum, fit_bias, penalty) -> None:
        super().__init__(lifted, alpha, denominator, supremum, fit_bias, penalty)
        self.points, self.unit = to_integers(lifted)

    def _rest(self, u, V, points, shares, g):
        generators, size = to_integers(V)
        direction, one = to_integers(u)
        slopes, unit = to_integers(g)
        Z = self.points @ generators.T
        part, whole = self._shares(V, points, shares)
        if np.sum(direction * direction) < one * one or not self.dual.holds(slopes, unit):
            return None
        # in units of 1 / scale, but for that of V
        inner, apart = self.integers @ direction, np.maximum((whole - part)[:, None] * Z, -part[:, None] * Z)
        held = apart.any(axis=1)
        values = Z.T @ (part[:, None] * self.integers)
        along = values @ direction
        b = _lengths(one * one * values - np.outer(along, direction))
        b = b + _lengths((one * one * self.integers - np.outer(inner, direction))[held]) @ apart[held]
        scale = self.denominator * one * one * self.unit * whole
        level = Fraction(self.supremum) * scale / unit
        c = [math.floor(level * value) for value in generators @ slopes]
        back = one * (np.abs(inner) @ apart - along)
        if any(x > y for x, y in zip(b, c, strict=True)):
            return None
        d = [y - math.isqrt(y * y - x * x) for x, y in zip(b, c, strict=True)]
        return [Fraction(x, scale * size) for x in d] if all(back + d <= c) else None

    def _shares(self, V, points, tau):
        """The shares of all points, as integers over one power of two."""
        part = np.zeros(len(self.lifted))
        part[(self.lifted @ V.T >= 0).all(axis=1)] = 1.0
        part[points[0]] = tau
        return to_integers(np.clip(part, 0.0, 1.0))

    def _agrees(self, u, more, V, points, tau, g):
        generators, size = to_integers(V)
        direction, length = to_integers(u)
        Z = self.points @ generators.T
        alpha = self.integers @ direction
        shares, whole = self._shares(V, points, tau)
        slopes, one = to_integers(g)
        if not self.dual.holds(slopes, one):
            return False
        convex = alpha > 0
        h = whole * (alpha[convex] @ np.maximum(Z[convex], 0)) + (alpha * shares)[~convex] @ Z[~convex]
        # h is in units of 1 / scale, as is the right side but for `one`; that of V is on both
        scale = self.denominator * length * self.unit * whole
        right = Fraction(self.supremum) * scale / one
        return all(
            left + Fraction(d) * (scale * size) <= right * inner
            for left, d, inner in zip(h.tolist(), more, (generators @ slopes).tolist(), strict=True)
        )


def _lengths(rows: Ints) -> Ints:
    """Lengths of the rows, rounded up."""
    squares = np.sum(rows * rows, axis=1).tolist()
    return np.array([math.isqrt(square - 1) + 1 if square else 0 for square in squares], dtype=object)
