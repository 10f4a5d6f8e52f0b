"""Methods, by name. A new one is a file and a line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cellsolve.losses import LOSSES
from cellsolve.oracles.cones import PROVABLE, can_prove
from cellsolve.oracles.interval import on_a_line
from cellsolve.problem import Problem
from cellsolve.solvers.active_cells import solve_active_cells
from cellsolve.solvers.all_cells import solve_all_cells
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.generation import Budget, Outcome
from cellsolve.solvers.neurons import solve_neurons
from cellsolve.solvers.options import Options
from cellsolve.solvers.univariate import frame_on_line, solve_univariate

__all__ = ["METHODS", "Budget", "Method", "Options", "Outcome", "choose"]


@dataclass(frozen=True)
class Method:
    """A way to solve a normalized problem with an oracle.

    Attributes
    ----------
    run : callable
        (problem, oracle, options) -> Outcome.
    max_cells : int
        Cells that are listed by default.
    max_data_cells, max_cells_of_several : int, optional
        The same where w depends on the data, and where branch and bound takes several outputs: divided by 4 for each
        coordinate of their directions, min(m, D) - 1, and by 2^D for `l1`.
    needs_all_cells : bool
        Whether it refuses data with more cells than that, instead of going on without a proof.
    single_output : bool
        Whether it takes one output only.
    no_jumps : bool
        Whether w has to be continuous between cells: a neuron on a border belongs to no one cell.
    one_input : bool
        Whether it takes one input, with biases, only.
    tol : float
        Default relative gap.
    frame : callable
        Problem -> the coordinates that it is solved in.
    """

    run: Callable[..., Outcome]
    max_cells: int
    max_data_cells: int | None = None
    max_cells_of_several: int | None = None
    needs_all_cells: bool = False
    single_output: bool = False
    no_jumps: bool = False
    one_input: bool = False
    tol: float = 1e-6
    frame: Callable[[Problem], Frame] = Frame.of

    def cells_of(self, problem: Problem) -> int:
        """Return how many cells of this problem are listed by default."""
        other = self.max_data_cells if problem.penalty.depends_on_data else None
        D, m = problem.lifted.shape[1], problem.n_outputs
        if m > 1 and can_prove(problem) and D <= PROVABLE and self.max_cells_of_several is not None:
            pieces = 4 ** (min(m, D) - 1) * (2**D if problem.penalty.order == 1 else 1)  # which cuts cells by the axes
            other = self.max_cells_of_several // pieces
        return self.max_cells if other is None else other


#: `max_cells` is what a round takes about a second for (neurons: microseconds a cell; all_cells: one convex program).
#: With several outputs a cell takes a millisecond, four times as long for each coordinate more that the outputs'
#: directions have: branch and bound is the quicker one from about a thousand cells for two outputs, and sixty for four.
#: active_cells lists them only where that is quicker than branch and bound, or where that may not end: points whose
#: responses are dependent beside the inactive cell, under label noise
METHODS: dict[str, Method] = {
    "univariate": Method(
        solve_univariate, max_cells=0, single_output=True, one_input=True, tol=1e-8, frame=frame_on_line
    ),
    "active_cells": Method(
        solve_active_cells, max_cells=2_000, max_data_cells=250_000, single_output=True, no_jumps=True
    ),
    "neurons": Method(solve_neurons, max_cells=250_000, max_cells_of_several=4_000),
    "all_cells": Method(solve_all_cells, max_cells=20_000, needs_all_cells=True, single_output=True),
}


def choose(name: str, problem: Problem) -> tuple[str, Method]:
    """Return the method of that name, "auto" being the best for the problem.

    Beyond the coordinates that branch and bound can prove, neurons one by one are the cheaper search: a cell costs D
    columns.

    Raises
    ------
    ValueError
        An unknown name, or a method that cannot take the problem.
    """
    if name == "auto" and _chains(problem):
        name = "univariate"
    if name == "auto":
        cells = problem.n_outputs == 1 and not problem.penalty.jumps and problem.lifted.shape[1] <= PROVABLE
        name = "active_cells" if cells else "neurons"
    if name not in METHODS:
        raise ValueError(f"method is {name!r}; choose 'auto' or one of {', '.join(METHODS)}.")
    if METHODS[name].single_output and problem.n_outputs > 1:
        raise ValueError(f"method {name!r} takes one output, y has {problem.n_outputs}; use method='auto'.")
    if METHODS[name].one_input and not _chains(problem):
        raise ValueError(
            f"method {name!r} takes one input, biases, and a loss and penalty of this package; X has "
            f"{problem.X.shape[1]} columns, fit_bias is {problem.fit_bias}, loss is {problem.loss!r}, penalty is "
            f"{problem.penalty!r}. Use method='auto'."
        )
    if METHODS[name].no_jumps and problem.penalty.jumps:
        raise ValueError(
            f"penalty is {problem.penalty!r}, which jumps between cells; method {name!r} does not take that, "
            "use method='neurons'."
        )
    return name, METHODS[name]


def _chains(problem: Problem) -> bool:
    """Whether the problem is a chain of kinks, its loss one whose conjugate or curvature the chain knows."""
    return on_a_line(problem) and (problem.interpolates or type(problem.loss) in LOSSES.values())
