"""Which oracle a problem gets."""

from __future__ import annotations

from typing import Any

from cellsolve.cells import enumerate_lifted
from cellsolve.cells.counting import count_if_affordable, general_position
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.cones import MOST_COORDINATES, PROVABLE, ConeOracle, can_prove
from cellsolve.oracles.exhaustive import ExhaustiveOracle
from cellsolve.oracles.families import length_coordinates
from cellsolve.oracles.interval import IntervalOracle, on_a_line
from cellsolve.oracles.pricing import Oracle
from cellsolve.potentials import POTENTIALS
from cellsolve.problem import Problem


def choose_oracle(
    problem: Problem,
    limit: int,
    *,
    every_cell: bool = False,
    accuracy: float = 1e-7,
    n_jobs: int | None = None,
    random_state: Any = None,
    progress: bool = False,
    limited: bool = False,
) -> Oracle:
    """Return the oracle for a normalized problem: every cell where there are at most `limit`, else the cones.

    One input has a formula. Where there are too many coordinates for the cones too, or several outputs under label
    noise, it is the one that proves nothing. With `limited` time there may be more coordinates: all of it may be spent
    on the bound.

    Raises
    ------
    ValueError
        More cells than `limit` where `every_cell` is needed, or a potential that no oracle knows.
    """
    if type(problem.penalty) not in POTENTIALS.values():
        length_coordinates(problem)  # or refuse it
    if not every_cell and on_a_line(problem):
        return IntervalOracle(problem)
    lifted = problem.lifted
    n, D = lifted.shape
    count, exact = general_position(n, D), False
    if count > limit and (every_cell or count <= 50 * limit):  # degenerate data have fewer: worth counting
        count, exact = count_if_affordable(lifted)
    if count <= limit:
        return ExhaustiveOracle(problem, enumerate_lifted(lifted, max_cells=limit, progress=progress), n_jobs)
    if every_cell:
        number = f"{count} cells" if exact else "too many cells to count"
        raise ValueError(
            f"X has {number}, and method 'all_cells' takes max_cells={limit}; use method='auto', or fewer rows."
        )
    if D <= (MOST_COORDINATES if limited else PROVABLE) and can_prove(problem):
        return ConeOracle(problem, accuracy, random_state=random_state, n_jobs=n_jobs)
    return AscentOracle(problem, random_state=random_state, n_jobs=n_jobs)
