"""CellModel: what all the estimators share."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from cellsolve.api import lam_max, solve
from cellsolve.data import Array
from cellsolve.losses import LOSSES, Loss, as_loss
from cellsolve.potentials import Potential
from cellsolve.problem import Problem
from cellsolve.solution import Solution

#: share of lam_max that lam="auto" stands for
AUTO = 0.01


class CellModel(BaseEstimator):
    """What the four share. A fit is one problem for each of a list of targets: y, or labels -1 and 1 for each class."""

    _classification = False

    # what the constructors take, `lam` only without cross-validation
    lam: float | str
    loss: str | Loss
    penalty: str | Potential
    free: str | None
    fit_bias: bool
    method: str
    tol: float | None
    max_time: float | None
    max_cells: int | None
    n_jobs: int | None
    random_state: Any
    progress: bool

    def _problem(self, X: Array, target: Array, lam: float = 1.0) -> Problem:
        loss = as_loss(self.loss)
        if loss.classification != self._classification:
            names = ", ".join(name for name, kind in LOSSES.items() if kind.classification == self._classification)
            raise ValueError(f"loss is {loss.name!r}; {type(self).__name__} takes one of {names}.")
        return Problem(X, target, lam=lam, loss=loss, penalty=self.penalty, free=self.free, fit_bias=self.fit_bias)

    def _options(self) -> dict[str, Any]:
        names = ("method", "tol", "max_time", "max_cells", "n_jobs", "random_state", "progress")
        return {name: getattr(self, name) for name in names}

    def _lam_max(self, X: Array, targets: list[Array]) -> float:
        """Return the largest lam_max of the problems; 1 where no lam > 0 has a neuron, so that any lam will do."""
        options = {name: getattr(self, name) for name in ("max_cells", "n_jobs", "random_state")}
        return max(lam_max(self._problem(X, target), **options) for target in targets) or 1.0

    def _choose_lam(self, X: Array, y: Array, targets: list[Array]) -> float:
        """Return the lam to solve for, from the parameters or the data."""
        lam = self.lam
        if isinstance(lam, str) and lam == "auto":
            return AUTO * self._lam_max(X, targets)
        if isinstance(lam, str) or lam is None:
            raise ValueError(f"lam is {lam!r}; pass a positive number, or 'auto' for a hundredth of lam_max.")
        return lam

    def _solve(self, X: Array, y: Array, targets: list[Array]) -> Self:
        lam = self._choose_lam(X, y, targets)
        start = getattr(self, "solution_", None) if getattr(self, "warm_start", False) else None
        starts = start if isinstance(start, list) else [start]
        if len(starts) != len(targets):  # other classes than last time: nothing to go on with
            starts = [None] * len(targets)
        problems = [self._problem(X, target, lam) for target in targets]
        options = self._options()
        self._store([solve(p, warm_start=s, **options) for p, s in zip(problems, starts, strict=True)])
        return self

    def _store(self, solutions: list[Solution]) -> None:
        one = len(solutions) == 1
        self.solution_ = solutions[0] if one else solutions
        self.certificate_ = solutions[0].certificate if one else [s.certificate for s in solutions]
        self.measure_ = solutions[0].measure if one else [s.measure for s in solutions]
        self.lam_ = solutions[0].lam
        self.n_iter_ = max(1, *(len(s.history) for s in solutions))

    def _outputs(self, X: ArrayLike) -> Array:
        """Return f(X): of one problem as it is, of several as columns."""
        check_is_fitted(self)
        points = validate_data(self, X, reset=False, dtype=np.float64)
        if isinstance(self.measure_, list):
            return np.column_stack([measure.predict(points) for measure in self.measure_])
        return self.measure_.predict(points)
