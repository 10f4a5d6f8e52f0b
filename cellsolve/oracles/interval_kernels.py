"""phi at sorted kinks, in twice the working precision, and its largest ratio to w on the intervals between them."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.doubles import add, add_product, two_sum

#: an arc whose 1 - cos is at most this is no longer than rounding: its ends bound it, and this much more
THIN = 2.0**-50
#: error of a sum or product of double-doubles is below 2^-102 of its terms; twice that of a term and twice that of the
#: result, and what is lost of the sum of all these, make less than this share
ROUNDING = 2.0**-99


@njit(cache=True, nogil=True)
def hinge_sums(knots, first, alpha, alpha_low, backwards, phi):
    """Fill phi (N,) with sum_j alpha_j |x_j - t_i| over the data beyond t_i; return the sum of alpha and a bound.

    Parameters
    ----------
    knots : (N,)
        Sorted.
    first : (N + 1,)
        The data at knot i are alpha[first[i]] to alpha[first[i + 1] - 1].
    alpha, alpha_low : (n,)
        Numbers as sums of two floats, in the order of the knots.
    backwards : bool
        Whether beyond is to the left of t_i.

    Returns
    -------
    sum of alpha, bound on the error of every phi and of that sum
    """
    N = len(knots)
    s = s_low = f = f_low = 0.0
    s_error = f_error = 0.0  # in units of ROUNDING
    for step in range(N):
        i = step if backwards else N - 1 - step
        if step:
            other = i - 1 if backwards else i + 1
            h, h_low = two_sum(knots[max(i, other)], -knots[min(i, other)])
            f, f_low = add_product(f, f_low, h, h_low, s, s_low)
            f_error += abs(h) * (s_error + abs(s)) + abs(f)
        phi[i] = f
        for j in range(first[i], first[i + 1]):
            s, s_low = add(s, s_low, alpha[j], alpha_low[j])
            s_error += abs(s) + abs(alpha[j])
    # the result is rounded once, which the ratios account for
    return s, ROUNDING * (f_error + s_error)


@njit(cache=True, nogil=True)
def moments(x, alpha, alpha_low):
    """Return sum_j alpha_j |x_j| over the points right of 0, over those left of it, sum_j alpha_j x_j, and a bound.

    These are phi of the neurons (1, 0) and (-1, 0), and of (1, 0) where all points are active; the bound is on the
    error of each.
    """
    right = right_low = left = left_low = error = 0.0
    for j in range(len(x)):
        if x[j] > 0.0:
            right, right_low = add_product(right, right_low, x[j], 0.0, alpha[j], alpha_low[j])
        else:
            left, left_low = add_product(left, left_low, -x[j], 0.0, alpha[j], alpha_low[j])
        error += abs(right) + abs(left) + abs(x[j] * alpha[j])
    both = add(right, right_low, -left, -left_low)[0]
    return right, left, both, ROUNDING * (error + abs(right) + abs(left))


@njit(cache=True, nogil=True)
def arc(u, v, wedge):
    """The largest |ratio| on an acute arc with ratios u, v at its ends; `wedge` as in `cellsolve.line.Side`.

    On an obtuse one u - v may be small beside both, whose roundings are not: such arcs are cut in two. Within acute
    arcs it is below wedge u.

    Returns
    -------
    the ratio, and the shares A, B of the ends' unit vectors in the neuron, both 0 if it is an end
    """
    largest = max(abs(u), abs(v))
    if 0.0 <= wedge <= THIN:
        return largest * (1.0 + wedge), 0.0, 0.0
    A, B = (u - v) + v * wedge, (v - u) + u * wedge
    square = ((u - v) ** 2 / wedge + 2.0 * u * v) / (2.0 - wedge)
    if not A * B > 0.0:
        return largest, 0.0, 0.0
    return max(largest, np.sqrt(max(square, 0.0))), abs(A), abs(B)


@njit(cache=True, nogil=True)
def segment_suprema(phi, left_cost, right_cost, wedge, ends, inside, place):
    """Fill, for the segments between knots, the ratios |phi| / w at both ends and within.

    Parameters
    ----------
    phi : (N,)
    left_cost, right_cost, wedge : (N - 1,)
        w at the ends of the segments, and the angle between the neurons there, as in `cellsolve.line.Side`.
    ends, inside : (N - 1,), or (0,)
        Filled, unless empty: the larger ratio of the two ends, and the largest within, or -1 where that is an end, or
        the arc obtuse.
    place : (N - 1,)
        Filled with where within it is, as a share of the segment.

    Returns
    -------
    the largest ratio
    """
    best = 0.0
    for i in range(len(wedge)):
        u = phi[i] / left_cost[i] if left_cost[i] > 0.0 else 0.0
        v = phi[i + 1] / right_cost[i] if right_cost[i] > 0.0 else 0.0
        value, A, B = arc(u, v, max(wedge[i], 0.0))
        best = max(best, value)
        if not len(ends):
            continue
        ends[i] = max(abs(u), abs(v))
        inside[i] = -1.0
        if A > 0.0 and B > 0.0:
            inside[i] = value
            A, B = A / left_cost[i], B / right_cost[i]
            place[i] = B / (A + B)
    return best
