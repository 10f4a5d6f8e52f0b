"""numba kernels of the exhaustive oracle: plain arrays in, plain arrays out, the GIL released.

One small problem recurs: the sup of <p, t> over the cone {t : H t >= 0} and the unit ball is the length of the
residual  r = p + H^T beta  that is shortest over beta >= 0; r is then the direction that attains it, and every
beta >= 0 gives an upper bound.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.potentials import UNIT

#: a row whose part orthogonal to the rows already used is shorter than this is treated as dependent: rows are of
#: unit length, and what a shorter part still says about the direction is mostly rounding
DEPENDENT = 1e-11
#: stop when no unit row has an inner product with the residual below -SETTLED |p|: a few roundings of a product
SETTLED = 4e-15


@njit(cache=True, nogil=True)
def copy(target, source):
    """target[:] = source, for vectors: a slice assignment takes numba seconds to compile."""
    for c in range(len(source)):
        target[c] = source[c]


@njit(cache=True, nogil=True)
def fill(target, value):
    """target[:] = value."""
    for c in range(len(target)):
        target[c] = value


@njit(cache=True, nogil=True)
def norm(v):
    """Euclidean length."""
    total = 0.0
    for c in range(len(v)):
        total += v[c] * v[c]
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def cone_residual(H, k, p, beta, residual):
    """Minimise |p + H^T beta| over beta >= 0 (Lawson and Hanson), H the first k rows.

    Fills beta (k,), residual (D,), and returns its length.
    """
    D = H.shape[1]
    fill(beta, 0.0)
    copy(residual, p)
    space = np.empty(D, np.int64), np.zeros(k, np.bool_), np.empty((D, D)), np.zeros((D, D)), np.empty(D)
    exchange(H, k, p, beta, residual, np.int64(0), space)
    return norm(residual)


@njit(cache=True, nogil=True)
def exchange(H, k, p, beta, residual, count, space):
    """Go on minimising |p + H^T beta| over beta >= 0, H the first k rows; return how many of them are passive.

    Before it `count` of them are, and beta and residual are theirs; rows that were appended to H since then are at
    zero. `space` is kept between calls, with no row used before the first.
    """
    D = H.shape[1]
    passive, used, Q, R, z = space
    size = norm(p)
    if size == 0.0:
        return count
    for _ in range(20 * (k + D)):
        if count == D:
            break
        worst, pick = -SETTLED * size, -1
        for j in range(k):
            if not used[j]:
                product = 0.0
                for c in range(D):
                    product += H[j, c] * residual[c]
                if product < worst:
                    worst, pick = product, j
        if pick < 0:
            break
        passive[count] = pick
        used[pick] = True
        first = count
        count += 1
        while True:
            if not _orthonormalise(H, passive, first, count, Q, R):
                count -= 1  # only the newest row can depend on the others; leave it marked used
            for a in range(count):
                z[a] = 0.0
                for c in range(D):
                    z[a] -= Q[a, c] * p[c]
            for a in range(count - 1, -1, -1):
                for b in range(a + 1, count):
                    z[a] -= R[a, b] * z[b]
                z[a] /= R[a, a]
            step, leave = 1.0, -1
            for a in range(count):
                if z[a] <= 0.0:
                    old = beta[passive[a]]
                    ratio = old / (old - z[a]) if old > z[a] else 0.0
                    if leave < 0 or ratio < step:
                        step, leave = ratio, a
            if leave < 0:
                for a in range(count):
                    beta[passive[a]] = z[a]
                break
            for a in range(count):
                beta[passive[a]] += step * (z[a] - beta[passive[a]])
            beta[passive[leave]] = 0.0
            used[passive[leave]] = False
            for a in range(leave, count - 1):
                passive[a] = passive[a + 1]
            first = leave
            count -= 1
            if count == 0:
                break
        for c in range(D):
            residual[c] = p[c]
        for a in range(count):
            product = 0.0
            for c in range(D):
                product += Q[a, c] * residual[c]
            for c in range(D):
                residual[c] -= product * Q[a, c]
    if count == D:
        for c in range(D):
            residual[c] = p[c]
        for a in range(D):
            for c in range(D):
                residual[c] += beta[passive[a]] * H[passive[a], c]
    return count


@njit(cache=True, nogil=True)
def _orthonormalise(H, passive, first, count, Q, R):
    """Gram-Schmidt, twice, of the passive rows from `first` on: H_passive = R^T Q.

    False where the last row depends on the others.
    """
    D = H.shape[1]
    for a in range(first, count):
        for c in range(D):
            Q[a, c] = H[passive[a], c]
        for b in range(a):
            R[b, a] = 0.0
        for _ in range(2):
            for b in range(a):
                product = 0.0
                for c in range(D):
                    product += Q[b, c] * Q[a, c]
                R[b, a] += product
                for c in range(D):
                    Q[a, c] -= product * Q[b, c]
        length = 0.0
        for c in range(D):
            length += Q[a, c] * Q[a, c]
        length = np.sqrt(length)
        if length < DEPENDENT:
            return False
        R[a, a] = length
        for c in range(D):
            Q[a, c] /= length
    return True


@njit(cache=True, nogil=True)
def cell_sums(packed, lifted, alpha, out):
    """Fill out[s] = sum over the points active in s of x~_i alpha_i^T, shape (S, D, m)."""
    S = packed.shape[0]
    n, D = lifted.shape
    m = alpha.shape[1]
    products = np.empty((n, D, m))
    for i in range(n):
        for c in range(D):
            for j in range(m):
                products[i, c, j] = lifted[i, c] * alpha[i, j]
    for s in range(S):
        for c in range(D):
            for j in range(m):
                out[s, c, j] = 0.0
        for i in range(n):
            if packed[s, i >> 3] >> (7 - (i & 7)) & 1:
                for c in range(D):
                    for j in range(m):
                        out[s, c, j] += products[i, c, j]


@njit(cache=True, nogil=True)
def _from_multipliers(H, row_errors, weights, p, p_error, beta, residual):
    """Set residual = p + H^T beta, summed in order; return its length, rounded up, and a bound on <error, t> / w.

    A sum of k + 1 terms is off by at most gamma_{k+1} times the sum of their sizes, a row by its own errors; an error
    in coordinate c counts weights[c] >= |t_c| / w.
    """
    k, D = H.shape
    size, rows, terms = 0.0, 0.0, 1
    for c in range(D):
        residual[c] = p[c]
        size += weights[c] * abs(p[c])
    for j in range(k):
        if beta[j] > 0.0:
            for c in range(D):
                residual[c] += beta[j] * H[j, c]
                size += weights[c] * abs(beta[j] * H[j, c])
                rows += weights[c] * beta[j] * row_errors[j, c]
            terms += 1
    length = norm(residual) * (1.0 + (D + 4) * UNIT)
    return length, (p_error + rows + (2 * terms + 2) * UNIT * size) * (1.0 + (64 + 4 * k) * UNIT)


@njit(cache=True, nogil=True)
def _pull(T, q, slack, weights, sign, p):
    """Set p = sign T^T q; return a bound on <error, t> / w, `slack` bounding |error of q| entrywise."""
    D = T.shape[0]
    total = 0.0
    for c in range(T.shape[1]):
        value, size = 0.0, 0.0
        for a in range(D):
            value += T[a, c] * q[a]
            size += abs(T[a, c]) * (slack[a] + (D + 3) * UNIT * abs(q[a]))
        p[c] = sign * value
        total += weights[c] * size
    return total * (1.0 + 16 * (D + 1) * UNIT)


@njit(cache=True, nogil=True)
def round_value(H, H_error, weights, T, q, slack, beta, p, residual):
    """Return length and error, whose sum bounds sup {<q, theta> : theta in the cone, w <= 1}; `residual` attains it.

    Where weights[-1] < 1 the last coordinate does not count in w (`slope`), and what is left in it is an error. It is
    driven to zero by the method of multipliers: shift the last coordinate of p by what was left over, and repeat.
    """
    p_error = _pull(T, q, slack, weights, 1.0, p)
    last = len(p) - 1
    if weights[last] >= 1.0:
        cone_residual(H, len(H), p, beta, residual)
        return _from_multipliers(H, H_error, weights, p, p_error, beta, residual)
    wanted = p[last]
    for _ in range(4):
        cone_residual(H, len(H), p, beta, residual)
        p[last] = wanted + residual[last]
    p[last] = wanted
    _, error = _from_multipliers(H, H_error, weights, p, p_error, beta, residual)
    error += weights[last] * abs(residual[last])
    residual[last] = 0.0
    return norm(residual) * (1.0 + (len(p) + 4) * UNIT), error * (1.0 + 4 * UNIT)


@njit(cache=True, nogil=True)
def round_suprema(indptr, rows, row_errors, weights, T, q, slack, lengths, errors, directions):
    """Sup of <q_s, theta> over {theta in cone s, |T_s^-1 theta| <= 1}.

    indptr (S + 1,), rows (., D) of unit length in the coordinates theta = T t, row_errors (., D) bounds on their
    rounding; weights (D,) at least |t_c| / w; T (S or 1, D, D); q, slack (S, D). Fills lengths, errors (S,), whose
    sum bounds the supremum, and directions (S, D), the theta that attain it.
    """
    S, D = q.shape
    most = 1
    for s in range(S):
        most = max(most, indptr[s + 1] - indptr[s])
    beta, p, residual = np.empty(most), np.empty(D), np.empty(D)
    for s in range(S):
        Ts = T[s] if T.shape[0] > 1 else T[0]
        H, H_error = rows[indptr[s] : indptr[s + 1]], row_errors[indptr[s] : indptr[s + 1]]
        lengths[s], errors[s] = round_value(H, H_error, weights, Ts, q[s], slack[s], beta[: len(H)], p, residual)
        for a in range(D):
            directions[s, a] = 0.0
            for c in range(D):
                directions[s, a] += Ts[a, c] * residual[c]


@njit(cache=True, nogil=True)
def ray_suprema(indptr, rows, row_errors, weights, linear, q, slack, start, ratios, errors, directions):
    """Sup of <q_s, theta> / <g_s, theta> over cone s, where the cost is linear (Dinkelbach's iteration).

    linear (S, D) holds g_s, entries -1 and 1, so that <g_s, theta> = ||theta||_1. Fills ratios (S,), at least
    `start`, errors (S,), whose sum bounds the supremum, and directions (S, D), zero where `start` is not exceeded.
    """
    S, D = q.shape
    most = 1
    for s in range(S):
        most = max(most, indptr[s + 1] - indptr[s])
    beta, p, residual = np.empty(most), np.empty(D), np.empty(D)
    for s in range(S):
        H, H_error = rows[indptr[s] : indptr[s + 1]], row_errors[indptr[s] : indptr[s + 1]]
        ratio = start
        fill(directions[s], 0.0)
        size = 0.0
        for _ in range(60):
            p_error = 0.0
            for c in range(D):
                p[c] = q[s, c] - ratio * linear[s, c]
                p_error += slack[s, c] + 2 * UNIT * (abs(q[s, c]) + ratio)
            cone_residual(H, len(H), p, beta[: len(H)], residual)
            size, errors[s] = _from_multipliers(H, H_error, weights, p, p_error, beta[: len(H)], residual)
            cost = 0.0
            for c in range(D):
                cost += linear[s, c] * residual[c]
            # <p, r> = |r|^2, so <q, r> / <g, r> exceeds the ratio by this; in this form noise adds no more than |r|
            if cost <= 0.0 or size * size <= 1e-15 * ratio * cost:
                break
            ratio += size * size / cost
            copy(directions[s], residual)
        ratios[s] = ratio
        over = 0.0  # what the multipliers leave: <r, theta> = sum r_c g_c |theta_c|, in a thin cell far less than |r|
        for c in range(D):
            over = max(over, linear[s, c] * residual[c])
        errors[s] += over
