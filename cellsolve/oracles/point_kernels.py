"""numba kernels for the points that are undecided on a cone: a row of values for each generator.

Sums over points are then sums over consecutive numbers, of which a processor takes several at once: loops run over
slices from 0 on, which lets the compiler see that, and the order of a sum is left to it. Bounds on the rounding of a
sum hold in any order.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a, b):
    """<a, b>, b being at least as long as a."""
    total = 0.0
    for q in range(len(a)):
        total += a[q] * b[q]
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot_positive(a, b):
    """<a, max(b, 0)>, a being at least as long as b."""
    total = 0.0
    for q in range(len(b)):
        total += a[q] * max(b[q], 0.0)
    return total


@njit(cache=True, nogil=True)
def mix(Z, lo, hi, mu, out):
    """Fill out with sum_k mu_k z_k for the points lo:hi."""
    count = hi - lo
    row, share = Z[0, lo:hi], mu[0]
    for q in range(count):
        out[q] = share * row[q]
    for k in range(1, len(mu)):
        row, share = Z[k, lo:hi], mu[k]
        for q in range(count):
            out[q] += share * row[q]


@njit(cache=True, nogil=True)
def narrow(idx, Z, lo, hi, new, other, fresh, low, high, keep):
    """Append to the list the points lo:hi that are undecided after an edge was halved; return its new end.

    Parameters
    ----------
    idx, Z : (room,), (D, room)
        The points, and their values at the generators.
    new, other : int
        Generator `new` moves half way to `other`; below 0: it stays.
    fresh, low, high, keep
        Space; `low` and `high` are filled with the least and the largest value of each point lo:hi.
    """
    count, D = hi - lo, len(Z)
    if new >= 0:
        row, to = Z[new, lo:hi], Z[other, lo:hi]
        for q in range(count):
            fresh[q] = 0.5 * (row[q] + to[q])
    for k in range(D):
        row = fresh[:count] if k == new else Z[k, lo:hi]
        if k == 0:
            for q in range(count):
                low[q] = high[q] = row[q]
        else:
            for q in range(count):
                low[q] = min(low[q], row[q])
                high[q] = max(high[q], row[q])
    left = 0
    for q in range(count):
        keep[left] = q
        left += (low[q] < 0.0) & (high[q] > 0.0)
    end = hi + left
    for k in range(D):
        row, out = fresh[:count] if k == new else Z[k, lo:hi], Z[k, hi:end]
        for q in range(left):
            out[q] = row[keep[q]]
    numbers, chosen = idx[lo:hi], idx[hi:end]
    for q in range(left):
        chosen[q] = numbers[keep[q]]
    return end


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def majorant(Z, lo, hi, along, mu, z, taken, concave):
    """Return what the points lo:hi add to phi at mu, and fill what those that are concave add to its majorant there.

    Parameters
    ----------
    along : (n,)
        Their alpha_i.
    z, taken : (n,), (n,)
        Space; z is filled with the values of the points at mu.
    concave : (D,)
        sum of alpha_i z_ik over the points that are concave and active at mu.
    """
    mix(Z, lo, hi, mu, z)
    value = 0.0
    for q in range(hi - lo):
        a = along[q] if z[q] > 0.0 else 0.0
        value += a * z[q]
        taken[q] = min(a, 0.0)
    for k in range(len(mu)):
        concave[k] = dot(Z[k, lo:hi], taken)
    return value


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def bend(Z, lo, hi, weights, i, j):
    """How much the points lo:hi bend along an edge: weights times the smaller |z|, where signs differ."""
    one, two = Z[i, lo:hi], Z[j, lo:hi]
    total = 0.0
    for q in range(hi - lo):
        total += weights[q] * max(min(one[q], -two[q]), min(-one[q], two[q]), 0.0)
    return total
