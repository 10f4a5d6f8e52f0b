"""Potentials w(theta): what a neuron costs. On a cell, w(theta) = ||M_s theta||_p.

The pair (M_s, p) is all that the programs and the oracles need of a potential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellsolve.data import Array, lengths

#: unit roundoff of float64
UNIT = 2.0**-53


class Potential(ABC):
    """A positively homogeneous, nonnegative cost w of a neuron theta = (a, b), convex on every cell."""

    name: str
    #: the p of ||M_s theta||_p
    order: int = 2
    #: w(theta; 2^j X~) = 2^(j degree) w(theta; X~)
    data_degree: int = 0

    @abstractmethod
    def value(self, theta: Array, lifted: Array, bias: bool) -> Array:
        """Return w of each row of `theta` (K, D); shape (K,)."""

    @abstractmethod
    def cell_matrices(self, patterns: np.ndarray, lifted: Array, bias: bool) -> Array:
        """Return M_s for each pattern: shape (S, r, D), or (1, r, D) where it is the same on every cell."""

    @abstractmethod
    def crude_bound(self, alpha: Array, lifted: Array, bias: bool) -> float:
        """Return a bound on sup ||phi_alpha(theta)|| / w(theta) that needs no cells; alpha is (n, m), B^T alpha = 0."""

    def unit_columns(self, D: int, bias: bool) -> list[list[int]]:
        """Return the groups of columns of X~ whose units can be changed without changing the problem.

        Changing the unit of a group rescales the entries of theta there; a group by itself if that only multiplies w.
        The first group holds the unit of w.
        """
        return [list(range(D))]

    def free_constant(self, bias: bool) -> bool:
        """Whether constants cost nothing, so that the free part has to hold them."""
        return False

    def moves(self, bias: bool) -> bool:
        """Whether the data can be moved: w of a neuron is that of the one with the same responses at other points."""
        return False

    @property
    def depends_on_data(self) -> bool:
        """Whether w changes with the data."""
        return self.data_degree > 0

    @property
    def jumps(self) -> bool:
        """Whether w is discontinuous where cells meet."""
        return False

    @property
    def params(self) -> dict[str, Any]:
        """What defines the potential beside its name."""
        return {}


def _one_sided(alpha: Array, reach: Array) -> float:
    """Return max over sign of sum_i alpha_i^sign reach_i (one output) or sum_i ||alpha_i|| reach_i, rounded up.

    A sum of n nonnegative products has relative error below (n + m + 2) u; four times that leaves room for the
    rounding of `reach` itself.
    """
    n, m = alpha.shape
    if m == 1:
        column = alpha[:, 0]
        total = max(np.maximum(column, 0) @ reach, np.maximum(-column, 0) @ reach)
    else:
        total = np.linalg.norm(alpha, axis=1) @ reach
    return float(total * (1 + 4 * (n + m + 2) * UNIT))


@dataclass(frozen=True)
class Variation(Potential):
    """w = ||(a, b)||_2: weight decay on weights and biases (variation norm, path norm)."""

    name: str = field(default="variation", init=False)

    def value(self, theta, lifted, bias):
        return lengths(theta)

    def cell_matrices(self, patterns, lifted, bias):
        return np.eye(lifted.shape[1])[None]

    def crude_bound(self, alpha, lifted, bias):
        return _one_sided(alpha, np.linalg.norm(lifted, axis=1))


@dataclass(frozen=True)
class Slope(Potential):
    """w = ||a||_2: weight decay that leaves the biases out."""

    name: str = field(default="slope", init=False)

    def value(self, theta, lifted, bias):
        return lengths(theta[:, :-1] if bias else theta)

    def cell_matrices(self, patterns, lifted, bias):
        D = lifted.shape[1]
        return np.eye(D)[None, : D - 1 if bias else D]

    def crude_bound(self, alpha, lifted, bias):
        if not bias:
            return _one_sided(alpha, np.linalg.norm(lifted, axis=1))
        # sum alpha = 0: phi = sum alpha_i (sigma_i - sigma(centre)), each difference at most ||a|| ||x_i - centre||,
        # of either sign, so both signs of alpha count
        points = lifted[:, :-1]
        distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
        slack = 4 * np.abs(points).max(initial=0.0) * np.sqrt(points.shape[1]) * UNIT
        n, m = alpha.shape
        size = np.abs(alpha[:, 0]) if m == 1 else np.linalg.norm(alpha, axis=1)
        return float((size @ (distance + slack)) * (1 + 4 * (n + m + 2) * UNIT))

    def unit_columns(self, D, bias):
        return [list(range(D - 1)), [D - 1]] if bias else [list(range(D))]

    def free_constant(self, bias):
        return bias

    def moves(self, bias):
        return bias


@dataclass(frozen=True)
class L1(Potential):
    """w = ||(a, b)||_1: the l1 path norm."""

    name: str = field(default="l1", init=False)
    order = 1

    def value(self, theta, lifted, bias):
        return np.abs(theta).sum(axis=1)

    def cell_matrices(self, patterns, lifted, bias):
        return np.eye(lifted.shape[1])[None]

    def crude_bound(self, alpha, lifted, bias):
        return _one_sided(alpha, np.abs(lifted).max(axis=1))


@dataclass(frozen=True)
class LabelNoise(Potential):
    """w = sqrt(mean_i sigma(<theta, x~_i>)^2), de Dios & Bruna eq. 13.

    With ``full=True`` times 2 r_s, r_s = sqrt(mean_i s_i ||x~_i||^2) on the cell s: their eq. 12 minimised over
    the scale of the neuron, which keeps the factor that eq. 13 drops.
    """

    full: bool = False
    name: str = field(default="label_noise", init=False)

    def __post_init__(self):
        if not isinstance(self.full, (bool, np.bool_)):
            raise ValueError(f"full is {self.full!r}; pass True or False.")
        object.__setattr__(self, "full", bool(self.full))

    @property
    def data_degree(self):  # type: ignore[override]
        return 2 if self.full else 1

    def value(self, theta, lifted, bias):
        response = np.maximum(theta @ lifted.T, 0.0)
        power = np.frexp(response.max(axis=1, initial=0.0))[1]  # squares may underflow
        size = np.ldexp(np.sqrt(np.mean(np.ldexp(response, -power[:, None]) ** 2, axis=1)), power)
        return size * self._factor(response > 0, lifted) if self.full else size

    def cell_matrices(self, patterns, lifted, bias):
        n, D = lifted.shape
        result = np.zeros((len(patterns), D, D))
        step = max(1, 2**22 // max(1, n * D))  # about 32 MB a block
        for start in range(0, len(patterns), step):
            block = patterns[start : start + step, :, None] * lifted[None]
            triangle = np.linalg.qr(block, mode="r") / np.sqrt(n)
            result[start : start + step, : triangle.shape[1]] = triangle
        if self.full:
            result *= self._factor(patterns, lifted)[:, None, None]
        return result

    def crude_bound(self, alpha, lifted, bias):
        n, m = alpha.shape
        up = 1 + 8 * (n + m + lifted.shape[1] + 2) * UNIT
        size = np.maximum(alpha, 0), np.maximum(-alpha, 0)
        parts = [part[:, 0] for part in size] if m == 1 else [np.linalg.norm(alpha, axis=1)]
        if not self.full:
            return float(np.sqrt(n) * max(np.linalg.norm(part) for part in parts) * up)
        # ||alpha_s|| / sqrt(sum_s ||x~_i||^2) is at most the largest of the single ratios (a mediant)
        norms = np.linalg.norm(lifted, axis=1)
        seen = norms > 0
        return float(max((n / 2 * (part[seen] / norms[seen]).max(initial=0.0)) for part in parts) * up)

    def unit_columns(self, D, bias):
        return [list(range(D))] if self.full else [[c] for c in range(D)]

    def moves(self, bias):
        return bias and not self.full

    @property
    def jumps(self):
        return self.full

    @property
    def params(self):
        return {"full": self.full} if self.full else {}

    @staticmethod
    def _factor(active, lifted):
        return 2 * np.sqrt(active @ np.sum(lifted**2, axis=1) / len(lifted))


#: one line a potential; `Potential` objects are accepted wherever a name is
POTENTIALS: dict[str, type[Potential]] = {
    "variation": Variation,
    "slope": Slope,
    "label_noise": LabelNoise,
    "l1": L1,
}


def as_potential(penalty: Any) -> Potential:
    """Return the Potential of that name, or the object itself."""
    if isinstance(penalty, Potential):
        return penalty
    if isinstance(penalty, str) and penalty in POTENTIALS:
        return POTENTIALS[penalty]()
    raise ValueError(
        f"penalty is {penalty!r}; choose one of {', '.join(POTENTIALS)}, "
        "or pass a Potential such as LabelNoise(full=True)."
    )
