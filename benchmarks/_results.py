"""What every benchmark shares: the machine's description and the CSV file."""

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

Row = Mapping[str, object]


def machine() -> str:
    """One line that says on what the numbers were measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("cellsolve", "numpy", "clarabel", "highspy"))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write `rows` to `path`, whose folder is made when it is missing, with the machine as first comment line."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {machine()}\n")
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
