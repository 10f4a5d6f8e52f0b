"""The kernels of gradient descent on diagonal linear networks."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array

JIT = {"nogil": True, "cache": True, "error_model": "numpy"}
#: how some steps ended
RUNNING, CONVERGED, LOST = 0, 1, 2
#: without a given rate no weight moves by more than this share in a step. What is lost to the flow is in proportion;
#: steps grow few all the same, because most are at the bound of the curvature
SHARE = 0.02
#: weights stay above it, so that those which vanish on the way can come back
LEAST = 2.0**-1000


@njit(**JIT)
def output(weights: Array, depth: int, x: Array) -> None:
    """Write u^depth, or u^depth - v^depth for weights (u, v), to x (N,)."""
    N = len(x)
    for j in range(N):
        x[j] = weights[j] ** depth
        if len(weights) > N:
            x[j] -= weights[N + j] ** depth


@njit(**JIT)
def pull(rows: Array, columns: Array, b: Array, x: Array, gradient: Array, residual: Array) -> float:
    """Write A^T (A x - b) to `gradient` and return half of |A x - b|^2; `columns` is A^T, for inner loops in order."""
    residual[:] = -b
    for j in range(len(x)):
        for i in range(len(b)):
            residual[i] += columns[j, i] * x[j]
    gradient[:] = 0.0
    loss = 0.0
    for i in range(len(b)):
        loss += 0.5 * residual[i] * residual[i]
        for j in range(len(x)):
            gradient[j] += rows[i, j] * residual[i]
    return loss


@njit(**JIT)
def descend(
    rows: Array,
    columns: Array,
    b: Array,
    weights: Array,
    polar: Array,
    depth: int,
    rate: float,
    ratio: float,
    curvature: float,
    goal: float,
    limit: float,
    clock: np.ndarray,
    stop: int,
) -> int:
    """Take steps of gradient descent on half of |A x - b|^2 until `clock` (1,), which counts them, is at `stop`.

    Moves in place the weights (u, or u and v), and with a `ratio` their polar coordinates: `polar` holds the direction,
    and behind it the radius. `rate` is that of the weights, or of the direction, whose radius then has ratio * rate;
    zero stands for the longest step that follows the flow, `curvature` being a bound on |A|^2.
    Ends before with CONVERGED where the loss is at most `goal`, and with LOST where it is above `limit` or no number,
    or where a weight changed its sign.
    """
    K, N = len(weights), rows.shape[1]
    x, gradient, residual = np.empty(N), np.empty(N), np.empty(len(b))
    slope = np.empty(K)
    while True:
        output(weights, depth, x)
        loss = pull(rows, columns, b, x, gradient, residual)
        if not loss <= limit:
            return LOST
        if loss <= goal:
            return CONVERGED
        if clock[0] >= stop:
            return RUNNING
        largest = relative = 0.0
        for k in range(K):
            signed = gradient[k] if k < N else -gradient[k - N]
            pulled = signed * weights[k] ** (depth - 2)
            largest, relative = max(largest, weights[k]), max(relative, abs(pulled))
            slope[k] = depth * pulled * weights[k]
        eta = rate
        if rate == 0:
            bend = depth * depth * curvature * largest ** (2 * depth - 2)
            eta = min(1 / bend, SHARE / (depth * relative))
        clock[0] += 1
        if ratio == 0:
            kept = True
            for k in range(K):
                weights[k] -= eta * slope[k]
                kept &= weights[k] >= 0
                weights[k] = max(weights[k], LEAST)
        else:
            kept = _turn(weights, polar, slope, eta, ratio, rate == 0)
        if not kept:
            return LOST


@njit(**JIT)
def _turn(weights: Array, polar: Array, slope: Array, eta: float, ratio: float, rescale: bool) -> bool:
    """Take a step in polar coordinates: of the direction along the sphere, and back onto it, and of the radius.

    `rescale` takes `eta` for the rate of the weights themselves, which the direction exceeds by 1 / radius^2, and the
    radius by 1 / ratio.
    """
    K = len(weights)
    radius, outward = polar[K], 0.0
    for k in range(K):
        outward += polar[k] * slope[k]
    if rescale:
        eta /= max(radius * radius, ratio)
    kept, square = True, 0.0
    for k in range(K):
        polar[k] -= eta * radius * (slope[k] - outward * polar[k])
        kept &= polar[k] >= 0
        square += polar[k] * polar[k]
    polar[K] = radius - ratio * eta * outward
    kept &= polar[K] > 0
    length = np.sqrt(square)
    for k in range(K):
        polar[k] = max(polar[k] / length, LEAST)
        weights[k] = polar[K] * polar[k]
    return kept
