r"""Replay of a branch and bound over cones: a bound on sup |phi_alpha| / w without a list of cells, for one output.

On the cone of the generators v_1, ..., v_D every theta is sum_k mu_k v_k with mu >= 0. For any tau_i in [0, 1] and any
g with <g, .> <= w,

.. math::
    h_k = \sum_{\alpha_i > 0} \alpha_i \max(\langle v_k, \tilde x_i\rangle, 0)
          + \sum_{\alpha_i < 0} \alpha_i \tau_i \langle v_k, \tilde x_i\rangle \le t \langle g, v_k\rangle
          \quad\text{for all } k

proves phi <= t w on it: the first terms are convex, the others at most linear. A file says which edges were halved; the
tau and g of each cone are found here, in floats, which only guess. What they give is then compared in integers, or in
floats with a bound on their rounding where there is too much of it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from cellsolve.data import Array, lift
from cellsolve.verify_integers import Ints, Refused, to_integers

EXACT, FLOATS = "exact rationals", "floating point with error bounds"
#: comparisons in integers, points times cones, that are made: about a minute of them
MOST_EXACT = 3_000_000
#: steps of Frank and Wolfe on a cone; a solver makes fewer
STEPS = 16
#: how much more a coordinate counts that has to vanish: enough for all digits that matter, and few that are lost
INSISTENCE = 1e5
#: linear functions that the least point of a polyhedron is looked for among
CORRAL = 24
#: cones that are halved here beyond those of the file, where the multipliers found do not do
EXTRA = 100
#: coordinates: there are 2^D orthants
MOST_COORDINATES = 24
#: powers of two by which coordinates may be scaled
LARGEST_SCALE = 300
#: where floats are compared all numbers are within 2^-250 and 2^250, so that no product of three is out of range
RANGE = 2.0**-250, 2.0**250
#: the unit roundoff of float64
UNIT = 2.0**-53


def replay(
    alpha: Ints,
    denominator: int,
    supremum: float,
    X: Array,
    tree: bytes,
    scales: tuple[int, ...],
    *,
    fit_bias: bool,
    penalty: str,
    progress: Callable[[int, int], Any] | None = None,
) -> str:
    """Prove |phi_alpha(theta)| <= supremum w(theta) for all neurons theta, or raise Refused.

    Parameters
    ----------
    alpha, denominator : array of ints, shape (n, 1), and int
        The dual vector times its common denominator.
    supremum : float
    X : array, shape (n, d)
    tree : bytes
        For each sign of alpha, + first, and each orthant, in the order of ``itertools.product((1, -1), repeat=D)``, a
        tree: a byte 0 for a cone that is proven as it is, or 1 + i (i - 1) / 2 + j where the edge of its generators
        i > j is halved, followed by the tree of the half without j and that of the half without i.
    scales : tuple of int
        The orthants' generators are +-2^scales_c along axis c.
    fit_bias, penalty
        What w is, as in `cellsolve.verify.Claim`.
    progress : callable, optional
        Called now and then as ``progress(cones_done, cones)``.

    Returns
    -------
    str
        How the comparisons were made.
    """
    lifted = lift(X, fit_bias)
    D = lifted.shape[1]
    if alpha.shape[1] != 1:
        raise Refused("a tree of cones is for one output")
    if not isinstance(tree, (bytes, bytearray)) or not _are_scales(scales, D):
        raise Refused("the tree of cones is not one")
    if D > MOST_COORDINATES or len(tree) < 2 << D:
        raise Refused("the tree of cones is cut off")
    if penalty not in _DUALS:
        raise Refused(f"no tree of cones proves anything of {penalty}")
    exact = len(lifted) * tree.count(0) <= MOST_EXACT
    lifted, level = _scaled(lifted, supremum, scales, penalty == "slope" and fit_bias)
    check = (_InIntegers if exact else _InFloats)(lifted, alpha[:, 0], denominator, level, fit_bias, penalty)
    check.far()
    cones, extra = _Reader(tree), EXTRA
    for sign in (1, -1):
        for signs in itertools.product((1.0, -1.0), repeat=D):
            extra = _orthant(check, sign, np.diag(signs), cones, extra)
            if progress is not None:
                progress(cones.place, len(tree))
    if cones.place < len(tree):
        raise Refused("the tree of cones goes on after its end")
    return EXACT if exact else FLOATS


def _are_scales(scales: Any, D: int) -> bool:
    if not isinstance(scales, (tuple, list)) or len(scales) != D:
        return False
    return all(isinstance(s, int) and not isinstance(s, bool) and abs(s) <= LARGEST_SCALE for s in scales)


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


# -- the duals of the potentials: <g, .> <= w, and g = gradient of w where there is one ---------------------------


class _Round:
    """w = ||theta||_2, or with free biases that of all entries but the last."""

    def __init__(self, free_bias: bool) -> None:
        self.free_bias = free_bias

    def gradient(self, theta: Array) -> Array:
        g = theta.copy()
        if self.free_bias:
            g[-1] = 0.0
        size = np.linalg.norm(g)
        return g / size if size > 0 else g

    def shrunk(self, g: Array) -> Array:
        """A multiple of g, at most 1, that is below w in exact arithmetic."""
        return g / max(1.0, float(np.linalg.norm(g))) * (1 - 4 * (len(g) + 2) * UNIT)

    def holds(self, g: Ints, one: int) -> bool:
        """Whether g / one is below w."""
        return bool(np.sum(g * g) <= one * one) and not (self.free_bias and g[-1])


class _Absolute:
    """w = ||theta||_1."""

    free_bias = False

    def gradient(self, theta: Array) -> Array:
        return np.sign(theta)

    def shrunk(self, g: Array) -> Array:
        return np.clip(g, -1.0, 1.0)

    def holds(self, g: Ints, one: int) -> bool:
        return bool(np.abs(g).max() <= one)


_DUALS: dict[str, Callable[[bool], Any]] = {
    "variation": lambda fit_bias: _Round(False),
    "slope": lambda fit_bias: _Round(fit_bias),
    "l1": lambda fit_bias: _Absolute(),
}


# -- what is compared ---------------------------------------------------------------------------------------------


class _Check(ABC):
    """The data, and which of them are undecided on a cone; `_agrees` compares the two sides."""

    def __init__(
        self, lifted: Array, alpha: Ints, denominator: int, supremum: float, fit_bias: bool, penalty: str
    ) -> None:
        self.lifted, self.integers, self.denominator, self.supremum = lifted, alpha, denominator, supremum
        # floats next to alpha: quotients of integers are rounded correctly
        self.alpha = np.array([int(a) / denominator for a in alpha])
        self.dual = _DUALS[penalty](fit_bias)
        n, D = lifted.shape
        sizes = np.abs(lifted)
        #: <slack, |v|> bounds the rounding of all sums over the data, at any cone
        self.slack = (4 * n + 8 * D * D + 1000) * UNIT * (sizes.T @ np.abs(self.alpha))
        #: beyond |b| >= reach |a| all points are active, or none, where biases are free
        self.reach = 1.0
        if not np.isfinite(self.slack).all():
            raise Refused("the data are too large for floats")

    def everything(self) -> tuple[np.ndarray, Array]:
        """All points are undecided, and none is known to be active."""
        return np.arange(len(self.lifted)), np.zeros(self.lifted.shape[1])

    def narrow(self, points: tuple[np.ndarray, Array], V: Array) -> tuple[np.ndarray, Array]:
        """The points that are undecided on the cone, and the sum of alpha_i x~_i over those known to be active."""
        undecided, active = points
        rows = self.lifted[undecided]
        Z = rows @ V.T
        error = 4 * (V.shape[1] + 2) * UNIT * (np.abs(rows) @ np.abs(V).T)
        on, off = (Z > error).all(axis=1), (Z < -error).all(axis=1)
        if on.any():
            chosen = undecided[on]
            active = active + self.alpha[chosen] @ self.lifted[chosen]
        return undecided[~(on | off)], active

    def proves(self, sign: int, V: Array, points: tuple[np.ndarray, Array]) -> bool:
        """Whether multipliers are found that prove the cone."""
        if self.dual.free_bias and self._is_far(V):
            return True
        undecided, active = points
        alpha, rows = sign * self.alpha[undecided], self.lifted[undecided]
        convex = alpha > 0
        Z = rows @ V.T
        known = V @ (sign * active) + alpha[convex] @ np.maximum(Z[convex], 0.0)
        bends = _Bends(V, known, alpha[~convex], rows[~convex], Z[~convex], self.reach)
        tau = np.zeros(len(undecided))
        for part, g in bends.guesses(self.dual, self.supremum):
            tau[~convex] = np.clip(part, 0.0, 1.0)
            if self._agrees(sign, V, points, tau, self.dual.shrunk(g)):
                return True
        return False

    def far(self) -> None:
        """With free biases: where |b| is large all points are active or none, and phi is known. Refuse or go on."""
        if not self.dual.free_bias:
            return
        points, unit = to_integers(self.lifted)
        total = self.integers @ points
        if total[-1]:
            raise Refused("alpha does not sum to zero, so the supremum is infinite")
        if np.sum(total * total) > (Fraction(self.supremum) * self.denominator * unit) ** 2:
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
    def _agrees(self, sign: int, V: Array, points: tuple[np.ndarray, Array], tau: Array, g: Array) -> bool:
        """Whether h_k <= supremum <g, v_k> for all k, tau being those of the undecided points."""


class _InFloats(_Check):
    """Compares floats, with a bound on their rounding."""

    def __init__(self, lifted, alpha, denominator, supremum, fit_bias, penalty) -> None:
        super().__init__(lifted, alpha, denominator, supremum, fit_bias, penalty)
        # the bounds are relative: nothing may underflow, or be lost in it
        sizes = np.abs(np.concatenate([lifted.ravel(), self.alpha, [supremum]]))
        sizes = sizes[sizes > 0]
        lost = np.count_nonzero(alpha) > np.count_nonzero(self.alpha)
        if lost or supremum <= 0 or (len(sizes) and (sizes.min() < RANGE[0] or sizes.max() > RANGE[1])):
            raise Refused("numbers too small or too large for floats")

    def _agrees(self, sign, V, points, tau, g):
        undecided, active = points
        alpha, Z = sign * self.alpha[undecided], self.lifted[undecided] @ V.T
        h = V @ (sign * active) + np.sum(
            np.where(alpha > 0, alpha, 0.0)[:, None] * np.maximum(Z, 0.0) + (alpha * tau)[:, None] * Z, axis=0
        )
        room = np.abs(V) @ (self.slack + 8 * (len(g) + 2) * UNIT * self.supremum * np.abs(g))
        return bool((h + room * (1 + 64 * UNIT) <= self.supremum * (V @ g)).all())


class _InIntegers(_Check):
    """Compares integers."""

    def __init__(self, lifted, alpha, denominator, supremum, fit_bias, penalty) -> None:
        super().__init__(lifted, alpha, denominator, supremum, fit_bias, penalty)
        self.points, self.unit = to_integers(lifted)

    def _agrees(self, sign, V, points, tau, g):
        generators, _ = to_integers(V)
        Z = self.points @ generators.T
        alpha = sign * self.integers
        part = np.zeros(len(alpha))
        part[(self.lifted @ V.T >= 0).all(axis=1)] = 1.0
        part[points[0]] = tau
        shares, whole = to_integers(np.clip(part, 0.0, 1.0))
        slopes, one = to_integers(g)
        if not self.dual.holds(slopes, one):
            return False
        convex = alpha > 0
        h = whole * (alpha[convex] @ np.maximum(Z[convex], 0)) + (alpha * shares)[~convex] @ Z[~convex]
        # h is in units of 1 / (denominator unit whole), as is the right side but for `one`; that of V is on both
        right = Fraction(self.supremum) * self.denominator * self.unit * whole / one
        return all(
            left * right.denominator <= right.numerator * inner
            for left, inner in zip(h.tolist(), (generators @ slopes).tolist(), strict=True)
        )


# -- multipliers, in floats ---------------------------------------------------------------------------------------


class _Bends:
    """A cone's concave points: values `known` (D,) of all else at the generators V, and alpha < 0 (U,), rows x~, Z."""

    def __init__(self, V: Array, known: Array, alpha: Array, rows: Array, Z: Array, reach: float) -> None:
        self.V, self.known, self.alpha, self.rows, self.Z, self.reach = V, known, alpha, rows, Z, reach

    def guesses(self, dual: Any, level: float) -> Iterator[tuple[Array, Array]]:
        """Yield tau (U,) and g (D,) that may prove the cone, the cheap ones first."""
        yield from self._averages(dual, level, 2)
        if isinstance(dual, _Round):
            yield from self._least(dual, level)
        yield from self._averages(dual, level, STEPS)

    def _averages(self, dual: Any, level: float, steps: int) -> Iterator[tuple[Array, Array]]:
        """Frank and Wolfe on the simplex of mu: averages of the tau and g of single neurons are valid too."""
        D = len(self.V)
        mu, tau, g = np.full(D, 1.0 / D), np.zeros(len(self.alpha)), np.zeros(D)
        for step in range(steps):
            tau = tau + ((self.Z @ mu > 0) - tau) / (step + 1)
            g = g + (dual.gradient(mu @ self.V) - g) / (step + 1)
            excess = self.known + (self.alpha * tau) @ self.Z - level * (self.V @ g)
            if excess.max() <= 0:
                yield tau, g
            mu = mu * (step + 1) / (step + 2)
            mu[int(np.argmax(excess))] += 1 / (step + 2)

    def _least(self, dual: _Round, level: float) -> Iterator[tuple[Array, Array]]:
        """The linear majorants' least point on the cone, among those of the neurons where the last one was largest.

        A bias that costs nothing is a coordinate that has to vanish: it counts much more than the others.
        """
        from scipy.optimize import nnls

        D = len(self.V)
        weights = np.ones(D)
        if dual.free_bias:
            weights[-1] = INSISTENCE * self.reach
        walls = np.linalg.inv(self.V.T)  # the cone is walls @ theta >= 0
        walls_of = walls.T / np.linalg.norm(walls, axis=1)
        # solved for, not multiplied: on a thin cone only the values at the generators are known well
        base = np.linalg.solve(self.V, self.known)
        mu = np.full(D, 1.0 / D)
        centre = dual.gradient(mu @ self.V)
        taus: list[Array] = []
        columns: list[Array] = []
        scale = 0.0
        for _ in range(CORRAL):
            taus.append((self.Z @ mu > 0).astype(float))
            majorant = base + (self.alpha * taus[-1]) @ self.rows
            theta = mu @ self.V
            value = mu @ (self.known + (self.alpha * taus[-1]) @ self.Z)
            if value > level * (dual.gradient(theta) @ theta) * (1 + 1e-14):
                return  # phi with its convex points interpolated is above the level here
            scale = scale or max(float(np.linalg.norm(majorant)), level) or 1.0
            columns.append(np.append(weights * majorant, scale) / scale)
            matrix = np.column_stack([np.vstack([weights[:, None] * walls_of, np.zeros(D)]), *columns])
            lengths = np.linalg.norm(matrix, axis=0)
            try:
                shares = nnls(matrix / lengths, np.append(np.zeros(D), 1.0))[0] / lengths
            except RuntimeError:  # too many iterations
                return
            total = shares[D:].sum()
            if not total > 0:
                return
            residual = matrix[:D] @ shares * scale / total
            least = residual / weights
            if dual.free_bias:
                least[-1] = 0.0
            size = float(np.linalg.norm(least))
            if size <= level:
                # a direction in which every generator gains takes what is left of the length
                g = (least + (level - size) * centre) / level if level > 0 else centre
                yield np.clip(shares[D:] @ np.array(taus) / total, 0.0, 1.0), g
            mu = np.maximum(walls @ (weights * residual), 0.0)
            if not mu.sum() > 1e-12 * level:
                return
            mu /= mu.sum()
