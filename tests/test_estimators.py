"""The scikit-learn estimators."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from cellsolve import (
    CellClassifier,
    CellClassifierCV,
    CellRegressor,
    CellRegressorCV,
    Huber,
    Problem,
    SparseMeasure,
    lam_max,
    path,
    solve,
)

#: what the checks look at does not depend on how exact or how proven an answer is
QUICK = {"tol": 0.1, "max_cells": 1000}
SEARCH = {"n_lams": 2, "lam_min_ratio": 0.3, "cv": 2}


@parametrize_with_checks(
    [
        CellRegressor(**QUICK),
        CellClassifier(lam=0.1, **QUICK),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([CellRegressorCV(**SEARCH, **QUICK), CellClassifierCV(**SEARCH, **QUICK)])
def test_scikit_learn_checks_of_cross_validation(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([CellRegressor(), CellClassifier()])
def test_scikit_learn_checks_by_default(estimator, check):
    check(estimator)


@pytest.fixture
def regression():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((15, 2))
    return X, np.abs(X[:, 0]) - X[:, 1] + 0.1 * rng.standard_normal(15)


@pytest.fixture
def classification(regression):
    X, y = regression
    return X, np.where(y > 0, "up", "down")


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X[::4, 2:], np.array(["setosa", "versicolor", "virginica"])[y[::4]]


# -- regression ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "absolute", "free": "constant"},
        {"loss": Huber(delta=0.5), "penalty": "l1"},
        {"penalty": "slope", "free": "affine"},
        {"fit_bias": False},
    ],
    ids=str,
)
def test_a_regressor_is_a_solve(regression, settings):
    X, y = regression
    model = CellRegressor(lam=0.02, **settings).fit(X, y)
    expected = solve(X, y, lam=0.02, **settings)
    assert model.solution_.objective == pytest.approx(expected.objective, rel=1e-6)
    assert model.certificate_ is model.solution_.certificate
    assert model.certificate_.gap <= 1e-6
    assert model.certificate_.verify(X, y)
    assert isinstance(model.measure_, SparseMeasure)
    np.testing.assert_array_equal(model.predict(X), model.measure_.predict(X))
    assert model.lam_ == 0.02 and model.n_features_in_ == 2 and model.n_iter_ >= 1


def test_auto_is_a_hundredth_of_lam_max(regression):
    X, y = regression
    model = CellRegressor(free="constant").fit(X, y)
    assert model.lam_ == pytest.approx(0.01 * lam_max(X, y, free="constant"), rel=1e-9)
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("free", ["constant", "affine"])
def test_nothing_but_a_free_part_to_find(regression, free):
    X, _ = regression
    for model in (CellRegressor(free=free), CellRegressorCV(free=free, n_lams=2, cv=2)):
        model.fit(X, np.full(len(X), 3.0))
        assert model.measure_.n_neurons == 0
        np.testing.assert_allclose(model.predict(X), 3.0, rtol=1e-6)


def test_several_outputs(regression):
    X, y = regression
    Y = np.column_stack([y, 1 - y, X[:, 0] ** 2])
    model = CellRegressor(lam=0.05, tol=1e-5).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.solution_.objective == pytest.approx(solve(X, Y, lam=0.05).objective, rel=1e-4)
    assert CellRegressor(lam=0.05).fit(X, y[:, None]).predict(X).shape == (15, 1)
    searched = CellRegressorCV(lams=[0.5, 0.05], cv=2, tol=1e-3).fit(X, Y)
    assert searched.predict(X).shape == Y.shape
    assert searched.cv_scores_.shape == (2, 2)


def test_names_of_features(regression):
    X, y = regression
    frame = pd.DataFrame(X, columns=["length", "width"])
    for model in (CellRegressor(lam=0.1), CellRegressorCV(lams=[0.1], cv=2, scoring="r2")):
        model.fit(frame, y)
        assert list(model.feature_names_in_) == ["length", "width"]
        model.predict(frame)
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[["width", "length"]])
    assert not hasattr(CellRegressor(lam=0.1).fit(X, y), "feature_names_in_")


def test_warm_start(regression):
    X, y = regression
    model = CellRegressor(lam=0.02, warm_start=True).fit(X, y)
    cold, objective = model.n_iter_, model.solution_.objective
    model.fit(X, y)
    assert model.n_iter_ < cold
    assert model.solution_.objective == pytest.approx(objective, rel=1e-6)
    model.set_params(lam=0.015).fit(X, y)
    assert model.solution_.objective == pytest.approx(solve(X, y, lam=0.015).objective, rel=1e-6)


def test_budget_and_many_cells_warn_of_nothing(regression, monkeypatch):
    X, y = regression
    stopped = CellRegressor(lam=1e-3, max_time=0).fit(X, y)
    assert stopped.solution_.status == "time_limit" and stopped.n_iter_ == 1
    monkeypatch.setattr("cellsolve.oracles.choice.PROVABLE", 2)  # nothing but ascents is left
    heuristic = CellRegressor(lam=0.02, max_cells=10, tol=1e-3, random_state=0).fit(X, y)
    assert heuristic.solution_.status == "unproven"
    assert heuristic.solution_.objective <= 1.01 * solve(X, y, lam=0.02).objective


# -- classification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
def test_two_classes_are_one_problem(classification, loss):
    X, y = classification
    model = CellClassifier(lam=0.02, loss=loss).fit(X, y)
    expected = solve(X, np.where(y == "up", 1, -1), lam=0.02, loss=loss)
    assert list(model.classes_) == ["down", "up"]
    assert model.solution_.objective == pytest.approx(expected.objective, rel=1e-6)
    assert model.solutions_ == [model.solution_]
    assert model.certificate_.verify(X, np.where(y == "up", 1.0, -1.0))
    decision = model.decision_function(X)
    np.testing.assert_array_equal(model.predict(X), np.where(decision > 0, "up", "down"))
    assert model.score(X, y) > 0.9
    assert hasattr(model, "predict_proba") == hasattr(model, "predict_log_proba") == (loss == "logistic")
    if loss == "logistic":
        np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-decision)), rtol=1e-12)


def test_several_classes_are_one_problem_each(iris):
    X, y = iris
    model = CellClassifier(lam=0.01, tol=1e-4).fit(X, y)
    assert len(model.solutions_) == len(model.measure_) == len(model.certificate_) == 3
    assert model.solution_ is model.solutions_
    assert model.decision_function(X).shape == (len(X), 3)
    for label, solution, certificate in zip(model.classes_, model.solution_, model.certificate_, strict=True):
        assert solution.status == "optimal"
        assert certificate.matches(Problem(X, np.where(y == label, 1.0, -1.0), lam=0.01, loss="logistic"))
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    assert model.score(X, y) > 0.9
    wrapped = OneVsRestClassifier(CellClassifier(lam=0.01, tol=1e-4)).fit(X, y)
    np.testing.assert_allclose(wrapped.predict_proba(X), probabilities, atol=1e-2)
    model.set_params(warm_start=True).fit(X, y)  # a solution for each class to go on from
    two = y != "setosa"
    assert len(model.fit(X[two], y[two]).solutions_) == 1  # and none for other classes


def test_auto_is_one_lam_for_all_classes(iris):
    X, y = iris
    largest = max(lam_max(X, np.where(y == label, 1, -1), loss="squared_hinge") for label in np.unique(y))
    model = CellClassifier(loss="squared_hinge", tol=1e-3).fit(X, y)
    assert model.lam_ == pytest.approx(0.01 * largest, rel=1e-9)
    assert {solution.lam for solution in model.solution_} == {model.lam_}


def test_probabilities_of_far_points(classification):
    X, y = classification
    model = CellClassifier(lam=1e-3).fit(X, y)
    far = model.predict_proba(1e6 * X)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(far.sum(axis=1), 1.0)


# -- cross-validation ---------------------------------------------------------------------------------------------


def test_cross_validation_finds_a_lam_between_the_ends():
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (60, 1))
    y = np.abs(X[:, 0]) + 0.2 * rng.standard_normal(60)
    model = CellRegressorCV(n_lams=10, lam_min_ratio=1e-5, tol=1e-4).fit(X, y)
    assert model.cv_scores_.shape == (10, 5)
    assert model.lams_[0] == pytest.approx(lam_max(X, y), rel=1e-9)
    assert np.all(np.diff(model.lams_) < 0)
    assert 0 < model.best_index_ < 9
    assert model.lam_ == model.lams_[model.best_index_] == model.solution_.lam
    assert model.solution_.objective == pytest.approx(solve(X, y, lam=model.lam_).objective, rel=1e-4)
    new = np.linspace(-1, 1, 50)[:, None]
    assert np.abs(model.predict(new) - np.abs(new[:, 0])).mean() < 0.1


def test_scores_are_those_of_a_path(regression):
    X, y = regression
    lams = [0.01, 0.3, 0.1]
    splits = list(KFold(3).split(X))
    model = CellRegressorCV(lams, cv=splits, loss="absolute").fit(X, y)
    np.testing.assert_array_equal(model.lams_, [0.3, 0.1, 0.01])
    for k, (train, test) in enumerate(splits):
        for j, solution in enumerate(path(X[train], y[train], lams=lams, loss="absolute")):
            miss = np.abs(solution.predict(X[test]) - y[test]).mean()
            assert model.cv_scores_[j, k] == pytest.approx(-miss, rel=1e-2)
    other = CellRegressorCV(lams, cv=splits, loss="absolute", scoring="neg_mean_absolute_error").fit(X, y)
    np.testing.assert_allclose(other.cv_scores_, model.cv_scores_, rtol=1e-6)


def test_folds_in_parallel_are_the_same(regression):
    X, y = regression
    one, two = (CellRegressorCV([0.1, 0.01], cv=2, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 2))
    np.testing.assert_allclose(one.cv_scores_, two.cv_scores_, rtol=1e-9)


def test_cross_validation_of_classes(iris, classification):
    X, y = iris
    model = CellClassifierCV(n_lams=3, lam_min_ratio=1e-2, cv=2, scoring="accuracy", tol=1e-3).fit(X, y)
    assert model.cv_scores_.shape == (3, 2)
    assert len(model.solutions_) == 3
    assert {solution.lam for solution in model.solutions_} == {model.lam_}
    assert model.score(X, y) > 0.9
    X, y = classification
    model = CellClassifierCV([1.0, 0.01], cv=2, loss="squared_hinge", tol=1e-3).fit(X, y)
    assert model.lam_ == 0.01
    assert model.decision_function(X).ndim == 1


# -- in a world of estimators -------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [CellRegressor(0.1), CellRegressorCV([0.1], cv=2)], ids=repr)
def test_clone_and_pickle(regression, estimator):
    X, y = regression
    assert clone(estimator).get_params() == estimator.get_params()
    fitted = clone(estimator).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.certificate_.gap == fitted.certificate_.gap
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_search_through_a_pipeline(regression, classification):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), CellRegressor(tol=1e-3)),
        {"cellregressor__lam": [1.0, 0.01], "cellregressor__penalty": ["variation", "slope"]},
        cv=2,
    )
    X, y = regression
    search.fit(X, y)
    assert search.best_params_["cellregressor__lam"] == 0.01
    search = GridSearchCV(CellClassifier(tol=1e-3), {"lam": [1.0, 0.01]}, cv=2, scoring="neg_log_loss")
    assert search.fit(*classification).best_params_ == {"lam": 0.01}


@pytest.mark.parametrize("estimator", [CellRegressor, CellClassifier])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lam": -1.0}, "lam is -1"),
        ({"lam": 0}, "lam is 0"),
        ({"lam": None}, "lam is None; .*'auto'"),
        ({"lam": "large"}, "lam is 'large'; .*'auto'"),
        ({"loss": "cosine"}, "loss"),
        ({"penalty": "ridge"}, "penalty"),
        ({"free": "all"}, "free"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"tol": -1}, "tol is -1"),
        ({"max_cells": 0}, "max_cells is 0"),
    ],
    ids=str,
)
def test_bad_parameters(classification, estimator, settings, message):
    X, labels = classification
    y = labels if estimator is CellClassifier else X[:, 0]
    with pytest.raises(ValueError, match=message):
        estimator(**settings).fit(X, y)


def test_a_loss_of_the_other_kind(classification):
    X, labels = classification
    for kind in (CellRegressor, CellRegressorCV):
        with pytest.raises(ValueError, match=r"loss is 'hinge'; Cell\w+ takes one of squared, .*quantile"):
            kind(loss="hinge").fit(X, X[:, 0])
    for kind in (CellClassifier, CellClassifierCV):
        with pytest.raises(ValueError, match=r"loss is 'huber'; Cell\w+ takes one of .*logistic"):
            kind(loss=Huber(delta=2.0)).fit(X, labels)


def test_bad_grids(regression):
    X, y = regression
    for settings in ({"n_lams": 0}, {"lam_min_ratio": 0.0}, {"lams": []}, {"lams": [0.1, -0.1]}):
        with pytest.raises(ValueError, match="lam"):
            CellRegressorCV(cv=2, **settings).fit(X, y)
    with pytest.raises(ValueError, match="one class only"):
        CellClassifierCV().fit(X, np.ones(len(X)))
