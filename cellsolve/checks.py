"""Options that are single numbers: each returned as it will be used, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def positive(value: Any, name: str, default: float | None, zero: bool = False) -> float:
    """Return a positive finite number, or one that may be 0; None is the default."""
    if value is None:
        return default  # type: ignore[return-value]
    if not _is_number(value) or not np.isfinite(value) or value < 0 or (value == 0 and not zero):
        what = "a finite number, at least 0" if zero else "a positive finite number"
        raise ValueError(f"{name} is {value!r}; pass {what}.")
    return float(value)


def seconds(max_time: Any) -> float | None:
    """Return max_time, None for no limit."""
    if max_time is None or (_is_number(max_time) and max_time == np.inf):
        return None
    if not _is_number(max_time) or not max_time >= 0:
        raise ValueError(f"max_time is {max_time!r}; pass seconds, a number of at least 0, or None for no limit.")
    return float(max_time)


def jobs(n_jobs: Any) -> int | None:
    """Return n_jobs as joblib takes it."""
    if n_jobs is not None and (not isinstance(n_jobs, (int, np.integer)) or isinstance(n_jobs, bool) or n_jobs == 0):
        raise ValueError(f"n_jobs is {n_jobs!r}; pass a whole number other than 0, -1 for all cores, or None.")
    return None if n_jobs is None else int(n_jobs)


def seed(random_state: Any) -> Any:
    """Return random_state, 0 for None."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None:
        return 0
    if not isinstance(random_state, (int, np.integer)) or isinstance(random_state, bool) or random_state < 0:
        raise ValueError(f"random_state is {random_state!r}; pass a whole number, at least 0, a Generator or None.")
    return int(random_state)


def count(value: Any, name: str) -> int:
    """Return a whole number, at least 1."""
    if not _is_number(value) or not np.isfinite(value) or value < 1 or value != int(value):
        raise ValueError(f"{name} is {value!r}; pass a whole number, at least 1.")
    return int(value)
