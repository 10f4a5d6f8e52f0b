"""A line on a terminal that shows how far a solve has come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cellsolve.units import Units


@contextmanager
def reporter(progress: bool, units: Units) -> Iterator[Any]:
    """Yield what shows a round, in the caller's units, or None where nothing is to be shown."""
    if not progress or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.status import Status as Line

    with Line("solving", console=Console(stderr=True)) as line:

        def report(round_) -> None:
            objective, bound = round_.objective * units.value, round_.lower_bound * units.value
            line.update(f"objective {objective:.8g}  bound {bound:.8g}  neurons {round_.cells}  {round_.time:.1f} s")

        yield report
