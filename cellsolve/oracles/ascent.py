"""A heuristic oracle: local ascents from many neurons. It finds violators and proves only the crude bound."""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array
from cellsolve.oracles.ascent_kernels import climb
from cellsolve.oracles.bound_kernels import ABSOLUTE, EUCLIDEAN, FULL_LABEL_NOISE, LABEL_NOISE, PLAIN
from cellsolve.oracles.hinges import on_hinges
from cellsolve.oracles.pricing import Oracle, Pricing
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem
from cellsolve.tasks import over_blocks

#: ascent steps; each at least halves where it fails, so 40 of them settle a direction to rounding
STEPS = 40
#: places around each neuron of the network to start from, as far away as that many hinges are: the kinks of phi leave
#: some local maxima around every one
PLACES, HINGES = 6, 30
#: with several outputs, how far below the level an ascent may end so that a maximum on hinges is looked for beside it
NEARLY = 0.02
#: starts that one call of the kernel takes
BLOCK = 16


def kernel_form(problem: Problem) -> tuple[int, Array]:
    """Return the kind of the potential and the matrix M of ||M theta|| that the kernels take."""
    potential = problem.penalty
    if potential.depends_on_data:
        return FULL_LABEL_NOISE if potential.jumps else LABEL_NOISE, np.zeros((0, problem.lifted.shape[1]))
    M = potential.cell_matrices(np.zeros((1, problem.n), dtype=bool), problem.lifted, problem.fit_bias)[0]
    if potential.order == 1:
        return ABSOLUTE, np.ascontiguousarray(M)
    return PLAIN if np.array_equal(M, np.eye(problem.lifted.shape[1])) else EUCLIDEAN, np.ascontiguousarray(M)


def dual_function(problem: Problem, alpha: Array, theta: Array) -> Array:
    """Return phi_alpha (K, m) at the neurons theta (K, D); not for proofs."""
    return problem.boxes.sums_over_active(alpha, theta)[0][:, :, -1]


class AscentOracle(Oracle):
    """Climb |phi| / w from random neurons, one in each of many sampled cells, and from those found last time.

    Parameters
    ----------
    problem : Problem
    n_starts : int
        Directions to start from in a round; each also turned towards a random data point, and both with either sign.
    random_state : int or Generator, optional
    n_jobs : int, optional
        joblib threads over the starts.
    """

    proves = False

    def __init__(self, problem: Problem, n_starts: int = 50, random_state=None, n_jobs: int | None = None) -> None:
        self.problem = problem
        self.n_jobs = n_jobs
        self.kind, self.M = kernel_form(problem)
        self.sizes = np.linalg.norm(problem.lifted, axis=1)
        #: above 0: beyond |b| = radius |a| all points are active, or none (`slope`)
        self.radius = 0.0
        if problem.penalty.free_constant(problem.fit_bias):
            lengths = np.linalg.norm(problem.lifted[:, :-1] / problem.lifted[:, -1:], axis=1)
            self.radius = float(lengths.max() * (1 + 8 * UNIT)) + np.finfo(float).tiny
        # not the stream of default_rng(seed): users draw their data from it
        self.rng = np.random.default_rng(
            random_state if isinstance(random_state, np.random.Generator) else [random_state or 0, 1]
        )
        self.n_starts = n_starts
        self.found = self.near = np.zeros((0, problem.lifted.shape[1]))

    def price(self, alpha, level, correction=None, prove=True, max_time=np.inf, thorough=True):
        """As `Oracle.price`; the supremum is the potential's crude bound, always."""
        problem = self.problem
        size = np.abs(alpha) if correction is None else np.abs(alpha) + correction
        signed = np.copysign(size, alpha)
        supremum = problem.penalty.crude_bound(signed, problem.lifted, problem.fit_bias)
        theta, ratios = self.climb(np.concatenate([self.found, self.near, self._starts()]), alpha, level)
        if len(theta):
            self.start_from(theta)
        return Pricing(supremum, theta, ratios, exhaustive=False)

    def start_from(self, theta: Array) -> None:
        """Take every so many of these neurons as starts of the next round, the first for certain."""
        self.found = theta[:: max(1, len(theta) // (2 * self.n_starts))]

    def around(self, theta, weights):
        """Climb from these neurons too, and from places around them; of those that are close together from one."""
        if not len(theta):
            return
        lifted, D = self.problem.lifted, theta.shape[1]
        directions = lifted / np.maximum(self.sizes, np.finfo(float).tiny)[:, None]
        count = min(HINGES, len(lifted)) - 1
        theta = theta[np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")]
        theta = theta / np.linalg.norm(theta, axis=1, keepdims=True)
        leaders = np.zeros(0, dtype=int)
        reach = np.zeros(0)
        for k in range(len(theta)):
            if (np.linalg.norm(theta[leaders] - theta[k], axis=1) > reach).all():
                leaders = np.append(leaders, k)
                reach = np.append(reach, np.partition(np.abs(directions @ theta[k]), count)[count])
        theta = theta[leaders]
        steps = self.rng.standard_normal((PLACES, *theta.shape)) / np.sqrt(D)
        self.near = np.concatenate([theta, (theta + reach[:, None] * steps).reshape(-1, D)])

    def climb(self, theta: Array, alpha: Array, level: float) -> tuple[Array, Array]:
        """Return the neurons above `level` that are uphill from `theta`, and their ratios, the largest first."""
        theta, ratios = np.array(theta), np.empty(len(theta))
        boxes = self.problem.boxes
        fixed = boxes.arrays, boxes.weighted(alpha), self.problem.n, self.kind, self.M
        over_blocks(self.n_jobs, len(theta), lambda a, b: climb(*fixed, theta[a:b], ratios[a:b], STEPS), BLOCK)
        if self.radius:  # farther out phi and w are the same, but for rounding
            reach = self.radius * np.linalg.norm(theta[:, :-1], axis=1)
            theta[:, -1] = np.clip(theta[:, -1], -reach, reach)
            climb(*fixed, theta, ratios, 0)
        if alpha.shape[1] > 1 and self.kind < LABEL_NOISE:
            keep = ratios > level * (1 - NEARLY)
            theta, ratios = theta[keep], ratios[keep]
            for other in on_hinges(self.problem, self.M, alpha, theta):
                values = np.empty(len(other))
                climb(*fixed, other, values, 0)
                better = values > ratios
                theta[better], ratios[better] = other[better], values[better]
        order = np.argsort(-ratios, kind="stable")
        order = order[ratios[order] > level]
        return theta[order], ratios[order]

    def _starts(self) -> Array:
        """Fresh directions, and the same turned so that their hyperplanes meet random points: both see other cells."""
        lifted = self.problem.lifted
        directions = self.rng.standard_normal((self.n_starts, lifted.shape[1]))
        aim = lifted[self.rng.integers(len(lifted), size=self.n_starts)]
        norms = np.maximum(np.sum(aim**2, axis=1, keepdims=True), np.finfo(float).tiny)
        turned = directions - (np.sum(directions * aim, axis=1, keepdims=True) / norms) * aim
        return np.concatenate([directions, turned, -directions, -turned])
