r"""numba kernel of one cone {sum_k mu_k v_k : mu >= 0}: prove phi <= t w on it, or say which edge to halve.

On it phi is at most the linear function with values h_k at the generators, and w is at least a linear function <g, .>;
h_k <= t <g, v_k> for every k proves the cone:

* a point that no generator separates is linear there, active or zero;
* an undecided point with alpha_i > 0 is convex, at most the interpolation of its values at the generators;
* one with alpha_i < 0 is concave, at most tau alpha_i <theta, x~_i> for every tau in [0, 1].

Where w is a length, `round_kernels` finds the best tau and g. Else they come from points of the cone at which the bound
is evaluated; averages of either stay valid, so a few steps of Frank and Wolfe on the simplex of mu tighten both.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.kernels import fill
from cellsolve.oracles.norm_kernels import toward
from cellsolve.oracles.point_kernels import bend, dot_positive, majorant
from cellsolve.oracles.round_kernels import prove_round, record

#: kinds of potentials: ||theta||_2, ||M theta||_2 and ||M theta||_1 with one M for all cells, label noise, the same
#: with its factor
PLAIN, EUCLIDEAN, ABSOLUTE, LABEL_NOISE, FULL_LABEL_NOISE = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def _support(kind, M, theta, moment, loose, n, g):
    """w(theta), without the factor of full label noise, and a subgradient in g."""
    D = len(theta)
    w = 0.0
    if kind >= LABEL_NOISE:
        for a in range(D):
            total = loose[a]
            for b in range(D):
                total += moment[a, b] * theta[b]
            g[a] = total / n
            w += g[a] * theta[a]
        w = np.sqrt(max(w, 0.0))
    else:
        fill(g, 0.0)
        for r in range(len(M)):
            part = 0.0
            for a in range(D):
                part += M[r, a] * theta[a]
            if kind == ABSOLUTE:
                w += abs(part)
                for a in range(D):
                    g[a] += np.sign(part) * M[r, a]
            else:
                w += part * part
                for a in range(D):
                    g[a] += part * M[r, a]
        if kind == ABSOLUTE:
            return w
        w = np.sqrt(w)
    for a in range(D):
        g[a] = g[a] / w if w > 0.0 else 0.0
    return w


@njit(cache=True, nogil=True)
def _evaluate(lifted, kind, M, sizes, idx, undecided, V, mu, base, moment, energy, theta, concave, loose, g):
    """Return what `_support` gives, phi and w at theta = sum mu_k v_k; fill theta, g and what is concave."""
    Z, lo, hi, along, z, taken = undecided
    n, D = lifted.shape
    value = majorant(Z, lo, hi, along, mu, z, taken, concave)
    for c in range(D):
        theta[c] = 0.0
        for k in range(D):
            theta[c] += mu[k] * V[k, c]
        value += mu[c] * base[c]
    if kind >= LABEL_NOISE:
        fill(loose, 0.0)
        for q in range(hi - lo):
            if z[q] > 0.0:
                i = idx[lo + q]
                energy += sizes[i] ** 2
                for c in range(D):
                    loose[c] += z[q] * lifted[i, c]
    w = _support(kind, M, theta, moment, loose, n, g)
    return w, value, w * 2.0 * np.sqrt(energy / n) if kind == FULL_LABEL_NOISE else w


@njit(cache=True, nogil=True)
def _edge(V, Z, lo, hi, weights, t, mu, in_length):
    """The edge on which phi bends most: the points lo:hi by their weights, and t times the bend of the length."""
    D = len(V)
    total = 0.0
    for i in range(D):
        total += mu[i]
    best, first, second = -1.0, 0, 0
    for i in range(D):
        for j in range(i):
            one = two = both = 0.0
            for c in range(D):
                one += V[i, c] * V[i, c]
                two += V[j, c] * V[j, c]
                both += (V[i, c] + V[j, c]) * (V[i, c] + V[j, c])
            value = bend(Z, lo, hi, weights, i, j) + t * (np.sqrt(one) + np.sqrt(two) - np.sqrt(both))
            if in_length:
                value *= 1e-2 * total + min(mu[i], mu[j])
            if value > best:
                best, first, second = value, i, j
    return first, second


@njit(cache=True, nogil=True)
def prove(lifted, alpha, potential, points, cone, limits, seen, violators, vector, outputs, corral):
    """Prove phi <= t w on a cone, |phi| with several outputs, and note what is found to violate it.

    Parameters
    ----------
    lifted, alpha : (n, D), (n, m)
    potential, points, cone, limits
        As in `search_cone`: kind, M, radius, sizes, the largest, slack, rounding; idx, Z, the ends of the list of
        undecided points, lists; V, W, sums, moments and masses over active points; level, t, rel, steps.
    seen, violators
        best, count; found, ratios.
    vector, outputs, corral
        From `workspace`.

    Returns
    -------
    proven, first, second, work, best, t, count
        Whether it is proven; if not, the edge to halve.
    """
    (n, D), m = lifted.shape, alpha.shape[1]
    kind, M, radius, sizes, biggest, slack, rounding = potential
    idx, Z, lo, hi, lists = points
    V, W, total, moment, mass = cone
    level, t, rel, steps = limits
    best, count = seen
    found, ratios = violators
    active, base, convex, errors, h, d_w = vector[0], vector[1], vector[2], vector[3], vector[4], vector[5]
    mu, theta, g, loose, concave, mean_concave = vector[6], vector[7], vector[8], vector[9], vector[10], vector[11]
    along, weights, z, taken, fresh, _ = lists
    undecided = Z, lo, hi, along, z, taken
    in_length = kind == PLAIN or radius > 0.0
    u = outputs[0]
    work, possible, pick = 0, True, 0
    stretch = 2.0 * np.sqrt(mass[2] / n) * (1 - rounding) if kind == FULL_LABEL_NOISE else 1.0
    fill(convex, 0.0)
    fill(mu, 1.0 / D)
    for k in range(D):
        errors[k] = 0.0
        for c in range(D):
            errors[k] += slack[c] * abs(V[k, c])
    if m > 1:
        for c in range(D):
            theta[c] = 0.0
            for k in range(D):
                theta[c] += V[k, c]
        w = _support(kind, M, theta, moment, loose, n, g)
        for k in range(D):
            slope = 0.0
            for c in range(D):
                slope += g[c] * V[k, c]
            h[k] = t * (slope - rounding * abs(slope))
        work += hi - lo
        state, pick, value = toward(
            alpha, (idx, Z, lo, hi), (V, total), h, outputs, not in_length, errors, convex, lists
        )
        if w > 0.0 and value > level * w:
            best, t, count = record(value / w, theta, best, t, rel, count, found, ratios)
        if state == 1:
            return True, 0, 0, work, best, t, count
        possible = state == 0
    else:
        u[0] = 1.0
        for q in range(hi - lo):
            along[q] = alpha[idx[lo + q], 0]
            weights[q] = max(along[q], 0.0) if in_length else abs(along[q])
    for c in range(D):
        active[c] = 0.0
        for j in range(m):
            active[c] += u[j] * total[c, j]
    for q in range(hi - lo):
        fresh[q] = max(along[q], 0.0)
    for k in range(D):
        base[k] = 0.0
        for c in range(D):
            base[k] += active[c] * V[k, c]
        convex[k] += dot_positive(fresh, Z[k, lo:hi])
    fill(d_w, 0.0)
    fill(mean_concave, 0.0)
    state, noise = -1, 0.0
    if in_length and possible:
        state, pick, more, best, t, count = prove_round(
            *(radius > 0.0, undecided, (V, W, active, base, convex, errors)),
            *((level, t, rel, rounding), (best, count), (found, ratios), corral, mu, theta),
        )
        work += more
        if state == 1:
            return True, 0, 0, work, best, t, count
    last = 0 if state >= 0 or not possible else steps if hi > lo else 1
    if last:
        fill(mu, 1.0 / D)
    for step in range(last):
        work += hi - lo
        w, value, cost = _evaluate(
            lifted, kind, M, sizes, idx, undecided, V, mu, base, moment, mass[2], theta, concave, loose, g
        )
        if cost > 0.0 and value > level * cost:
            best, t, count = record(value / cost, theta, best, t, rel, count, found, ratios)
        if kind >= LABEL_NOISE and w > 0.0:  # g is a sum over the data: its rounding, with |z| <= max |x~| for all
            noise = max(noise, rounding * biggest * biggest / w)
        worst, pick, proven = -np.inf, 0, True
        for k in range(D):
            mean_concave[k] = (mean_concave[k] * step + concave[k]) / (step + 1)
            slope, h[k] = 0.0, base[k] + convex[k] + mean_concave[k]
            for c in range(D):
                slope += g[c] * V[k, c]
            d_w[k] = (d_w[k] * step + slope) / (step + 1)
            excess = h[k] - t * stretch * d_w[k]
            if excess + errors[k] + t * stretch * (noise + rounding * abs(d_w[k])) > 0.0:
                proven = False
            if excess > worst:
                worst, pick = excess, k
        if proven:
            return True, 0, 0, work, best, t, count
        for k in range(D):
            mu[k] *= 1 - 1 / (step + 2.0)
        mu[pick] += 1 / (step + 2.0)
    first, second = _edge(V, Z, lo, hi, weights, t, mu, in_length)
    # the worst generator may violate though no point inside did: without it the search would trace the border of
    # {phi > t w} for ever
    fill(mu, 0.0)
    mu[pick] = 1.0
    _, value, cost = _evaluate(
        lifted, kind, M, sizes, idx, undecided, V, mu, base, moment, mass[2], theta, concave, loose, g
    )
    if cost > 0.0 and value > level * cost:
        best, t, count = record(value / cost, theta, best, t, rel, count, found, ratios)
    return False, first, second, work, best, t, count
