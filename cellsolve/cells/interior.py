"""A neuron strictly inside every cell, checked exactly."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.predicates import independent_columns, integer_rows, primitive, signs

Ray = tuple[int, ...]
Facets = tuple[NDArray[np.int64], NDArray[np.int32]]

_CHUNK = 2**22
_ROUNDINGS = 256


def interior_points(lifted: NDArray, packed: NDArray[np.uint8], facets: Facets) -> NDArray[np.float64]:
    """Return one neuron, of length about 1, strictly inside each cell.

    Parameters
    ----------
    lifted : array, shape (n, D)
    packed : array of uint8, shape (S, ceil(n / 8))
        Patterns of the cells in numpy.packbits order.
    facets : tuple (indptr, indices)
        Rows that describe the cone of each cell.

    Returns
    -------
    array, shape (S, D)
        NaN where no float64 neuron was found inside a cell.
    """
    neurons = _widest(lifted, packed, facets)
    thin = np.flatnonzero(~_strictly_inside(lifted, packed, neurons))
    if len(thin):
        rows = primitive(integer_rows(lifted)).astype(object)
        columns = independent_columns(rows)
        for cell in thin.tolist():
            centre = _exact_centre(rows, columns, packed[cell], facets[1][facets[0][cell] : facets[0][cell + 1]])
            neurons[cell] = _round_inside(centre, lifted, packed[cell])
    return neurons


def exact_interior(lifted: NDArray, packed: NDArray[np.uint8], facets: NDArray) -> list[int]:
    """Return a neuron strictly inside one cell, in exact integers: the sum of its extreme rays."""
    rows = primitive(integer_rows(lifted)).astype(object)
    return _exact_centre(rows, independent_columns(rows), packed, facets)


def _widest(lifted: NDArray, packed: NDArray[np.uint8], facets: Facets) -> NDArray[np.float64]:
    """The neuron of each cell farthest from its facets, in floats and in coordinates where the points are white."""
    from scipy.optimize import nnls

    white, to_neuron = whiten(lifted)
    indptr, indices = facets
    cell = np.repeat(np.arange(len(packed)), np.diff(indptr))
    active = (packed[cell, indices >> 3] >> (7 - (indices & 7))) & 1
    normals = white[indices] * np.where(active, 1.0, -1.0)[:, None]
    # Least distance as nonnegative least squares: theta of least norm with normals @ theta >= 1.
    equations = np.column_stack([normals, np.ones(len(normals))])
    target = np.zeros(white.shape[1] + 1)
    target[-1] = 1.0
    widest = np.zeros((len(packed), white.shape[1]))
    for k, (start, stop) in enumerate(zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True)):
        if start == stop:  # no facet: SciPy's nnls aborts the process on a matrix without columns
            continue
        matrix = equations[start:stop].T
        try:
            widest[k] = (matrix @ nnls(matrix, target)[0])[:-1]
        except RuntimeError:  # too many iterations: the exact check sends this cell to the exact construction
            continue
    with np.errstate(all="ignore"):  # what overflows fails the exact check
        return unit(widest @ to_neuron)


def whiten(lifted: NDArray) -> tuple[NDArray, NDArray]:
    """Return rows of unit length with white directions, (n, r), and the map (r, D) that takes their neurons back."""
    largest = np.abs(lifted).max(axis=0)
    scale = np.ldexp(1.0, np.clip(-np.frexp(largest)[1], -1022, 1022))
    basis, singular, directions = np.linalg.svd(lifted * scale, full_matrices=False)
    kept = singular > singular[0] * max(lifted.shape) * np.finfo(np.float64).eps
    return unit(basis[:, kept]), directions[kept] / singular[kept, None] * scale


def unit(neurons: NDArray) -> NDArray:
    """Return rows as unit vectors; zeros stay."""
    largest = np.abs(neurons).max(axis=1, keepdims=True, initial=0.0)
    neurons = neurons / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(neurons, axis=1, keepdims=True)
    return neurons / np.where(norm > 0, norm, 1.0)


def _strictly_inside(lifted: NDArray, packed: NDArray[np.uint8], neurons: NDArray) -> NDArray[np.bool_]:
    nonzero = lifted.any(axis=1)
    finite = np.isfinite(neurons).all(axis=1)
    inside = np.zeros(len(packed), dtype=bool)
    step = max(1, _CHUNK // len(lifted))
    for start in range(0, len(packed), step):
        part = slice(start, start + step)
        wanted = np.where(np.unpackbits(packed[part], axis=1, count=len(lifted)), 1, -1) * nonzero
        inside[part] = (signs(lifted, np.where(finite[part, None], neurons[part], 0.0)) == wanted).all(axis=1)
    return inside & neurons.any(axis=1)


def _exact_centre(rows: NDArray, columns: NDArray, packed: NDArray[np.uint8], facets: NDArray) -> list[int]:
    """The sum of the extreme rays of a cell, in integers and with rays of about equal size."""
    pattern = np.unpackbits(packed, count=len(rows))[facets].tolist()
    normals = [tuple(row if active else -row) for row, active in zip(rows[facets][:, columns], pattern, strict=True)]
    centre = [0] * rows.shape[1]
    if not len(columns):
        centre[0] = 1
    rays = extreme_rays(normals, len(columns))
    digits = max((entry.bit_length() for ray in rays for entry in ray), default=0)
    for ray in rays:
        lift = digits - max(entry.bit_length() for entry in ray)
        for column, entry in zip(columns.tolist(), ray, strict=True):
            centre[column] += entry << lift
    return centre


def _round_inside(centre: list[int], lifted: NDArray, packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A float64 multiple of the centre that is still inside, or NaN: different multiples round differently."""
    shrink = max(max(entry.bit_length() for entry in centre) - 900, 0)
    multiples = np.array([[float(entry * (2 * m + 1) >> shrink) for entry in centre] for m in range(_ROUNDINGS)])
    multiples /= np.ldexp(1.0, np.frexp(np.abs(multiples).max(axis=1, keepdims=True))[1])
    candidates = np.concatenate([unit(multiples), multiples])
    inside = _strictly_inside(lifted, np.tile(packed, (len(candidates), 1)), candidates)
    if not inside.any():
        return np.full(lifted.shape[1], np.nan)
    return candidates[np.argmax(inside)]


