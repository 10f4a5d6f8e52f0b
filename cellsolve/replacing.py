"""Files that take the place of older ones only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


def is_stream(path: str | Path) -> bool:
    """Whether `path` is a device or a pipe, which cannot be replaced.

    It is asked before links are resolved: /dev/stdout of a pipe resolves to a name that does not exist.
    """
    path = Path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, whose file takes the place of `path` at the end, and only if nothing went wrong."""
    if is_stream(path):
        yield Path(path)
        return
    final = Path(path).resolve()
    draft = final.with_name(f".{final.stem}.{token_hex(6)}{final.suffix}")
    try:
        yield draft
        os.replace(draft, final)
    finally:
        draft.unlink(missing_ok=True)
