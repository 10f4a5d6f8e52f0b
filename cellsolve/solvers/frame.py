"""The coordinates in which a problem is solved: targets without the free part, everything of size about 1.

What is subtracted and turned here is rounded; what a certificate says is not: it is made for the exact problem, in
units that are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.problem import VANISHED, Problem, Units
from cellsolve.solvers.conic import MasterSolution

#: singular values of the free part below this share of the largest are rounding
RANK = 1e-13


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
    shift, mixing : (k, m), (k, r)
        Coefficients of the free part, in units of `exact`: shift + mixing @ those of `inside`.
    """

    original: Problem
    exact: Problem
    inside: Problem
    units: Units
    shift: Array
    mixing: Array

    @classmethod
    def of(cls, problem: Problem) -> Frame:
        """Return the frame of a problem."""
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
        inside, units = problem.variant(targets=targets).normalized()
        exact = problem.in_units(units)
        left, sizes, right = np.linalg.svd(exact.basis, full_matrices=False)
        rank = int(np.sum(sizes > RANK * sizes.max(initial=0.0)))
        scale = np.sqrt(problem.n)
        basis = np.ascontiguousarray(left[:, :rank] * scale)
        mixing = right[:rank].T / sizes[:rank] * scale
        return cls(problem, exact, inside.variant(basis=basis), units, units.coefficients_inside(shift), mixing)

    def start(self, measure: SparseMeasure) -> MasterSolution:
        """Return a network of the caller as it is inside, with the free part that suits it best there."""
        theta = self.units.neurons_inside(measure.neurons)
        weights = self.units.weights_inside(measure.weights.reshape(len(theta), self.inside.n_outputs))
        cost = self.inside.neuron_costs(theta)
        live = (cost > 0) & weights.any(axis=1)
        theta, weights = theta[live] / cost[live, None], weights[live] * cost[live, None]
        rest = self.inside.targets - self.inside.responses(theta) @ weights
        coefficients = np.asarray(np.linalg.lstsq(self.inside.basis, rest, rcond=RANK)[0], dtype=np.float64)
        return MasterSolution(theta, weights, coefficients, np.zeros_like(rest))

    def measure(self, theta: Array, weights: Array, coefficients: Array) -> SparseMeasure:
        """Return the network of the caller that is theta, weights, coefficients inside."""
        free = self.units.coefficients(self.shift + self.mixing @ coefficients)
        return self.original.measure(self.units.neurons(theta), self.units.weights(weights), free)
