r"""numba kernel of one cone with several outputs: the length of phi, as one output and what is left of the others.

Let u be phi's direction in the middle of the cone, |u| >= 1, and R = I - u u^T; then |phi|^2 <= <u, phi>^2 + |R phi|^2.
Where c and b are linear functions on the cone with c <= t w and |R phi| <= b <= c, |phi| > t w at a neuron means that

    |<u, phi>| > sqrt((t w)^2 - b^2) >= t w - (c - sqrt(c^2 - b^2)),

and what is in brackets is convex, at most the linear function d of its values at the generators. So it is enough that
<u, phi> + d <= t w, which is one output's with alpha_i = <u, alpha_i>, and that -<u, phi> + d <= c. On a cone of width
eps around phi's direction d is of the size of eps^2.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.oracles.kernels import fill
from cellsolve.potentials import UNIT


@njit(cache=True, nogil=True)
def toward(alpha, undecided, cone, costs, space, bends_too, errors, convex, column, pull):
    """Turn several outputs into one on a cone, or prove it at once.

    Parameters
    ----------
    alpha : (n, m)
    undecided, cone, costs
        idx, Z, lo, hi; V and the sum of x~ alpha^T over active points; (D,) the numbers c at the generators.
    space
        From `workspace`.
    bends_too : bool
        Whether the points where <u, alpha_i> is negative count where an edge is chosen.
    errors : (D,)
        Bounds on the rounding of |phi| at the generators.
    convex : (D,)
        d is added to it.
    column, pull : (n,), (n,)
        Filled with <u, alpha_i>, and with what an undecided point adds to the bend of an edge.

    Returns
    -------
    state
        1: proven as it is, 0: one output may prove it, -1: nothing does.
    pick
        The generator where |phi| exceeds c most.
    value
        |phi| at the sum of the generators, less its rounding.
    """
    idx, Z, lo, hi = undecided
    V, total = cone
    u, at, sizes, around, back = space
    D, m = total.shape
    fill(u, 0.0)
    for k in range(D):
        fill(at[k], 0.0)
        for c in range(D):
            for j in range(m):
                at[k, j] += V[k, c] * total[c, j]
        for j in range(m):
            u[j] += at[k, j]
    for q in range(lo, hi):
        z = 0.0
        for k in range(D):
            z += Z[q, k]
        if z > 0.0:
            for j in range(m):
                u[j] += alpha[idx[q], j] * z
    size = 0.0
    for j in range(m):
        size += u[j] * u[j]
    size = np.sqrt(size)
    if size > 0.0:
        for j in range(m):
            u[j] *= (1 + (m + 8) * UNIT) / size
    else:
        u[0] = 1.0

    # phi is L theta, L x~ = sum of alpha_i tau_i <x~_i, x~>, but for alpha_i times at most (1 - tau_i) z or -tau_i z
    fill(around, 0.0)
    fill(back, 0.0)
    fill(sizes, 0.0)
    for q in range(lo, hi):
        i = idx[q]
        inner = length = high = low = 0.0
        for j in range(m):
            inner += u[j] * alpha[i, j]
            length += alpha[i, j] * alpha[i, j]
        for k in range(D):
            high, low = max(high, Z[q, k]), max(low, -Z[q, k])
        column[i] = inner
        side = 0.0
        for j in range(m):
            side += (alpha[i, j] - inner * u[j]) ** 2
        side, length = np.sqrt(side), np.sqrt(length)
        pull[i] = side
        tau = high / (high + low)
        for k in range(D):
            z = Z[q, k]
            for j in range(m):
                at[k, j] += tau * z * alpha[i, j]
            apart = max((1 - tau) * z, -tau * z)
            around[k] += side * apart
            back[k] += abs(inner) * apart
            sizes[k] += length * apart
    proven, possible, share, pick, worst = True, True, 0.0, 0, -np.inf
    for k in range(D):
        inner = length = 0.0
        for j in range(m):
            inner += u[j] * at[k, j]
            length += at[k, j] * at[k, j]
        b = 0.0
        for j in range(m):
            b += (at[k, j] - inner * u[j]) ** 2
        b, length, c = np.sqrt(b) + around[k] + 4 * errors[k], np.sqrt(length), costs[k]
        if length - c > worst:
            worst, pick = length - c, k
        proven &= length + sizes[k] + 4 * errors[k] <= c
        if b < c:
            d = b * b / (c + np.sqrt((c - b) * (c + b))) * (1 + 16 * UNIT)
            convex[k] += d
            possible &= back[k] - inner + d + 4 * errors[k] <= c * (1 - 4 * UNIT)
            share = max(share, b / c)
        else:
            possible = False
            share = 1.0
    for q in range(lo, hi):
        i = idx[q]
        pull[i] *= share
        if bends_too or column[i] > 0.0:
            pull[i] += abs(column[i])
    value = size
    for k in range(D):
        value -= errors[k]
    return 1 if proven else 0 if possible else -1, pick, value
