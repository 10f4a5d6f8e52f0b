"""scikit-learn estimators: they validate, call and store, nothing else."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.special import log_expit, logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from cellsolve.api import lam_max, path, solve
from cellsolve.data import Array
from cellsolve.losses import LOSSES, Loss, as_loss
from cellsolve.potentials import Potential
from cellsolve.problem import Problem
from cellsolve.solution import Solution

#: share of lam_max that lam="auto" stands for
AUTO = 0.01

__all__ = ["CellClassifier", "CellClassifierCV", "CellRegressor", "CellRegressorCV"]


class _CellModel(BaseEstimator):
    """What the four share. A fit is one problem for each of a list of targets: y, or labels -1 and 1 for each class."""

    _classification = False

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
        if isinstance(self.lam, str) and self.lam == "auto":
            return AUTO * self._lam_max(X, targets)
        if isinstance(self.lam, str) or self.lam is None:
            raise ValueError(f"lam is {self.lam!r}; pass a positive number, or 'auto' for a hundredth of lam_max.")
        return self.lam

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


class _Regression(MultiOutputMixin, RegressorMixin, _CellModel):
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the best network of any width.

        Parameters
        ----------
        X : array-like, shape (n, d)
        y : array-like, shape (n,) or (n, m)

        Returns
        -------
        self
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        return self._solve(X, y, [y])

    def predict(self, X: ArrayLike) -> Array:
        """Return f(X), shape (n,) or (n, m) as y was."""
        return self._outputs(X)


def _is_logistic(model: Any) -> bool:
    return getattr(model.loss, "name", model.loss) == "logistic"


class _Classification(ClassifierMixin, _CellModel):
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
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]!r}; pass rows of at least two.")
        positive = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        return self._solve(X, y, [np.where(labels == k, 1.0, -1.0) for k in positive])

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
        """Return the probability of each class, (n, n_classes): 1 / (1 + exp(-f)), brought to sum 1. Logistic loss only."""
        return np.exp(self.predict_log_proba(X))

    @available_if(_is_logistic)
    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithm of `predict_proba`. Logistic loss only."""
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return log_expit(np.column_stack([-decision, decision]))
        log = log_expit(decision)
        return log - logsumexp(log, axis=1, keepdims=True)


class _CrossValidated:
    """Replace the choice of lam by cross-validation."""

    def _choose_lam(self, X: Array, y: Array, targets: list[Array]) -> float:
        if self.lams is None:
            if self.n_lams < 1 or not 0 < self.lam_min_ratio <= 1:
                raise ValueError("n_lams has to be at least 1 and lam_min_ratio in (0, 1].")
            self.lams_ = self._lam_max(X, targets) * np.geomspace(1.0, self.lam_min_ratio, self.n_lams)
        else:
            self.lams_ = np.sort(np.asarray(self.lams, dtype=np.float64).ravel())[::-1]
        splits = list(check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y))
        scorer = None if self.scoring is None else check_scoring(self, scoring=self.scoring)
        folds = Parallel(n_jobs=self.n_jobs)(delayed(_score_fold)(self, X, y, targets, *split, scorer) for split in splits)
        self.cv_scores_ = np.column_stack(folds)
        # the first of the best, so the largest such lam; a fold without a score counts against its lam
        self.best_index_ = int(np.argmax(np.nan_to_num(self.cv_scores_.mean(axis=1), nan=-np.inf)))
        return float(self.lams_[self.best_index_])


def _score_fold(model: Any, X: Array, y: Array, targets: list[Array], train: Array, test: Array, scorer: Any) -> Array:
    """Return the scores on `test` of the path fitted on `train`."""
    options = model._options() | {"n_jobs": 1, "progress": False}  # the folds are what runs in parallel
    paths = [path(model._problem(X[train], target[train]), lams=model.lams_, **options) for target in targets]
    fitted = copy.copy(model)
    vars(fitted).pop("feature_names_in_", None)  # a scorer passes plain arrays
    scores = []
    for solutions in zip(*paths, strict=True):
        if scorer is None:
            loss = as_loss(model.loss)
            pairs = zip(solutions, targets, strict=True)
            scores.append(-sum(np.mean(loss.value(s.predict(X[test]), target[test])) for s, target in pairs))
        else:
            fitted._store(list(solutions))
            scores.append(scorer(fitted, X[test], y[test]))
    return np.array(scores, dtype=np.float64)


