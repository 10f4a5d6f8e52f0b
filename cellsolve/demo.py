"""The demo: the diabetes data of scikit-learn, solved with a proof, and gradient training beside it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from cellsolve.api import lam_max, solve
from cellsolve.comparison import Comparison, compare, print_table, r_squared
from cellsolve.data import Array
from cellsolve.files import Model, refuse_unwritable, write_table
from cellsolve.problem import Problem
from cellsolve.replacing import replacing

#: the part of the 442 patients that no fit of R² sees, and lam as a share of the smallest one without neurons
HELD_OUT, SHARE = 0.2, 0.01
FEATURES = {"bmi": "body mass index (standardised)", "s5": "log of serum triglycerides (standardised)"}
TARGET, TARGET_LABEL = "progression", "disease progression (standardised)"


def run(folder: Path, *, seeds: int = 3, width: int = 100, steps: int | None = None) -> int:
    """Solve with one feature and with two, on all patients; train; print, and write files.

    Parameters
    ----------
    folder : Path
        Where the files go; made if it is missing.
    seeds, width, steps
        Of gradient training.

    Returns
    -------
    int
        Exit code.
    """
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    names = ("data.csv", "model.json", "certificate.json", "fit.png", "cells.png", "training.png")
    outputs = {name: folder / name for name in names}
    refuse_unwritable(*outputs.values())

    X, y, kept, held_out = _patients()
    options = {"seeds": seeds, "width": width, "steps": steps, "progress": True, "random_state": 0}
    one = _part("bmi", X[:, :1], y, kept, held_out, options)
    two = _part("bmi and s5", X, y, kept, held_out, options)

    with ExitStack() as stack:  # every file is written before the first one replaces an older one
        drafts = {name: stack.enter_context(replacing(path)) for name, path in outputs.items()}
        write_table(drafts["data.csv"], [*FEATURES, TARGET], np.column_stack([X, y]))
        Model.of(one.solution.measure, one.problem, ["bmi"], TARGET).save(drafts["model.json"])
        one.solution.certificate.save(drafts["certificate.json"])
        _draw(one, two, {name: drafts[name] for name in names[3:]})
    print(f"{time.perf_counter() - start:.0f} s. Files:")
    for name, what in zip(names, _CONTENTS):
        print(f"  {folder / name}  {what}")
    print("The proof, checked in exact arithmetic by code that shares nothing with the solver:")
    data = f"{folder / 'data.csv'} --target {TARGET}"
    print(f"  cellsolve verify {folder / 'certificate.json'} {data} --features bmi")
    return 0


_CONTENTS = (
    "all 442 patients, standardised",
    "the network on bmi, with the problem that it solves",
    "the proof that no network of any width is better on it",
    "both fits, with their kinks and folds",
    "the neurons of both fits among the cells, and the dual functions that prove them",
    "gradient training against time",
)


def _patients() -> tuple[Array, Array, np.ndarray, np.ndarray]:
    """Return two features and the target, standardised on the rows that are not held out, and both sets of rows."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    table = np.column_stack([*(data.data[:, data.feature_names.index(name)] for name in FEATURES), data.target])
    order = np.random.default_rng(0).permutation(len(table))
    held_out, kept = np.split(order, [round(HELD_OUT * len(table))])
    table = (table - table[kept].mean(axis=0)) / table[kept].std(axis=0)
    return table[:, :-1], table[:, -1], kept, held_out


def _part(name: str, X: Array, y: Array, kept: np.ndarray, held_out: np.ndarray, options: dict[str, Any]) -> Comparison:
    """Solve and train on all rows and print the table, with R² on held-out rows, of fits to the others."""
    problem = Problem(X, y, lam=1.0)
    problem = problem.replace(lam=SHARE * lam_max(problem, random_state=0))
    solve(problem)  # an installation's first one compiles kernels: none of the seconds below
    result = compare(problem, **options)
    apart = compare(problem.replace(X=X[kept], y=y[kept]), **options)
    scores = [f"{r_squared(apart.solution, X[held_out], y[held_out]):.3f}"]
    for runs in apart.runs.values():
        scores.append(f"{np.median([r_squared(run, X[held_out], y[held_out]) for run in runs]):.3f}")
    lines = [line | {"R² held out": score} for line, score in zip(result.lines(), scores)]
    solution = result.solution
    bound = f"certified: no network of any width is below {solution.lower_bound:.8f} (gap {solution.gap:.1e})"
    fits = f"of fits to the other {len(kept)}; trained: width {options['width']}, medians"
    caption = f"{bound}\nR² on {len(held_out)} held-out patients, {fits}"
    print_table(f"Diabetes progression from {name}: {problem.n} patients, lam = {problem.lam:.3g}", lines, caption)
    return result


def _draw(one: Comparison, two: Comparison, paths: dict[str, Path]) -> None:
    from cellsolve.plotting import new_figure, plot_comparison, plot_fit, plot_neuron_space, plot_surface

    labels = list(FEATURES.values())
    data = [(part.solution, part.problem.X, part.problem.y) for part in (one, two)]

    figure = new_figure(12.4, 4.8)
    left, right = figure.subplots(1, 2)
    plot_fit(*data[0], left, labels=[labels[0], TARGET_LABEL])
    plot_surface(*data[1], right, labels=[*labels, TARGET_LABEL])
    figure.savefig(paths["fit.png"], dpi=150)

    figure = new_figure(8.4, 8.6)
    above, below = figure.subplots(2, 1, height_ratios=[0.85, 1])
    plot_neuron_space(*data[0], above)
    plot_neuron_space(*data[1], below)
    figure.savefig(paths["cells.png"], dpi=150)

    figure = new_figure(12.4, 4.4)
    for part, ax, name in zip((one, two), figure.subplots(1, 2), ("bmi", "bmi and s5")):
        plot_comparison(part.solution, part.runs, ax).set_title(name, loc="left")
    figure.savefig(paths["training.png"], dpi=150)
