"""CellRegressor and CellRegressorCV."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import validate_data

from cellsolve.data import Array
from cellsolve.estimators.folds import CrossValidated
from cellsolve.estimators.model import CellModel
from cellsolve.losses import Loss
from cellsolve.potentials import Potential


class Regression(MultiOutputMixin, RegressorMixin, CellModel):
    """fit and predict of the regressors."""

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
        points, target = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        target = np.asarray(target, dtype=np.float64)
        return self._solve(points, target, [target])

    def predict(self, X: ArrayLike) -> Array:
        """Return f(X), shape (n,) or (n, m) as y was."""
        return self._outputs(X)


class CellRegressor(Regression):
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


class CellRegressorCV(CrossValidated, Regression):
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
