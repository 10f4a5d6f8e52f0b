"""Some of the cells: those that random neurons fall into."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.arrangement import CellArrangement
from cellsolve.cells.counting import count_if_affordable, general_position
from cellsolve.cells.predicates import signs
from cellsolve.data import as_points, lift

_BATCH_BYTES = 2**24
_DRAWS_PER_CELL = 100
_FEWEST_DRAWS = 10**4


def sample_cells(
    X: ArrayLike,
    n_cells: int,
    *,
    fit_bias: bool = True,
    random_state: int | np.random.Generator | None = None,
) -> CellArrangement:
    """Take the first `n_cells` distinct cells that uniformly random directions fall into.

    Wide cells are found before narrow ones, and after max(10000, 100 n_cells) directions the search ends, so the result
    may have fewer cells than asked for, although more exist. Patterns are decided exactly.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
    n_cells : int
        Number of cells to take, at least 1.
    fit_bias : bool
        Whether neurons have a bias, x~ = (x, 1), or not, x~ = x.
    random_state : int, numpy.random.Generator or None
        Seed.

    Returns
    -------
    CellArrangement
        Its interior points are the random directions. `complete` is True if the cells were counted and all are there.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, or `n_cells` below 1.
    """
    if n_cells < 1:
        raise ValueError(f"n_cells is {n_cells}; pass the number of cells to sample, at least 1.")
    lifted = lift(as_points(X), fit_bias)
    n, dimension = lifted.shape
    rng = np.random.default_rng(random_state)
    nonzero = lifted.any(axis=1)
    wanted = min(n_cells, general_position(n, dimension))
    draws_left = max(_FEWEST_DRAWS, _DRAWS_PER_CELL * n_cells)
    found: dict[bytes, NDArray] = {}
    while len(found) < wanted and draws_left > 0:
        batch = min(draws_left, 2 * wanted, max(1, _BATCH_BYTES // n))
        draws_left -= batch
        thetas = rng.standard_normal((batch, dimension))
        orientation = signs(lifted, thetas)
        inside = (orientation[:, nonzero] != 0).all(axis=1)
        packed = np.packbits(orientation[inside] > 0, axis=1)
        for pattern, theta in zip(packed, thetas[inside], strict=True):
            found.setdefault(pattern.tobytes(), theta)
            if len(found) == wanted:
                break
    patterns = sorted(found)
    interior = np.array([found[pattern] for pattern in patterns])
    interior /= np.linalg.norm(interior, axis=1, keepdims=True)
    width = (n + 7) // 8
    packed = np.frombuffer(b"".join(patterns), dtype=np.uint8).reshape(-1, width)
    return CellArrangement(lifted, packed, interior=interior, complete=_all_there(lifted, len(patterns), n_cells))


def _all_there(lifted: NDArray, n_found: int, n_cells: int) -> bool:
    if n_found == n_cells:  # not worth a count
        return n_found == general_position(*lifted.shape)
    return n_found == count_if_affordable(lifted)[0]
