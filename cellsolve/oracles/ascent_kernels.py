"""numba kernel of the local ascents: plain arrays in, plain arrays out, the GIL released."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.cone_kernels import ABSOLUTE, FULL_LABEL_NOISE, LABEL_NOISE
from cellsolve.oracles.kernels import copy, fill, norm

#: a step that fails is shortened, one that succeeds lengthened, by these factors
SHORTER, LONGER = 0.4, 1.5
#: steps, of a direction of length 1, below this are over: they change the ratio by rounding only
SHORTEST = 1e-10


@njit(cache=True, nogil=True)
def _shrink(v, by):
    for c in range(len(v)):
        v[c] /= by


@njit(cache=True, nogil=True)
def _ratio(lifted, alpha, kind, M, sizes, theta, gradient, phi, direction):
    """|phi| / w at theta and the part of its gradient that is orthogonal to theta; w from `sizes` (n,) = ||x~_i||."""
    n, D = lifted.shape
    m = alpha.shape[1]
    fill(phi, 0.0)
    energy = total = 0.0
    for i in range(n):
        z = 0.0
        for c in range(D):
            z += theta[c] * lifted[i, c]
        if z > 0.0:
            for j in range(m):
                phi[j] += alpha[i, j] * z
            if kind >= LABEL_NOISE:
                energy += z * z
                total += sizes[i] ** 2
    size = norm(phi)
    fill(gradient, 0.0)
    if kind >= LABEL_NOISE:
        cost = np.sqrt(energy / n)
    else:
        cost = 0.0
        for r in range(len(M)):
            part = 0.0
            for c in range(D):
                part += M[r, c] * theta[c]
            cost += abs(part) if kind == ABSOLUTE else part * part
            for c in range(D):
                gradient[c] += M[r, c] * (np.sign(part) if kind == ABSOLUTE else part)
        cost = cost if kind == ABSOLUTE else np.sqrt(cost)
    if cost <= 1e-12 or size == 0.0:  # theta has length 1 and the data size 1: w is rounding, or nothing to climb
        fill(gradient, 0.0)
        return 0.0
    ratio = size / cost
    for c in range(D):  # minus ratio times the gradient of w
        gradient[c] *= -ratio / (1.0 if kind == ABSOLUTE else cost)
    for j in range(m):
        direction[j] = phi[j] / size
    for i in range(n):
        z = 0.0
        for c in range(D):
            z += theta[c] * lifted[i, c]
        if z > 0.0:
            amount = 0.0
            for j in range(m):
                amount += alpha[i, j] * direction[j]
            if kind >= LABEL_NOISE:
                amount -= ratio * z / (n * cost)
            for c in range(D):
                gradient[c] += amount * lifted[i, c]
    inner = 0.0
    for c in range(D):
        inner += gradient[c] * theta[c]
    for c in range(D):
        gradient[c] = (gradient[c] - inner * theta[c]) / cost
    return ratio / (2.0 * np.sqrt(total / n)) if kind == FULL_LABEL_NOISE else ratio


@njit(cache=True, nogil=True)
def climb(lifted, alpha, kind, M, sizes, theta, ratios, steps):
    """Move each row of `theta` (K, D), in place, uphill on |phi| / w; fill `ratios` (K,)."""
    D = lifted.shape[1]
    trial, gradient, new = np.empty(D), np.empty(D), np.empty(D)
    phi, direction = np.empty(alpha.shape[1]), np.empty(alpha.shape[1])
    for k in range(len(theta)):
        here = theta[k]
        if norm(here) == 0.0:
            ratios[k] = 0.0
            continue
        _shrink(here, norm(here))
        ratio = _ratio(lifted, alpha, kind, M, sizes, here, gradient, phi, direction)
        step = 1.0
        for _ in range(steps):
            length = norm(gradient)
            if length == 0.0 or step < SHORTEST:
                break
            for c in range(D):
                trial[c] = here[c] + step / length * gradient[c]
            _shrink(trial, norm(trial))
            value = _ratio(lifted, alpha, kind, M, sizes, trial, new, phi, direction)
            if value > ratio:
                copy(here, trial)
                copy(gradient, new)
                ratio = value
                step *= LONGER
            else:
                step *= SHORTER
        ratios[k] = ratio
