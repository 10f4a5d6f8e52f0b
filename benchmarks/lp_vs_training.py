"""The convex program against gradient training, on one objective: time, objective and certified excess of every run.

Every method minimises mean loss + lam * norm (gradient training in its weight-decay form, at a fixed width). The bound
that the convex program proves holds for networks of every width, so it scores the trained ones too. All run on one
thread, as make bench sets it; the program is compiled before the clock starts. The learning rates are the best of four
that were tried on these data, a search whose time is not counted. "to 1%" is the time until the objective was first at
most 1% above the bound, the median over seeds, and "-" where half of them did not come that close; training is recorded
about a hundred times a run. The steps of the convex program are its rounds, and the time to its end includes the proof.
Neurons are those with more than a millionth of the norm.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _results import machine, write_csv
from sklearn.datasets import load_diabetes

import cellsolve as cs
from cellsolve.comparison import Comparison, compare, print_table
from cellsolve.plotting import new_figure, plot_comparison

RESULTS = Path(__file__).parent / "results"
#: optimizer -> learning rate
RATES = {"adam": 0.03, "sgd": 1.0, "lbfgs": 1.0}
LEVELS = {"to 1%": 1e-2, "to 0.1%": 1e-3, "to 0.01%": 1e-4}

Data = tuple[np.ndarray, np.ndarray]


def sine(rng: np.random.Generator) -> Data:
    """Univariate: a noisy sine."""
    x = np.sort(rng.uniform(-3, 3, 100))
    return x[:, None], np.sin(2 * x) + 0.2 * rng.standard_normal(100)


def diabetes(rng: np.random.Generator) -> Data:
    """Two features, real: disease progression from body mass index and s5, 150 of 442 patients, standardised."""
    data = load_diabetes()
    rows = rng.choice(len(data.target), 150, replace=False)
    table = np.column_stack([data.data[:, [2, 8]], data.target])[rows]
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    return table[:, :2], table[:, 2]


def planted(rng: np.random.Generator) -> Data:
    """Three features: a network of five neurons, with noise."""
    X = rng.standard_normal((40, 3))
    theta, weights = rng.standard_normal((5, 4)), rng.choice([-1.0, 1.0], 5)
    return X, cs.SparseMeasure(theta, weights).predict(X) + 0.1 * rng.standard_normal(40)


DATA: dict[str, Callable[[np.random.Generator], Data]] = {"sine": sine, "diabetes": diabetes, "planted": planted}


def rows_of(name: str, result: Comparison) -> list[dict[str, object]]:
    """One row a run, for the CSV file."""
    problem, solution = result.problem, result.solution
    n, d = problem.X.shape
    about = {"data": name, "n": n, "d": d, "cells": cs.count_cells(problem.X), "lam": problem.lam}
    bound = solution.lower_bound

    def row(method, seed, steps, width, network, seconds, times, objectives, excess):
        sizes = np.abs(network.weights) * problem.neuron_costs(network.neurons)
        reached = {level: np.flatnonzero(objectives <= bound * (1 + share)) for level, share in LEVELS.items()}
        first = {level: float(times[k[0]]) if len(k) else float("inf") for level, k in reached.items()}
        return about | {
            "method": method,
            "seed": seed,
            "steps": steps,
            "width": width,
            "seconds": float(seconds),
            "objective": float(objectives[-1]),
            "lower_bound": bound,
            "excess": float(excess),
            "neurons": int(np.sum(sizes > 1e-6 * sizes.sum())),
            **first,
        }

    times = np.array([r.time for r in solution.history] + [solution.time])
    objectives = np.array([r.objective for r in solution.history] + [solution.objective])
    excess = solution.certificate.excess
    rounds, seconds, measure = len(solution.history), solution.time, solution.measure
    rows = [row("convex program", "", rounds, "any", measure, seconds, times, objectives, excess)]
    for optimizer, runs in result.runs.items():
        for seed, (run, excess) in enumerate(zip(runs, result.excesses(optimizer))):
            history = run.history
            objectives = np.append(history["objective"][:-1], run.objective)
            steps, seconds = int(history["step"][-1]), history["time"][-1]
            width = run.module.hidden.out_features
            rows.append(row(optimizer, seed, steps, width, run.measure, seconds, history["time"], objectives, excess))
    return rows


def summary(rows: list[dict]) -> list[dict[str, str]]:
    """One line a data set and method, for the terminal: medians over seeds, and the range of the excess."""
    lines = []
    for data, method in dict.fromkeys((row["data"], row["method"]) for row in rows):
        runs = [row for row in rows if (row["data"], row["method"]) == (data, method)]
        keys = ("steps", "seconds", "objective", "neurons", *LEVELS)
        median = {key: np.median([run[key] for run in runs]) for key in keys}
        excess = [run["excess"] for run in runs]
        spread = f"{excess[0]:.0e}" if len(runs) == 1 else f"{min(excess):.0e} to {max(excess):.0e}"
        levels = {level: f"{median[level]:.2f}" if np.isfinite(median[level]) else "-" for level in LEVELS}
        lines.append(
            {
                "data": f"{data}, n={runs[0]['n']}, d={runs[0]['d']}",
                "method": method if method not in RATES else f"{method}, {len(runs)} seeds",
                "width": str(runs[0]["width"]),
                "steps": f"{median['steps']:.0f}",
                "seconds": f"{median['seconds']:.2f}",
                "objective": f"{median['objective']:.6f}",
                "excess": spread,
                "neurons": f"{median['neurons']:.0f}",
                **levels,
            }
        )
    return lines


def main() -> None:
    """Run everything; print, write the CSV file and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--steps", type=int, help="of every optimizer; default: its own")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    rows, results = [], {}
    cs.solve(np.arange(6.0), np.ones(6), lam=0.01)
    for name, make in DATA.items():
        X, y = make(np.random.default_rng(0))
        problem = cs.Problem(X, y, lam=cs.lam_max(X, y) / 100)
        options = {"seeds": arguments.seeds, "width": arguments.width, "steps": arguments.steps}
        results[name] = compare(problem, optimizers=list(RATES), lr=RATES, random_state=0, **options)
        rows += rows_of(name, results[name])
    print_table("The convex program and gradient training on equal objectives", summary(rows), machine())
    write_csv(arguments.out / "lp_vs_training.csv", rows)

    figure = new_figure(15, 4.6)
    axes = figure.subplots(1, len(results))
    for (name, result), ax in zip(results.items(), axes):
        n, d = result.problem.X.shape
        plot_comparison(result.solution, result.runs, ax).set_title(f"{name}, n = {n}, d = {d}", loc="left")
    for ax in axes[1:]:  # what the first one says
        ax.set_ylabel("")
        ax.get_legend().remove()
    figure.savefig(arguments.out / "lp_vs_training.png", dpi=150)
    print(f"{arguments.out / 'lp_vs_training.csv'}, .png")


if __name__ == "__main__":
    main()
