"""Families of cones in coordinates in which the cost of a neuron is a length: what the exhaustive oracle walks over.

In the coordinates theta = T_s t a family promises  |t| <= (1 + eta_s) w(theta)  on cone s, rounding included, so
sup <q, theta> / w <= (1 + eta_s) sup {<T_s^T q, t> : t in the cone, |t| <= 1}.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.cells import CellArrangement
from cellsolve.data import Array
from cellsolve.potentials import UNIT, Potential
from cellsolve.problem import Problem

#: share of the bias in a neuron's length under `slope`, whose true share is 0: the length grows by at most its
#: square, 4e-15, while the least-squares problems stay conditioned by no more than its inverse
BIAS_SHARE = 2.0**-24


@dataclass(frozen=True)
class ConeFamily:
    """Cones {t : rows t >= 0}, one per entry of `cells`, with T (S or 1, D, D) and eta (S,).

    `indptr` (S + 1,) points into `rows` (., D), which have unit length up to `row_errors`.
    """

    cells: np.ndarray
    indptr: np.ndarray
    rows: Array
    row_errors: Array
    T: Array
    eta: Array


def unit_rows(normals: Array, errors: Array) -> tuple[Array, Array]:
    """Scale rows to unit length; `errors` bounds each row's rounding in the Euclidean norm, before and after."""
    lengths = np.linalg.norm(normals, axis=1)
    live = lengths > 4 * errors
    scale = np.where(live, lengths, 1.0)
    units = np.where(live[:, None], normals / scale[:, None], 0.0)  # a row that is all rounding is left out
    D = normals.shape[1]
    return units, np.where(live, errors / scale + (D + 4) * UNIT, 0.0)


def cone_family(cells: CellArrangement, select: np.ndarray, T: Array, eta: Array) -> ConeFamily:
    """Return the cones of the selected cells in the coordinates T (S or 1, D, D)."""
    indptr, indices = cells.facets
    counts = np.diff(indptr)[select]
    new_indptr = np.concatenate([[0], np.cumsum(counts)])
    place = np.repeat(indptr[select] - new_indptr[:-1], counts) + np.arange(new_indptr[-1])
    points = indices[place]
    owner = np.repeat(np.arange(len(select)), counts)
    active = cells.packed[select[owner], points >> 3] >> (7 - (points & 7)) & 1
    lifted = cells.lifted[points]
    D = lifted.shape[1]
    if len(T) == 1:
        normals, sizes = lifted @ T[0], np.abs(lifted) @ np.abs(T[0])
    else:
        normals = np.einsum("fa,fac->fc", lifted, T[owner])
        sizes = np.einsum("fa,fac->fc", np.abs(lifted), np.abs(T[owner]))
    errors = (D + 2) * UNIT * np.linalg.norm(sizes, axis=1)
    if len(T) == 1 and np.array_equal(T[0], np.diag(np.diag(T[0]))):
        errors[:] = 0.0  # powers of two on the diagonal: nothing is rounded
    units, errors = unit_rows(np.where(active == 1, 1.0, -1.0)[:, None] * normals, errors)
    return ConeFamily(select, new_indptr, units, errors, T, eta)


def round_families(problem: Problem, cells: CellArrangement) -> list[ConeFamily]:
    """Return the families for a potential w = ||M_s theta||_2 that together hold every cell with w > 0."""
    D = problem.lifted.shape[1]
    everything = np.arange(len(cells))
    potential = problem.penalty
    if potential.depends_on_data:
        from cellsolve.oracles.responses import response_families

        return response_families(problem, cells)
    zero = np.zeros(len(cells))
    if not potential.free_constant(problem.fit_bias):
        return [cone_family(cells, everything, np.eye(D)[None], zero)]
    # slope: points of both sides are in the closed cell, so |b| <= max ||x_i|| ||a|| there. The cell that is active
    # everywhere holds (0, 1), and because sum alpha = 0 its supremum is ||q_a||, that of the whole space
    radius = np.linalg.norm(problem.lifted[:, :-1] / problem.lifted[:, -1:], axis=1).max() * (1 + 8 * UNIT)
    share = BIAS_SHARE * np.ldexp(1.0, -int(np.frexp(radius)[1])) if radius > 0 else BIAS_SHARE
    eta = np.full(len(cells), 0.5 * BIAS_SHARE**2 * (1 + 8 * UNIT))
    full = full_cells(cells)
    T = np.diag(np.append(np.ones(D - 1), 1 / share))
    flat = np.diag(np.append(np.ones(D - 1), 0.0))
    none = np.zeros(len(full) + 1, dtype=np.int64)
    return [
        cone_family(cells, np.setdiff1d(everything, full), T[None], np.delete(eta, full)),
        ConeFamily(full, none, np.zeros((0, D)), np.zeros(0), flat[None], zero[full]),
    ]


def full_cells(cells: CellArrangement) -> np.ndarray:
    """Return the indices of cells that are active on every point (one at most)."""
    pattern = np.packbits(np.ones(cells.n_points, dtype=bool))
    return np.flatnonzero((cells.packed == pattern).all(axis=1))
