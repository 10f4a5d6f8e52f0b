r"""numba kernel of the branch and bound over cones: plain arrays in, plain arrays out, the GIL released.

A cone is {sum_k mu_k v_k : mu >= 0} with D generators; `bound_kernels` proves one, or says which edge to halve.
Generators keep sum |v| = 1 and are halved, so their entries are dyadic and children cover their parent exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.bound_kernels import FULL_LABEL_NOISE, LABEL_NOISE, prove
from cellsolve.oracles.kernels import copy, fill
from cellsolve.oracles.point_kernels import narrow
from cellsolve.oracles.round_kernels import CORRAL

#: cones on the stack: an edge halves at most 52 times before its midpoint is no float any more, and there are
#: D (D - 1) / 2 edges; a cone that deep is not proven, and from nine coordinates on that is less than there could be
DEPTH = 1500


def workspace(n: int, D: int, m: int, kind: int, room: int):
    """Arrays for `search_cone`, allocated here because numba would compile each allocation: lists, stack, vectors."""
    points = np.empty(room, np.int32), np.empty((D, room))
    moments = np.zeros((DEPTH if kind >= LABEL_NOISE else 1, D, D))
    sums = np.empty((DEPTH, D, m))
    cones = np.empty((DEPTH, D, D)), np.empty((DEPTH, D, D)), sums, moments, np.empty((DEPTH, 3))
    links = np.empty((DEPTH, 5), np.int64)
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
    last,
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
    last : (.,) uint8
        The tree of a search for another alpha or level, or the beginning of one: what it halved is halved untested.

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
    # cone shares with its sibling, the two generators of the edge that was halved, and whether `last` has the cone
    all_V, all_W, all_sum, all_moment, all_mass = cones
    V, W, moment = here
    vector, mass, total = vectors
    _, _, low, high, fresh, keep = lists
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
    links[0, 0], links[0, 1], links[0, 2], links[0, 3], links[0, 4] = 0, n, -1, -1, 1
    top, nodes, work, place, finished, best, t = 1, 0, 0, 0, 1, 0.0, level
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
        halved = np.int64(0)
        if links[top, 4] == 1 and place < len(last):
            halved = np.int64(last[place])
            place += 1
        work += hi - lo + D
        if radius > 0.0 and halved == 0 and _beyond(V, radius):
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
        known = halved > 0
        if kind == LABEL_NOISE and not known and np.sqrt(n * reach) * (1 + rounding) <= t:
            continue
        if kind == FULL_LABEL_NOISE and not known and 0.5 * n * largest * (1 + rounding) <= t:
            continue

        if known:
            halved -= 1
            first = np.int64(1)
            while first * (first + 1) // 2 <= halved:
                first += 1
            second = halved - first * (first - 1) // 2
        else:
            proven, first, second, more, best, t, count = prove(
                *(lifted, alpha, (kind, M, radius, sizes, biggest, slack, rounding), (idx, Z, hi, end, lists)),
                *((V, W, total, moment, mass), (level, t, rel, steps), (best, count), (found, ratios)),
                *(vector, outputs, corral),
            )
            work += more
            if proven:
                continue

        # halve an edge
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
            links[top, 0], links[top, 1], links[top, 2], links[top, 3], links[top, 4] = hi, end, new, other, known
            top += 1
    return t, best, nodes, work, count, finished
