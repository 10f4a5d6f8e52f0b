"""Several outputs: sup of ||Q^T theta|| over a cone, by branch and bound over output directions u.

||Q^T theta|| = max over unit u of <Q u, theta>, and F(u) = sup_theta <Q u, theta> / w is convex and positively
homogeneous, so its values at the corners of a simplicial cone of directions bound it inside. The directions start at
the orthants and are halved; all corners lie on the l1 sphere and are dyadic, so nothing is lost between the pieces.
"""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from cellsolve.data import Array
from cellsolve.oracles.families import ConeFamily
from cellsolve.oracles.kernels import _pull, ray_suprema, round_value
from cellsolve.potentials import UNIT

#: relative distance between the proven and the attained value at which a cone of directions is closed: small beside
#: any gap asked for, and its square root is the width of the last pieces
CLOSED = 1e-8
#: pieces a cell may need before its bound falls back on the Frobenius norm
MOST_PIECES = 200_000


def sphere_suprema(family: ConeFamily, q: Array, slack: Array, level: float, linear: Array | None, end: float = np.inf):
    """Return (bound over the family, directions above `level`, their members); q and slack are (S, D, m).

    Once `time.perf_counter` is at `end`, cells are bounded by the Frobenius norm.
    """
    bound, found, members = 0.0, [], []
    threshold = level
    for k in range(len(q)):
        T = family.T[k] if len(family.T) > 1 else family.T[0]
        P, S, extra, stretch = _few_outputs(q[k], slack[k], T, family.weights)
        rows = slice(family.indptr[k], family.indptr[k + 1])
        gains = np.zeros(0) if linear is None else linear[k]
        most = MOST_PIECES if time.perf_counter() < end else 0
        value, error, best, direction = _one_cell(
            family.rows[rows], family.row_errors[rows], family.weights, T, P, S, gains, threshold, CLOSED, most
        )
        cell_bound = ((value + error) * stretch + extra) * (1 + family.eta[k]) * (1 + 8 * UNIT)
        bound = max(bound, cell_bound)
        if best > level:
            found.append(direction)
            members.append(k)
    D = q.shape[1]
    return bound, np.array(found).reshape(-1, D), np.array(members, dtype=int)


def _few_outputs(Q: Array, slack: Array, T: Array, weights: Array) -> tuple[Array, Array, float, float]:
    """Rotate the outputs so that at most D are left: ||Q^T theta|| <= stretch ||P^T theta|| + extra w(theta).

    Both factors are rounded up. Q = P V^T + E with E known entrywise, and theta = T t, so that
    ||E^T theta|| <= sum_c |t_c| ||(T^T E)_c|| with |t_c| <= weights[c] w: theta itself can be far longer than w.
    """
    D, m = Q.shape
    if m <= D:
        return np.ascontiguousarray(Q), np.ascontiguousarray(slack), 0.0, 1.0
    _, _, right = np.linalg.svd(Q, full_matrices=False)
    V = np.ascontiguousarray(right.T)
    P = Q @ V
    size = np.abs(Q) @ np.abs(V)
    left_over = np.abs(Q - P @ V.T) + (D + m + 4) * UNIT * (np.abs(Q) + np.abs(P) @ np.abs(V.T)) + slack
    extra = weights @ np.linalg.norm(np.abs(T).T @ left_over, axis=1) * (1 + (2 * D + m + 8) * UNIT)
    stretch = np.sqrt(1 + np.linalg.norm(V.T @ V - np.eye(V.shape[1])) + (m + 2) * UNIT * m) * (1 + 4 * UNIT)
    return P, 0.0 * size, float(extra), float(stretch)


@njit(cache=True, nogil=True)
def _corner(H, H_error, weights, T, P, S, gains, u, start, z, direction):
    """Value F(u), bound on its error, and z with ||z|| = F(u), at one direction u; `direction` attains it."""
    D, m = P.shape
    q, slack = np.zeros(D), np.zeros(D)
    for c in range(D):
        for j in range(m):
            q[c] += P[c, j] * u[j]
            slack[c] += S[c, j] * abs(u[j]) + (m + 1) * UNIT * abs(P[c, j] * u[j])
    beta = np.empty(max(1, len(H)))
    if len(gains):
        indptr = np.array([0, len(H)])
        ratio, error, found = np.empty(1), np.empty(1), np.empty((1, D))
        ray_suprema(
            indptr,
            H,
            H_error,
            weights,
            gains.reshape(1, D),
            q.reshape(1, D),
            slack.reshape(1, D),
            start,
            ratio,
            error,
            found,
        )
        direction[:] = found[0]
        return ratio[0], error[0]
    p = np.empty(D)
    value, error = round_value(H, H_error, weights, T, q, slack, beta[: len(H)], p, z)
    for a in range(D):
        direction[a] = 0.0
        for c in range(D):
            direction[a] += T[a, c] * z[c]
    return value, error


