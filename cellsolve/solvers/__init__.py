"""Methods, by name. A new one is a file and a line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cellsolve.problem import Problem
from cellsolve.solvers.all_cells import solve_all_cells
from cellsolve.solvers.generation import Budget, Outcome
from cellsolve.solvers.neurons import solve_neurons
from cellsolve.solvers.options import Options

__all__ = ["METHODS", "Budget", "Method", "Options", "Outcome", "choose"]


@dataclass(frozen=True)
class Method:
    """A way to solve a normalized problem with an oracle.

    Attributes
    ----------
    run : callable
        (problem, oracle, options) -> Outcome.
    max_cells : int
        Cells that it takes by default.
    needs_all_cells : bool
        Whether it refuses data with more cells than that, instead of going on without a proof.
    single_output : bool
        Whether it takes one output only.
    """

    run: Callable[..., Outcome]
    max_cells: int
    needs_all_cells: bool = False
    single_output: bool = False


#: `max_cells` is what a round takes about a second for (neurons: microseconds a cell; all_cells: one convex program)
METHODS: dict[str, Method] = {
    "neurons": Method(solve_neurons, max_cells=250_000),
    "all_cells": Method(solve_all_cells, max_cells=20_000, needs_all_cells=True, single_output=True),
}


def choose(name: str, problem: Problem) -> tuple[str, Method]:
    """Return the method of that name, "auto" being the best for the problem.

    Raises
    ------
    ValueError
        An unknown name, or a method that cannot take the problem.
    """
    if name == "auto":
        name = "neurons"
    if name not in METHODS:
        raise ValueError(f"method is {name!r}; choose 'auto' or one of {', '.join(METHODS)}.")
    if METHODS[name].single_output and problem.n_outputs > 1:
        raise ValueError(f"method {name!r} takes one output, y has {problem.n_outputs}; use method='neurons'.")
    return name, METHODS[name]