class CellRegressor(_Regression):
    """The best shallow ReLU network of any width for regression, with a proof of how good it is.

    Parameters
    ----------
    lam : float or "auto"
        Weight of the penalty; "auto" is a hundredth of `cellsolve.lam_max`.
    loss : {"squared", "absolute", "huber", "quantile"} or Loss
    penalty : {"variation", "slope", "label_noise", "l1"} or Potential
    free : {"none", "constant", "affine"}, optional
        The part of the model that is not penalised, see `cellsolve.Problem`.
    fit_bias : bool
        Whether neurons have biases.
    method : str
    tol : float, optional
        Relative gap to stop at.
    max_time : float, optional
        Seconds for the solve; the network found by then is kept, and `certificate_` says what is proven of it.
    max_cells : int, optional
        Above this number of cells the search for better neurons is a heuristic one: ``solution_.status`` is then
        "unproven", without a warning, and ``certificate_.gap`` says little.
    n_jobs : int, optional
        joblib threads.
    random_state : int or Generator, optional
        Used where there are too many cells to look at all.
    warm_start : bool
        Whether `fit` starts from the neurons of the fit before.
    progress : bool
        Show a line on a terminal.

    Attributes
    ----------
    measure_ : SparseMeasure
        The network.
    solution_ : Solution
    certificate_ : Certificate
    lam_ : float
    n_iter_ : int
        Rounds of the solve.
    n_features_in_ : int
    feature_names_in_ : (d,) array of str
        Where X has names for all of its columns.

    Examples
    --------
    >>> import numpy as np
    >>> from cellsolve import CellRegressor
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = CellRegressor(lam=1e-3).fit(X, np.abs(X[:, 0]))
    >>> model.solution_.status.value
    'optimal'
    """

    def __init__(
        self,
        lam: float | str = "auto",
        *,
        loss: str | Loss = "squared",
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


class CellClassifier(_Classification):
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


class CellRegressorCV(_CrossValidated, _Regression):
    """CellRegressor with lam chosen by cross-validation.

    Each fold solves a path of lam, warm-started from the largest down; the best lam is then solved on all rows.

    Parameters
    ----------
    lams : array-like, optional
        Values to try; by default `n_lams` values from `cellsolve.lam_max` of all rows down to `lam_min_ratio` times
        it, evenly in log.
    n_lams, lam_min_ratio
        See `lams`.
    cv : int, splitter or iterable of (train, test), optional
        As in scikit-learn: 5 folds by default. For groups, pass the splits.
    scoring : str or callable, optional
        As in scikit-learn; by default minus the mean of `loss`.
    max_time : float, optional
        Seconds for each path and for the last solve.
    n_jobs : int, optional
        joblib workers for the folds.
    loss, penalty, free, fit_bias, method, tol, max_cells, random_state, progress
        See `CellRegressor`.

    Attributes
    ----------
    lam_ : float
        The best lam; of equally good ones the largest.
    lams_ : (n_lams,) array
        What was tried, from the largest down.
    cv_scores_ : (n_lams, n_folds) array
        Larger is better.
    best_index_ : int
        Where `lam_` is in `lams_`.
    measure_, solution_, certificate_, n_iter_, n_features_in_, feature_names_in_
        Of the fit on all rows, see `CellRegressor`.
    """

    def __init__(
        self,
        lams: ArrayLike | None = None,
        *,
        n_lams: int = 20,
        lam_min_ratio: float = 1e-3,
        cv: Any = None,
        scoring: Any = None,
        loss: str | Loss = "squared",
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


class CellClassifierCV(_CrossValidated, _Classification):
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
