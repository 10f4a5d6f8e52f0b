"""A state (f, f') along the line: least squares over observations and jumps, in one pass to the right and one back.

    min over the state and the jumps   sum_j (value_j - r_j)^2 / (2 R_j)  +  sum_k (a_k - t_k)^2 / (2 T_k)

An event is an observation of f or of f' with variance R_j, or a jump of f' or of f by a_k with variance T_k; between
events f moves along its slope. The passes are those of Kalman, of Rauch, Tung and Striebel, and of Bryson and Frazier
for the multipliers. The covariance is carried as (s00, s01, s11, det), in which every update only adds and multiplies
positive numbers but for s01: R = 0 and huge T cost no digits. Before the first event nothing is known of the state.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.doubles import add, add_product

#: kinds of events: an observation of f, one of f', a jump of f' (a kink), a jump of f (of a kink that moves)
VALUE, SLOPE, KINK, SHIFT = 0, 1, 2, 3
#: variance of a state that nothing is known of: its square fits in float64, and 1 is rounding beside it
UNKNOWN = 1e40


@njit(cache=True, nogil=True, error_model="numpy")
def smooth(kind, step, index, R, T, r, t, kept_rows, kept_jumps, pull, jump, start):
    """Solve the least-squares problem for q right-hand sides.

    Parameters
    ----------
    kind, step, index : (E,)
        Events in order: what, the distance from the one before, and the number of the observation or jump.
    R, T : (n,), (K,)
        Variances.
    r, t : (n, q), (K, q)
        Observed values, expected jumps.
    kept_rows, kept_jumps : (n, 4 + q), (K, 3 + 2 q)
        Work space.
    pull : (n, q)
        Filled with (r_j - value_j) / R_j.
    jump : (K, q)
        Filled with the jumps a_k.
    start : (2, q)
        Filled with the state at the first event.
    """
    q = r.shape[1]
    s00, s01, s11, det = UNKNOWN, 0.0, UNKNOWN, UNKNOWN * UNKNOWN
    mean = start
    mean[:] = 0.0
    for e in range(len(kind)):
        h, k = step[e], index[e]
        if h > 0.0:
            s01 += h * s11
            if s11 > 0.0:
                s00 = (det + s01 * s01) / s11
            for c in range(q):
                mean[0, c] += h * mean[1, c]
        if kind[e] >= KINK:
            own = 1 if kind[e] == KINK else 0  # what jumps; the other one explains some of it
            if own == 1:
                s11 += T[k]
                det += T[k] * s00
            else:
                s00 += T[k]
                det += T[k] * s11
            spread, other = (s11, s00) if own == 1 else (s00, s11)
            # the share of a deviation, less what the other one explains of it, that this jump takes
            kept_jumps[k, 0], kept_jumps[k, 1] = other, s01
            kept_jumps[k, 2] = T[k] / det if det > 0.0 else T[k] / spread if spread > 0.0 else 0.0
            if not det > 0.0:
                kept_jumps[k, 0], kept_jumps[k, 1] = 1.0, 0.0
            for c in range(q):
                mean[own, c] += t[k, c]
                kept_jumps[k, 3 + 2 * c] = mean[own, c]
                kept_jumps[k, 4 + 2 * c] = mean[1 - own, c]
            continue
        seen = 0 if kind[e] == VALUE else 1
        D = R[k] + (s00 if seen == 0 else s11)
        left = R[k] / D if D > 0.0 else 0.0
        gain0, gain1 = (s00 / D, s01 / D) if seen == 0 else (s01 / D, s11 / D)
        if not D > 0.0:  # known exactly before, and observed exactly again
            gain0 = gain1 = 0.0
        kept_rows[k, 0], kept_rows[k, 1] = gain0, gain1
        kept_rows[k, 2] = 1.0 / D if D > 0.0 else 0.0
        for c in range(q):
            miss = r[k, c] - mean[seen, c]
            kept_rows[k, 4 + c] = miss
            mean[0, c] += gain0 * miss
            mean[1, c] += gain1 * miss
        rest = det / D if D > 0.0 else 0.0
        if seen == 0:
            s00, s11 = s00 * left, s11 * left + rest
        else:
            s00, s11 = s00 * left + rest, s11 * left
        s01 *= left
        det *= left
    for c in range(q):
        f, slope = mean[0, c], mean[1, c]
        m0 = m1 = 0.0  # the multipliers of f and f'
        for e in range(len(kind) - 1, -1, -1):
            h, k = step[e], index[e]
            if kind[e] >= KINK:
                mine, its = (slope, f) if kind[e] == KINK else (f, slope)
                d, d_other = mine - kept_jumps[k, 3 + 2 * c], its - kept_jumps[k, 4 + 2 * c]
                jump[k, c] = t[k, c] + kept_jumps[k, 2] * (kept_jumps[k, 0] * d - kept_jumps[k, 1] * d_other)
                if kind[e] == KINK:
                    slope -= jump[k, c]
                else:
                    f -= jump[k, c]
            else:
                pull[k, c] = kept_rows[k, 4 + c] * kept_rows[k, 2] - kept_rows[k, 0] * m0 - kept_rows[k, 1] * m1
                if kind[e] == VALUE:
                    m0 += pull[k, c]
                else:
                    m1 += pull[k, c]
            f -= h * slope
            m1 += h * m0
        mean[0, c], mean[1, c] = f, slope


@njit(cache=True, nogil=True, error_model="numpy")
def values(kind, step, index, jump, start, value):
    """Fill value (n,) with f and f' as they are observed, from jumps (K,) and the state at the first event (2,)."""
    f, slope = start
    f_low = slope_low = 0.0
    for e in range(len(kind)):
        k = index[e]
        if e:
            f, f_low = add_product(f, f_low, step[e], 0.0, slope, slope_low)
        if kind[e] == KINK:
            slope, slope_low = add(slope, slope_low, jump[k], 0.0)
        elif kind[e] == SHIFT:
            f, f_low = add(f, f_low, jump[k], 0.0)
        else:
            value[k] = f if kind[e] == VALUE else slope


