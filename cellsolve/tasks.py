"""joblib: blocks of shared arrays on threads, and pure tasks on whatever backend the caller has configured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from threading import TIMEOUT_MAX, Timer
from typing import Any

import numpy as np

#: what a Timer takes for ever
LONGEST = TIMEOUT_MAX / 2
#: seconds between two looks at what a kernel does: nobody notices
LOOK = 0.1


def over_blocks(n_jobs: int | None, count: int, work: Callable[[int, int], None], size: int) -> None:
    """Run work(start, stop) over blocks of at most `size` of 0..count, on threads of this process where asked for."""
    blocks = [(start, min(count, start + size)) for start in range(0, count, size)]
    if n_jobs in (None, 1) or len(blocks) == 1:
        for block in blocks:
            work(*block)
        return
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(work)(*block) for block in blocks)


def outcomes(
    n_jobs: int | None, work: Callable[..., Any], tasks: Iterable[tuple], prefer: str | None = None
) -> Iterator[Any]:
    """Yield what work(*task) returns, as the tasks are done: one after the other, or where joblib sends them.

    A task is drawn when it can soon begin, so it may depend on what was yielded before. Its arrays have to be inside of
    tuples: Dask leaves those that are arguments themselves with one worker, and they are lost with it.
    """
    if n_jobs != 1:
        from joblib import Parallel, delayed, effective_n_jobs
        from joblib.parallel import get_active_backend

        n_jobs = effective_n_jobs(None) if n_jobs is None else n_jobs  # 1 outside of any parallel_config
    if n_jobs == 1:
        yield from interruptibly(work, tasks) if prefer == "threads" else (work(*task) for task in tasks)
        return
    streams = get_active_backend(prefer=prefer)[0].supports_return_generator  # all but multiprocessing and Ray
    return_as = "generator_unordered" if streams else "list"
    parallel = Parallel(n_jobs=n_jobs, prefer=prefer, return_as=return_as, batch_size=1)
    yield from parallel(delayed(work)(*task) for task in tasks)


def shares_memory(n_jobs: int | None, prefer: str | None = None) -> bool:
    """Whether the tasks of `outcomes` see the memory of this process."""
    if n_jobs == 1:
        return True
    from joblib import effective_n_jobs
    from joblib.parallel import get_active_backend

    if n_jobs is None and effective_n_jobs(None) == 1:
        return True
    return getattr(get_active_backend(prefer=prefer)[0], "supports_sharedmem", False)


def interruptibly(work: Callable[..., Any], tasks: Iterable[tuple]) -> Iterator[Any]:
    """Yield what work(*task) returns, done by another thread: Ctrl-C ends the wait for it at once, as no kernel would.

    The work goes on until it looks at its `Deadline`.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    thread = ThreadPoolExecutor(1)
    try:
        for task in tasks:
            answer = thread.submit(work, *task)
            while not wait([answer], LOOK).done:  # what only sets a flag is seen between two waits
                pass
            yield answer.result()
    finally:
        thread.shutdown(wait=False)


def unsignalled(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return work(*arguments), done by another thread, where no signal comes.

    Python's products of long integers look for signals, and NumPy's loops over them do not survive the exception.
    """
    (answer,) = interruptibly(work, [arguments])
    return answer


class Deadline:
    """A flag for kernels, set when the clock is at `end` or by who holds it; a copy in another process has its own."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.flag = np.zeros(1, dtype=np.uint8)
        self._timer = Timer(min(end - time.time(), LONGEST), self.flag.fill, [1])
        self._timer.daemon = True
        if end < np.inf:
            self._timer.start()

    def set(self) -> None:
        """End it now."""
        self.flag[0] = 1

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return bool(self.flag[0])

    def __reduce__(self) -> tuple:
        return Deadline, (self.end,)

    def __del__(self) -> None:
        self._timer.cancel()
