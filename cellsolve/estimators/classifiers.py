"""CellClassifier and CellClassifierCV."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit, logsumexp
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from cellsolve.data import Array
from cellsolve.estimators.folds import CrossValidated
from cellsolve.estimators.model import CellModel
from cellsolve.losses import Loss
from cellsolve.potentials import Potential
from cellsolve.solution import Solution


def _is_logistic(model: CellModel) -> bool:
    return getattr(model.loss, "name", model.loss) == "logistic"


class Classification(ClassifierMixin, CellModel):
    """fit and predict of the classifiers."""

    _classification = True

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the best network of any width, for each class against the rest where there are more than two.

        Parameters
        ----------
        X : array-like, shape (n, d)
        y : array-like, shape (n,)
            Class labels of any type.

        Returns
        -------
        self
        """
        points, classes = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(classes)
        self.classes_, labels = np.unique(classes, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]!r}; pass rows of at least two.")
        positive = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        return self._solve(points, classes, [np.where(labels == k, 1.0, -1.0) for k in positive])

    def _store(self, solutions: list[Solution]) -> None:
        super()._store(solutions)
        self.solutions_ = solutions

    def decision_function(self, X: ArrayLike) -> Array:
        """Return f(X), (n,), positive for ``classes_[1]``; with more than two classes one column each."""
        return self._outputs(X)

    def predict(self, X: ArrayLike) -> Array:
        """Return the class of the largest decision function."""
        decision = self.decision_function(X)
        return self.classes_[(decision > 0).astype(int) if decision.ndim == 1 else decision.argmax(axis=1)]

    @available_if(_is_logistic)
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return 1 / (1 + exp(-f)), for several classes divided by its sum; (n, n_classes). Logistic loss only."""
        return np.exp(self.predict_log_proba(X))

    @available_if(_is_logistic)
    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithm of `predict_proba`. Logistic loss only."""
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return log_expit(np.column_stack([-decision, decision]))
        log = log_expit(decision)
        return log - logsumexp(log, axis=1, keepdims=True)


class CellClassifier(Classification):
    """The best shallow ReLU network of any width for classification, with a proof of how good it is.

    Two classes are one problem with labels -1 and 1. More classes are one problem each, that class against the rest,
    all with the same lam; `solution_`, `certificate_` and `measure_` are then lists in the order of `classes_`.

    Parameters
    ----------
    lam : float or "auto"
        Weight of the penalty; "auto" is a hundredth of `cellsolve.lam_max`, the largest one of the classes.
    loss : {"logistic", "hinge", "squared_hinge"} or Loss
        `predict_proba` needs "logistic".
    max_time : float, optional
        Seconds for each problem.
    penalty, free, fit_bias, method, tol, max_cells, n_jobs, random_state, warm_start, progress
        See `CellRegressor`.

    Attributes
    ----------
    classes_ : (n_classes,) array
    solutions_ : list of Solution
        Always a list: one solution for two classes, else one for each class.
    measure_ : SparseMeasure or list of SparseMeasure
    solution_ : Solution or list of Solution
    certificate_ : Certificate or list of Certificate
    lam_ : float
    n_iter_ : int
        Rounds of the solve, the most for any class.
    n_features_in_, feature_names_in_
        See `CellRegressor`.
    """

    def __init__(
        self,
        lam: float | str = "auto",
        *,
        loss: str | Loss = "logistic",
        penalty: str | Potential = "variation",
        free: str | None = None,
        fit_bias: bool = True,
        method: str = "auto",
        tol: float | None = None,
        max_time: float | None = None,
        max_cells: int | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        progress: bool = False,
    ) -> None:
        self.lam = lam
        self.loss = loss
        self.penalty = penalty
        self.free = free
        self.fit_bias = fit_bias
        self.method = method
        self.tol = tol
        self.max_time = max_time
        self.max_cells = max_cells
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start
        self.progress = progress


class CellClassifierCV(CrossValidated, Classification):
    """CellClassifier with lam chosen by cross-validation, the same lam for all classes.

    Parameters
    ----------
    scoring : str or callable, optional
        As in scikit-learn; by default minus the mean of `loss`, summed over the problems of several classes.
    max_time : float, optional
        Seconds for each path, and for the last solve, of each problem.
    lams, n_lams, lam_min_ratio, cv, n_jobs
        See `CellRegressorCV`.
    loss
        See `CellClassifier`.
    penalty, free, fit_bias, method, tol, max_cells, random_state, progress
        See `CellRegressor`.

    Attributes
    ----------
    classes_, solutions_, measure_, solution_, certificate_, n_iter_, n_features_in_, feature_names_in_
        Of the fit on all rows, see `CellClassifier`.
    lam_, lams_, cv_scores_, best_index_
        See `CellRegressorCV`.
    """

    def __init__(
        self,
        lams: ArrayLike | None = None,
        *,
        n_lams: int = 20,
        lam_min_ratio: float = 1e-3,
        cv: Any = None,
        scoring: Any = None,
        loss: str | Loss = "logistic",
        penalty: str | Potential = "variation",
        free: str | None = None,
        fit_bias: bool = True,
        method: str = "auto",
        tol: float | None = None,
        max_time: float | None = None,
        max_cells: int | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.lams = lams
        self.n_lams = n_lams
        self.lam_min_ratio = lam_min_ratio
        self.cv = cv
        self.scoring = scoring
        self.loss = loss
        self.penalty = penalty
        self.free = free
        self.fit_bias = fit_bias
        self.method = method
        self.tol = tol
        self.max_time = max_time
        self.max_cells = max_cells
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress
