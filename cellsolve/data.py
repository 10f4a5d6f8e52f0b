"""From what a user passes to float64 arrays: checks that name the argument, the place and the way out."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: sums of two squares between these have lost no digit to underflow or overflow
LEAST, MOST = 2.0**-900, 2.0**900


def as_points(X: ArrayLike, name: str = "X") -> Array:
    """Return `X` as a finite float64 array of shape (n, d); one-dimensional input is one column.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
        Points, DataFrames included.
    name : str
        How an error calls the argument.

    Raises
    ------
    ValueError
        For anything that is not a finite real matrix with at least one row and one column.
    """
    points = as_floats(X, name)
    if points.ndim == 1:
        points = points[:, None]
    if points.ndim != 2:
        raise ValueError(f"{name} has {points.ndim} dimensions; pass an array of shape (n, d) or (n,).")
    if points.shape[0] < 1:
        raise ValueError(f"{name} has 0 rows; at least 1 is needed.")
    if points.shape[1] < 1:
        raise ValueError(f"{name} has 0 columns; at least 1 is needed.")
    _refuse_non_finite(points, name)
    return points


def as_targets(y: ArrayLike, n: int, name: str = "y") -> Array:
    """Return `y` as a finite float64 array of shape (n,) or (n, m) with `n` rows.

    Raises
    ------
    ValueError
        For non-finite entries, a wrong number of rows, or no column.
    """
    targets = as_floats(y, name)
    if targets.ndim == 0 or targets.ndim > 2:
        raise ValueError(f"{name} has {targets.ndim} dimensions; pass shape (n,) or (n, m).")
    if targets.shape[0] != n:
        raise ValueError(f"{name} has {targets.shape[0]} rows but X has {n}; give one target per row of X.")
    if targets.ndim == 2 and targets.shape[1] == 0:
        raise ValueError(f"{name} has 0 columns; at least 1 is needed.")
    _refuse_non_finite(targets, name)
    return targets


def sorting(x: Array) -> tuple[np.ndarray, Array]:
    """Return the order of numbers (n,), equal ones as they come, and the numbers in it.

    Where none are equal a sort that is not stable does it, several times quicker on some machines.
    """
    order = np.argsort(x)
    ordered = x[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(x, kind="stable")
    return order, ordered


def distinct_rows(rows: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row occurs first, in lexicographic order, and which of these every row is.

    As `numpy.unique` does it, but Ctrl-C stays Ctrl-C: comparisons of structured arrays turn it into a TypeError.
    """
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    new = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))[: len(rows)]
    groups = np.empty(len(rows), dtype=np.int64)
    groups[order] = np.cumsum(new) - 1
    return order[new], groups


def fingerprint(X: Array, y: Array) -> str:
    """Return a SHA-256 in hexadecimal of the shapes and numbers of two float64 arrays; -0.0 counts as 0.0."""
    digest = sha256()
    for array in (X, y):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array + 0.0, dtype="<f8").data)  # row by row, whatever the order in memory
    return digest.hexdigest()


def lengths(rows: Array) -> Array:
    """Return the Euclidean length of each row, without underflow or overflow of its squares."""
    if rows.shape[1] == 2:
        with np.errstate(over="ignore", under="ignore"):
            squares = rows[:, 0] ** 2 + rows[:, 1] ** 2
        if len(rows) and LEAST < squares.min() and squares.max() < MOST:
            return np.sqrt(squares)
        return np.hypot(rows[:, 0], rows[:, 1])  # takes several times as long
    power = np.frexp(np.abs(rows).max(axis=1, initial=0.0))[1]
    return np.ldexp(np.linalg.norm(np.ldexp(rows, -power[:, None]), axis=1), power)


def lift(X: Array, fit_bias: bool) -> Array:
    """Return the lifted points x~ = (x, 1), or x itself without biases; shape (n, D)."""
    return np.column_stack([X, np.ones(len(X))]) if fit_bias else np.ascontiguousarray(X)


def as_floats(values: Any, name: str) -> Array:
    """Return `values` as a float64 array of any shape; what is no number is refused, text that looks like one too."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if hasattr(values, "toarray"):
        raise ValueError(f"{name} is sparse; pass {name}.toarray().")
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise ValueError(f"{name} has masked entries; drop their rows, or fill them with {name}.filled(...).")
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise ValueError(f"{name} is complex; pass real numbers.")
        if array.dtype.kind in "mM":
            raise ValueError("it holds dates or times, whose unit is for you to choose")
        entries = array.flat if array.dtype.kind in "USO" else ()
        if any(isinstance(entry, (str, bytes)) for entry in entries):
            raise ValueError("it holds text")
        with np.errstate(over="ignore"):
            result = np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: tensors with a gradient
        raise ValueError(f"{name} cannot be read as numbers ({error}); pass a numeric array.") from error
    return result


def _refuse_non_finite(array: Array, name: str) -> None:
    if np.isfinite(array).all():
        return
    place = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
    where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
    what = "NaN" if np.isnan(array[place]) else "infinity"
    raise ValueError(f"{name} contains {what} at {where}; drop or impute that row.")
