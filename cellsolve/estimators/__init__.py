"""scikit-learn estimators: they validate, call and store, nothing else."""

from cellsolve.estimators.classifiers import CellClassifier, CellClassifierCV
from cellsolve.estimators.regressors import CellRegressor, CellRegressorCV

__all__ = ["CellClassifier", "CellClassifierCV", "CellRegressor", "CellRegressorCV"]
