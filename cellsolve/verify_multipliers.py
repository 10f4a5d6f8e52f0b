"""Multipliers that prove a cone, guessed in floats: g with <g, .> <= w, and tau_i in [0, 1] for its concave points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cellsolve.data import Array
from cellsolve.verify_integers import Ints

#: steps of Frank and Wolfe on a cone; a solver makes fewer
STEPS = 16
#: how much more a coordinate counts that has to vanish: enough for all digits that matter, and few that are lost
INSISTENCE = 1e5
#: linear functions that the least point of a polyhedron is looked for among
CORRAL = 24
#: the unit roundoff of float64
UNIT = 2.0**-53


class Round:
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


class Absolute:
    """w = ||theta||_1."""

    free_bias = False

    def gradient(self, theta: Array) -> Array:
        return np.sign(theta)

    def shrunk(self, g: Array) -> Array:
        return np.clip(g, -1.0, 1.0)

    def holds(self, g: Ints, one: int) -> bool:
        return bool(np.abs(g).max() <= one)


DUALS: dict[str, Callable[[bool], Any]] = {
    "variation": lambda fit_bias: Round(False),
    "slope": lambda fit_bias: Round(fit_bias),
    "l1": lambda fit_bias: Absolute(),
}


class Bends:
    """A cone's concave points: values `known` (D,) of all else at the generators V, and alpha < 0 (U,), rows x~, Z."""

    def __init__(self, V: Array, known: Array, alpha: Array, rows: Array, Z: Array, reach: float) -> None:
        self.V, self.known, self.alpha, self.rows, self.Z, self.reach = V, known, alpha, rows, Z, reach

    def guesses(self, dual: Any, level: float) -> Iterator[tuple[Array, Array]]:
        """Yield tau (U,) and g (D,) that may prove the cone, the cheap ones first."""
        yield from self._averages(dual, level, 2)
        if isinstance(dual, Round):
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

    def _least(self, dual: Round, level: float) -> Iterator[tuple[Array, Array]]:
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
            matrix /= np.linalg.norm(matrix, axis=0)
            try:
                shares = nnls(matrix, np.append(np.zeros(D), 1.0))[0]
            except RuntimeError:  # too many iterations
                return
            total = matrix[D] @ shares
            if not total > 0:
                return
            residual = -_outside(matrix[:, shares > 0])[:D] * scale / total
            least = residual / weights
            if dual.free_bias:
                least[-1] = 0.0
            size = float(np.linalg.norm(least))
            if size <= level:
                # a direction in which every generator gains takes what is left of the length
                g = (least + (level - size) * centre) / level if level > 0 else centre
                yield np.clip((matrix[D] * shares)[D:] @ np.array(taus) / total, 0.0, 1.0), g
            mu = np.maximum(walls @ (weights * residual), 0.0)
            if not mu.sum() > 1e-12 * level:
                return
            mu /= mu.sum()


def _outside(columns: Array) -> Array:
    """What of the last unit vector is orthogonal to the columns, in a form that insistence costs no digits."""
    q = np.linalg.qr(columns)[0]
    last = np.zeros(len(columns))
    last[-1] = 1.0
    for _ in range(2):
        last -= q @ (q.T @ last)
    return last
