"""Cells: the sets of neurons that are active on the same points, enumerated exactly, counted and sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.arrangement import CellArrangement
from cellsolve.cells.counting import count_cells, count_if_affordable, general_position
from cellsolve.cells.incremental import enumerate_incrementally
from cellsolve.cells.sampling import sample_cells
from cellsolve.checks import count, jobs
from cellsolve.data import as_points, lift
from cellsolve.tasks import unsignalled

__all__ = [
    "ENUMERATORS",
    "CellArrangement",
    "count_cells",
    "enumerate_cells",
    "enumerate_chambers",
    "iter_cells",
    "sample_cells",
    "write_cells",
]


def enumerate_by_sweep(
    lifted: NDArray, n_jobs: int | None = None, progress: Callable[[int, int], None] | None = None
) -> NDArray:
    """List the packed patterns of all cells of lifted points: `cellsolve.cells.sweep`."""
    from cellsolve.cells.sweep import all_cells  # numba is not light

    return all_cells(lifted, n_jobs, progress)


ENUMERATORS = {"sweep": enumerate_by_sweep, "incremental": enumerate_incrementally}
#: those that miss nothing
EXACT = {"sweep"}


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
    method : {"auto", "sweep", "incremental"}
        "sweep" is exact and fast; it is compiled the first time, which takes some ten seconds. "incremental" solves
        linear programs to a tolerance, for comparison: it may miss thin cells, and does not call its answer complete.
        "auto" is "sweep".
    max_cells : int
        Refuse data with more cells than this.
    n_jobs : int, optional
        Workers of "sweep" (joblib: None is 1, -1 all cores): threads, or what `joblib.parallel_config` sets, a Dask or
        Ray cluster for instance. The answer does not depend on it.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    CellArrangement
        Each cell once, the all-inactive cell and both antipodes included: cells 2 m and 2 m + 1 are antipodes.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, an unknown method, or more cells than `max_cells`.
    """
    lifted = lift(as_points(X), fit_bias)
    return enumerate_lifted(lifted, method=method, max_cells=max_cells, n_jobs=n_jobs, progress=progress)


def enumerate_chambers(
    normals: ArrayLike, *, max_cells: int = 10**7, n_jobs: int | None = None, progress: bool = False
) -> CellArrangement:
    """List all chambers of a central hyperplane arrangement: what is left of space without {x : <normal_i, x> = 0}.

    Parameters
    ----------
    normals : array-like, shape (n, D)
        Any floats: repeated, opposite and zero normals are fine. Floats are taken as the rationals that they are.
    max_cells, n_jobs, progress
        As in `enumerate_cells`.

    Returns
    -------
    CellArrangement
        Bit i of a chamber is 1 where <normal_i, x> > 0 in it; of zero normals it is 0.
    """
    lifted = as_points(normals, "normals")
    return enumerate_lifted(lifted, max_cells=max_cells, n_jobs=n_jobs, progress=progress, name="normals")


def iter_cells(X: ArrayLike, *, batch: int = 2**16, fit_bias: bool = True) -> Iterator[CellArrangement]:
    """Iterate over all cells in batches, in the order of `enumerate_cells`, in memory that does not grow with them.

    Parameters
    ----------
    X, fit_bias
        As in `enumerate_cells`.
    batch : int
        Cells per batch, at least 1.

    Yields
    ------
    CellArrangement
        `batch` cells, in the end what is left.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, or `batch` below 1.
    """
    batch = count(batch, "batch")
    lifted = lift(as_points(X), fit_bias)

    def batches() -> Iterator[CellArrangement]:
        from cellsolve.cells.sweep import stream_cells

        for packed in stream_cells(lifted, batch):
            yield CellArrangement(lifted, packed)

    return batches()


def write_cells(
    path: str | Path,
    X: ArrayLike,
    *,
    fit_bias: bool = True,
    n_jobs: int | None = None,
    progress: bool = False,
    beside: dict[str, NDArray] | None = None,
) -> int:
    """Write all cells to an npz file, in parts: what a run that was killed has done, the next one does not do again.

    Memory does not grow with the number of cells. Parts are kept in the folder ``path + ".parts"`` until the file is
    whole, with all cells in it, none twice.

    Parameters
    ----------
    path : path
        The file; it holds `packed`, as `CellArrangement` has it and in the same order.
    X, fit_bias, n_jobs, progress
        As in `enumerate_cells`. Workers have to share the file system.
    beside : dict of arrays, optional
        What else goes into the file.

    Returns
    -------
    int
        The number of cells.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, and where the folder has parts of other points.
    """
    from cellsolve.cells.parts import write_parts

    with _progress_bar(progress) as report:
        return write_parts(path, lift(as_points(X), fit_bias), beside or {}, jobs(n_jobs), report)


def enumerate_lifted(
    lifted: NDArray,
    *,
    method: str = "auto",
    max_cells: int = 10**7,
    n_jobs: int | None = None,
    progress: bool = False,
    name: str = "X",
) -> CellArrangement:
    """List all cells of lifted points, shape (n, D), which errors call `name`; see `enumerate_cells`."""
    n_jobs, max_cells = jobs(n_jobs), count(max_cells, "max_cells")
    method = "sweep" if method == "auto" else method
    if method not in ENUMERATORS:
        raise ValueError(f"method is {method!r}; pass one of 'auto', {', '.join(map(repr, ENUMERATORS))}.")
    _refuse_too_many(lifted, max_cells, name)
    with _progress_bar(progress) as report:
        packed = ENUMERATORS[method](lifted, n_jobs=n_jobs, progress=report)
    return CellArrangement(lifted, packed, complete=method in EXACT)


def _refuse_too_many(lifted: NDArray, max_cells: int, name: str) -> None:
    if general_position(*lifted.shape) <= max_cells:
        return
    total, exact = unsignalled(count_if_affordable, lifted)
    if total <= max_cells:
        return
    number = f"{total} cells" if exact else f"up to {total:.3g} cells, too many to count"
    raise ValueError(
        f"{name} has {number}, and max_cells is {max_cells}; sample_cells(X, n_cells) takes some of them, "
        "iter_cells(X) streams them all, a larger max_cells lists them if memory allows."
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
