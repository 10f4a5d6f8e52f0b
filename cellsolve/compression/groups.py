"""Matrices whose rows belong together in groups of equal size."""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array


def lengths(weights: Array, size: int) -> Array:
    """Return the norms of the groups of `size` rows of weights (q, m)."""
    return np.linalg.norm(weights.reshape(-1, size * weights.shape[1]), axis=1)


def rows(groups: np.ndarray, size: int) -> np.ndarray:
    """Return the rows of groups."""
    return (groups[:, None] * size + np.arange(size)).ravel()
