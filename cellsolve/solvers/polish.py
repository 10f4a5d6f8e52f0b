"""Newton's method on the faces of the cells: from a solution to solver accuracy to one to rounding.

Once it is known in which cells the neurons lie, on which hinges they are held, and which residuals vanish, (G) is a
smooth convex problem with equality constraints in few variables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from cellsolve.data import Array, distinct_rows
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution, whitening

#: a residual vanishes where it is at most this share of the data
VANISHING_RESIDUAL = 1e-5
#: what a residual that vanishes may be after the last step, as a share of the data and of the norm: rounding
ROUNDING = 1e-12
#: Newton steps; convergence is quadratic, the rest is for leaving neurons
STEPS = 40
#: steps in a row that end at a hinge: a neuron on its way to zero takes fewer, and more say that the faces are others
STOPPED = 8
#: systems of a larger reciprocal condition are solved as they are; of the others, directions below the second share of
#: the largest are left alone: `slope` does not feel a bias between two data points
REGULAR, SINGULAR = 1e-9, 1e-13
#: neurons lighter than this share of the norm leave
LIGHT = 1e-8


def can_polish(problem: Problem) -> bool:
    """One output, and a w that is a Euclidean length on each cell and continuous between cells."""
    return problem.n_outputs == 1 and problem.penalty.order == 2 and not problem.penalty.jumps


def polish(
    problem: Problem, solution: MasterSolution, left: Callable[[], float] = lambda: np.inf
) -> MasterSolution | None:
    """Return the minimum over the faces on which the neurons of `solution` lie, one neuron a face and sign.

    `solution` has to know its faces. None where Newton's method leaves the cells, or does not converge: then the
    faces were others; and where there are no seconds left.
    """
    with np.errstate(all="ignore"):  # wrong faces may run off to infinity; what comes back is judged
        return _System.of(problem, solution).solve(left)


class _System:
    """min (1/n) sum l(J z) + lam sum_k ||R_k z_k||  s.t.  (J z)_E = y_E, z = (neurons on their faces, free part)."""

    def __init__(
        self,
        problem: Problem,
        W: Array,
        signs: Array,
        faces: list[Array],
        patterns: Array,
        z: Array,
        equal: np.ndarray,
    ) -> None:
        self.problem, self.W, self.points = problem, W, problem.lifted @ W
        self.signs, self.faces, self.patterns, self.z, self.equal = signs, faces, patterns, z, equal
        matrices = problem.penalty.cell_matrices(patterns > 0, problem.lifted, problem.fit_bias) @ self.W
        self.roots = [(matrices[k] if len(matrices) > 1 else matrices[0]) @ N for k, N in enumerate(faces)]
        blocks = [
            sign * (s > 0)[:, None] * (self.points @ N) for sign, s, N in zip(signs, patterns, faces, strict=True)
        ]
        self.J = np.hstack([*blocks, problem.basis])
        ends = np.cumsum([0] + [N.shape[1] for N in faces])
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.size = ends[-1]
        self.parts = list(zip(self.roots, self.slices, strict=True))
        self._last: tuple[Array, Array] | None = None
        #: <t_k, x> of every neuron and point, not negative in its cell
        self.inside = self._products(z)

    @classmethod
    def of(cls, problem: Problem, solution: MasterSolution) -> _System:
        """Sum the neurons of one face and sign."""
        theta, weights, coefficients = solution.theta, solution.weights[:, 0], solution.coefficients[:, 0]
        W = whitening(problem.lifted)
        points = problem.lifted @ W
        lengths = np.linalg.norm(points, axis=1)
        assert solution.faces is not None
        rows = np.column_stack([solution.faces, np.sign(weights).astype(np.int8)])
        first, groups = distinct_rows(rows)
        keys = rows[first]
        sums = np.zeros((len(keys), theta.shape[1]))
        np.add.at(sums, groups.ravel(), np.linalg.solve(W, (np.abs(weights)[:, None] * theta).T).T)
        spaces, kept, coordinates = [], [], []
        for k, row in enumerate(keys[:, :-1]):
            N = _null_space(points[row == 0] / lengths[row == 0, None].clip(min=np.finfo(float).tiny), theta.shape[1])
            point = N.T @ sums[k]
            if N.shape[1] and np.linalg.norm(point) > 0:
                spaces.append(N)
                kept.append(k)
                coordinates.append(point)
        z = np.concatenate([*coordinates, coefficients])
        equal = np.full(problem.n, problem.interpolates)
        if not problem.interpolates and problem.loss.polyhedral:
            miss = np.abs(solution.fit(problem) - problem.targets)[:, 0]
            equal = miss <= VANISHING_RESIDUAL * np.abs(problem.targets).max(initial=1e-300)
        return cls(problem, W, keys[kept, -1].astype(float), spaces, keys[kept, :-1], z, equal)

    def solve(self, left: Callable[[], float]) -> MasterSolution | None:
        """Iterate Newton's method; None where it leaves the cells or does not converge."""
        last, stopped = np.inf, 0
        for _ in range(STEPS):
            if not len(self.z) or stopped == STOPPED or left() <= 0:
                return None
            sizes = np.array([np.linalg.norm(R @ self.z[part]) for R, part in self.parts])
            if len(sizes) and sizes.min() <= LIGHT * sizes.sum():
                keep = sizes > LIGHT * sizes.sum()
                return self._without(keep).solve(left) if keep.any() else None
            step, alpha = self._newton(sizes)
            moves = self._products(step)
            length = self._longest(moves)
            self.z = self.z + length * step
            self.inside += length * moves
            stopped = 0 if length == 1.0 else stopped + 1
            change = np.abs(step).max() / max(np.abs(self.z).max(), 1e-300)
            if length == 1.0 and (change <= 1e-15 or (change < 1e-9 and change >= last)):
                return self._result(alpha)
            last = change
        return self._result(alpha) if change < 1e-8 else None

    def _newton(self, sizes: Array) -> tuple[Array, Array]:
        problem = self.problem
        fit = self.J @ self.z
        targets = problem.targets[:, 0]
        gradient, hessian = np.zeros(len(self.z)), np.zeros((len(self.z), len(self.z)))
        price = problem.level
        for (R, part), size in zip(self.parts, sizes, strict=True):
            direction = R @ self.z[part] / size
            gradient[part] += price * (R.T @ direction)
            hessian[part, part] += price / size * (R.T @ R - np.outer(R.T @ direction, direction @ R))
        slope = np.zeros(problem.n)
        if not problem.interpolates:
            rest = ~self.equal
            slope[rest] = problem.loss.gradient(fit[rest], targets[rest]) / problem.n
            gradient += self.J.T @ slope
            hessian += self._gram(np.where(rest, problem.loss.curvature(fit, targets), 0.0)) / problem.n
        E = self.J[self.equal]
        m = len(E)
        matrix = np.block([[hessian, E.T], [E, np.zeros((m, m))]])
        scale = 1 / np.sqrt(np.maximum(np.abs(matrix).max(axis=1), 1e-300))
        right = np.concatenate([-gradient, targets[self.equal] - E @ self.z])
        answer = scale * _solved(scale[:, None] * matrix * scale, scale * right)
        alpha = -slope
        alpha[self.equal] = -answer[len(self.z) :]
        return answer[: len(self.z)], alpha

    def _gram(self, curvature: Array) -> Array:
        """J^T diag(curvature) J, kept: for the squared loss it is the same at every step."""
        if self._last is None or not np.array_equal(curvature, self._last[0]):
            self._last = curvature, self.J.T @ (curvature[:, None] * self.J)
        return self._last[1]

    def _longest(self, moves: Array) -> float:
        """The longest step up to 1 that keeps every neuron in its cell and on its side of zero."""
        falls = moves < 0
        length = float((self.inside[falls].clip(min=0.0) / -moves[falls]).min(initial=1.0))
        return length if length >= 1.0 else 0.95 * length

    def _products(self, vector: Array) -> Array:
        return np.asarray(self._neurons(vector) @ self.points.T * self.patterns)

    def _neurons(self, vector: Array) -> Array:
        """The neurons (K, D), in whitened coordinates, of a vector over the faces."""
        rows = [N @ vector[part] for N, part in zip(self.faces, self.slices, strict=True)]
        return np.array(rows).reshape(-1, self.points.shape[1])

    def _without(self, keep: np.ndarray) -> _System:
        chosen = np.flatnonzero(keep)
        z = np.concatenate([*[self.z[self.slices[k]] for k in chosen], self.z[self.size :]])
        faces = [self.faces[k] for k in chosen]
        return _System(self.problem, self.W, self.signs[chosen], faces, self.patterns[chosen], z, self.equal)

    def _result(self, alpha: Array) -> MasterSolution | None:
        problem = self.problem
        theta = self._neurons(self.z) @ self.W.T
        cost = problem.neuron_costs(theta)
        if (cost <= 0).any():
            return None
        weights = (self.signs * cost)[:, None]
        answer = MasterSolution(
            theta / cost[:, None], weights, self.z[self.size :, None], alpha[:, None], self.patterns
        )
        miss = np.abs(answer.fit(problem) - problem.targets)[self.equal].max(initial=0.0)
        met = miss <= ROUNDING * max(np.abs(problem.targets).max(), 1e-300) * max(1.0, cost.sum())
        return answer if met else None


def _solved(matrix: Array, right: Array) -> Array:
    """Solve a symmetric system, in the least-squares sense where it is singular."""
    from scipy.linalg.lapack import dsysvx

    *_, answer, condition, _, _, failed = dsysvx(matrix, right)
    if not failed and condition > REGULAR:
        return np.asarray(answer[:, 0], dtype=np.float64)
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=SINGULAR)[0], dtype=np.float64)


def _null_space(rows: Array, size: int) -> Array:
    if not len(rows):
        return np.eye(size)
    _, spectrum, right = np.linalg.svd(rows)
    return right[int(np.sum(spectrum > 1e-9)) :].T
