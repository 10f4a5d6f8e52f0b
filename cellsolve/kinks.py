"""The values of a network of one input, in time that grows with neurons plus points and not with their product."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array, sorting
from cellsolve.doubles import add, add_product, two_product, two_sum


def network_on_line(neurons: Array, weights: Array, x: Array, order: np.ndarray | None = None) -> Array:
    """Return sum_k weights_k relu(a_k x + b_k), (n, m), for neurons (K, 2), weights (K, m) and points x (n,).

    `order` is that of x, where it is known.

    Sums are of two floats each: many steep kinks that cancel, as those of an interpolant do, cost no digits.
    """
    order = sorting(x) if order is None else order
    values = np.zeros((len(x), weights.shape[1]))
    a, b = neurons.T
    for facing in (1.0, -1.0):
        here = np.flatnonzero(facing * a > 0)
        here = here[np.argsort(-b[here] / np.abs(a[here]), kind="stable")]  # by their kinks, from behind
        by = order if facing > 0 else order[::-1]
        _walk(facing * a[here], b[here], weights[here], facing * x[by], by, values)
    flat = a == 0
    return values + np.maximum(b[flat], 0.0) @ weights[flat]


@njit(cache=True, nogil=True)
def _walk(a, b, weights, x, order, values):
    """Add to values (n, m) the neurons a > 0, in the order of their kinks, at sorted points x; order says which."""
    m = weights.shape[1]
    for j in range(m):
        f = f_low = s = s_low = 0.0
        k, before = 0, 0.0
        for i in range(len(x)):
            if k == 0 and not (len(a) and a[0] * x[i] + b[0] > 0.0):  # nothing responds yet
                continue
            if k == 0:
                before = x[i]
            h, h_low = two_sum(x[i], -before)
            f, f_low = add_product(f, f_low, h, h_low, s, s_low)
            before = x[i]
            while k < len(a) and a[k] * x[i] + b[k] > 0.0:  # its line, at this point and from here on
                c = weights[k, j]
                reach, reach_low = add_product(b[k], 0.0, a[k], 0.0, x[i], 0.0)
                f, f_low = add_product(f, f_low, c, 0.0, reach, reach_low)
                g, g_low = two_product(c, a[k])
                s, s_low = add(s, s_low, g, g_low)
                k += 1
            values[order[i], j] += f + f_low
