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

from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpstrf

from cellsolve.compression.groups import lengths, rows
from cellsolve.compression.reduction import DEPENDENT, independent
from cellsolve.data import Array

#: Levenberg's share of each curvature: neurons that are alike make the Hessian singular, up to rounding of 1e-13
DAMPING = 1e-10
#: what f rounds, of itself: neurons may be left out at that price
ROUNDING = 1e-13
#: pivots of a quadratic program, most of which take less than ten, and those without progress until one goes at a time
PIVOTS, PATIENCE = 200, 3
#: a step is shortened until f falls
SHARES = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)


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

    @cached_property
    def curvatures(self) -> tuple[Array, Array]:
        """The Hessian of f, divided by the roots of its diagonal from both sides, and these."""
        count = len(self.scales)
        reduced = self.weights / self.roots**2
        product = cho_solve(self.factor, self.roots * self.gram, check_finite=False) / self.roots
        hessian = self.lam * product * (reduced @ reduced.T)
        hessian = hessian.reshape(count, self.size, count, self.size).sum(axis=(1, 3))
        if not (hessian.diagonal() > 0).all():
            raise np.linalg.LinAlgError("a curvature is lost in rounding")
        roots = np.sqrt(hessian.diagonal())
        return (hessian + hessian.T) / (2 * np.outer(roots, roots)), roots

    @property
    def singular(self) -> bool:
        """Whether f is linear along a line, but for rounding: neurons make up for each other."""
        return bool(dpstrf(self.curvatures[0], tol=DEPENDENT, lower=1)[2] < len(self.scales))

    def step(self) -> Array:
        """Return Newton's step of the scales, which leads to none that is negative."""
        hessian, roots = self.curvatures
        hessian[np.diag_indices_from(hessian)] = 1 + DAMPING
        slopes = self.lam / 2 * (1 - lengths(self.weights / self.roots**2, self.size) ** 2)
        return nonnegative(hessian, slopes / roots, self.scales * roots) / roots


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
    def ridge(groups: np.ndarray, scales: Array) -> Ridge:
        at = rows(groups, size)
        return Ridge(gram[np.ix_(at, at)], cross[at], lam, scales, size)

    support = np.flatnonzero(lengths(weights, size))
    if not len(support):
        return weights
    here = ridge(support, lengths(weights, size)[support])
    for _ in range(steps):
        if here.singular:  # a line that Newton's method does not see the end of: to where a neuron vanishes
            sizes = lengths(independent(here.gram, here.weights, size), size)
            tried = ridge(support[sizes > 0], sizes[sizes > 0])
            if len(tried.scales) < len(support) and tried.value <= here.value + ROUNDING * abs(here.value):
                support, here = support[sizes > 0], tried
        step = here.step()
        for share in SHARES:
            scales = here.scales + share * step
            kept = np.flatnonzero(scales > 0)
            tried = ridge(support[kept], scales[kept])
            if tried.value <= here.value:
                break
        else:
            break
        gain = here.value - tried.value
        support, here = support[kept], tried
        if gain < enough or not len(support):
            break
    result = np.zeros_like(weights)
    result[rows(support, size)] = here.weights
    return result


def nonnegative(hessian: Array, slopes: Array, scales: Array) -> Array:
    """Return the step t that minimises <slopes, t> + t' H t / 2 over scales + t >= 0, with H positive definite.

    Block principal pivoting: all signs that are wrong are changed at once, and, where that does not lead to fewer for a
    while, the last one only, which ends (Júdice and Pires 1994).
    """
    linear = slopes - hessian @ scales
    free = np.ones(len(scales), dtype=bool)
    least, patience = len(scales) + 1, PATIENCE
    for _ in range(PIVOTS):
        solution = np.zeros_like(scales)
        if free.any():
            inside = hessian[np.ix_(free, free)]
            solution[free] = -cho_solve(cho_factor(inside, check_finite=False), linear[free], check_finite=False)
        gradient = linear + hessian @ solution
        wrong = np.where(free, solution < 0, gradient < -ROUNDING * np.abs(linear).max())
        count = int(wrong.sum())
        if not count:
            break
        if count < least:
            least, patience = count, PATIENCE
        elif patience:
            patience -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    return np.maximum(solution, 0.0) - scales
