"""The values of a network of one input, in time that grows with neurons plus points and not with their product."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array
from cellsolve.doubles import add, add_product, two_product, two_sum


def network_on_line(
    neurons: Array,
    weights: Array,
    order: np.ndarray,
    ordered: Array,
    linear: Array | None = None,
    offset: Array | None = None,
) -> Array:
    """Return sum_k weights_k relu(a_k x + b_k) + linear x + offset, (n, m), for points x (n,).

    `neurons` are (K, 2), `weights` (K, m), `linear` and `offset` (m,), and `ordered` the points in order, x[order].
    Sums are of two floats each: many steep kinks that cancel, as those of an interpolant do, cost no digits.
    """
    values, low, result = np.empty((3, len(order), weights.shape[1]))
    a = neurons[:, 0]
    for facing in (1.0, -1.0):
        here, kinks = np.empty(len(a), dtype=np.int64), np.empty(len(a))
        count, rises, falls = _facing(facing, neurons, here, kinks)
        here = here[:count]
        if falls and not rises:
            here = here[::-1].copy()
        elif not rises:
            here = here[np.argsort(kinks[:count], kind="stable")]
        _walk(facing, neurons, weights, here, ordered, values, low)
    nothing = np.zeros(weights.shape[1])
    linear, offset = (nothing if free is None else np.ascontiguousarray(free).ravel() for free in (linear, offset))
    _put(values, low, neurons, weights, linear, offset, order, ordered, result)
    return result


@njit(cache=True, nogil=True)
def _put(values, low, neurons, weights, linear, offset, order, ordered, result):
    """Fill result (n, m) with values + low, which are in order, and what has no kink, rounded once."""
    for j in range(values.shape[1]):
        c, c_low = offset[j], 0.0
        for k in range(len(neurons)):
            if neurons[k, 0] == 0.0 and neurons[k, 1] > 0.0:
                c, c_low = add_product(c, c_low, neurons[k, 1], 0.0, weights[k, j], 0.0)
        for i in range(len(order)):
            f, f_low = add(values[i, j], low[i, j], c, c_low)
            f, f_low = add_product(f, f_low, linear[j], 0.0, ordered[i], 0.0)
            result[order[i], j] = f + f_low


@njit(cache=True, nogil=True)
def _facing(facing, neurons, here, kinks):
    """Fill with the neurons (a, b) that face one way and their kinks in this direction.

    Returns
    -------
    how many these are, and whether their kinks never fall, or never rise
    """
    count, rises, falls = 0, True, True
    for k in range(len(neurons)):
        a = facing * neurons[k, 0]
        if a > 0.0:
            here[count], kinks[count] = k, -neurons[k, 1] / a
            if count:
                rises = rises and kinks[count] >= kinks[count - 1]
                falls = falls and kinks[count] <= kinks[count - 1]
            count += 1
    return count, rises, falls


@njit(cache=True, nogil=True)
def _walk(facing, neurons, weights, here, x, values, low):
    """Make values + low (n, m) at sorted x the neurons `here`, in the order in which the walk meets their kinks.

    Those that face left are added to what there is.
    """
    n, m = len(x), weights.shape[1]
    for j in range(m):
        f = f_low = s = s_low = before = 0.0
        k = 0
        for step in range(n):
            i = step if facing > 0.0 else n - 1 - step
            at = facing * x[i]
            if k > 0:
                h, h_low = two_sum(at, -before)
                f, f_low = add_product(f, f_low, h, h_low, s, s_low)
            before = at
            while k < len(here):
                a, b = facing * neurons[here[k], 0], neurons[here[k], 1]
                if not a * at + b > 0.0:
                    break
                c = weights[here[k], j]  # its line, at this point and from here on
                reach, reach_low = add_product(b, 0.0, a, 0.0, at, 0.0)
                f, f_low = add_product(f, f_low, c, 0.0, reach, reach_low)
                g, g_low = two_product(c, a)
                s, s_low = add(s, s_low, g, g_low)
                k += 1
            values[i, j], low[i, j] = (f, f_low) if facing > 0.0 else add(values[i, j], low[i, j], f, f_low)