@njit(cache=True, nogil=True, error_model="numpy")
def potentials(kind, step, index, pull, linear, phi, moments):
    """Fill phi (J,) with the multipliers of the jumps, moments (2,) with those of the first state.

    Of a kink it is sum_j pull_j (x_j - tau_k)+ over the observations of f, and pull_j over those of f' beyond it; for
    the linear parts of jumps, slope and value, linear (J, b), that of the slope and that of the value are added.
    """
    low = np.zeros(len(phi))
    m0 = m0_low = m1 = m1_low = 0.0
    for e in range(len(kind) - 1, -1, -1):
        k = index[e]
        if kind[e] == KINK:
            phi[k], low[k] = m1, m1_low
        elif kind[e] == SHIFT:
            phi[k], low[k] = m0, m0_low
        elif kind[e] == VALUE:
            m0, m0_low = add(m0, m0_low, pull[k], 0.0)
        else:
            m1, m1_low = add(m1, m1_low, pull[k], 0.0)
        if e:
            m1, m1_low = add_product(m1, m1_low, step[e], 0.0, m0, m0_low)
    moments[0], moments[1] = m0, m1
    if linear.shape[1] > 0:
        for k in range(len(phi)):
            phi[k], low[k] = add_product(phi[k], low[k], linear[k, 0], 0.0, m1, m1_low)
    if linear.shape[1] > 1:
        for k in range(len(phi)):
            phi[k], low[k] = add_product(phi[k], low[k], linear[k, 1], 0.0, m0, m0_low)


@njit(cache=True, nogil=True, error_model="numpy")
def rest_of_start(linear, jump, start, rest):
    """Fill rest (b,) with the slope, and the value, of the first state less the linear parts of the jumps."""
    for c in range(len(rest)):
        f, f_low = start[1 - c], 0.0
        for k in range(len(jump)):
            f, f_low = add_product(f, f_low, -linear[k, c], 0.0, jump[k], 0.0)
        rest[c] = f
