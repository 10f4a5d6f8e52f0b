"""numba kernels of one cone where w is a length: the least point of the polyhedron of its linear majorants."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.kernels import copy, exchange, fill
from cellsolve.oracles.point_kernels import majorant

#: squared cosine of the angle, about a twentieth, above which violators are neighbours
NEIGHBOUR = 0.9975
#: linear majorants of a cone that are weighed against each other: D + 1 of them are enough, but come after others
CORRAL = 20
#: how much more a coordinate of the least point counts that has to vanish: enough for the digits that matter
INSISTENCE = 1e5


@njit(cache=True, nogil=True)
def record(ratio, theta, best, t, rel, count, found, ratios):
    """Note a violator; return the largest ratio, the level that is to be proven, and the count of violators.

    Cones that are searched one after the other violate together: of neighbours only the best is kept.
    """
    if ratio > best:
        best = ratio
        t = max(t, best * (1 + rel))
    if count > 0:
        one = two = both = 0.0
        for c in range(len(theta)):
            one += theta[c] * theta[c]
            two += found[count - 1, c] * found[count - 1, c]
            both += theta[c] * found[count - 1, c]
        if both > 0.0 and both * both > NEIGHBOUR * one * two:
            if ratio <= ratios[count - 1]:
                return best, t, count
            count -= 1
    if count < len(ratios):
        copy(found[count], theta)
        ratios[count] = ratio
        count += 1
    return best, t, count


@njit(cache=True, nogil=True)
def prove_round(free_bias, undecided, cone, limits, seen, violators, corral, mu, theta):
    """Prove phi <= t |theta| on the cone, phi with its convex points interpolated, or show that this cannot be done.

    With `free_bias` |theta| is the length without the last entry.

    The sup over the cone's unit ball of that concave function is the least length of G + sum_k beta_k W_k over
    beta >= 0 and over the convex hull of the linear functions G that majorise it, one for each theta: the least point
    of a polyhedron (Wolfe, 1976). A few G are held; the next belongs to the theta where the largest of those is. A
    bias that costs nothing is a coordinate of the point that has to vanish: it counts much more than the others.

    Parameters
    ----------
    undecided, cone, limits, seen, violators, corral
        Z, lo, hi, alpha, and two of space; V, W, active, base, convex, errors; level, t, rel, rounding; best, count;
        found, ratios; from `workspace`.
    mu, theta : (D,), (D,)
        Filled.

    Returns
    -------
    state, pick, work, best, t, count
        1: proven, 0: the interpolated phi is above t |theta| somewhere, -1: neither is seen; `pick` is the generator
        where the last G exceeds t |theta| most.
    """
    Z, lo, hi, along, z, taken = undecided
    V, W, active, base, convex, errors = cone
    level, t, rel, rounding = limits
    best, count = seen
    found, ratios = violators
    held, rows, beta, target, residual, least, centre, concave, space = corral
    D = len(V)
    costs, insist = (D - 1, INSISTENCE) if free_bias else (D, 1.0)
    work, pick, scale, passive = 0, 0, t, np.int64(0)
    fill(mu, 1.0 / D)
    for m in range(CORRAL):
        work += hi - lo
        size = 0.0
        for c in range(D):
            theta[c] = 0.0
            for k in range(D):
                theta[c] += mu[k] * V[k, c]
        for c in range(costs):
            size += theta[c] * theta[c]
        size = np.sqrt(size)
        if size == 0.0:
            return -1, pick, work, best, t, count
        value = majorant(Z, lo, hi, along, mu, z, taken, concave)
        for k in range(D):  # less what rounding may be: beside the bias axis |theta| is small
            value += mu[k] * (base[k] - errors[k])
        if value > level * size:
            best, t, count = record(value / size, theta, best, t, rel, count, found, ratios)
        relaxed, worst = 0.0, -np.inf
        for k in range(D):
            top, inner = base[k] + convex[k] + concave[k], 0.0
            for c in range(costs):
                inner += theta[c] / size * V[k, c]
            relaxed += mu[k] * top
            excess = top + errors[k] - t * (inner - rounding * abs(inner))
            if excess > worst:
                worst, pick = excess, k
        if worst <= 0.0:
            return 1, pick, work, best, t, count
        if relaxed > t * size:
            return 0, pick, work, best, t, count
        if m == 0:
            for k in range(D):
                centre[k] = theta[k] / size if k < costs else 0.0
                length = 0.0
                for c in range(D):
                    rows[k, c] = W[k, c] if c < costs else insist * W[k, c]
                    length += rows[k, c] ** 2
                for c in range(D):
                    rows[k, c] /= np.sqrt(length)
                rows[k, D] = 0.0
        length = 0.0
        for c in range(D):
            held[m, c] = concave[c]
            rows[D + m, c] = active[c]
            for k in range(D):
                rows[D + m, c] += W[k, c] * (convex[k] + concave[k])
            if c >= costs:
                rows[D + m, c] *= insist
            length += rows[D + m, c] ** 2
        if m == 0:  # the last coordinate stands for the sum of the weights of the G, which is to be one
            scale = max(np.sqrt(length), t)
            if scale == 0.0:
                scale = 1.0
            target[D] = -scale
            copy(residual, target)
            fill(beta, 0.0)
            fill(space[1], False)
        rows[D + m, D] = scale
        length = np.sqrt(length + scale * scale)
        for c in range(D + 1):
            rows[D + m, c] /= length
        passive = exchange(rows, D + m + 1, target, beta, residual, passive, space)
        total = length = 0.0
        fill(concave, 0.0)
        for j in range(m + 1):
            share = beta[D + j] * rows[D + j, D]
            total += share
            for c in range(D):
                concave[c] += share * held[j, c]
        if not total > 0.0:
            break
        for c in range(D):
            concave[c] /= total
            least[c] = residual[c] * scale / total
        for c in range(costs):
            length += least[c] * least[c]
        length = np.sqrt(length)
        if length <= t:
            # t g with |g| <= 1: the least point, and what is missing in a direction where all generators gain
            worst = -np.inf
            for k in range(D):
                top, inner, size = base[k] + convex[k] + concave[k], 0.0, 0.0
                for c in range(D):
                    size += V[k, c] * V[k, c]
                for c in range(costs):
                    inner += (least[c] + (t - length) * centre[c]) * V[k, c]
                worst = max(worst, top + errors[k] + t * rounding * np.sqrt(size) - inner)
            if worst <= 0.0:
                return 1, pick, work, best, t, count
        if length <= 1e-12 * t:
            break
        for k in range(D):
            mu[k] = 0.0
            for c in range(D):
                mu[k] += W[k, c] * (least[c] if c < costs else insist * least[c]) / length
            mu[k] = max(mu[k], 0.0)
    return -1, pick, work, best, t, count
