"""What a method may need beside the problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cellsolve.solution import Round
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.generation import Budget


@dataclass
class Options:
    """Options of one solve, in normalized units.

    Attributes
    ----------
    tol, asked : float
        Relative gap to stop at, and the one that the caller will be content with, a little larger.
    budget : Budget
    solver : str
        Convex solver of method "all_cells".
    start : MasterSolution, optional
        A network to start from.
    sparsest : bool
        Whether of all interpolants of least norm the one with the fewest kinks is wanted.
    """

    tol: float = 3e-7
    asked: float = 1e-6
    budget: Budget = field(default_factory=Budget)
    solver: str = "CLARABEL"
    start: MasterSolution | None = None
    random_state: Any = None
    report: Callable[[Round], None] | None = None
    sparsest: bool = False
