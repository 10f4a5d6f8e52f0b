"""cellsolve: the best shallow ReLU network of any width, with a proof."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: public name -> module that holds it; imported when first asked for, so that `import cellsolve` stays light
_PUBLIC = {
    "Problem": "cellsolve.problem",
    "solve": "cellsolve.api",
    "interpolate": "cellsolve.api",
    "path": "cellsolve.api",
    "lam_max": "cellsolve.api",
    "certify": "cellsolve.api",
    "contact_set": "cellsolve.contact",
    "ContactSet": "cellsolve.contact",
    "convex_runs": "cellsolve.broken_line",
    "ConvexRuns": "cellsolve.broken_line",
    "Solution": "cellsolve.solution",
    "Status": "cellsolve.solution",
    "Certificate": "cellsolve.certificate",
    "SparseMeasure": "cellsolve.measure",
    "Loss": "cellsolve.losses",
    "Huber": "cellsolve.losses",
    "Quantile": "cellsolve.losses",
    "Potential": "cellsolve.potentials",
    "LabelNoise": "cellsolve.potentials",
    "CellArrangement": "cellsolve.cells",
    "enumerate_cells": "cellsolve.cells",
    "enumerate_chambers": "cellsolve.cells",
    "iter_cells": "cellsolve.cells",
    "count_cells": "cellsolve.cells",
    "sample_cells": "cellsolve.cells",
    "write_cells": "cellsolve.cells",
    "cell_features": "cellsolve.features",
    "relu_features": "cellsolve.features",
    "compress": "cellsolve.compression",
    "Compression": "cellsolve.compression",
    "compress_layer": "cellsolve.compression",
    "CellRegressor": "cellsolve.estimators",
    "CellRegressorCV": "cellsolve.estimators",
    "CellClassifier": "cellsolve.estimators",
    "CellClassifierCV": "cellsolve.estimators",
}
_MODULES = ("compression", "plotting", "programs", "testing", "training", "verify")

__all__ = ["__version__", *_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"cellsolve.{name}")
    raise AttributeError(f"module 'cellsolve' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
