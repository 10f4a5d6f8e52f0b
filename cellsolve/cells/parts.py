"""All cells written to a file, in parts that a run that was stopped leaves for the next one."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells.sweep import Rows, Sweep
from cellsolve.replacing import is_stream, replacing
from cellsolve.tasks import outcomes

#: goes into the name of what parts are of: to be changed with their order or content
FORMAT = 1


def write_parts(
    path: str | Path,
    lifted: NDArray[np.float64],
    beside: dict[str, NDArray],
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the packed patterns of all cells of lifted points (n, D), and other arrays, to an npz file.

    Parts are files in a folder of the name of `path` with ".parts" after it. A part has its name when it is whole, and
    parts of the same points that are there are not made again; in the end they become the file, and the folder goes.

    Parameters
    ----------
    path : path
    lifted : array, shape (n, D)
    beside : dict of arrays
    n_jobs : int, optional
        Workers, which share the file system.
    progress : callable, optional
        Called with the parts that are done, and how many there are.

    Returns
    -------
    number of cells

    Raises
    ------
    ValueError
        Where the folder holds parts of other points.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as temporary:
            return _write(Path(path), Path(temporary), lifted, beside, n_jobs, progress)
    folder = Path(f"{path}.parts")
    folder.mkdir(exist_ok=True)
    count = _write(Path(path), folder, lifted, beside, n_jobs, progress)
    shutil.rmtree(folder)
    return count


def _write(
    path: Path,
    folder: Path,
    lifted: NDArray[np.float64],
    beside: dict[str, NDArray],
    n_jobs: int | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    rows = Rows(lifted)
    pieces = rows.pieces() if rows.count else [(0, 0)]
    name = f"{FORMAT} {lifted.shape} {hashlib.sha256(lifted.tobytes()).hexdigest()} {pieces}"
    with _alone(folder, name), rows.stopping():
        return _write_alone(path, folder, rows, pieces, beside, n_jobs, progress)


def _write_alone(
    path: Path,
    folder: Path,
    rows: Rows,
    pieces: list[tuple[int, int]],
    beside: dict[str, NDArray],
    n_jobs: int | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    parts = [folder / f"{k:05d}" for k in range(len(pieces))]
    missing = [(piece, part) for piece, part in zip(pieces, parts, strict=True) if not part.exists()]
    done = len(parts) - len(missing)
    tasks = ((rows, piece, part) for piece, part in missing)
    for _ in outcomes(n_jobs if len(missing) > 1 else 1, _write_part, tasks, "threads"):
        done += 1
        if progress is not None:
            progress(done, len(parts))
    width = (rows.n + 7) // 8
    count = sum(part.stat().st_size for part in parts) // width
    with replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in beside.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        with archive.open("packed.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, width)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                with part.open("rb") as cells:
                    shutil.copyfileobj(cells, file)
    return count


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Write down what parts are of, or raise an error where that is something else, or another run is at it."""
    with (folder / "of").open("a+", encoding="utf-8") as label:
        try:
            import fcntl
        except ImportError:  # not on Windows
            pass
        else:
            try:
                fcntl.flock(label, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however that ends
            except BlockingIOError:
                raise ValueError(
                    f"{folder} is being written by another run; wait for it, or write to another file."
                ) from None
        label.seek(0)
        before = label.read()
        if before and before != name:
            raise ValueError(f"{folder} holds parts of other points; remove it, or write to another file.")
        if not before:
            label.write(name)
            label.flush()
        yield


def _write_part(rows: Rows, piece: tuple[int, int], part: Path) -> None:
    with replacing(part) as draft, draft.open("wb") as file:
        if not rows.count:
            file.write(bytes((rows.n + 7) // 8))
        else:
            for block in Sweep(rows, *piece):
                file.write(rows.patterns_of(block).data)
        file.flush()
        os.fsync(file.fileno())  # before it has its name
