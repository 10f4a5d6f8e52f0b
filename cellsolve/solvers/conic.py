"""What the masters share: the loss as rows of a conic program, and the call of Clarabel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.problem import Problem

#: asked of the convex solvers. Not trusted: the certificate measures what they reached
ACCURACY = 1e-10
#: singular values of the data below this share of the largest are rounding
RANK = 1e-12


class SolverFailure(Exception):
    """A convex solver gave no usable answer."""


class OutOfTime(SolverFailure):
    """A convex solver was stopped by its time limit."""


@dataclass(frozen=True)
class MasterSolution:
    """Neurons theta (K, D) with w = 1, weights (K, m), coefficients (k, m) of the free part, dual vector (n, m).

    `faces` (K, n), from masters that know them: 1 where a neuron is active, -1 where not, 0 where it is on a hinge.
    """

    theta: Array
    weights: Array
    coefficients: Array
    alpha: Array
    faces: np.ndarray | None = None

    def fit(self, problem: Problem) -> Array:
        """Return the values (n, m) on the data."""
        return problem.boxes.network(self.theta, self.weights) + problem.basis @ self.coefficients

    def objective(self, problem: Problem) -> float:
        """Return the objective."""
        return problem.objective_of(self.fit(problem), float(np.linalg.norm(self.weights, axis=1).sum()))

    def residual(self, problem: Problem) -> float:
        """Return max |f(x_i) - y_i|."""
        return float(np.abs(self.fit(problem) - problem.targets).max())


@dataclass(frozen=True)
class LossBlock:
    """Objective and rows of the loss over x = (f, aux), both flattened over samples and outputs.

    min x^T P x / 2 + c^T x, `rows` x <= bounds, and triples of `cones` x + offsets in the exponential cone.
    """

    size: int
    quadratic: Array
    linear: Array
    rows: sparse.csc_matrix
    bounds: Array
    cones: sparse.csc_matrix
    offsets: Array


def loss_block(problem: Problem) -> LossBlock:
    """Return the loss of a penalised problem, divided by n."""
    targets = problem.targets.ravel()
    n, N = problem.n, targets.size
    form = problem.loss.conic(targets)
    k = len(form.aux_linear)
    ones = np.ones(N)
    quadratic = np.concatenate([form.f_quadratic * ones] + [value * ones for value in form.aux_quadratic]) / n
    linear = np.concatenate([form.f_linear * ones] + [value * ones for value in form.aux_linear]) / n
    eye = sparse.identity(N)

    def affine(f_coefficient, aux) -> sparse.spmatrix:
        return sparse.hstack([sparse.diags(f_coefficient)] + [value * eye for value in aux])

    size = (k + 1) * N
    rows = [affine(row.f_coefficient, row.aux_coefficients) for row in form.rows]
    bounds = [row.bound for row in form.rows]
    cones, offsets = [], []
    for triple in form.exponentials:
        parts = [affine(f_coefficient, aux) for f_coefficient, aux, _ in triple]
        stacked = sparse.vstack(parts, format="csr")
        interleave = np.arange(3 * N).reshape(3, N).T.ravel()
        cones.append(stacked[interleave])
        offsets.append(np.tile([constant for _, _, constant in triple], N))
    empty = sparse.csc_matrix((0, size))
    return LossBlock(
        size,
        quadratic,
        linear,
        sparse.vstack(rows, format="csc") if rows else empty,
        np.concatenate(bounds) if bounds else np.zeros(0),
        sparse.vstack(cones, format="csc") if cones else empty,
        np.concatenate(offsets) if offsets else np.zeros(0),
    )


def whitening(lifted: Array) -> Array:
    """Return W (D, D) for coordinates theta = W t in which the data lifted @ W are orthogonal, of entries about 1.

    Points that lie close together beside their distance from the origin, like years, make all cells thin: here they
    are not. Where the data do not determine theta it is the identity.
    """
    _, sizes, right = np.linalg.svd(lifted, full_matrices=False)
    if len(sizes) < lifted.shape[1] or sizes[-1] <= RANK * sizes[0]:
        return np.eye(lifted.shape[1])
    return right.T / sizes * np.sqrt(len(lifted))


def run_clarabel(P, q: Array, rows: list, bounds: list[Array], cones: list, max_time: float) -> tuple[Array, Array]:
    """Minimise x^T P x / 2 + q^T x subject to bounds - rows x in the cones; return x and the dual z.

    Raises
    ------
    OutOfTime
        `max_time` seconds did not suffice.
    SolverFailure
        Clarabel has no usable answer; a poor one is one, since the certificate judges.
    """
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.direct_solve_method = "faer"
    settings.time_limit = max_time
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = ACCURACY
    matrix = sparse.vstack(rows, format="csc")
    solution = clarabel.DefaultSolver(P, q, matrix, np.concatenate(bounds), cones, settings).solve()
    if solution.status == clarabel.SolverStatus.MaxTime:
        raise OutOfTime("Clarabel")
    x, z = np.array(solution.x), np.array(solution.z)
    if "Infeasible" in str(solution.status) or not (np.isfinite(x).all() and np.isfinite(z).all()):
        raise SolverFailure(f"Clarabel: {solution.status}")
    return x, z


def widen(matrix, before: int, size: int) -> sparse.csc_matrix:
    """Put zero columns around a block."""
    after = size - before - matrix.shape[1]
    return sparse.hstack(
        [sparse.csc_matrix((matrix.shape[0], before)), matrix, sparse.csc_matrix((matrix.shape[0], after))],
        format="csc",
    )
