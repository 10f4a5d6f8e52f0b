"""One pass of block coordinate descent for the group lasso, on the products of its features."""

from __future__ import annotations

import numpy as np
from numba import njit

#: rows whose residuals come from one product of matrices: enough for BLAS to be at its best, and what they owe each
#: other, which is brought up to date in plain loops, stays a small part
BLOCK = 32


@njit(cache=True, nogil=True, error_model="numpy")
def sweep(gram, cross, lam, bounds, size, weights, room):
    """Minimise over each group of rows in turn, the others held; each time the objective falls, or stays.

    Of tr(V' G V) / 2 - tr(V' C) + lam sum_g |V_g|, with `gram` G (q, q), `cross` C (q, m), groups of `size` rows of
    `weights` V (q, m), which is overwritten, and `bounds` at least the norms of the diagonal blocks of G. A group of
    one row is minimised over exactly. `room` has shape (BLOCK + 2 * size, m) at least.
    """
    q, m = weights.shape
    step = max(1, BLOCK // size) * size
    for start in range(0, q, step):
        stop = min(q, start + step)
        residual = room[: stop - start]
        np.dot(gram[start:stop], weights, residual)
        for i in range(start, stop):
            for t in range(m):
                residual[i - start, t] = cross[i, t] - residual[i - start, t]
        moves = room[stop - start : stop - start + size]
        for first in range(start, stop, size):
            group = first // size
            bound = bounds[group]
            if bound <= 0.0:
                continue
            square = 0.0
            for i in range(first, first + size):
                for t in range(m):
                    value = residual[i - start, t] + bound * weights[i, t]
                    square += value * value
            length = np.sqrt(square)
            factor = (1.0 - lam / length) / bound if length > lam else 0.0
            moved = False
            for i in range(first, first + size):
                for t in range(m):
                    old = weights[i, t]
                    new = factor * (residual[i - start, t] + bound * old)
                    weights[i, t] = new
                    moves[i - first, t] = new - old
                    moved = moved or new != old
            if moved:
                for j in range(first + size, stop):
                    for i in range(size):
                        product = gram[j, first + i]
                        for t in range(m):
                            residual[j - start, t] -= product * moves[i, t]
