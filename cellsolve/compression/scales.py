r"""Newton's method on the scales of the neurons, for the group lasso on the products of its features.

As lam |v| is the least value of lam (|v|^2 / eta + eta) / 2 over eta > 0, reached at eta = |v|, the group lasso is

    min over eta >= 0 of f(eta),
    f(eta) = min over V of |Phi V - Psi|^2 / 2N + lam / 2 sum_g (|V_g|^2 / eta_g + eta_g),

smooth and convex in as many numbers as there are neurons, however many outputs there are. With Z_g = V_g / eta_g,

    df / d eta_g = lam (1 - |Z_g|^2) / 2,      d2f / d eta_g d eta_h = lam <P, Z Z'>_gh,
    P = D^-1 (lam I + D G D)^-1 D G,  D = diag(eta)^1/2,

with <.,.>_gh the sum over the block of two groups, so that the Hessian is positive semidefinite by Schur's product
theorem, and a step costs two factorisations of the size of the support. Badly conditioned features, on which
first-order methods need tens of thousands of passes, take it twenty steps.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve

from cellsolve.data import Array

#: Levenberg's share of each curvature: neurons that are alike make the Hessian singular, up to rounding of 1e-13
DAMPING = 1e-10
#: a step is shortened by this until the objective falls
SHORTER = 0.3
#: shorter than this share of Newton's step, none is taken
SHORTEST = 1e-4


class Ridge:
    """The weights V that are best where the scales eta > 0 are held, and f there; scales and groups are those given."""

    def __init__(self, gram: Array, cross: Array, lam: float, scales: Array, size: int) -> None:
        self.gram, self.lam, self.scales, self.size = gram, lam, scales, size
        self.roots = np.repeat(np.sqrt(scales), size)[:, None]
        inside = self.roots * gram * self.roots.T
        inside[np.diag_indices_from(inside)] += lam
        self.factor = cho_factor(inside, lower=True, overwrite_a=True, check_finite=False)
        self.weights = self.roots * cho_solve(self.factor, self.roots * cross, check_finite=False)
        #: f less |Psi|^2 / 2N
        self.value = float(lam * scales.sum() - np.vdot(self.weights, cross)) / 2

    def step(self) -> Array:
        """Return Newton's step of the scales."""
        count = len(self.scales)
        reduced = self.weights / self.roots**2
        slopes = self.lam / 2 * (1 - lengths(reduced, self.size) ** 2)
        product = cho_solve(self.factor, self.roots * self.gram, check_finite=False) / self.roots
        hessian = self.lam * product * (reduced @ reduced.T)
        hessian = hessian.reshape(count, self.size, count, self.size).sum(axis=(1, 3))
        curvatures = np.sqrt(hessian.diagonal())
        hessian = (hessian + hessian.T) / (2 * np.outer(curvatures, curvatures))
        hessian[np.diag_indices(count)] += DAMPING
        return -solve(hessian, slopes / curvatures, assume_a="pos", check_finite=False) / curvatures


def descend(
    gram: Array, cross: Array, lam: float, weights: Array, size: int, *, enough: float, steps: int = 20
) -> Array:
    """Return weights (q, m) that are no worse: Newton's method among the neurons that have some, which may lose them.

    It ends after a step that lowers f by less than `enough`, or where no step lowers it; where lam is nothing beside
    the rounding of the products, no step is taken.
    """
    try:
        return _descend(gram, cross, lam, weights, size, enough, steps)
    except np.linalg.LinAlgError:
        return weights


def _descend(gram: Array, cross: Array, lam: float, weights: Array, size: int, enough: float, steps: int) -> Array:
    scales = lengths(weights, size)
    support = np.flatnonzero(scales)
    inside = rows(support, size)
    here = Ridge(gram[np.ix_(inside, inside)], cross[inside], lam, scales[support], size)
    for _ in range(steps):
        step, share, value = here.step(), 1.0, here.value
        while share > SHORTEST:
            scales = np.maximum(here.scales + share * step, 0)
            kept = np.flatnonzero(scales)
            inside = rows(support[kept], size)
            tried = Ridge(gram[np.ix_(inside, inside)], cross[inside], lam, scales[kept], size)
            if tried.value <= value:
                break
            share *= SHORTER
        else:
            break
        support, here = support[kept], tried
        if value - here.value < enough:
            break
    result = np.zeros_like(weights)
    result[rows(support, size)] = here.weights
    return result


def lengths(weights: Array, size: int) -> Array:
    """Return the norms of the groups of `size` rows of weights (q, m)."""
    return np.linalg.norm(weights.reshape(-1, size * weights.shape[1]), axis=1)


def rows(groups: np.ndarray, size: int) -> np.ndarray:
    """Return the rows of groups."""
    return (groups[:, None] * size + np.arange(size)).ravel()
