"""The values of a network of one input, in time that grows with neurons plus points and not with their product."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array
from cellsolve.doubles import add, add_product, two_product, two_sum


def network_on_line(neurons: Array, weights: Array, order: np.ndarray, ordered: Array) -> Array:
    """Return sum_k weights_k relu(a_k x + b_k), (n, m), for neurons (K, 2), weights (K, m) and points x (n,).

    `ordered` are the points in order, x[order]. Sums are of two floats each: many steep kinks that cancel, as those of
    an interpolant do, cost no digits.
    """
    values = np.zeros((len(order), weights.shape[1]))
    a, b = neurons.T
    for facing in (1.0, -1.0):
        here = np.flatnonzero(facing * a > 0)
        kinks = -b[here] / np.abs(a[here])  # in the direction that they face
        if (kinks[1:] < kinks[:-1]).any():
            here = here[np.argsort(kinks, kind="stable")]
        _walk(facing, facing * a[here], b[here], weights[here], ordered, values)
    flat = a == 0
    if flat.any():
        values += np.maximum(b[flat], 0.0) @ weights[flat]
    result = np.empty_like(values)
    result[order] = values
    return result


@njit(cache=True, nogil=True)
def _walk(facing, a, b, weights, x, values):
    """Add to values (n, m) at sorted points x the neurons a > 0, in the order in which the walk meets their kinks."""
    n, m = len(x), weights.shape[1]
    for j in range(m):
        f = f_low = s = s_low = before = 0.0
        k = 0
        for step in range(n):
            i = step if facing > 0.0 else n - 1 - step
            here = facing * x[i]
            if k == 0 and not (len(a) and a[0] * here + b[0] > 0.0):  # nothing responds yet
                continue
            if k > 0:
                h, h_low = two_sum(here, -before)
                f, f_low = add_product(f, f_low, h, h_low, s, s_low)
            before = here
            while k < len(a) and a[k] * here + b[k] > 0.0:  # its line, at this point and from here on
                c = weights[k, j]
                reach, reach_low = add_product(b[k], 0.0, a[k], 0.0, here, 0.0)
                f, f_low = add_product(f, f_low, c, 0.0, reach, reach_low)
                g, g_low = two_product(c, a[k])
                s, s_low = add(s, s_low, g, g_low)
                k += 1
            values[i, j] += f + f_low
