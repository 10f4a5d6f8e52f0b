"""Files that take the place of older ones only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, whose file takes the place of `path` at the end, and only if nothing went wrong."""
    final = Path(path).resolve()
    if final.exists() and not final.is_file():
        yield final  # a device or a pipe, which cannot be replaced
        return
    draft = final.with_name(f".{final.stem}.{os.getpid()}{final.suffix}")
    try:
        yield draft
        os.replace(draft, final)
    finally:
        draft.unlink(missing_ok=True)
