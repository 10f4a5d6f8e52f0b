"""The data in boxes, for sums over active points.

A hyperplane cuts few of them; the points of the others are active all together or not at all,
and what they add up to is known. Nothing here is part of a proof, so sums may be reordered (`fastmath`): that lets the
compiler use vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array

#: points in a box: fewer, and the loops over them are too short for vector instructions to pay
SIZE = 128


class Boxes:
    """Points (n, D) in boxes of equally many, by halving the widest coordinate at the median.

    Attributes
    ----------
    order : (n,) int
        The points as they are listed here.
    arrays : tuple
        What the kernels take: points (B, D, C), filled up with zeros; middles and half widths (B, D) of the boxes;
        moments sum x x^T (B, D, D) and sum |x|^2 (B,).
    """

    def __init__(self, points: Array) -> None:
        n = len(points)
        self.size = min(SIZE, -(-n // 8) * 8)
        self.order = np.concatenate(_halved(points, np.arange(n), self.size))
        self.starts = np.arange(0, n, self.size)
        sorted_points = points[self.order]
        low = np.minimum.reduceat(sorted_points, self.starts)
        high = np.maximum.reduceat(sorted_points, self.starts)
        moments = np.add.reduceat(sorted_points[:, :, None] * sorted_points[:, None, :], self.starts)
        middles = 0.5 * (low + high)
        halves, squares = np.maximum(high - middles, middles - low), np.trace(moments, axis1=1, axis2=2)
        self.arrays = self.rows(points), middles, halves, moments, squares

    def rows(self, values: Array) -> Array:
        """Values (n, k) as (B, k, C): loops over whole rows are vector instructions."""
        k = values.shape[1]
        padded = np.zeros((len(self.starts) * self.size, k))
        padded[: len(values)] = values[self.order]
        return np.ascontiguousarray(padded.reshape(-1, self.size, k).transpose(0, 2, 1))

    def listed(self, rows: Array) -> Array:
        """Return the values (n, k) of rows (B, k, C)."""
        values = np.empty((len(self.order), rows.shape[1]))
        values[self.order] = rows.transpose(0, 2, 1).reshape(-1, rows.shape[1])[: len(values)]
        return values

    def weighted(self, alpha: Array) -> tuple[Array, Array]:
        """Return alpha (n, m) as rows, and sum alpha_ij x_i (B, m, D) over the boxes."""
        rows = self.rows(alpha)
        return rows, np.ascontiguousarray(rows @ self.arrays[0].transpose(0, 2, 1))

    def sums_over_active(self, alpha: Array, theta: Array, noisy: bool = False) -> tuple[Array, Array, Array]:
        """Return `active_sums` of every row of theta (K, D): sums (K, m, D + 1), spreads (K, D + 1), totals (K,)."""
        K, D = theta.shape
        sums, spreads, totals = np.empty((K, alpha.shape[1], D + 1)), np.empty((K, D + 1)), np.empty(K)
        all_active_sums(self.arrays, self.weighted(alpha), noisy, np.ascontiguousarray(theta), sums, spreads, totals)
        return sums, spreads, totals

    def network(self, theta: Array, weights: Array) -> Array:
        """Return sum_k weights[k] sigma(<theta_k, x>), (n, m), for theta (K, D), weights (K, m)."""
        values = np.zeros((len(self.starts), weights.shape[1], self.size))
        network_values(self.arrays, np.ascontiguousarray(theta), np.ascontiguousarray(weights), values)
        return self.listed(values)


def _halved(points: Array, which: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut points into lists of `size`, the last one shorter."""
    if len(which) <= size:
        return [which]
    here = points[which]
    widest = int(np.argmax(here.max(axis=0) - here.min(axis=0)))
    middle = -(-len(which) // (2 * size)) * size
    ranks = np.argpartition(here[:, widest], middle - 1)
    return _halved(points, which[ranks[:middle]], size) + _halved(points, which[ranks[middle:]], size)


@njit(cache=True, nogil=True)
def _side(middle, half, theta):
    """1 if every point of the box is active, -1 if none is, 0 if the hyperplane may cut it."""
    value = reach = 0.0
    for c in range(len(theta)):
        value += theta[c] * middle[c]
        reach += abs(theta[c]) * half[c]
    return 1 if value > reach else -1 if value < -reach else 0


@njit(cache=True, nogil=True, fastmath=True)
def active_sums(boxes, weighted, noisy, theta, sums, spread, z, part):
    """Over active points sums[j] = sum alpha_ij (x~_i, z_i); if `noisy` spread = sum z_i (x~_i, z_i) too.

    The last entries are phi_j and the sum of squares: <theta, sum alpha_ij x~_i> would lose the digits of small z.
    Returns the sum of |x~_i|^2 if `noisy`.

    Parameters
    ----------
    boxes, weighted
        The arrays of `Boxes`, and what `Boxes.weighted` returns for alpha.
    noisy : bool
    theta : (D,)
    sums, spread, z, part : (m, D + 1), (D + 1,), (C,), (C,)
        Filled.
    """
    points, middles, halves, moments, squares = boxes
    alpha, totals = weighted
    D, m, size = points.shape[1], alpha.shape[1], points.shape[2]
    total = 0.0
    sums[:] = 0.0
    spread[:] = 0.0
    for b in range(len(points)):
        side = _side(middles[b], halves[b], theta)
        if side < 0:
            continue
        if side > 0:
            for j in range(m):
                for c in range(D):
                    sums[j, c] += totals[b, j, c]
                    sums[j, D] += theta[c] * totals[b, j, c]
            if noisy:
                total += squares[b]
                for c in range(D):
                    inner = 0.0
                    for a in range(D):
                        inner += moments[b, c, a] * theta[a]
                    spread[c] += inner
                    spread[D] += inner * theta[c]
            continue
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
            for c in range(D):
                inner = 0.0
                for i in range(size):
                    inner += points[b, c, i] ** 2 if z[i] > 0.0 else 0.0
                total += inner
            for i in range(size):
                z[i] = max(z[i], 0.0)
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


@njit(cache=True, nogil=True)
def all_active_sums(boxes, weighted, noisy, theta, sums, spreads, totals):
    """`active_sums` of every row of theta (K, D); fill sums (K, m, D + 1), spreads (K, D + 1), totals (K,)."""
    size = boxes[0].shape[2]
    z, part = np.empty(size), np.empty(size)
    for k in range(len(theta)):
        totals[k] = active_sums(boxes, weighted, noisy, theta[k], sums[k], spreads[k], z, part)


@njit(cache=True, nogil=True, fastmath=True)
def network_values(boxes, theta, weights, values):
    """Add to values (B, m, C) sum_k weights[k] sigma(<theta_k, x~>); theta (K, D), weights (K, m)."""
    points, middles, halves = boxes[0], boxes[1], boxes[2]
    D, m, size = points.shape[1], weights.shape[1], points.shape[2]
    z = np.empty(size)
    whole = np.empty((m, D))  # on a box the neurons that are active everywhere are one linear function
    for b in range(len(points)):
        whole[:] = 0.0
        for k in range(len(theta)):
            side = _side(middles[b], halves[b], theta[k])
            if side < 0:
                continue
            if side > 0:
                for j in range(m):
                    for c in range(D):
                        whole[j, c] += weights[k, j] * theta[k, c]
                continue
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
        for j in range(m):
            for c in range(D):
                for i in range(size):
                    values[b, j, i] += whole[j, c] * points[b, c, i]
