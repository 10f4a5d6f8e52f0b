"""numba kernel of the local ascents: plain arrays in, plain arrays out, the GIL released."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.boxes import active_sums
from cellsolve.oracles.bound_kernels import ABSOLUTE, FULL_LABEL_NOISE, LABEL_NOISE
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
def _ratio(boxes, weighted, n, kind, M, theta, gradient, space):
    """|phi| / w at theta and the part of its gradient that is orthogonal to theta."""
    sums, phi, spread, z, part = space
    m, D = len(sums), len(theta)
    total = active_sums(boxes, weighted, kind >= LABEL_NOISE, theta, sums, spread, z, part)
    for j in range(m):
        phi[j] = sums[j, D]
    size = norm(phi)
    fill(gradient, 0.0)
    cost = 0.0
    if kind >= LABEL_NOISE:
        for c in range(D):
            gradient[c] = spread[c] / n
        cost = np.sqrt(spread[D] / n)
    else:
        for r in range(len(M)):
            entry = 0.0
            for c in range(D):
                entry += M[r, c] * theta[c]
            cost += abs(entry) if kind == ABSOLUTE else entry * entry
            for c in range(D):
                gradient[c] += M[r, c] * (np.sign(entry) if kind == ABSOLUTE else entry)
        cost = cost if kind == ABSOLUTE else np.sqrt(cost)
    if cost <= 1e-12 or size == 0.0:  # theta has length 1 and the data size 1: w is rounding, or nothing to climb
        fill(gradient, 0.0)
        return 0.0
    ratio = size / cost
    for c in range(D):  # minus ratio times the gradient of w, and the gradient of |phi|
        gradient[c] *= -ratio / (1.0 if kind == ABSOLUTE else cost)
        for j in range(m):
            gradient[c] += sums[j, c] * phi[j] / size
    inner = 0.0
    for c in range(D):
        inner += gradient[c] * theta[c]
    for c in range(D):
        gradient[c] = (gradient[c] - inner * theta[c]) / cost
    return ratio / (2.0 * np.sqrt(total / n)) if kind == FULL_LABEL_NOISE else ratio


@njit(cache=True, nogil=True)
def climb(boxes, weighted, n, kind, M, theta, ratios, steps):
    """Move each row of `theta` (K, D), in place, uphill on |phi| / w; fill `ratios` (K,).

    Parameters
    ----------
    boxes, weighted
        The arrays of `Boxes` of the lifted data, and what `Boxes.weighted` returns for the dual vector.
    n, kind, M
        The number of points, and the potential.
    steps : int
        At most.
    """
    D, m, size = theta.shape[1], weighted[0].shape[1], boxes[0].shape[2]
    trial, gradient, new = np.empty(D), np.empty(D), np.empty(D)
    space = np.empty((m, D + 1)), np.empty(m), np.empty(D + 1), np.empty(size), np.empty(size)
    for k in range(len(theta)):
        here = theta[k]
        if norm(here) == 0.0:
            ratios[k] = 0.0
            continue
        _shrink(here, norm(here))
        ratio = _ratio(boxes, weighted, n, kind, M, here, gradient, space)
        step = 1.0
        for _ in range(steps):
            length = norm(gradient)
            if length == 0.0 or step < SHORTEST:
                break
            for c in range(D):
                trial[c] = here[c] + step / length * gradient[c]
            size = norm(trial)
            if size == 0.0:  # what is left of a gradient by rounding may point back
                break
            _shrink(trial, size)
            value = _ratio(boxes, weighted, n, kind, M, trial, new, space)
            if value > ratio:
                copy(here, trial)
                copy(gradient, new)
                ratio = value
                step *= LONGER
            else:
                step *= SHORTER
        ratios[k] = ratio
