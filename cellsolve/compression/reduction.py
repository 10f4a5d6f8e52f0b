"""Fewer neurons at the same cost: a solution whose neurons' contributions are linearly independent."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.lapack import dpstrf

from cellsolve.compression.groups import lengths, rows
from cellsolve.data import Array

#: Share of the largest eigenvalue below which contributions count as dependent: the square of 1e-6, as products of
#: matrices round at 1e-16 and neurons that are alike up to rounding of float32 should be found too. What is lost is
#: made good by solving on the rest, and the objective decides.
DEPENDENT = 1e-12


def independent(gram: Array, weights: Array, size: int) -> Array:
    r"""Return weights on fewer neurons with nearly the same :math:`\Phi V`, and a norm that is not larger.

    Where sum_g t_g Phi_g V_g = 0, all V_g (1 + s t_g) give the same outputs, and s or -s costs no more, until a neuron
    vanishes. Contributions Phi_g V_g have inner products <G, V V'>_gh and rank at most rank(Phi) rank(Phi V), so no
    more neurons are left (Shenouda et al. 2023). The same array is returned where there is nothing to leave out.
    """
    sizes = lengths(weights, size)
    support = np.flatnonzero(sizes)
    if len(support) < 2:
        return weights
    at = rows(support, size)
    count = len(support)
    units = weights[at] / np.repeat(sizes[support], size)[:, None]
    products = (gram[np.ix_(at, at)] * (units @ units.T)).reshape(count, size, count, size).sum(axis=(1, 3))
    roots = np.sqrt(np.maximum(products.diagonal(), np.finfo(float).tiny))
    products /= np.outer(roots, roots)
    if dpstrf(products, tol=DEPENDENT, lower=1)[2] == count:  # a tenth of the time of eigenvalues
        return weights
    values, vectors = eigh(products, check_finite=False)
    left = _vanishing(sizes[support], vectors[:, values <= DEPENDENT * values[-1]] / roots[:, None])
    if left.all():
        return weights
    reduced = np.zeros_like(weights)
    reduced[at] = units * np.repeat(left, size)[:, None]
    return reduced


def _vanishing(sizes: Array, null: Array) -> Array:
    """Return sizes moved along the directions `null` (count, k), their sum not up, until k of them are zero."""
    left = sizes.copy()
    while null.shape[1]:
        direction = null[:, 0] * (-1.0 if null[:, 0].sum() > 0 else 1.0)
        falling = np.flatnonzero(direction < 0)
        if not len(falling):
            break
        ratios = left[falling] / -direction[falling]
        gone = falling[np.argmin(ratios)]
        left = np.maximum(left + ratios.min() * direction, 0.0)
        left[gone] = 0.0
        # a basis of the directions that leave it at zero
        pivot = np.argmax(np.abs(null[gone]))
        others = np.delete(null, pivot, axis=1)
        null = others - np.outer(null[:, pivot], others[gone] / null[gone, pivot])
        null[gone] = 0.0
    return left
