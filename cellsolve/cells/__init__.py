"""Cells: the sets of neurons that are active on the same points, enumerated exactly, counted and sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.arrangement import CellArrangement, Facets
from cellsolve.cells.counting import count_cells, count_if_affordable, general_position
from cellsolve.cells.incremental import enumerate_incrementally
from cellsolve.cells.restriction import enumerate_by_restriction
from cellsolve.cells.sampling import sample_cells
from cellsolve.data import as_points, lift

__all__ = ["ENUMERATORS", "CellArrangement", "count_cells", "enumerate_cells", "iter_cells", "sample_cells"]


def enumerate_by_sweep(
    lifted: NDArray, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray, Facets | None]:
    """List the packed patterns of all cells of lifted points, sorted: `cellsolve.cells.sweep`."""
    from cellsolve.cells.sweep import all_cells  # numba is not light

    return all_cells(lifted, progress), None


ENUMERATORS = {
    "restriction": enumerate_by_restriction,
    "sweep": enumerate_by_sweep,
    "incremental": enumerate_incrementally,
}
#: those that miss nothing
EXACT = {"restriction", "sweep"}


def enumerate_cells(
    X: ArrayLike,
    *,
    fit_bias: bool = True,
    method: str = "auto",
    max_cells: int = 10**7,
    n_jobs: int | None = None,
    progress: bool = False,
) -> CellArrangement:
    """List all cells of the data.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
        Points; repeated, collinear and grid points are fine.
    fit_bias : bool
        Whether neurons have a bias, x~ = (x, 1), or not, x~ = x.
    method : {"auto", "restriction", "sweep", "incremental"}
        "restriction" is exact and fast. So is "sweep", which is faster where there are millions of cells, and takes
        half a minute to compile the first time. "incremental" solves linear programs to a tolerance, for comparison:
        it may miss thin cells, and does not call its answer complete. "auto" is "restriction".
    max_cells : int
        Refuse data with more cells than this.
    n_jobs : int, optional
        Accepted for the common interface and not used: neither threads nor processes made enumeration faster.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    CellArrangement
        Each cell once, in sorted order of packed patterns, the all-inactive cell and both antipodes included.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, an unknown method, or more cells than `max_cells`.
    """
    lifted = lift(as_points(X), fit_bias)
    return enumerate_lifted(lifted, method=method, max_cells=max_cells, progress=progress)


def iter_cells(
    X: ArrayLike,
    *,
    batch: int = 2**16,
    fit_bias: bool = True,
    method: str = "auto",
    max_cells: int = 10**7,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Iterator[CellArrangement]:
    """Iterate over all cells in batches, in the order of `enumerate_cells`.

    The packed patterns of all cells are held in memory and sliced, so `max_cells` applies; what a batch computes for
    itself (unpacked patterns, interior neurons, features) is limited to `batch` cells.

    Parameters
    ----------
    X, fit_bias, method, max_cells, n_jobs, progress
        As in `enumerate_cells`.
    batch : int
        Cells per batch, at least 1.

    Yields
    ------
    CellArrangement
        At most `batch` cells, with their facets.

    Raises
    ------
    ValueError
        As `enumerate_cells`, when the first batch is asked for; for `batch` below 1 at once.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; pass the number of cells per batch, at least 1.")

    def batches() -> Iterator[CellArrangement]:
        cells = enumerate_cells(X, fit_bias=fit_bias, method=method, max_cells=max_cells, progress=progress)
        for start in range(0, len(cells), batch):
            yield cells.take(range(start, min(start + batch, len(cells))))

    return batches()


def enumerate_lifted(
    lifted: NDArray, *, method: str = "auto", max_cells: int = 10**7, progress: bool = False
) -> CellArrangement:
    """List all cells of lifted points, shape (n, D); see `enumerate_cells`."""
    name = "restriction" if method == "auto" else method
    if name not in ENUMERATORS:
        raise ValueError(f"method is {method!r}; pass one of 'auto', {', '.join(map(repr, ENUMERATORS))}.")
    _refuse_too_many(lifted, max_cells)
    with _progress_bar(progress) as report:
        packed, facets = ENUMERATORS[name](lifted, progress=report)
    return CellArrangement(lifted, packed, facets=facets, complete=name in EXACT)


def _refuse_too_many(lifted: NDArray, max_cells: int) -> None:
    if general_position(*lifted.shape) <= max_cells:
        return
    count, exact = count_if_affordable(lifted)
    if count <= max_cells:
        return
    number = f"{count} cells" if exact else f"up to {count:.3g} cells, too many to count"
    raise ValueError(
        f"X has {number}, and max_cells is {max_cells}; sample_cells(X, n_cells) takes some of them, "
        "a larger max_cells enumerates them all if memory allows."
    )


@contextmanager
def _progress_bar(shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console) as bar:
        task = bar.add_task("cells")
        yield lambda done, total: bar.update(task, completed=done, total=total)
