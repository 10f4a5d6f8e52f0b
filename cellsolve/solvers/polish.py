"""Newton's method on the faces of the cells: from a solution to solver accuracy to one to rounding.

Once it is known in which cells the neurons lie, which points lie on their hinges, and which residuals vanish, (G) is a
smooth convex problem with equality constraints in few variables. What is not known is guessed from the solution at
several tolerances; the objective tells which guess was right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array
from cellsolve.problem import Problem

#: a point lies on a neuron's hinge where |<theta, x~>| is at most this share of |theta| |x~|: guesses, the widest first
ON_HINGE = (3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-7)
#: distances of directions within which neurons are tried as one, the widest first
MERGED = (1e-1, 3e-2, 1e-2, 1e-3, 0.0)
#: a polished objective may exceed the one before by this share: it is then the same but for rounding
ROUNDING = 1e-9
#: a residual vanishes where it is at most this share of the data: guesses that go with the ones above
VANISHING_RESIDUAL = 1e-5
#: Newton steps; convergence is quadratic, the rest is for leaving neurons
STEPS = 40
#: neurons lighter than this share of the norm leave
LIGHT = 1e-8


@dataclass(frozen=True)
class Polished:
    """Neurons theta (K, D) with w = 1, weights (K, 1), coefficients (k, 1), dual vector (n, 1), objective."""

    theta: Array
    weights: Array
    coefficients: Array
    alpha: Array
    objective: float


def can_polish(problem: Problem) -> bool:
    """One output, and a w that is a Euclidean length on each cell and continuous between cells."""
    return problem.n_outputs == 1 and problem.penalty.order == 2 and not problem.penalty.jumps


def polish(
    problem: Problem,
    theta: Array,
    weights: Array,
    coefficients: Array,
    objective: float,
    spent: Callable[[], bool] = lambda: False,
) -> Polished | None:
    """Return the best of the polished guesses with the fewest neurons, or None where none is as good as `objective`.

    Parameters
    ----------
    theta, weights, coefficients
        Neurons (K, D), weights (K, 1) and coefficients (k, 1) of a nearly optimal network.
    objective : float
        Its objective.
    spent : callable
        Says when there is no time for another guess.
    """
    if not len(theta):
        return None
    with np.errstate(all="ignore"):  # a wrong guess may run off to infinity; what comes back is judged
        return _best(problem, theta, weights, coefficients, objective, spent)


def _best(problem, theta, weights, coefficients, objective, spent) -> Polished | None:
    seen = set()
    for merged in MERGED:
        groups = _together(theta, weights[:, 0], merged)
        best: Polished | None = None
        for on_hinge in ON_HINGE:
            if spent():
                break
            system = _System.guess(problem, *groups, coefficients[:, 0], on_hinge)
            key = system.signature()
            if key in seen or not system.faces:
                continue
            seen.add(key)
            result = system.solve()
            if result is not None and (best is None or result.objective < best.objective * (1 - 1e-14)):
                best = result
        if best is not None and best.objective <= objective + ROUNDING * abs(objective):
            return best
    return None


def _together(theta: Array, weights: Array, tol: float) -> tuple[Array, Array]:
    """Sum neurons of one sign whose directions are within `tol` of the heaviest among them."""
    size = np.abs(weights) * np.linalg.norm(theta, axis=1)
    directions = theta / np.linalg.norm(theta, axis=1, keepdims=True)
    sums, signs = [], []
    left = np.argsort(-size, kind="stable")
    while len(left):
        first = left[0]
        near = (np.linalg.norm(directions[left] - directions[first], axis=1) <= tol) & (
            weights[left] * weights[first] > 0
        )
        near[0] = True
        sums.append(np.abs(weights[left[near]]) @ theta[left[near]])
        signs.append(np.sign(weights[first]))
        left = left[~near]
    return np.array(sums), np.array(signs)


class _System:
    """min (1/n) sum l(J z) + lam sum_k ||R_k z_k||  s.t.  (J z)_E = y_E, z = (neurons on their faces, free part)."""

    def __init__(
        self, problem: Problem, signs: Array, faces: list[Array], patterns: Array, z: Array, equal: np.ndarray
    ):
        self.problem, self.signs, self.faces, self.patterns, self.z, self.equal = (
            problem,
            signs,
            faces,
            patterns,
            z,
            equal,
        )
        lifted, bias = problem.lifted, problem.fit_bias
        matrices = problem.penalty.cell_matrices(patterns > 0, lifted, bias) if len(patterns) else np.zeros((0, 0, 0))
        self.roots = [(matrices[k] if len(matrices) > 1 else matrices[0]) @ N for k, N in enumerate(faces)]
        blocks = [sign * (s > 0)[:, None] * (lifted @ N) for sign, s, N in zip(signs, patterns, faces, strict=True)]
        self.J = np.hstack([*blocks, problem.basis])
        ends = np.cumsum([0] + [N.shape[1] for N in faces])
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.size = ends[-1]

    @classmethod
    def guess(cls, problem: Problem, theta: Array, weights: Array, coefficients: Array, on_hinge: float) -> _System:
        """Group the neurons by face and sign: one sum for each, on the points of which it has its hinge."""
        lifted = problem.lifted
        lengths = np.linalg.norm(lifted, axis=1)
        products = theta @ lifted.T
        flat = np.abs(products) <= on_hinge * np.linalg.norm(theta, axis=1)[:, None] * lengths
        patterns = np.where(flat, 0, np.sign(products)).astype(np.int8)
        keys, groups = np.unique(np.column_stack([patterns, np.sign(weights)[:, None]]), axis=0, return_inverse=True)
        sums = np.zeros((len(keys), theta.shape[1]))
        np.add.at(sums, groups.ravel(), np.abs(weights)[:, None] * theta)
        faces, kept, coordinates = [], [], []
        for k, row in enumerate(keys[:, :-1]):
            N = _null_space(lifted[row == 0] / lengths[row == 0, None].clip(min=np.finfo(float).tiny), theta.shape[1])
            point = N.T @ sums[k]
            if N.shape[1] and np.linalg.norm(point) > 0:
                faces.append(N)
                kept.append(k)
                coordinates.append(point)
        z = np.concatenate([*coordinates, coefficients])
        system = cls(problem, keys[kept, -1].astype(float), faces, keys[kept, :-1], z, np.zeros(problem.n, dtype=bool))
        if problem.interpolates:
            system.equal[:] = True
        elif problem.loss.polyhedral:
            miss = np.abs(problem.responses(theta) @ weights + problem.basis @ coefficients - problem.targets[:, 0])
            system.equal = miss <= VANISHING_RESIDUAL * np.abs(problem.targets).max(initial=1e-300)
        return system

    def signature(self) -> bytes:
        """What tells two guesses apart."""
        return self.patterns.tobytes() + self.signs.tobytes() + self.equal.tobytes()

    def solve(self) -> Polished | None:
        """Iterate Newton's method; None where it leaves the cells or does not converge."""
        last = np.inf
        for _ in range(STEPS):
            sizes = np.array(
                [np.linalg.norm(R @ self.z[part]) for R, part in zip(self.roots, self.slices, strict=True)]
            )
            if len(sizes) and sizes.min() <= LIGHT * sizes.sum():
                keep = sizes > LIGHT * sizes.sum()
                return self._without(keep).solve() if keep.any() else None
            step, alpha = self._newton(sizes)
            length = self._longest(step)
            self.z = self.z + length * step
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
        for R, part, size in zip(self.roots, self.slices, sizes, strict=True):
            direction = R @ self.z[part] / size
            gradient[part] += price * (R.T @ direction)
            hessian[part, part] += price / size * (R.T @ R - np.outer(R.T @ direction, direction @ R))
        slope = np.zeros(problem.n)
        if not problem.interpolates:
            rest = ~self.equal
            slope[rest] = problem.loss.gradient(fit[rest], targets[rest]) / problem.n
            curvature = problem.loss.curvature(fit[rest], targets[rest]) / problem.n
            gradient += self.J[rest].T @ slope[rest]
            hessian += self.J[rest].T @ (curvature[:, None] * self.J[rest])
        E = self.J[self.equal]
        m = len(E)
        matrix = np.block([[hessian, E.T], [E, np.zeros((m, m))]])
        scale = 1 / np.sqrt(np.maximum(np.abs(matrix).max(axis=1), 1e-300))
        right = np.concatenate([-gradient, targets[self.equal] - E @ self.z])
        answer = scale * np.linalg.lstsq(scale[:, None] * matrix * scale, scale * right, rcond=1e-13)[0]
        alpha = -slope
        alpha[self.equal] = -answer[len(self.z) :]
        return answer[: len(self.z)], alpha

    def _longest(self, step: Array) -> float:
        """The longest step up to 1 that keeps every neuron in its cell and on its side of zero."""
        length = 1.0
        lifted = self.problem.lifted
        for N, s, part in zip(self.faces, self.patterns, self.slices, strict=True):
            now, then = (lifted @ (N @ vector[part]) * s for vector in (self.z, step))
            falls = (then < 0) & (s != 0)
            if falls.any():
                length = min(length, float((-now[falls].clip(min=0.0) / then[falls]).min()))
        return length if length >= 1.0 else 0.95 * length

    def _without(self, keep: np.ndarray) -> _System:
        chosen = np.flatnonzero(keep)
        z = np.concatenate([*[self.z[self.slices[k]] for k in chosen], self.z[self.size :]])
        return _System(
            self.problem, self.signs[chosen], [self.faces[k] for k in chosen], self.patterns[chosen], z, self.equal
        )

    def _result(self, alpha: Array) -> Polished | None:
        problem = self.problem
        theta = np.array([N @ self.z[part] for N, part in zip(self.faces, self.slices, strict=True)])
        theta = theta.reshape(-1, problem.lifted.shape[1])
        cost = problem.neuron_costs(theta)
        if (cost <= 0).any():
            return None
        weights = (self.signs * cost)[:, None]
        coefficients = self.z[self.size :, None]
        theta = theta / cost[:, None]
        fit = problem.responses(theta) @ weights + problem.basis @ coefficients
        miss = np.abs(fit - problem.targets)[self.equal].max(initial=0.0)
        if miss > 1e-12 * max(np.abs(problem.targets).max(), 1e-300) * max(1.0, cost.sum()):
            return None
        return Polished(theta, weights, coefficients, alpha[:, None], problem.objective_of(fit, float(cost.sum())))


def _null_space(rows: Array, size: int) -> Array:
    if not len(rows):
        return np.eye(size)
    _, spectrum, right = np.linalg.svd(rows)
    return right[int(np.sum(spectrum > 1e-9)) :].T
