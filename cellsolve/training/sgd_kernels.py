"""The kernel of stochastic gradient descent on one row a step."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array


@njit(nogil=True, cache=True, error_model="numpy")
def descend(
    theta: Array,
    outer: Array,
    free: Array,
    lifted: Array,
    basis: Array,
    rows: np.ndarray,
    targets: Array,
    rates: Array,
    decay: Array,
) -> None:
    """Take a step on ½ (f(x_i) - target)² for every row i of `rows` (T,), with its target (T,) and its rate (T,).

    Moves the neurons `theta` (K, D), the outer weights (K,) and the coefficients `free` (k,) of the basis (n, k) in
    place. `decay` (D + 1,) is the weight decay of the D entries of a neuron and of its outer weight.
    """
    K, D = theta.shape
    response = np.empty(K)
    decays = decay.any()
    for t in range(len(rows)):
        i = rows[t]
        fit = 0.0
        for j in range(len(free)):
            fit += basis[i, j] * free[j]
        for k in range(K):
            inner = 0.0
            for j in range(D):
                inner += theta[k, j] * lifted[i, j]
            response[k] = max(inner, 0.0)
            fit += outer[k] * response[k]
        step = rates[t] * (fit - targets[t])
        for j in range(len(free)):
            free[j] -= step * basis[i, j]
        for k in range(K):
            back = step * outer[k]
            if decays:
                outer[k] *= 1 - rates[t] * decay[D]
                for j in range(D):
                    theta[k, j] *= 1 - rates[t] * decay[j]
            if response[k] > 0:
                outer[k] -= step * response[k]
                for j in range(D):
                    theta[k, j] -= back * lifted[i, j]
