"""A heuristic oracle for data with more cells than can be listed: sampled cells and local ascents.

It finds violators and proves only the crude bound that needs no cells.
"""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array
from cellsolve.oracles.pricing import Pricing
from cellsolve.problem import Problem

#: ascent steps; each at least halves where it fails, so 40 of them settle a direction to rounding
STEPS = 40


class AscentOracle:
    """Climb |phi| / w from random neurons, one in each of many sampled cells, and from those found last time.

    Parameters
    ----------
    problem : Problem
    n_starts : int
        Directions to start from; each also turned towards a random data point, and both with either sign.
    random_state : int or Generator, optional
    """

    def __init__(self, problem: Problem, n_starts: int = 50, random_state=None) -> None:
        self.problem = problem
        rng = np.random.default_rng(random_state)
        lifted = problem.lifted
        directions = rng.standard_normal((n_starts, lifted.shape[1]))
        # hyperplanes through the data see more cells than uniform directions: aim each at a random point
        aim = lifted[rng.integers(len(lifted), size=n_starts)]
        norms = np.maximum(np.sum(aim**2, axis=1, keepdims=True), np.finfo(float).tiny)
        shifted = directions - (np.sum(directions * aim, axis=1, keepdims=True) / norms) * aim
        starts = np.concatenate([directions, shifted])
        self.starts = np.concatenate([starts, -starts])
        self.found = self.starts[:0]

    def price(self, alpha: Array, level: float, correction: Array | None = None) -> Pricing:
        """Return the neurons found above `level`; the supremum is the potential's crude bound.

        Parameters
        ----------
        alpha, level, correction
            As for `ExhaustiveOracle.price`.
        """
        problem = self.problem
        size = np.abs(alpha) if correction is None else np.abs(alpha) + correction
        signed = np.copysign(size, alpha)
        supremum = problem.penalty.crude_bound(signed, problem.lifted, problem.fit_bias)
        theta, ratios = self._climb(np.concatenate([self.found, self.starts]), alpha)
        above = ratios > level
        theta, ratios = theta[above], ratios[above]
        order = np.argsort(-ratios, kind="stable")
        if len(order):
            self.found = theta[order][: len(self.starts) // 2]
        return Pricing(supremum, theta[order], ratios[order], exhaustive=False)

    def _climb(self, theta: Array, alpha: Array) -> tuple[Array, Array]:
        theta = theta / np.linalg.norm(theta, axis=1, keepdims=True)
        ratio, gradient = self._ratio_and_gradient(theta, alpha)
        step = np.full(len(theta), 1.0)
        for _ in range(STEPS):
            length = np.linalg.norm(gradient, axis=1)
            going = (length > 0) & (step > 1e-10)
            if not going.any():
                break
            trial = theta[going] + (step[going] / length[going])[:, None] * gradient[going]
            trial /= np.linalg.norm(trial, axis=1, keepdims=True)
            new_ratio, new_gradient = self._ratio_and_gradient(trial, alpha)
            better = new_ratio > ratio[going]
            where = np.flatnonzero(going)
            up, down = where[better], where[~better]
            theta[up], ratio[up], gradient[up] = trial[better], new_ratio[better], new_gradient[better]
            step[up] *= 1.5
            step[down] *= 0.4
        return theta, ratio

    def _ratio_and_gradient(self, theta: Array, alpha: Array) -> tuple[Array, Array]:
        """|phi| / w and the tangential part of its gradient, with w's gradient by the chain rule of the potential."""
        problem = self.problem
        lifted = problem.lifted
        pre = theta @ lifted.T
        active = pre > 0
        phi = np.where(active, pre, 0.0) @ alpha  # (K, m)
        size = np.linalg.norm(phi, axis=1)
        direction = np.divide(phi, size[:, None], out=np.zeros_like(phi), where=size[:, None] > 0)
        up = (active * (direction @ alpha.T)) @ lifted
        cost = problem.neuron_costs(theta)
        live = cost > 1e-12 * np.linalg.norm(theta, axis=1)
        safe = np.where(live, cost, 1.0)
        down = self._cost_gradient(theta, pre, active, safe)
        ratio = np.where(live, size / safe, 0.0)
        gradient = np.where(live[:, None], (up - ratio[:, None] * down) / safe[:, None], 0.0)
        gradient -= np.sum(gradient * theta, axis=1, keepdims=True) * theta
        return ratio, gradient

    def _cost_gradient(self, theta, pre, active, cost):
        potential, problem = self.problem.penalty, self.problem
        if potential.order == 1:
            return np.sign(theta)
        if potential.depends_on_data:
            squares = np.mean(np.where(active, pre, 0.0) ** 2, axis=1)
            factor = np.divide(cost**2, squares, out=np.zeros_like(cost), where=squares > 0)
            return (np.where(active, pre, 0.0) @ problem.lifted) * (factor / (problem.n * cost))[:, None]
        down = theta / cost[:, None]
        if potential.free_constant(problem.fit_bias):
            down[:, -1] = 0.0
        return down
