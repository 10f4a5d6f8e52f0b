"""Units that are powers of two: data of size about 1, and nothing rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array


@dataclass(frozen=True)
class Units:
    """The way from a normalized problem back: everything is a power of two."""

    x: int
    y: int
    basis: np.ndarray
    value: float
    data_degree: int
    columns: np.ndarray

    def neurons(self, theta: Array) -> Array:
        """Neurons in the caller's units: <theta, x~> = 2^x <theta', x~'>."""
        return _shifted(theta, -self.columns)

    def neurons_inside(self, theta: Array) -> Array:
        """Neurons of the caller in normalized units."""
        return _shifted(theta, self.columns)

    def weights(self, weights: Array) -> Array:
        """Outer weights in the caller's units."""
        return _shifted(weights, self.y - self.x)

    def weights_inside(self, weights: Array) -> Array:
        """Outer weights of the caller in normalized units."""
        return _shifted(weights, self.x - self.y)

    def coefficients(self, coefficients: Array) -> Array:
        """Coefficients of the free part in the caller's units."""
        return np.ldexp(coefficients, self.y - self.basis[:, None]) if len(self.basis) else coefficients

    def coefficients_inside(self, coefficients: Array) -> Array:
        """Coefficients of the caller's free part in normalized units."""
        return np.ldexp(coefficients, self.basis[:, None] - self.y) if len(self.basis) else coefficients

    def alpha(self, alpha: Array) -> Array:
        """Dual vector in the caller's units."""
        return _shifted(alpha * self.value, -self.y)

    def supremum(self, supremum: float) -> float:
        """Sup |phi| / w in the caller's units."""
        return float(np.ldexp(supremum * self.value, self.x - self.y - self.x * self.data_degree))


def largest_exponent(array: Array) -> int:
    """Return the exponent e with 2^(e-1) <= max |array| < 2^e; 0 for no or zero entries."""
    size = max(array.max(initial=0.0), -array.min(initial=0.0))
    return int(np.frexp(size)[1]) if size > 0 else 0


def power(exponent: int) -> float:
    """Return 2^exponent."""
    return float(np.ldexp(1.0, exponent))


def _shifted(array: Array, exponent: int | np.ndarray) -> Array:
    """Return array 2^exponent; a product where it can be, which is ten times quicker."""
    if not np.any(exponent):
        return array
    if np.abs(exponent).max() > 1000:
        return np.ldexp(array, exponent)
    power = np.ldexp(1.0, exponent)
    if power.ndim == 0 or (power == power[0]).all():
        return array * power.flat[0]
    return np.column_stack([column * factor for column, factor in zip(array.T, power, strict=True)])


def exact_scale(array: Array, exponent: int | np.ndarray) -> Array:
    """Return array 2^exponent, one exponent a column or for all.

    Raises
    ------
    ValueError
        Entries would be rounded, below the smallest float or above the largest.
    """
    scaled = _shifted(array, exponent)
    if scaled is not array and not np.array_equal(_shifted(scaled, np.negative(exponent)), array):
        raise ValueError("X or y has entries so far apart in size that float64 cannot hold both; rescale the columns.")
    return scaled
