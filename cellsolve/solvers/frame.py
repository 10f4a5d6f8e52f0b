"""The coordinates in which a problem is solved: targets without the free part, everything of size about 1.

What is subtracted and turned here is rounded; what a certificate says is not: it is made for the exact problem, in
units that are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array
from cellsolve.exact_dual import independent_rows
from cellsolve.measure import SparseMeasure
from cellsolve.problem import VANISHED, Problem
from cellsolve.solvers.conic import MasterSolution
from cellsolve.units import Units

#: singular values of the free part below this share of the largest are rounding
RANK = 1e-13
#: data whose middle is so many of their half widths away from the origin are far from it
FAR = 4.0


@dataclass(frozen=True)
class Frame:
    """A problem, what the solvers see of it, and the way back.

    Attributes
    ----------
    original : Problem
        As the caller stated it.
    exact : Problem
        The same in other units, nothing rounded.
    inside : Problem
        In these units, the targets less their least-squares fit by the free part, on an orthogonal basis of it.
    units : Units
    centre : (d,) or (0,)
        What points inside are less than the caller's, without rounding; empty where they are the same.
    shift, mixing : (k, m), (k, r)
        Coefficients of the free part, in units of `exact`: shift + mixing @ those of `inside`.
    plain : bool
        Whether the targets inside are those of `exact`, for a method that fits the free part by itself.
    """

    original: Problem
    exact: Problem
    inside: Problem
    units: Units
    centre: Array
    shift: Array
    mixing: Array
    plain: bool = False

    @classmethod
    def of(cls, problem: Problem) -> Frame:
        """Return the frame of a problem.

        Raises
        ------
        ValueError
            A free part whose columns are dependent but for rounding.
        """
        free, targets = problem.basis, problem.targets
        fixed = problem.loss.classification and not problem.interpolates  # labels stay labels
        shift = np.zeros((free.shape[1], targets.shape[1]))
        if free.shape[1] and not fixed:
            sizes = np.abs(free).max(axis=0)
            sizes[sizes == 0] = 1.0
            shift = np.linalg.lstsq(free / sizes, targets, rcond=RANK)[0] / sizes[:, None]
            # summed column by column, so that equal rows stay equal
            rest = targets - sum(np.multiply.outer(column, a) for column, a in zip(free.T, shift, strict=True))
            tiny = np.abs(rest).max(axis=0) <= VANISHED * np.abs(targets).max(axis=0)
            targets = np.where(tiny, 0.0, rest)
        centre = _centre(problem)
        moved = problem
        if len(centre):
            moved = problem.variant(lifted=np.column_stack([problem.lifted[:, :-1] - centre, problem.lifted[:, -1]]))
        inside, units = moved.variant(targets=targets).normalized()
        exact = moved.in_units(units)
        left, sizes, right = np.linalg.svd(exact.basis, full_matrices=False)
        rank = int(np.sum(sizes > RANK * sizes.max(initial=0.0)))
        if rank < len(sizes):
            _refuse_rounding(exact.basis, right[rank:], problem.X.shape[1])
        scale = np.sqrt(problem.n)
        basis = np.ascontiguousarray(left[:, :rank] * scale)
        mixing = right[:rank].T / sizes[:rank] * scale
        return cls(problem, exact, inside.variant(basis=basis), units, centre, units.coefficients_inside(shift), mixing)

    @classmethod
    def of_runs(cls, problem: Problem) -> Frame:
        """Return the frame of interpolation with a free affine part that looks at bends only: nothing is rounded."""
        inside, units = problem.unscaled() or problem.normalized()
        mixing = np.diag(np.ldexp(1.0, units.basis - units.columns - units.x))
        shift = np.zeros((len(mixing), problem.n_outputs))
        return cls(problem, inside, inside, units, np.zeros(0), shift, mixing, plain=True)

    @property
    def size(self) -> float:
        """About how large the targets inside are, in the caller's units."""
        return float(np.abs(self.original.targets).max()) if self.plain else float(np.ldexp(1.0, self.units.y))

    def start(self, measure: SparseMeasure) -> MasterSolution:
        """Return a network of the caller as it is inside, with the free part that suits it best there."""
        theta = self.neurons_inside(measure.neurons)
        weights = self.units.weights_inside(measure.weights.reshape(len(theta), self.inside.n_outputs))
        cost = self.inside.neuron_costs(theta)
        live = (cost > 0) & weights.any(axis=1)
        theta, weights = theta[live] / cost[live, None], weights[live] * cost[live, None]
        rest = self.inside.targets - self.inside.network(theta, weights)
        coefficients = np.asarray(np.linalg.lstsq(self.inside.basis, rest, rcond=RANK)[0], dtype=np.float64)
        return MasterSolution(theta, weights, coefficients, np.zeros_like(rest))

    def measure(self, theta: Array, weights: Array, coefficients: Array) -> SparseMeasure:
        """Return the network of the caller that is theta, weights, coefficients inside."""
        free = self.units.coefficients(self.shift + self.mixing @ coefficients)
        return self.original.measure(self.neurons(theta), self.units.weights(weights), free)

    def neurons(self, theta: Array) -> Array:
        """Return neurons of the caller."""
        theta = self.units.neurons(theta)
        if len(self.centre):
            theta[:, -1] -= theta[:, :-1] @ self.centre
        return theta

    def neurons_inside(self, theta: Array) -> Array:
        """Return the caller's neurons as they are inside."""
        if len(self.centre):
            theta = np.column_stack([theta[:, :-1], theta[:, -1] + theta[:, :-1] @ self.centre])
        return self.units.neurons_inside(theta)


def _centre(problem: Problem) -> Array:
    """Return a point amid data that are far from the origin, where they may be moved, of which few digits are not zero.

    Of such data all kinks are nearly one neuron, for branch and bound and for the convex solver.
    """
    points = problem.lifted[:, :-1]
    if not problem.penalty.moves(problem.fit_bias) or not points.size:
        return np.zeros(0)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, width = 0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low
    far = np.abs(middle) > FAR * width  # then x - centre is exact (Sterbenz)
    step = np.ldexp(1.0, np.frexp(np.where(width > 0, width, np.abs(middle)))[1] - 1)
    centre = np.where(far, np.round(middle / step) * step, 0.0)
    return centre if far.any() else np.zeros(0)


def _refuse_rounding(basis: Array, relations: Array, d: int) -> None:
    """Raise where `relations` (r, k) of the basis hold in floats but not exactly: a free part would fit rounding."""
    if independent_rows(basis) == basis.shape[1] - len(relations):
        return
    named = np.flatnonzero(np.abs(relations).max(axis=0) > 1e-3)
    which = ", ".join(["the constant" if c == d else f"column {c} of X" for c in named])
    raise ValueError(
        f"free is 'affine', and {which} depend on each other but for rounding, which the free part would fit. "
        "Leave a column out, centre X, or use free='constant'."
    )
