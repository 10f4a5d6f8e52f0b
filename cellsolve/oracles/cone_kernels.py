r"""numba kernel of the branch and bound over cones: plain arrays in, plain arrays out, the GIL released.

A cone is {sum_k mu_k v_k : mu >= 0} with D generators. On it phi is at most the linear function with values h_k at the
generators, and w is at least a linear function <g, .>; h_k <= t <g, v_k> for every k proves phi <= t w on the cone:

* a point that no generator separates is linear there, active or zero;
* an undecided point with alpha_i > 0 is convex, at most the interpolation of its values at the generators;
* one with alpha_i < 0 is concave, at most tau alpha_i <theta, x~_i> for every tau in [0, 1].

Where w is a length, `round_kernels` finds the best tau and g. Else they come from points of the cone at which the bound
is evaluated; averages of either stay valid, so a few steps of Frank and Wolfe on the simplex of mu tighten both.
Generators keep sum |v| = 1 and are halved, so their entries are dyadic and children cover their parent exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.kernels import copy, fill
from cellsolve.oracles.norm_kernels import toward
from cellsolve.oracles.point_kernels import bend, dot_positive, majorant, narrow
from cellsolve.oracles.round_kernels import CORRAL, prove_round, record

#: kinds of potentials: ||theta||_2, ||M theta||_2 and ||M theta||_1 with one M for all cells, label noise, the same
#: with its factor
PLAIN, EUCLIDEAN, ABSOLUTE, LABEL_NOISE, FULL_LABEL_NOISE = 0, 1, 2, 3, 4
#: cones on the stack: an edge halves at most 52 times before its midpoint is no float any more, and there are
#: D (D - 1) / 2 edges; the largest D that finishes is about 8
DEPTH = 1500


def workspace(n: int, D: int, m: int, kind: int, room: int):
    """Arrays for `search_cone`, allocated here because numba would compile each allocation: lists, stack, vectors."""
    points = np.empty(room, np.int32), np.empty((D, room))
    moments = np.zeros((DEPTH if kind >= LABEL_NOISE else 1, D, D))
    sums = np.empty((DEPTH, D, m))
    cones = np.empty((DEPTH, D, D)), np.empty((DEPTH, D, D)), sums, moments, np.empty((DEPTH, 3))
    links = np.empty((DEPTH, 4), np.int64)
    here = np.empty((D, D)), np.empty((D, D)), np.empty((D, D))
    vectors = np.empty((12, D)), np.empty(3), np.empty((D, m))
    lists = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.uint32)
    outputs = np.empty(m), np.empty((D, m)), np.empty(D), np.empty(D), np.empty(D), np.empty((m, n))
    most = CORRAL + D
    square = np.empty((D + 1, D + 1)), np.zeros((D + 1, D + 1)), np.empty(D + 1)
    corral = (
        *(np.empty((CORRAL, D)), np.empty((most, D + 1)), np.empty(most)),
        *(np.zeros(D + 1), np.empty(D + 1), np.empty(D), np.empty(D), np.empty(D)),
        (np.empty(D + 1, np.int64), np.empty(most, np.bool_), *square),
    )
    return points, cones, links, here, vectors, lists, outputs, corral


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
def _beyond(V, radius):
    """Whether |b| >= radius |a| with one sign of b on the whole cone: there `slope` is known exactly."""
    D = V.shape[1]
    for side in (1.0, -1.0):
        inside = True
        for k in range(D):
            size = 0.0
            for c in range(D - 1):
                size += V[k, c] * V[k, c]
            if side * V[k, D - 1] < radius * np.sqrt(size):
                inside = False
        if inside:
            return True
    return False


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
def search_cone(
    lifted,
    alpha,
    upper,
    root,
    kind,
    M,
    radius,
    sizes,
    slack,
    rounding,
    level,
    rel,
    steps,
    max_work,
    space,
    stop,
    found,
    ratios,
    tree,
):
    """Prove phi <= t w on the cone of the rows of `root`, t >= level as small as may be, or find what violates it.

    With several outputs it is |phi| <= t w, for the potentials that are no label noise.

    Parameters
    ----------
    lifted, alpha, upper : (n, D), (n, m), (n,)
        `upper` is at least alpha, with room for what alpha may be off by; for one output.
    root : (D, D)
        Generators, rows with sum |v| = 1.
    kind, M
        The potential; M (r, D) for the first two kinds.
    radius : float
        Above 0: leave out |b| >= radius |a|, where the caller knows the supremum (`slope`).
    sizes : (n,)
        ||x~_i||, for the last kind.
    slack, rounding : (D,), float
        <slack, |v|> bounds the rounding of |phi(v)|; the relative rounding of a sum over the data.
    level, rel : float
        t = max(level, (1 + rel) largest ratio found).
    steps : int
        Of Frank and Wolfe, at most.
    max_work : int
        Visits of points and generators after which the search is given up.
    space
        From `workspace`.
    stop : (1,) uint8
        Set from outside to end the search.
    found, ratios : (K, D), (K,)
        Filled with neurons above the level, and their phi / w.
    tree : (.,) uint8
        Filled with an entry a cone, in the order in which they are searched: 0 where it was proven, else one more than
        the number of the edge that was halved, i (i - 1) / 2 + j for generators i > j. The half without j comes first.

    Returns
    -------
    t, best, nodes, work, count, finished
        The bound, proven where `finished` is 1 (0: given up, -1: no room for the lists or the tree); the largest ratio
        seen; cones and points visited; rows of `found`.
    """
    (n, D), m = lifted.shape, alpha.shape[1]
    points, cones, links, here, vectors, lists, outputs, corral = space
    idx, Z = points
    # the stack: generators, their inverse, the sum of x~ alpha^T over active points, moments, masses (over active
    # points: sum alpha_+^2, largest alpha_+ / |x~|, sum |x~|^2), and in `links` the list of undecided points that a
    # cone shares with its sibling, with the two generators of the edge that was halved
    all_V, all_W, all_sum, all_moment, all_mass = cones
    V, W, moment = here
    vector, mass, total = vectors
    # of the points of a list: alpha along the direction, how much they count where an edge is chosen, and space
    along, weights, low, high, fresh, keep = lists
    active, base, convex, errors, h, d_w = vector[0], vector[1], vector[2], vector[3], vector[4], vector[5]
    mu, theta, g, loose = vector[6], vector[7], vector[8], vector[9]
    concave, mean_concave = vector[10], vector[11]
    u = outputs[0]
    u[0] = 1.0  # the direction of one output
    for i in range(n):
        idx[i] = i
        for k in range(D):
            Z[k, i] = 0.0
            for c in range(D):
                Z[k, i] += lifted[i, c] * root[k, c]
    biggest = 0.0
    for i in range(n):
        biggest = max(biggest, sizes[i])
    for k in range(D):
        copy(all_V[0, k], root[k])
        copy(all_W[0, k], root[k])  # signs on a diagonal are their own inverse
        fill(all_sum[0, k], 0.0)
        if kind >= LABEL_NOISE:
            fill(all_moment[0, k], 0.0)
    fill(all_mass[0], 0.0)
    links[0, 0], links[0, 1], links[0, 2], links[0, 3] = 0, n, -1, -1
    top, nodes, work, finished, best, t = 1, 0, 0, 1, 0.0, level
    in_length = kind == PLAIN or radius > 0.0
    count = np.int64(0)  # a plain 0 is a type of its own, and all that takes it would be compiled twice
    while top > 0:
        if work >= max_work or stop[0]:
            return t, best, nodes, work, count, 0
        if nodes >= len(tree):
            return t, best, nodes, work, count, -1
        top -= 1
        tree[nodes] = 0
        nodes += 1
        for k in range(D):
            copy(V[k], all_V[top, k])
            copy(W[k], all_W[top, k])
            copy(total[k], all_sum[top, k])
            if kind >= LABEL_NOISE:
                copy(moment[k], all_moment[top, k])
        copy(mass, all_mass[top])
        lo, hi, new, other = links[top, 0], links[top, 1], links[top, 2], links[top, 3]
        work += hi - lo + D
        if radius > 0.0 and _beyond(V, radius):
            continue
        if hi + (hi - lo) > len(idx):
            return t, best, nodes, work, count, -1

        # which points are still undecided on this cone
        end = narrow(idx, Z, lo, hi, new, other, fresh, low, high, keep)
        reach, largest = mass[0], mass[1]
        for q in range(hi - lo):
            if high[q] <= 0.0 or (low[q] < 0.0 and kind < LABEL_NOISE):
                continue
            i = idx[lo + q]
            if kind >= LABEL_NOISE:
                most = max(upper[i], 0.0)
                reach += most * most
                largest = max(largest, most / sizes[i])
                if low[q] < 0.0:
                    continue
                mass[0] += most * most
                mass[1] = max(mass[1], most / sizes[i])
                mass[2] += sizes[i] ** 2
                for b in range(D):
                    for c in range(D):
                        moment[b, c] += lifted[i, b] * lifted[i, c]
            for c in range(D):
                for j in range(m):
                    total[c, j] += lifted[i, c] * alpha[i, j]
        if kind == LABEL_NOISE and np.sqrt(n * reach) * (1 + rounding) <= t:
            continue
        if kind == FULL_LABEL_NOISE and 0.5 * n * largest * (1 + rounding) <= t:
            continue

        # try to prove it
        stretch = 2.0 * np.sqrt(mass[2] / n) * (1 - rounding) if kind == FULL_LABEL_NOISE else 1.0
        fill(convex, 0.0)
        fill(mu, 1.0 / D)
        for k in range(D):
            errors[k] = 0.0
            for c in range(D):
                errors[k] += slack[c] * abs(V[k, c])
        possible, pick = True, 0
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
            work += end - hi
            state, pick, value = toward(
                alpha, (idx, Z, hi, end), (V, total), h, outputs, not in_length, errors, convex, lists
            )
            if w > 0.0 and value > level * w:
                best, t, count = record(value / w, theta, best, t, rel, count, found, ratios)
            if state == 1:
                continue
            possible = state == 0
        else:
            for q in range(end - hi):
                along[q] = alpha[idx[hi + q], 0]
                weights[q] = max(along[q], 0.0) if in_length else abs(along[q])
        for c in range(D):
            active[c] = 0.0
            for j in range(m):
                active[c] += u[j] * total[c, j]
        for k in range(D):
            base[k] = 0.0
            for c in range(D):
                base[k] += active[c] * V[k, c]
        for q in range(end - hi):
            fresh[q] = max(along[q], 0.0)
        for k in range(D):
            convex[k] += dot_positive(fresh, Z[k, hi:end])
        undecided = Z, hi, end, along, low, high
        fill(d_w, 0.0)
        fill(mean_concave, 0.0)
        proven, state = False, -1
        noise = 0.0
        if in_length and possible:
            state, pick, more, best, t, count = prove_round(
                *(radius > 0.0, undecided, (V, W, active, base, convex, errors)),
                *((level, t, rel, rounding), (best, count), (found, ratios), corral, mu, theta),
            )
            work += more
            proven = state == 1
        last = 0 if state >= 0 or not possible else steps if end > hi else 1
        if last:
            fill(mu, 1.0 / D)
        for step in range(last):
            work += end - hi
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
                break
            for k in range(D):
                mu[k] *= 1 - 1 / (step + 2.0)
            mu[pick] += 1 / (step + 2.0)
        if proven:
            continue

        # else halve an edge
        first, second = _edge(V, Z, hi, end, weights, t, mu, in_length)
        # the worst generator may violate though no point inside did: without it the search would trace the border of
        # {phi > t w} for ever
        fill(mu, 0.0)
        mu[pick] = 1.0
        _, value, cost = _evaluate(
            lifted, kind, M, sizes, idx, undecided, V, mu, base, moment, mass[2], theta, concave, loose, g
        )
        if cost > 0.0 and value > level * cost:
            best, t, count = record(value / cost, theta, best, t, rel, count, found, ratios)

        exact = first != second and top + 2 <= DEPTH
        for c in range(D):
            twice = V[first, c] + V[second, c]
            exact &= twice - V[first, c] == V[second, c] and twice - V[second, c] == V[first, c]
        if not exact:
            finished = 0
            continue
        tree[nodes - 1] = 1 + first * (first - 1) // 2 + second
        for child in range(2):
            new, other = (first, second) if child == 0 else (second, first)
            for k in range(D):
                copy(all_V[top, k], V[k])
                copy(all_W[top, k], W[k])
                copy(all_sum[top, k], total[k])
                if kind >= LABEL_NOISE:
                    copy(all_moment[top, k], moment[k])
            copy(all_mass[top], mass)
            for c in range(D):
                all_V[top, new, c] = 0.5 * (V[new, c] + V[other, c])
                all_W[top, new, c] = 2.0 * W[new, c]
                all_W[top, other, c] = W[other, c] - W[new, c]
            links[top, 0], links[top, 1], links[top, 2], links[top, 3] = hi, end, new, other
            top += 1
    return t, best, nodes, work, count, finished
