"""joblib threads over kernels that release the GIL."""

from __future__ import annotations

from collections.abc import Callable


def over_blocks(n_jobs: int | None, count: int, work: Callable[[int, int], None], size: int) -> None:
    """Run work(start, stop) over blocks of at most `size` of 0..count, on joblib threads where asked for."""
    blocks = [(start, min(count, start + size)) for start in range(0, count, size)]
    if n_jobs in (None, 1) or len(blocks) < 2:
        for start, stop in blocks:
            work(start, stop)
        return
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(work)(start, stop) for start, stop in blocks)
