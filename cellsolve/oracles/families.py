"""Families of cones in coordinates in which the cost of a neuron is a length: what the exhaustive oracle walks over.

In the coordinates theta = T_s t a family promises  |t| <= (1 + eta_s) w(theta)  on cone s, rounding included, so
sup <q, theta> / w <= (1 + eta_s) sup {<T_s^T q, t> : t in the cone, |t| <= 1}.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.cells import CellArrangement
from cellsolve.data import Array
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem

#: a matrix whose smallest singular value is below this share of the largest does not tell lengths apart
SINGULAR = 1e-6
#: largest |t_b| / w under `slope` in the coordinates chosen for the bias b, which does not count in w: small, so that
#: the multipliers settle in a few rounds, but not so small that rounding in the others shows
BIAS_WEIGHT = 2.0**-12


@dataclass(frozen=True)
class ConeFamily:
    """Cones {t : rows t >= 0}, one per entry of `cells`, with T (S or 1, D, D) and eta (S,).

    `indptr` (S + 1,) points into `rows` (., D), which have unit length, each entry off by at most `row_errors` (., D).
    `weights` (D,) bounds |t_c| / w(theta) on every cone, so that rounding in coordinate c counts that much.
    """

    cells: np.ndarray
    indptr: np.ndarray
    rows: Array
    row_errors: Array
    T: Array
    eta: Array
    weights: Array


def unit_rows(normals: Array, errors: Array) -> tuple[Array, Array]:
    """Scale rows to unit length; `errors` (., D) bounds the rounding of each entry, before and after."""
    lengths = np.linalg.norm(normals, axis=1)
    live = lengths > 4 * np.linalg.norm(errors, axis=1)
    scale = np.where(live, lengths, 1.0)[:, None]
    units = np.where(live[:, None], normals / scale, 0.0)  # a row that is all rounding is left out
    # dividing by any positive number is exact for the cone, so only the rounding of each quotient counts
    return units, np.where(live[:, None], errors / scale * (1 + 4 * UNIT) + 2 * UNIT * np.abs(units), 0.0)


def cone_family(
    cells: CellArrangement, select: np.ndarray, T: Array, eta: Array, weights: Array | None = None
) -> ConeFamily:
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
    errors = (D + 2) * UNIT * sizes
    units, errors = unit_rows(np.where(active == 1, 1.0, -1.0)[:, None] * normals, errors)
    return ConeFamily(select, new_indptr, units, errors, T, eta, np.ones(D) if weights is None else weights)


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
        T, eta = length_coordinates(problem)
        return [cone_family(cells, everything, T[None], zero + eta)]
    # slope: points of both sides are in the closed cell, so |b| <= max ||x_i|| ||a|| there. The cell that is active
    # everywhere holds (0, 1), and because sum alpha = 0 its supremum is ||q_a||, that of the whole space
    radius = np.linalg.norm(problem.lifted[:, :-1] / problem.lifted[:, -1:], axis=1).max() * (1 + 8 * UNIT)
    size = np.ldexp(1.0, int(np.frexp(radius)[1])) if radius > 0 else 1.0
    full = full_cells(cells)
    T = np.diag(np.append(np.ones(D - 1), size / BIAS_WEIGHT))
    flat = np.diag(np.append(np.ones(D - 1), 0.0))
    none = np.zeros(len(full) + 1, dtype=np.int64)
    weights = np.append(np.ones(D - 1), BIAS_WEIGHT)
    return [
        cone_family(cells, np.setdiff1d(everything, full), T[None], np.delete(zero, full), weights),
        ConeFamily(full, none, np.zeros((0, D)), np.zeros((0, D)), flat[None], zero[full], np.ones(D)),
    ]


def length_coordinates(problem: Problem) -> tuple[Array, float]:
    """Return T (D, D) and eta with |t| <= (1 + eta) ||M T t|| for every t, for one M of order 2 on all cells.

    Raises
    ------
    ValueError
        M depends on the cell, or sends some neuron to zero.
    """
    potential, (n, D) = problem.penalty, problem.lifted.shape
    # more than one pattern, so that more than one matrix shows
    patterns = np.arange(n) < np.array([[n], [n // 2], [1]])
    M = potential.cell_matrices(patterns, problem.lifted, problem.fit_bias)
    sizes = np.linalg.svd(M[0], compute_uv=False)
    regular = potential.order == 2 and len(sizes) == D and sizes[-1] > SINGULAR * sizes[0]
    everywhere = len(M) == 1 and not (potential.depends_on_data or potential.jumps)
    if not (regular and everywhere) or potential.free_constant(problem.fit_bias):
        raise ValueError(
            f"penalty is {potential!r}, for which no oracle proves bounds: it has to be ||M theta||_2 with one M of "
            "full rank for all cells. programs.group_lasso solves the program without a proof."
        )
    T = np.linalg.inv(np.linalg.qr(M[0], mode="r"))
    product = M[0] @ T
    # sigma_min(M T)^2 >= 1 - |I - (M T)^T M T|; twice D + 2 roundings of each entry, and as much again for this line
    rounding = 4 * (len(M[0]) + D + 2) * UNIT * np.linalg.norm(np.abs(M[0]) @ np.abs(T)) ** 2
    off = float(np.linalg.norm(np.eye(D) - product.T @ product) + rounding)
    # 1 / sqrt(1 - x) <= 1 + x for x <= 1/2, far above what SINGULAR lets through
    return T, 0.0 if np.array_equal(M[0], np.eye(D)) else off


def full_cells(cells: CellArrangement) -> np.ndarray:
    """Return the indices of cells that are active on every point (one at most)."""
    pattern = np.packbits(np.ones(cells.n_points, dtype=bool))
    return np.flatnonzero((cells.packed == pattern).all(axis=1))
