"""Least-norm interpolants of one input, exactly: the kernels that decide where their kinks are.

Points are in order, r_i = (unit, x_i) is the direction of the neuron with its kink at x_i, R_i its length and psi_i its
angle, gamma_i = psi_{i+1} - psi_i. A run is a maximal sequence of points at which f bends the same way, by D_i.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cellsolve.broken_line import next_run
from cellsolve.doubles import add, add_product, length, two_product, two_sum

HALF_PI = 0.5 * np.pi
#: integers up to this one, and their sums, are floats
LARGEST = 2.0**52
#: an angle is at its lower end up to this factor: some roundings
TOUCHING = 1 + 2.0**-50
#: part of a bend that is all or nothing: many roundings of sums along a run
SNAP = 2.0**-40
#: half of the digits of a float
HALF = 2.0**-26
#: from a float to the next one inwards or the one after
ROUNDING = 2.0**-52
#: a kink whose place in float64 moves f by at most this share of y, at the end of the next segment, has that place
EXACT = 2.0**-43


@njit(inline="always")
def angle(x, unit, i):
    """Gamma_i: between the directions of x_i and x_{i+1}, to all its digits."""
    return np.arctan2(unit * (x[i + 1] - x[i]), unit * unit + x[i] * x[i + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def fence(M, gamma, left, right, omega, tight, work):
    r"""Minimise sum_j M_j (1 - cos omega_j) where omega_j + omega_{j+1} >= gamma_j, exactly, in one pass and back.

    With omega_j = c_j +- t_j and c_j + c_{j+1} = gamma_j the constraints are t_1 >= t_2 <= t_3 >= ..., a fence. The
    derivative of the least cost of the points so far, as a function of t_j, consists of pieces S cos t + C sin t; a
    constraint makes it 0 on one side of its root, so that pieces are only taken from the ends of a queue, or put there.

    Parameters
    ----------
    M : (K,)
        Positive.
    gamma : (K - 1,)
    left, right : float
        What the first and the last omega may not be below.
    omega : (K,)
        Filled.
    tight : (K - 1,) bool
        Filled: whether a constraint holds with equality.
    work : (4, 2 K + 2)
    """
    K = len(M)
    root, where, jump_S, jump_C = work[0], work[1], work[2], work[3]
    head = tail = K  # breakpoints between pieces are where[head:tail]; where one is passed the piece changes by a jump
    S_low = C_low = S_high = C_high = 0.0  # the first piece and the last
    c, sign = 0.0, 1.0
    for j in range(K):
        S, C = sign * M[j] * np.sin(c), M[j] * np.cos(c)
        S_low, C_low, S_high, C_high = S_low + S, C_low + C, S_high + S, C_high + C
        t = -sign * np.inf
        if j == 0 and left > 0.0:
            t = left
        if j == K - 1 and right > 0.0:
            t = sign * max(sign * t, right - c)  # omega = c + sign t >= right
        if sign > 0.0:  # t may not fall below its root: what is left of it becomes 0
            while head < tail:
                b = where[head]
                if b > t and S_low * np.cos(b) + C_low * np.sin(b) >= 0.0:
                    break
                S_low, C_low, t, head = S_low + jump_S[head], C_low + jump_C[head], max(b, t), head + 1
            root[j] = max(t, np.arctan2(-S_low, C_low))
            head -= 1
            where[head], jump_S[head], jump_C[head] = root[j], S_low, C_low
            S_low = C_low = 0.0
            if head == tail - 1:
                S_high, C_high = jump_S[head], jump_C[head]
        else:
            while head < tail:
                b = where[tail - 1]
                if b < t and S_high * np.cos(b) + C_high * np.sin(b) <= 0.0:
                    break
                S_high, C_high, t, tail = S_high - jump_S[tail - 1], C_high - jump_C[tail - 1], min(b, t), tail - 1
            root[j] = min(t, np.arctan2(-S_high, C_high))
            where[tail], jump_S[tail], jump_C[tail] = root[j], -S_high, -C_high
            tail += 1
            S_high = C_high = 0.0
            if head == tail - 1:
                S_low, C_low = -jump_S[head], -jump_C[head]
        if j < K - 1:
            c, sign = gamma[j] - c, -sign
    t = root[K - 1]
    omega[K - 1] = max(c + sign * t, 0.0)
    for j in range(K - 2, -1, -1):
        c, sign = gamma[j] - c, -sign
        tight[j] = sign * t >= sign * root[j]
        t = t if tight[j] else root[j]
        omega[j] = max(c + sign * t, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def run_kinks(x, unit, bend, curved, pairs, at, u, v, phi):
    """Find the kinks of the least-norm interpolant of a broken line, and the dual function that proves it.

    Parameters
    ----------
    x : (P,)
    unit : float
    bend : (P,)
        D, 0 at both ends and where the interpolant has to be straight.
    curved : bool
        Whether a kink at tau costs the length of (unit, tau), `variation`, or unit, `slope`.
    pairs : bool
        Whether kinks of neighbouring points become one between them where that costs nothing: only of `slope`.
    at, u, v : (P,)
        Filled: kink k gathers u of the bend at x[at] and v of the one at x[at + 1], at the mean of the two weighted so.
    phi : (P,)
        Filled: the dual function at the points, at most what a kink there costs.

    Returns
    -------
    how many kinks there are
    """
    P, count, longest, start = len(x), 0, 0, 0
    while start < P:
        start, stop = next_run(bend, start)
        longest, start = max(longest, stop - start), stop
    straight = False  # somewhere between the first bend and the last
    for i in range(1, P - 1):
        straight = straight or bend[i] == 0.0
    phi[:] = 0.0
    M, gamma, omega = np.empty(longest), np.empty(longest), np.empty(P if straight else longest)
    omega[:] = -1.0  # where f is straight
    ends = curved and (unit * unit + x[0] * x[1] < 0.0 or unit * unit + x[P - 2] * x[P - 1] < 0.0)
    tight, work = np.empty(longest + 1, dtype=np.bool_), np.empty((4, 2 * longest + 2))
    start = 0
    while True:
        start, stop = next_run(bend, start)
        if start == stop:
            break
        K, sign = stop - start, 1.0 if bend[start] > 0.0 else -1.0
        if not curved:
            for j in range(start, stop):
                phi[j] = sign * unit
                if pairs and (j - start) % 2 == 1:
                    v[count - 1] = bend[j]
                    continue
                at[count], u[count], v[count] = j, bend[j], 0.0
                count += 1
            start = stop
            continue
        at_end = ends and (start == 1 or stop == P - 1)
        if K == 1 and not at_end:
            at[count], u[count], v[count] = start, bend[start], 0.0
            if straight:
                omega[start] = 0.0
            phi[start] = sign * length(unit, x[start])
            count, start = count + 1, stop
            continue
        if K == 2 and not at_end:  # both bends gather in one kink: of cost |M_1 r_1 + M_2 r_2|, r of length 1
            one, two = start, start + 1
            R, Q = length(unit, x[one]), length(unit, x[two])
            across, along = unit * (x[two] - x[one]) / R / Q, (unit * unit + x[one] * x[two]) / R / Q
            M1, M2 = abs(bend[one]) * R, abs(bend[two]) * Q
            cost = length(M1 + along * M2, across * M2)
            phi[one], phi[two] = sign * R * (M1 + along * M2) / cost, sign * Q * (M2 + along * M1) / cost
            if straight:
                omega[one] = np.arctan2(across * M2, M1 + along * M2)
                omega[two] = np.arctan2(across * M1, M2 + along * M1)
            at[count], u[count], v[count] = start, bend[one], bend[two]
            count, start = count + 1, stop
            continue
        for j in range(K):
            M[j] = abs(bend[start + j]) * length(unit, x[start + j])
        for j in range(K - 1):
            gamma[j] = angle(x, unit, start + j)
        left = right = 0.0
        if at_end and start == 1:
            left = angle(x, unit, 0) - HALF_PI
        if at_end and stop == P - 1:
            right = angle(x, unit, P - 2) - HALF_PI
        angles = omega[start:stop] if straight else omega[:K]
        fence(M[:K], gamma[: K - 1], left, right, angles, tight, work)
        tight[K - 1] = right > 0.0 and angles[K - 1] <= right * TOUCHING
        opened = left > 0.0 and angles[0] <= left * TOUCHING
        count = _weigh(x, unit, bend, start, stop, opened, M, angles, tight, at, u, v, count)
        for j in range(K):
            phi[start + j] = sign * length(unit, x[start + j]) * np.cos(angles[j])
        start = stop
    for i in range(1, P - 1):
        if straight and bend[i] == 0.0:
            phi[i] = phi[i - 1] + (phi[i + 1] - phi[i - 1]) * ((x[i] - x[i - 1]) / (x[i + 1] - x[i - 1]))
            if curved:
                _pass_by(x, unit, bend, i, length(unit, x[i]), omega, phi)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(x, unit, bend, start, stop, opened, M, omega, tight, at, u, v, count):
    """Append the kinks of a run: one on each segment whose constraint is tight, other bends at their points.

    Of a bend D_j the segment to the right takes the part part_j, such that M_j sin omega_j = X_{j-1} + X_j with
    X_j = part_j M_j sin omega_j; the first and the last segment of all take some where `opened` and tight[K - 1] say.
    """
    K = stop - start
    part = M  # overwritten
    s = 0
    while s < K:
        e = s
        while e < K - 1 and tight[e]:
            e += 1
        from_left, from_right = opened and s == 0, e == K - 1 and tight[K - 1]
        X = 0.0
        if from_left:
            for j in range(e, s - 1, -1):
                X, other = _share(M[j] * np.sin(omega[j]), X)
                part[j] = 1.0 - other
        else:
            for j in range(s, e + 1):
                X, part[j] = _share(M[j] * np.sin(omega[j]), X)
            if not from_right:
                part[e] = 0.0 if e > s else 1.0
        for j in range(s - 1, e + 1):
            i = start + j  # the segment from point i to the next
            here = bend[i] * part[j] if j >= s else 0.0
            there = bend[i + 1] * (1.0 - part[j + 1]) if j < e else 0.0
            if j == s - 1 and from_left:
                here = -there * (unit * unit + x[i] * x[i + 1]) / (unit * unit + x[i] * x[i])
            elif j == e and from_right:
                there = -here * (unit * unit + x[i] * x[i + 1]) / (unit * unit + x[i + 1] * x[i + 1])
            if here == 0.0 and there != 0.0:  # at the next point, as nothing of its own segment may be
                i, here, there = i + 1, there, 0.0
            if here == 0.0:
                continue
            if there == 0.0 and count > 0 and at[count - 1] == i and v[count - 1] == 0.0:
                u[count - 1] += here
                continue
            at[count], u[count], v[count] = i, here, there
            count += 1
        s = e + 1
    return count


@njit(inline="always")
def _share(whole, before):
    """Return whole - before, not below 0, and its share of the whole; 0 or all where that is so but for rounding."""
    share = 1.0 - before / whole if whole > 0.0 else 1.0
    if share < SNAP:
        return 0.0, 0.0
    if share > 1.0 - SNAP:
        return whole, 1.0
    return whole - before, share


@njit(cache=True, nogil=True, error_model="numpy")
def _pass_by(x, unit, bend, i, size, omega, phi):
    """Bound phi at a point where f is straight by what the kinks beside it allow: w is convex, so less than a chord."""
    for other in (i - 1, i + 1):
        if omega[other] < 0.0:
            if other == 0 or other == len(x) - 1:  # where phi is 0
                bound = size * np.cos(max(angle(x, unit, min(i, other)) - HALF_PI, 0.0))
                phi[i] = min(max(phi[i], -bound), bound)
            continue
        bound = size * np.cos(max(angle(x, unit, min(i, other)) - omega[other], 0.0))
        phi[i] = min(phi[i], bound) if bend[other] > 0.0 else max(phi[i], -bound)


@njit(cache=True, nogil=True)
def dual_vector(x, phi, bend, alpha):
    """Fill alpha (P,) with numbers of which sum_j alpha_j (x_j - x_i)_+ is phi_i but for the rounding of alpha_{i+1}.

    Each makes up for the rounding of those before, whose sums are carried to twice the working precision. The rounding
    is towards the inside: where f bends up phi may only be lower. So it costs what it is, and not its largest share.
    """
    P = len(x)
    s = s_low = f = f_low = 0.0
    for j in range(P - 1, 0, -1):
        h, h_low = two_sum(x[j], -x[j - 1])
        away, away_low = two_sum(phi[j - 1], -f)
        slope = ((away + (away_low - f_low)) / h - s) - s_low
        inwards = 0.0 if bend[j - 1] == 0.0 else ROUNDING if bend[j - 1] < 0.0 else -ROUNDING
        for _ in range(8):
            slope += inwards * abs(slope)
            t, t_low = add(s, s_low, slope, 0.0)
            g, g_low = add_product(f, f_low, h, h_low, t, t_low)
            over = (g - phi[j - 1]) + g_low
            if not over * inwards < 0.0:
                break
            slope -= over / h
        alpha[j], s, s_low, f, f_low = slope, t, t_low, g, g_low
    alpha[0] = -s


@njit(cache=True, nogil=True)
def flattest(x, y, at, v):
    """Return the segment with the least slope in size, of those that have no kink within."""
    best, least, k = 0, np.inf, 0
    for i in range(len(x) - 1):
        while k < len(at) and (at[k] < i or (at[k] == i and v[k] == 0.0)):
            k += 1
        if k < len(at) and at[k] == i:
            continue
        slope = abs((y[i + 1] - y[i]) / (x[i + 1] - x[i]))
        if slope < least:
            best, least = i, slope
    return best


@njit(cache=True, nogil=True)
def place_kinks(x, y, size, first, offset, slope, at, u, v, scale, facing, unit, theta, weight):
    """Walk to the right and make offset + slope x + sum_k weight_k (a_k x + b_k)_+ meet y at the points after `first`.

    A kink within a segment has two numbers, which meet the end of the segment and the slope of the one after it; a kink
    at a point meets the next point. So the rounding of one is made up for by the next.

    Parameters
    ----------
    x, y : (P,)
        Points in order; the linear part is the function at `first`.
    size : float
        Of the targets.
    at, u, v : (K,)
        Kinks in order, as `run_kinks` gives them: their places and jumps, up to rounding.
    scale : float
        0, or the unit in which neurons are made to cost 1.
    facing, unit : float
        Of a line that is mirrored -1, and the last entry of its lifted points.
    theta, weight : (K, 2) and (K,)
        Filled, the neurons facing right or, where the line is mirrored, left.
    """
    K, P, k = len(at), len(x), 0
    f, f_low = two_sum(offset, 0.0)
    f, f_low = add_product(f, f_low, slope, 0.0, x[first], 0.0)
    s, s_low = slope, 0.0
    for i in range(first + 1, P):
        h, h_low = two_sum(x[i], -x[i - 1])
        f, f_low = add_product(f, f_low, h, h_low, s, s_low)
        while k < K and at[k] == i - 1:
            away, away_low = two_sum(y[i], -f)
            away += away_low - f_low
            a, b = 1.0, -x[i - 1]
            last = k + 1 == K or at[k + 1] != i - 1
            jump, beyond = u[k] + v[k], 0.0
            if v[k] != 0.0:
                distance = u[k] / (u[k] + v[k]) * h
                if i + 1 < P:
                    after = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
                    if k + 1 < K and at[k + 1] == i:
                        after -= u[k + 1]
                    exact = (after - s) - s_low
                    if exact * jump > 0.0:
                        jump, beyond = exact, x[i + 1] - x[i]
                    if exact * away > 0.0 and abs(away) < h * abs(exact):
                        distance = away / exact
                place, rest = two_sum(x[i], -distance)
                b, moves, most = -place, abs(u[k] + v[k]) * (distance + beyond), EXACT * size * distance
                if abs(rest) * moves > most:
                    a, b = _ratio(place, rest, most / moves)
            if scale > 0.0:
                cost = length(a, b / scale)
                a, b = a / cost, b / cost
            theta[k, 0], theta[k, 1] = facing * a, b / unit
            reach, reach_low = add_product(b, 0.0, a, 0.0, x[i], 0.0)
            # of a kink near the next point the slope beyond says more than the little that it does up to there
            weight[k] = away / reach if last and reach > 0.0 and beyond * a <= reach else jump / a
            f, f_low = add_product(f, f_low, reach, reach_low, weight[k], 0.0)
            g, g_low = two_product(weight[k], a)
            s, s_low = add(s, s_low, g, g_low)
            k += 1


@njit(cache=True, nogil=True)
def _ratio(place, rest, most):
    """Return floats a > 0 and b with -b / a within `most` of place + rest, or the nearest that there are.

    Its continued fraction p / q to nearest integers: each q z - p is what a division of the two before leaves.
    """
    unit = math.ldexp(1.0, math.frexp(place)[1])
    place, rest, most = place / unit, rest / unit, most / unit
    p_before, q_before, left_before = 1.0, 0.0, -1.0
    p, q = np.rint(place), 1.0
    left, trusted = _left(place, rest, p, q), HALF
    for _ in range(80):  # each at least doubles q
        if left == 0.0 or q * q * most >= 1.0:
            break
        if abs(left) < trusted:  # half of the digits of what is left are rounding by now
            left, left_before = _left(place, rest, p, q), _left(place, rest, p_before, q_before)
            trusted = HALF * abs(left)
            if left == 0.0:
                break
        whole = -np.rint(left_before / left)
        p_next, q_next = whole * p + p_before, whole * q + q_before
        if not max(abs(p_next), abs(q_next)) <= LARGEST:
            break
        p_before, q_before, p, q = p, q, p_next, q_next
        left_before, left = left, left_before + whole * left
    return abs(q), -p * unit if q > 0.0 else p * unit


@njit(inline="always")
def _left(place, rest, p, q):
    """Return q (place + rest) - p, place and rest two floats."""
    product, low = two_product(q, place)
    return (product - p) + (low + q * rest)
