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
from cellsolve.oracles.point_kernels import dot, dot_positive, mix
from cellsolve.potentials import UNIT


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _apart(row, shares, sides, inner, lengths):
    """How far z is from what `shares` count of it, at most, summed with three weights."""
    side = along = length = 0.0
    for q in range(len(row)):
        apart = max((1 - shares[q]) * row[q], -shares[q] * row[q])
        side += sides[q] * apart
        along += abs(inner[q]) * apart
        length += lengths[q] * apart
    return side, along, length


@njit(cache=True, nogil=True)
def toward(alpha, undecided, cone, costs, space, bends_too, errors, convex, lists):
    """Turn several outputs into one on a cone, or prove it at once.

    Parameters
    ----------
    alpha : (n, m)
    undecided, cone, costs
        idx, Z, lo, hi; V and the sum of x~ alpha^T over active points; (D,) the numbers c at the generators.
    space
        The direction u, and what `workspace` has for it.
    bends_too : bool
        Whether the points where <u, alpha_i> is negative count where an edge is chosen.
    errors : (D,)
        Bounds on the rounding of |phi| at the generators.
    convex : (D,)
        d is added to it.
    lists
        For the undecided points: filled with <u, alpha_i> and with what a point adds to the bend of an edge; space.

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
    u, at, sizes, around, back, rows = space
    along, weights, low, high, fresh, _ = lists
    count = hi - lo
    D, m = total.shape
    fill(u, 0.0)
    for k in range(D):
        fill(at[k], 0.0)
        for c in range(D):
            for j in range(m):
                at[k, j] += V[k, c] * total[c, j]
        for j in range(m):
            u[j] += at[k, j]
    fill(back, 1.0)
    mix(Z, lo, hi, back, fresh)
    chosen = idx[lo:hi]
    for j in range(m):
        row = rows[j]
        for q in range(count):
            row[q] = alpha[chosen[q], j]
        u[j] += dot_positive(row, fresh[:count])
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
    mix(rows, 0, count, u, along)
    for q in range(count):
        weights[q] = fresh[q] = low[q] = high[q] = 0.0
    for j in range(m):
        row, part = rows[j], u[j]
        for q in range(count):
            fresh[q] += row[q] * row[q]
            weights[q] += (row[q] - along[q] * part) ** 2
    for k in range(D):
        row = Z[k, lo:hi]
        for q in range(count):
            low[q], high[q] = min(low[q], row[q]), max(high[q], row[q])
    for q in range(count):
        weights[q], fresh[q] = np.sqrt(weights[q]), np.sqrt(fresh[q])
        high[q] /= high[q] - low[q]
    for k in range(D):
        row = Z[k, lo:hi]
        around[k], back[k], sizes[k] = _apart(row, high, weights, along, fresh)
        for q in range(count):
            low[q] = high[q] * row[q]
        for j in range(m):
            at[k, j] += dot(low[:count], rows[j])
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
    for q in range(count):
        weights[q] *= share
        if bends_too or along[q] > 0.0:
            weights[q] += abs(along[q])
    value = size
    for k in range(D):
        value -= errors[k]
    return 1 if proven else 0 if possible else -1, pick, value
