r"""Program (G): the cone-constrained group lasso over cells, exact where all cells are given.

.. math::
    \min_{u_s, v_s \in K_s,\, a}\ \frac1n \sum_i \ell\Big(\Big(\sum_s D_s \tilde X (u_s - v_s) + B a\Big)_i, y_i\Big)
    + \lambda \sum_s \big(w(u_s) + w(v_s)\big),

K_s = {theta : (2 s_i - 1) <theta, x~_i> >= 0}. Inside a cell the neurons of one sign add up to one without a larger
penalty (de Dios & Bruna, Lemmas 4.3-4.5), so this is the problem over networks of every width.
"""

from __future__ import annotations

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from cellsolve.cells import CellArrangement, enumerate_lifted
from cellsolve.data import Array
from cellsolve.features import CellFeatures
from cellsolve.problem import Problem, as_problem
from cellsolve.programs.program import Program, assemble

#: length that a direction with w = 0 is given in (G), relative to the size of the others; its square, 1e-14, is what
#: the objective can change by. Without it the set of solutions is unbounded and interior-point solvers wander off
VANISHING = 1e-7


def group_lasso(
    X: ArrayLike | Problem, y: ArrayLike | None = None, *, cells: CellArrangement | None = None, **statement
) -> Program:
    """Return the program over the given cells (all of them by default), ready to solve or to extend.

    Parameters
    ----------
    X, y, **statement
        A `Problem`, or what makes one; one output.
    cells : CellArrangement, optional
        Cells of X. With fewer than all the optimum is an upper bound.

    Returns
    -------
    Program
        With ``variables["u"]`` and ``variables["v"]`` (S, D).

    Raises
    ------
    ValueError
        Several outputs: their atoms of one cell do not merge, so (G) is not their problem.
    """
    problem = as_problem(X, y, **statement)
    if problem.n_outputs > 1:
        raise ValueError(f"y has {problem.n_outputs} outputs; the group lasso takes one. Use method='neurons'.")
    if cells is None:
        cells = enumerate_lifted(problem.lifted)
    patterns = cells.patterns
    live = np.asarray(patterns.any(axis=1))  # the all-inactive cell changes nothing and may cost nothing
    indptr, indices = cells.facets
    counts = np.diff(indptr)
    facet_cells = np.repeat(np.arange(len(patterns)), counts)
    keep = live[facet_cells]
    renumber = np.cumsum(live) - 1
    patterns = patterns[live]
    cones = _cone_rows(problem.lifted, patterns, renumber[facet_cells[keep]], indices[keep])
    S, D = len(patterns), problem.lifted.shape[1]
    u, v = cp.Variable((S, D), name="u"), cp.Variable((S, D), name="v")
    flat_u, flat_v = (cp.reshape(part, (S * D,), order="C") for part in (u, v))
    features = CellFeatures(problem.lifted, patterns).tosparse()
    matrices, order = _cost_matrices(problem, patterns), problem.penalty.order
    norm = cp.sum(_lengths(u, matrices, order)) + cp.sum(_lengths(v, matrices, order))

    def atoms() -> tuple[Array, Array]:
        theta = np.concatenate([u.value, v.value])
        return theta, np.concatenate([np.ones(S), -np.ones(S)])[:, None]

    value = cp.reshape(features @ (flat_u - flat_v), (problem.n, 1), order="C")
    return assemble(problem, value, norm, [cones @ flat_u >= 0, cones @ flat_v >= 0], {"u": u, "v": v}, atoms)


def _cone_rows(lifted: Array, patterns: np.ndarray, cells: np.ndarray, points: np.ndarray) -> sparse.csr_matrix:
    """Rows (2 s_i - 1) x~_i / |x~_i| of the given facets, in the columns of their cell."""
    S, D = len(patterns), lifted.shape[1]
    signs = np.where(patterns[cells, points], 1.0, -1.0) / np.linalg.norm(lifted[points], axis=1)
    columns = cells[:, None] * D + np.arange(D)
    indptr = np.arange(len(cells) + 1) * D
    return sparse.csr_matrix(
        ((signs[:, None] * lifted[points]).ravel(), columns.ravel(), indptr), shape=(len(cells), S * D)
    )


def _cost_matrices(problem: Problem, patterns: np.ndarray) -> Array:
    """M_s of every cell; a subspace on which w vanishes is given the length `VANISHING`."""
    matrices = problem.penalty.cell_matrices(patterns, problem.lifted, problem.fit_bias)
    D = matrices.shape[2]
    if problem.penalty.order != 2 or np.linalg.matrix_rank(matrices).min(initial=D) == D:
        return matrices
    size = np.linalg.norm(matrices, axis=(1, 2), keepdims=True)
    stacked = np.concatenate([matrices, VANISHING * size * np.eye(D)], axis=1)
    return np.asarray(np.linalg.qr(stacked, mode="r"))


def _lengths(theta: cp.Variable, matrices: Array, order: int) -> cp.Expression:
    """W of each row of theta, (S,)."""
    S, D = theta.shape
    if len(matrices) == 1:
        return cp.norm(theta @ matrices[0].T, order, axis=1)
    blocks = sparse.block_diag(list(matrices), format="csr")
    images = cp.reshape(blocks @ cp.reshape(theta, (S * D,), order="C"), (S, matrices.shape[1]), order="C")
    return cp.norm(images, order, axis=1)
