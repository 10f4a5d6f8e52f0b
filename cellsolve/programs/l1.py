r"""Program (L): the l1 program on given neurons (de Dios & Bruna, eq. 21; a lasso where it is penalised).

.. math::
    \min_{z, a}\ \frac1n \sum_i \ell\big((Az + Ba)_i, y_i\big) + \lambda \|z\|_1,
    \qquad A_{ik} = \sigma(\langle\theta_k, \tilde x_i\rangle) / w(\theta_k),

or min ||z||_1 subject to A z + B a = y. With m outputs the rows of z are penalised by their Euclidean lengths.
"""

from __future__ import annotations

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import as_points, lift
from cellsolve.problem import Problem, as_problem
from cellsolve.programs.program import Program, assemble


def l1(X: ArrayLike | Problem, y: ArrayLike | None = None, *, neurons: ArrayLike, **statement) -> Program:
    """Return the program on the given neurons, ready to solve or to extend.

    Parameters
    ----------
    X, y, **statement
        A `Problem`, or what makes one.
    neurons : array-like, shape (K, D)
        Rows theta_k at any positive scale; those with w = 0 are left out.

    Returns
    -------
    Program
        With ``variables["weights"]`` (K, m) for neurons of w = 1.
    """
    problem = as_problem(X, y, **statement)
    theta = np.atleast_2d(np.asarray(neurons, dtype=np.float64))
    if theta.shape[1] != problem.lifted.shape[1]:
        raise ValueError(f"neurons has {theta.shape[1]} columns; this problem needs {problem.lifted.shape[1]}.")
    cost = problem.neuron_costs(theta)
    theta = theta[cost > 0] / cost[cost > 0, None]
    m = problem.n_outputs
    # split into two nonnegative parts: the epigraph form of the l1 norm is slow for the simplex method
    if m == 1:
        up, down = cp.Variable((len(theta), 1), nonneg=True), cp.Variable((len(theta), 1), nonneg=True)
        weights, norm, variables = up - down, cp.sum(up) + cp.sum(down), {"up": up, "down": down}
    else:
        weights = cp.Variable((len(theta), m))
        norm, variables = cp.sum(cp.norm(weights, 2, axis=1)), {"weights": weights}
    A = problem.responses(theta)

    def predict(points):
        new = as_points(points)
        value = np.maximum(lift(new, problem.fit_bias) @ theta.T, 0.0) @ weights
        if problem.free != "none":
            basis = np.ones((len(new), 1)) if problem.free == "constant" else lift(new, problem.fit_bias)
            value = value + basis @ program.variables["free"]
        return cp.reshape(value, (len(new),), order="C") if problem.y.ndim == 1 else value

    program = assemble(
        problem, A @ weights, norm, [], variables, lambda: (theta, np.asarray(weights.value).reshape(-1, m)), predict
    )
    return program
