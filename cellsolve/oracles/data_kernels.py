"""numba kernels over neurons and data: plain arrays in, plain arrays out, the GIL released.

Nothing here is part of a proof, so sums may be reordered (`fastmath`): that lets the compiler use vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.kernels import fill

#: points that are looked at together: a few rows of this many numbers stay in the first cache
CHUNK = 512


def blocks(values):
    """Cut (n, k) into (B, k, C), C <= CHUNK, filled up with zeros: loops over whole rows are vector instructions."""
    n, k = values.shape
    size = min(CHUNK, -(-n // 8) * 8)
    count = -(-n // size)
    padded = np.zeros((count * size, k))
    padded[:n] = values
    return np.ascontiguousarray(padded.reshape(count, size, k).transpose(0, 2, 1))


@njit(cache=True, nogil=True, fastmath=True)
def active_sums(points, alpha, squares, noisy, theta, sums, spread, z, part):
    """Over active points sums[j] = sum alpha_ij (x~_i, z_i); if `noisy` spread = sum z_i (x~_i, z_i) too.

    The last entries are phi_j and the sum of squares: <theta, sum alpha_ij x~_i> would lose the digits of small z.
    Returns the sum of |x~_i|^2 if `noisy`.

    Parameters
    ----------
    points, alpha, squares : (B, D, C), (B, m, C), (B, 1, C)
        `blocks` of x~, of a dual vector, and of |x~_i|^2.
    noisy : bool
    theta : (D,)
    sums, spread, z, part : (m, D + 1), (D + 1,), (C,), (C,)
        Filled.
    """
    D, m, size = points.shape[1], alpha.shape[1], points.shape[2]
    total = 0.0
    for j in range(m):
        fill(sums[j], 0.0)
    fill(spread, 0.0)
    for b in range(len(points)):
        for i in range(size):
            z[i] = theta[0] * points[b, 0, i]
        for c in range(1, D):
            for i in range(size):
                z[i] += theta[c] * points[b, c, i]
        for j in range(m):
            for i in range(size):
                part[i] = alpha[b, j, i] if z[i] > 0.0 else 0.0
            for c in range(D):
                inner = 0.0
                for i in range(size):
                    inner += part[i] * points[b, c, i]
                sums[j, c] += inner
            inner = 0.0
            for i in range(size):
                inner += part[i] * z[i]
            sums[j, D] += inner
        if noisy:
            inner = 0.0
            for i in range(size):
                inner += squares[b, 0, i] if z[i] > 0.0 else 0.0
                z[i] = max(z[i], 0.0)
            total += inner
            for c in range(D):
                inner = 0.0
                for i in range(size):
                    inner += z[i] * points[b, c, i]
                spread[c] += inner
            inner = 0.0
            for i in range(size):
                inner += z[i] * z[i]
            spread[D] += inner
    return total


@njit(cache=True, nogil=True, fastmath=True)
def network_values(points, theta, weights, values):
    """Add to values (B, m, C) sum_k weights[k] sigma(<theta_k, x~>); theta (K, D), weights (K, m)."""
    D, m, size = points.shape[1], weights.shape[1], points.shape[2]
    z = np.empty(size)
    for b in range(len(points)):
        for k in range(len(theta)):
            for i in range(size):
                z[i] = theta[k, 0] * points[b, 0, i]
            for c in range(1, D):
                for i in range(size):
                    z[i] += theta[k, c] * points[b, c, i]
            for i in range(size):
                z[i] = max(z[i], 0.0)
            for j in range(m):
                for i in range(size):
                    values[b, j, i] += weights[k, j] * z[i]


def sums_over_active(points, alpha, theta, squares=None):
    """Return `active_sums` of every row of theta (K, D): sums (K, m, D + 1), and, with `squares`, spreads, totals."""
    K, D = theta.shape
    sums, spreads, totals = np.empty((K, alpha.shape[1], D + 1)), np.empty((K, D + 1)), np.empty(K)
    noisy = squares is not None
    all_active_sums(
        points, alpha, squares if noisy else alpha, noisy, np.ascontiguousarray(theta), sums, spreads, totals
    )
    return sums, spreads, totals


@njit(cache=True, nogil=True)
def all_active_sums(points, alpha, squares, noisy, theta, sums, spreads, totals):
    """`active_sums` of every row of theta (K, D); fill sums (K, m, D + 1), spreads (K, D + 1), totals (K,)."""
    z, part = np.empty(points.shape[2]), np.empty(points.shape[2])
    for k in range(len(theta)):
        totals[k] = active_sums(points, alpha, squares, noisy, theta[k], sums[k], spreads[k], z, part)
