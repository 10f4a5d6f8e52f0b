"""The convex program beside gradient training, on the same objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.api import certify, solve
from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solution import Solution, Status


@dataclass(frozen=True, eq=False)
class Comparison:
    """A solution and networks trained on the same problem.

    Attributes
    ----------
    problem : Problem
    solution : Solution
    runs : dict
        Optimizer -> trained networks, one a seed.
    """

    problem: Problem
    solution: Solution
    runs: Mapping[str, Sequence[Any]]

    def excesses(self, optimizer: str) -> Array:
        """Return the certified excess of every run: how far it is, at most, above the best network of any width."""
        certificate = self.solution.certificate
        networks = [run.measure for run in self.runs[optimizer]]
        return np.array([certify(network, self.problem, certificate=certificate).excess for network in networks])

    def lines(self) -> list[dict[str, str]]:
        """Return the lines of a table, the convex program first, then the medians of each optimizer."""
        solution = self.solution
        lines = [
            {
                "method": f"convex program ({solution.status.replace('_', ' ')})",
                "objective": f"{solution.objective:.8f}",
                "above the bound": f"{solution.certificate.excess:.1e}",
                "neurons": f"{solution.measure.n_neurons}",
                "seconds": f"{solution.time:.1f}",
            }
        ]
        for optimizer, runs in self.runs.items():
            excess = self.excesses(optimizer)
            lines.append(
                {
                    "method": f"{optimizer}, {len(runs)} seed{'s' * (len(runs) != 1)}",
                    "objective": f"{np.median([run.objective for run in runs]):.8f}",
                    "above the bound": f"{excess.min():.1e} to {excess.max():.1e}",
                    "neurons": f"{np.median([run.measure.n_neurons for run in runs]):.0f}",
                    "seconds": f"{np.median([run.history['time'][-1] for run in runs]):.1f} each",
                }
            )
        return lines


def compare(
    problem: Problem,
    *,
    optimizers: Sequence[str] = ("adam",),
    seeds: int = 5,
    width: int = 100,
    steps: int | None = None,
    lr: Mapping[str, float] | None = None,
    progress: bool = False,
    **options: Any,
) -> Comparison:
    """Solve a problem, and train networks on it from several seeds (needs torch).

    Parameters
    ----------
    problem : Problem
    optimizers : sequence of str
        See `train_network`.
    seeds : int
        Runs of each optimizer.
    width, steps
        As in `train_network`.
    lr : dict, optional
        Optimizer -> learning rate, where its default shall not be taken.
    progress : bool
        Show progress on a terminal.
    **options
        As in `solve`.

    Returns
    -------
    Comparison
        After Ctrl-C with what there is.
    """
    from cellsolve.training import train_network  # before the solve, so that a missing torch is told at once

    solution = solve(problem, progress=progress, **options)
    runs: dict[str, list[Any]] = {}
    if solution.status is Status.INTERRUPTED:
        return Comparison(problem, solution, runs)
    for optimizer in optimizers:
        for seed in range(seeds):
            rates = {"optimizer": optimizer, "steps": steps, "lr": (lr or {}).get(optimizer)}
            run = train_network(problem, width=width, random_state=seed, progress=progress, **rates)
            runs.setdefault(optimizer, []).append(run)
            if run.status == "interrupted":
                return Comparison(problem, solution, runs)
    return Comparison(problem, solution, runs)


def r_squared(network: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Return 1 - sum (f(x_i) - y_i)^2 / sum (y_i - mean y)^2."""
    y = np.asarray(y)
    return float(1 - np.sum((network.predict(X) - y) ** 2) / np.sum((y - y.mean()) ** 2))


def print_table(title: str, lines: Sequence[Mapping[str, str]], caption: str | None = None) -> None:
    """Print lines with the same keys as a table; where there is no terminal, as wide as it needs to be."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for name in lines[0]:
        table.add_column(name, justify="left" if name in ("data", "method") else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line.values())
    console = Console()
    if not console.is_terminal:
        console = Console(width=Console(width=10_000).measure(table).maximum)
    console.print(table)
