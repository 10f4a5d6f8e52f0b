"""Sliding: gradient steps on the ordinary network objective (Denoyelle et al., 2019), at first and between rounds.

A convex program over active cells cannot leave them; L-BFGS moves neurons across many cells at once. Where they land
says which cells to activate: the master and the oracle still decide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution

#: L-BFGS steps between rounds: most of what sliding gains comes in the first few dozen
STEPS = 50
#: pairs of steps that L-BFGS remembers
MEMORY = 20
#: a neuron below this share of the norm is at zero
ZERO = 1e-9
#: steps over which progress is measured
LOOK_BACK = 40
#: a step that lowers the objective by less than this share is the last
SETTLED = 1e-10


def can_slide(problem: Problem) -> bool:
    """A loss with a gradient; an interpolant cannot slide."""
    return not problem.interpolates and not problem.loss.polyhedral


class Slide:
    r"""L-BFGS on the network objective of a problem, in its weight-decay form.

    .. math::
        \min_{\theta, c, a} \frac1n\sum_i\ell\Big(\sum_k c_k\sigma(\langle\theta_k,\tilde x_i\rangle) + B_i a,\ y_i\Big)
        + \frac\lambda2\sum_k\big(w(\theta_k)^2 + \|c_k\|^2\big) ,

    whose value is the objective wherever w(theta_k) = |c_k|.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def land(
        self,
        theta: Array,
        weights: Array,
        coefficients: Array,
        steps: int = STEPS,
        gain: float = 0.0,
        left: Callable[[], float] = lambda: np.inf,
    ) -> MasterSolution:
        """Return the network that is reached, with w(theta_k) = 1.

        Parameters
        ----------
        theta, weights, coefficients : (K, D), (K, m), (k, m)
            Where to start.
        steps : int
            At most.
        gain : float
            Stop when the last `LOOK_BACK` steps lowered the objective by no more than this share.
        left : callable
            Says how many seconds are left.
        """
        problem = self.problem
        theta, weights = _live(problem, theta, weights)
        scale = np.sqrt(np.linalg.norm(weights, axis=1, keepdims=True))  # of balanced neurons with w(theta) = 1
        shapes = theta.shape, weights.shape, coefficients.shape
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])

        def parts(z: Array) -> list[Array]:
            return [part.reshape(shape) for part, shape in zip(np.split(z, ends[:-1]), shapes, strict=True)]

        def value(z: Array) -> tuple[float, Array]:
            theta, c, a = parts(z)
            total, *gradients = self._value(theta, c, a)
            return total, np.concatenate([part.ravel() for part in gradients])

        last = [np.inf] * LOOK_BACK

        def check(intermediate_result: OptimizeResult) -> None:
            last.append(intermediate_result.fun)
            if left() <= 0 or last[-1 - LOOK_BACK] - last[-1] < gain * abs(last[-1]):
                raise StopIteration

        start = np.concatenate(
            [(scale * theta).ravel(), (weights / np.where(scale > 0, scale, 1.0)).ravel(), coefficients.ravel()]
        )
        options = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": MEMORY, "gtol": 0.0, "ftol": SETTLED}
        landed = minimize(value, start, jac=True, method="L-BFGS-B", options=options, callback=check).x
        theta, c, a = parts(landed)
        theta, weights = _live(problem, theta, c)
        return MasterSolution(theta, weights, a, self._slope(theta, weights, a) * -1.0)

    def _fit(self, theta: Array, c: Array, a: Array) -> Array:
        return self.problem.boxes.network(theta, c) + self.problem.basis @ a

    def _slope(self, theta: Array, c: Array, a: Array) -> Array:
        return self.problem.loss.gradient(self._fit(theta, c, a), self.problem.targets) / self.problem.n

    def _value(self, theta: Array, c: Array, a: Array) -> tuple[float, Array, Array, Array]:
        """Objective, and its gradient by theta, c and a."""
        problem = self.problem
        n = problem.n
        fit = self._fit(theta, c, a)
        slope = problem.loss.gradient(fit, problem.targets) / n
        noisy = problem.penalty.depends_on_data
        sums, spreads, totals = problem.boxes.sums_over_active(slope, theta, noisy)
        if noisy:
            half = spreads[:, :-1] / n  # w(theta)^2 = <theta, half>
            if problem.penalty.jumps:
                half *= 4 * totals[:, None] / n
        else:
            M = problem.penalty.cell_matrices(np.zeros((1, n), dtype=bool), problem.lifted, problem.fit_bias)[0]
            images = theta @ M.T
            if problem.penalty.order == 1:
                half = np.abs(images).sum(axis=1, keepdims=True) * (np.sign(images) @ M)
            else:
                half = images @ M
        total = problem.loss.value(fit, problem.targets).sum() / n
        total += 0.5 * problem.level * (np.sum(theta * half) + np.sum(c**2))
        by_theta = np.einsum("kj,kjc->kc", c, sums[:, :, :-1]) + problem.level * half
        by_c = sums[:, :, -1] + problem.level * c
        return float(total), by_theta, by_c, problem.basis.T @ slope


def _live(problem: Problem, theta: Array, weights: Array) -> tuple[Array, Array]:
    """Scale neurons to w = 1, and leave out those at zero."""
    cost = problem.neuron_costs(theta)
    size = cost * np.linalg.norm(weights, axis=1)
    live = (size > ZERO * size.sum()) & (cost > 0)
    return theta[live] / cost[live, None], weights[live] * cost[live, None]
