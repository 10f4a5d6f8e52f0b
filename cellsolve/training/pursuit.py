"""The least l1 norm among the solutions of a linear system, which diagonal linear networks are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array, as_floats, as_points
from cellsolve.units import largest_exponent


def basis_pursuit(A: ArrayLike, b: ArrayLike, *, nonnegative: bool = False) -> Array:
    r"""Return a vector of least l1 norm among the solutions of a linear system.

    .. math:: \min_x \|x\|_1 \quad\text{subject to}\quad A x = b \quad (\text{and } x \ge 0).

    This is what gradient descent on diagonal linear networks tends to as the first weights vanish (`train_diagonal`).
    A dual simplex method (HiGHS) finds a basic solution, with at most rank(A) entries other than zero, and least
    squares on these makes the last digits right. Rows of A, and b, are first divided by powers of two, so their size
    is no matter.

    Parameters
    ----------
    A : array-like, shape (M, N)
    b : array-like, shape (M,)
    nonnegative : bool
        Only vectors without negative entries.

    Returns
    -------
    array, shape (N,)

    Raises
    ------
    ValueError
        No vector solves the system, or A and b are not finite or do not fit together.

    References
    ----------
    Chen, Donoho and Saunders, Atomic decomposition by basis pursuit (1998).
    """
    from scipy.optimize import linprog

    matrix, right = as_system(A, b)
    sizes = np.array([largest_exponent(row) for row in matrix])
    with np.errstate(over="ignore"):
        matrix, right = np.ldexp(matrix, -sizes[:, None]), np.ldexp(right, -sizes)
    if not np.isfinite(right).all():
        raise ValueError("b is so much larger than A that a solution would not be a float; rescale it.")
    unit = largest_exponent(right)
    right = np.ldexp(right, -unit)
    size = np.linalg.norm(right)
    if np.linalg.norm(matrix @ np.linalg.lstsq(matrix, right)[0] - right) > 1e-9 * size:
        raise ValueError("b is not in the range of A, so nothing solves A x = b; project b, or drop rows.")
    split = matrix if nonnegative else np.column_stack([matrix, -matrix])
    tolerances = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(np.ones(split.shape[1]), A_eq=split, b_eq=right, method="highs-ds", options=tolerances)
    if found.status == 2:
        raise ValueError("b is no combination of columns of A with weights >= 0; pass nonnegative=False.")
    if found.x is None:
        raise ValueError(f"the linear program could not be solved ({found.message}); rescale A.")
    x = found.x if nonnegative else found.x[: matrix.shape[1]] - found.x[matrix.shape[1] :]
    x = _polished(matrix, right, x)
    if np.linalg.norm(matrix @ x - right) > 1e-7 * size:
        raise ValueError("columns of A are so far apart in size that the linear program lost some; rescale them.")
    return np.ldexp(x, unit)


def _polished(A: Array, b: Array, x: Array) -> Array:
    """Return the least-squares solution on the support of x, if it has the signs of x and solves as well."""
    support = np.flatnonzero(np.abs(x) > 1e-9 * np.abs(x).max(initial=0.0))
    better = np.zeros_like(x)
    better[support] = np.linalg.lstsq(A[:, support], b)[0]
    signs = np.array_equal(np.sign(better[support]), np.sign(x[support]))
    missed, missed_before = (float(np.linalg.norm(A @ point - b)) for point in (better, x))
    no_longer = np.abs(better).sum() <= np.abs(x).sum() * (1 + 1e-8)
    return better if signs and no_longer and missed <= max(missed_before, 1e-14) else x


def as_system(A: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Return A (M, N) and b (M,) as finite arrays."""
    matrix = as_points(A, "A")
    return matrix, as_vector(b, len(matrix), "b")


def as_vector(values: ArrayLike, size: int, name: str) -> Array:
    """Return a finite array of one dimension and a given size."""
    vector = as_floats(values, name)
    if vector.shape != (size,):
        raise ValueError(f"{name} has shape {vector.shape}; pass shape ({size},), as A has it.")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} has entries that are NaN or infinite; drop their rows, or fill them in.")
    return vector
