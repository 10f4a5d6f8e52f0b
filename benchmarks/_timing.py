"""What every benchmark shares: the clock, the machine's description, the table and its CSV file."""

import csv
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")
Row = Mapping[str, object]


def best_of(fn: Callable[[], T], repeats: int = 3) -> tuple[float, T]:
    """Least wall-clock seconds of `repeats` calls, and what the last one returned.

    Numba compiles on the first call: where compilation is not the subject, call `fn` once before.
    """
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = fn()
        best = min(best, time.perf_counter() - start)
    return best, result


def machine() -> str:
    """One line that says on what the numbers were measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("cellsolve", "numpy", "clarabel", "highspy"))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print `rows` (mappings with the same keys) and, below them, the machine."""
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    console.print(table)
    console.print(machine(), style="dim", highlight=False, soft_wrap=True)


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write `rows` to `path`, whose folder is made when it is missing, with the machine as first comment line."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {machine()}\n")
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