def extreme_rays(normals: list[Ray], dimension: int) -> list[Ray]:
    """Return the extreme rays of the pointed cone {theta : <g, theta> >= 0 for all normals g}, in exact integers.

    The double description method (Motzkin et al., 1953; Fukuda and Prodon, 1996). Every ray is carried with the
    normals that vanish on it; two rays are adjacent if no other ray lies on all the normals they share.
    """
    lines = [tuple(int(i == j) for j in range(dimension)) for i in range(dimension)]
    rays: list[tuple[Ray, frozenset[int]]] = []
    for k, normal in enumerate(normals):
        pivot = next((line for line in lines if _dot(normal, line)), None)
        if pivot is not None:
            pivot = pivot if _dot(normal, pivot) > 0 else tuple(-entry for entry in pivot)
            lines = [v for v in (_onto(normal, line, pivot) for line in lines) if any(v)]
            rays = [(_onto(normal, ray, pivot), tight | {k}) for ray, tight in rays]
            rays.append((pivot, frozenset(range(k))))
            continue
        side = [_dot(normal, ray) for ray, _ in rays]
        kept = [(ray, tight | {k} if s == 0 else tight) for (ray, tight), s in zip(rays, side, strict=True) if s >= 0]
        for (a, tight_a), side_a in zip(rays, side, strict=True):
            for (b, tight_b), side_b in zip(rays, side, strict=True):
                shared = tight_a & tight_b
                if side_a > 0 > side_b and sum(shared <= tight for _, tight in rays) == 2:
                    kept.append((_onto(normal, b, a), shared | {k}))
        rays = kept
    return [ray for ray, _ in rays]


def _dot(a: Ray, b: Ray) -> int:
    return sum(p * q for p, q in zip(a, b, strict=True))


def _onto(normal: Ray, vector: Ray, along: Ray) -> Ray:
    """Move `vector` along +-`along`, where <normal, along> > 0, onto the hyperplane of `normal`; primitive."""
    up, height = _dot(normal, along), _dot(normal, vector)
    moved = [up * v - height * w for v, w in zip(vector, along, strict=True)]
    divisor = gcd(*moved) or 1
    return tuple(entry // divisor for entry in moved)
