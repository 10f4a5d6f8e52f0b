"""Sliding: gradient steps on the ordinary network objective, from the neurons of a master (Denoyelle et al., 2019).

A convex program over active cells cannot leave them; a few dozen steps of L-BFGS move neurons across many cells at
once. Where they land says which cells to activate: the master and the oracle still decide.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from cellsolve.data import Array
from cellsolve.problem import Problem

#: L-BFGS steps a round: most of what sliding gains comes in the first few dozen
STEPS = 50
#: a neuron below this share of the norm is at zero
ZERO = 1e-9
#: a step that lowers the objective by less than this share is the last
SETTLED = 1e-10


def can_slide(problem: Problem) -> bool:
    """One output and a loss with a gradient; an interpolant cannot slide."""
    return problem.n_outputs == 1 and not problem.interpolates and not problem.loss.polyhedral


def slide(problem: Problem, theta: Array, weights: Array, coefficients: Array) -> tuple[Array, Array]:
    """Return where the neurons land, and their signs.

    Minimises (1/n) sum l(sum_k s_k sigma(<u_k, x~_i>) + B a, y_i) + lam sum_k w(u_k) over u_k and a, s_k the signs of
    the weights.

    Parameters
    ----------
    theta, weights, coefficients : (K, D), (K, 1), (k, 1)
    """
    size = np.abs(weights[:, 0])
    live = size > ZERO * size.sum()
    theta, weights = theta[live], weights[live]
    signs = np.sign(weights[:, 0])
    K, D = theta.shape
    if not K:
        return theta, signs
    start = np.concatenate([(np.abs(weights) * theta).ravel(), coefficients[:, 0]])
    targets, n = problem.targets[:, 0], problem.n

    def value(z):
        u, a = z[: K * D].reshape(K, D), z[K * D :]
        products = u @ problem.lifted.T
        active = products > 0
        fit = signs @ np.where(active, products, 0.0) + problem.basis @ a
        slope = problem.loss.gradient(fit, targets) / n
        cost, down = _costs(problem, u, products, active)
        gradient = signs[:, None] * ((active * slope) @ problem.lifted) + problem.level * down
        total = problem.loss.value(fit, targets).sum() / n + problem.level * cost.sum()
        return total, np.concatenate([gradient.ravel(), problem.basis.T @ slope])

    options = {"maxiter": STEPS, "maxcor": 20, "gtol": 0.0, "ftol": SETTLED}
    landed = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    u = landed[: K * D].reshape(K, D)
    cost = problem.neuron_costs(u)
    live = cost > ZERO * cost.sum()
    return u[live], signs[live]


def _costs(problem: Problem, u: Array, products: Array, active: np.ndarray) -> tuple[Array, Array]:
    """Return w of each row of u, and its gradient; zero where w is."""
    potential, n = problem.penalty, problem.n
    cost = problem.neuron_costs(u)
    safe = np.where(cost > 0, cost, 1.0)[:, None]
    if potential.depends_on_data:
        rectified = np.where(active, products, 0.0)
        squares = np.mean(rectified**2, axis=1, keepdims=True)
        factor = np.divide(cost[:, None] ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
        return cost, factor * (rectified @ problem.lifted) / (n * safe)
    M = potential.cell_matrices(active[:1], problem.lifted, problem.fit_bias)[0]
    images = u @ M.T
    return cost, (np.sign(images) if potential.order == 1 else images / safe) @ M
