"""CrossValidated: lam chosen on folds."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from cellsolve.api import path
from cellsolve.data import Array
from cellsolve.estimators.model import CellModel
from cellsolve.losses import as_loss
from cellsolve.solution import Status
from cellsolve.tasks import outcomes


class CrossValidated(CellModel):
    """Replace the choice of lam by cross-validation."""

    lams: ArrayLike | None
    n_lams: int
    lam_min_ratio: float
    cv: Any
    scoring: Any

    def _choose_lam(self, X: Array, y: Array, targets: list[Array]) -> float:
        if self.lams is None:
            if self.n_lams < 1 or not 0 < self.lam_min_ratio <= 1:
                raise ValueError("n_lams has to be at least 1 and lam_min_ratio in (0, 1].")
            self.lams_ = self._lam_max(X, targets) * np.geomspace(1.0, self.lam_min_ratio, self.n_lams)
        else:
            self.lams_ = np.sort(np.asarray(self.lams, dtype=np.float64).ravel())[::-1]
        splits = list(check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y))
        scorer = None if self.scoring is None else check_scoring(self, scoring=self.scoring)
        # on more workers than folds the lams of a fold are dealt out too
        hands = min(len(self.lams_), -(-effective_n_jobs(self.n_jobs) // len(splits))) or 1
        parts = [slice(k, None, hands) for k in range(hands)]
        data, scores = (X, y, targets), np.empty((len(self.lams_), len(splits)))
        tasks = (
            ((part, fold), self, data, (*split, self.lams_[part]), scorer)
            for fold, split in enumerate(splits)
            for part in parts
        )
        for place, some in outcomes(self.n_jobs, _score_fold, tasks):
            scores[place] = some
        self.cv_scores_ = scores
        # the first of the best, so the largest such lam; a fold without a score counts against its lam
        self.best_index_ = int(np.argmax(np.nan_to_num(self.cv_scores_.mean(axis=1), nan=-np.inf)))
        return float(self.lams_[self.best_index_])


def _score_fold(place: Any, model: CrossValidated, data: tuple, share: tuple, scorer: Any) -> tuple[Any, Array]:
    """Return its place, and the scores on the test rows of the path over some lams fitted on the training rows."""
    (X, y, targets), (train, test, lams) = data, share
    options = model._options() | {"n_jobs": 1, "progress": False}  # the folds are what runs in parallel
    paths = [path(model._problem(X[train], target[train]), lams=lams, **options) for target in targets]
    if any(solutions[-1].status is Status.INTERRUPTED for solutions in paths):
        raise KeyboardInterrupt  # part of a path says nothing of which lam is best
    fitted = copy.copy(model)
    if hasattr(fitted, "feature_names_in_"):
        del fitted.feature_names_in_  # the rows of a fold are plain arrays
    scores = []
    for solutions in zip(*paths, strict=True):
        if scorer is None:
            loss = as_loss(model.loss)
            pairs = zip(solutions, targets, strict=True)
            scores.append(-sum(np.mean(loss.value(s.predict(X[test]), target[test])) for s, target in pairs))
        else:
            fitted._store(list(solutions))
            scores.append(scorer(fitted, X[test], y[test]))
    return place, np.array(scores, dtype=np.float64)
