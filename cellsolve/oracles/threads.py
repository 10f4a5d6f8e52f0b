"""joblib threads over kernels that release the GIL."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def each(n_jobs: int | None, tasks: Iterable[tuple], work: Callable[..., None]) -> None:
    """Run work(*task) for every task, on joblib threads where asked for."""
    if n_jobs in (None, 1):
        for task in tasks:
            work(*task)
        return
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(work)(*task) for task in tasks)


def over_blocks(n_jobs: int | None, count: int, work: Callable[[int, int], None], size: int) -> None:
    """Run work(start, stop) over blocks of at most `size` of 0..count."""
    blocks = [(start, min(count, start + size)) for start in range(0, count, size)]
    each(n_jobs if len(blocks) > 1 else 1, blocks, work)