@njit(cache=True, nogil=True)
def _one_cell(H, H_error, weights, T, P, S, gains, threshold, closed, most):
    """Return (t, error, best, direction): sup ||P^T theta|| / w <= t + error, and best <= sup attained by direction."""
    D, m = P.shape
    frobenius = 0.0
    p, z, direction, best_direction = np.empty(D), np.empty(D), np.zeros(D), np.zeros(D)
    for j in range(m):
        error = _pull(T, np.ascontiguousarray(P[:, j]), np.ascontiguousarray(S[:, j]), weights, 1.0, p)
        largest = np.sqrt(np.sum(p * p)) if len(gains) == 0 else np.max(np.abs(p))
        frobenius += (largest + error) ** 2
    frobenius = np.sqrt(frobenius) * (1 + 4 * (D + m) * UNIT)
    if frobenius <= threshold:
        return frobenius, 0.0, 0.0, best_direction
    t = threshold * (1 + closed)
    best, worst_error = 0.0, 0.0
    corners = [np.zeros((m, m))]
    values = [np.zeros(m)]
    residuals = [np.zeros((m, D))]
    corners.pop()
    values.pop()
    residuals.pop()
    for orthant in range(2**m):
        u, f, r = np.zeros((m, m)), np.zeros(m), np.zeros((m, D))
        for j in range(m):
            u[j, j] = 1.0 if orthant >> j & 1 else -1.0
            f[j], error = _corner(H, H_error, weights, T, P, S, gains, u[j], 0.0, z, direction)
            r[j] = z
            worst_error = max(worst_error, error)
            if f[j] > best:
                best = f[j]
                best_direction[:] = direction
        corners.append(u)
        values.append(f)
        residuals.append(r)
    pieces = 0
    while len(corners):
        u, f, r = corners.pop(), values.pop(), residuals.pop()
        t = max(t, best * (1 + closed))
        if _closed(u, f, r, t, len(gains) > 0):
            continue
        pieces += 1
        a, b, longest = 0, 1, -1.0
        for j in range(m):
            for k in range(j):
                distance = np.sum((u[j] - u[k]) ** 2)
                if distance > longest:
                    a, b, longest = k, j, distance
        if pieces > most or longest < 1e-24:
            return frobenius, 0.0, best, best_direction
        middle = 0.5 * (u[a] + u[b])
        value, error = _corner(H, H_error, weights, T, P, S, gains, middle, 0.0, z, direction)
        worst_error = max(worst_error, error)
        length = np.sqrt(np.sum(middle * middle))
        if value / length > best:
            best = value / length
            best_direction[:] = direction
        for corner in (a, b):
            v, g, w = u.copy(), f.copy(), r.copy()
            v[corner], g[corner], w[corner] = middle, value, z
            corners.append(v)
            values.append(g)
            residuals.append(w)
    # a direction of length 1 has l1 norm at most sqrt(m): that many corner errors
    return t, worst_error * np.sqrt(float(m)) * (1 + 8 * UNIT), best, best_direction


@njit(cache=True, nogil=True)
def _closed(u, f, r, t, linear):
    """Whether F <= t |.| is certain on the cone of directions with corners u, values f and residuals r."""
    m = len(u)
    if linear:
        g = np.zeros(m)
        for j in range(m):
            g += u[j]
        g /= np.sqrt(np.sum(g * g)) * (1 + 64 * UNIT)
        for j in range(m):
            if f[j] > t * np.sum(g * u[j]) * (1 - 64 * UNIT):
                return False
        return True
    D = r.shape[1]
    for j in range(m):
        for k in range(j + 1):
            left, right, size = 0.0, 0.0, 0.0
            for c in range(m):
                left += u[j, c] * u[k, c]
                size += abs(u[j, c] * u[k, c]) * t * t
            for c in range(D):
                right += r[j, c] * r[k, c]
                size += abs(r[j, c] * r[k, c])
            if t * t * left - right < 2 * (D + m + 4) * UNIT * size:
                return False
    return True
