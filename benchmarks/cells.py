"""Cells a second and peak memory of the exact enumerator, and what others take for the same cells.

Points are standard normal with biases; kernels are compiled before the clock starts, and seconds are the best of
`REPEATS` whole calls, everything from the floats to the packed patterns in memory. Each row is a process of its own.

* written: `enumerate_cells` on one core and on two. MB are the peak of the process above what it held once all kernels
  were loaded, as Linux tells it: elsewhere above its peak until then. The patterns alone are `size` MB.
* streamed: `iter_cells` over data with too many cells to hold, on one core. `resonance`, the nonzero 0/1 normals, is as
  degenerate as arrangements come; of seven coordinates only with --long (two minutes).
* peers: whole seconds for the same cells, of integers (normal points, times 1000 and rounded), which all take exactly.
  `incremental` is this package's own enumeration by warm linear programs (HiGHS), in floats; its tolerances are for
  points of size one, so it gets the same points divided by 1024, which is exact and changes no cell. Sage's `regions`
  and polymake's `CHAMBER_SIGNATURES` are there where found: Sage is asked for with --sage PYTHON, an interpreter of an
  environment of its own that has passagemath-polyhedra; polymake is taken from the PATH. Their seconds are those of the
  enumeration alone, without the start of the program, the best of as many calls as ours. The ratio is their time by
  that of `enumerate_cells` on one core.

    python benchmarks/cells.py [--long] [--sage PYTHON] [--quick]
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _results import machine, write_csv

import cellsolve as cs
from cellsolve.cells.counting import general_position
from cellsolve.comparison import print_table

RESULTS = Path(__file__).parent / "results"
REPEATS, BUDGET = 5, 20.0
WRITTEN = [(1000, 2), (3000, 2), (30, 3), (60, 3), (100, 3), (200, 3), (30, 4), (60, 4), (100, 4), (30, 5), (45, 5)]
STREAMED = [(60, 5), (100, 5)]
PEERS = [(15, 2), (30, 2), (20, 3), (15, 4)]
QUICK = 10**6  # cells up to which a row is run with --quick
#: seconds that a peer gets for one arrangement
PATIENCE = 300.0
SAGE = """
import json, sys, time
from sage.all__sagemath_polyhedra import QQ
from sage.geometry.hyperplane_arrangement.arrangement import HyperplaneArrangements
normals, repeats, end = json.load(sys.stdin), int(sys.argv[1]), time.time() + float(sys.argv[2])
planes = HyperplaneArrangements(QQ, tuple(f"x{i}" for i in range(len(normals[0]))))
seconds = []
while len(seconds) < repeats and (not seconds or time.time() < end):
    arrangement = planes([[row, 0] for row in normals])  # regions are kept with it
    start = time.time()
    cells = len(arrangement.regions())
    seconds.append(time.time() - start)
print(cells, min(seconds))
"""
POLYMAKE = """
use application "fan"; use Time::HiRes "time"; use List::Util "min";
my ($cells, $end, @seconds) = (0, time + %g);
while (%d > @seconds and (!@seconds or $end > time)) {
    my $arrangement = new HyperplaneArrangement(HYPERPLANES=>[%s]);
    my $start = time;
    $cells = $arrangement->CHAMBER_SIGNATURES->rows;
    push @seconds, time - $start;
}
print $cells, " ", min(@seconds), "\\n";
"""


def points(n: int, d: int) -> np.ndarray:
    """Return n standard normal points."""
    return np.random.default_rng(0).standard_normal((n, d))


def resonance(dimension: int) -> np.ndarray:
    """Return the nonzero 0/1 vectors."""
    return np.array(list(product([0.0, 1.0], repeat=dimension)))[1:]


def megabytes() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best(work: Callable[[], int]) -> tuple[int, float]:
    """Return what `work` returns and the seconds of its fastest call."""
    seconds, end = [], time.perf_counter() + BUDGET
    while len(seconds) < REPEATS and (not seconds or time.perf_counter() < end):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def warm(n_jobs: int) -> float:
    """Load workers and all kernels, those of degenerate points too; return the memory that is held after that."""
    cs.enumerate_cells(points(20, 3))
    cs.enumerate_cells(points(60, 4), n_jobs=n_jobs)
    cs.enumerate_cells(resonance(5), fit_bias=False)
    if (peak := Path("/proc/self/clear_refs")).exists():
        peak.write_text("5")  # compiling takes more than most rows do: the peak starts again
    return megabytes()


def written(case: str, X: np.ndarray, fit_bias: bool, n_jobs: int) -> dict[str, Any]:
    """Time one whole enumeration."""
    before = warm(n_jobs)
    cells, size, seconds = 0, 0.0, np.inf
    end = time.perf_counter() + BUDGET
    for _ in range(REPEATS):
        start = time.perf_counter()
        arrangement = cs.enumerate_cells(X, fit_bias=fit_bias, max_cells=10**8, n_jobs=n_jobs)
        seconds = min(seconds, time.perf_counter() - start)
        cells, size = len(arrangement), arrangement.packed.nbytes / 2**20
        del arrangement
        if time.perf_counter() > end:
            break
    peak = max(megabytes() - before, 0.0)
    return row("written", case, X, cells, seconds, n_jobs=n_jobs, size=round(size, 1), MB=round(peak, 1))


def streamed(case: str, X: np.ndarray, fit_bias: bool) -> dict[str, Any]:
    """Time one pass over all cells."""
    before = warm(1)
    start = time.perf_counter()
    cells = sum(len(batch) for batch in cs.iter_cells(X, fit_bias=fit_bias))
    seconds = time.perf_counter() - start
    size = cells * ((len(X) + 7) // 8) / 2**20
    peak = max(megabytes() - before, 0.0)
    return row("streamed", case, X, cells, seconds, n_jobs=1, size=round(size, 1), MB=round(peak, 1))


def row(part: str, case: str, X: np.ndarray, cells: int, seconds: float, **more: Any) -> dict[str, Any]:
    """Return a row of the results."""
    shape = {"part": part, "case": case, "n": len(X), "d": X.shape[1], "cells": cells, "seconds": f"{seconds:.3g}"}
    rate = {"million cells a second": f"{cells / seconds / 1e6:.3g}"}
    return shape | rate | {"n_jobs": "", "size": "", "MB": "", "ratio": ""} | more


def peers(n: int, d: int, sage: str | None) -> list[dict[str, Any]]:
    """Time all that is there on the same integers."""
    X = np.round(1000 * points(n, d))
    normals = np.column_stack([X, np.ones(n)]).astype(int)
    warm(1)
    cells, ours = best(lambda: len(cs.enumerate_cells(X)))
    rows = [row("peers", "sweep", X, cells, ours, n_jobs=1)]
    others: dict[str, Callable[[], tuple[int, float]]] = {
        "incremental": lambda: best(lambda: len(cs.enumerate_cells(X / 1024, method="incremental")))
    }
    if sage:
        others["Sage"] = lambda: answer([sage, "-c", SAGE, str(REPEATS), str(BUDGET)], json.dumps(normals.tolist()))
    if shutil.which("polymake"):
        others["polymake"] = lambda: polymake(normals)
    for name, run in others.items():
        try:
            count, seconds = run()
        except subprocess.TimeoutExpired:
            count, seconds = 0, PATIENCE
        found = row("peers", name, X, count, seconds, n_jobs=1, ratio=round(seconds / ours))
        rows.append(found if count == cells else found | {"case": f"{name} ({'not done' if not count else 'wrong'})"})
    return rows


def polymake(normals: np.ndarray) -> tuple[int, float]:
    """Return how many chambers polymake finds, and its seconds."""
    rows = ",".join(f"[{','.join(map(str, row))}]" for row in normals.tolist())
    with tempfile.NamedTemporaryFile("w", suffix=".pl") as script:
        script.write(POLYMAKE % (BUDGET, REPEATS, rows))
        script.flush()
        return answer(["polymake", "--script", script.name], "")


def answer(command: list[str], given: str) -> tuple[int, float]:
    """Return the number and the seconds that a program prints."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=PATIENCE)
    count, seconds = done.stdout.split()[-2:]
    return int(count), float(seconds)


def main() -> None:
    """Run all parts, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--long", action="store_true", help="resonance of seven coordinates too")
    parser.add_argument("--quick", action="store_true", help=f"up to {QUICK:,} cells, one case for peers, no file")
    parser.add_argument("--sage", metavar="PYTHON", help="an interpreter that has passagemath-polyhedra")
    arguments = parser.parse_args()

    tasks: list[tuple] = []
    for n, d in WRITTEN:
        if not arguments.quick or general_position(n, d + 1) <= QUICK:
            tasks += [(written, "normal", points(n, d), True, n_jobs) for n_jobs in (1, 2)]
    tasks += [(written, "resonance", resonance(D), False, n_jobs) for D in (5, 6) for n_jobs in (1, 2)]
    if not arguments.quick:
        tasks += [(streamed, "normal", points(n, d), True) for n, d in STREAMED]
    if arguments.long:
        tasks.append((streamed, "resonance", resonance(7), False))
    tasks += [(peers, n, d, arguments.sage) for n, d in (PEERS[:1] if arguments.quick else PEERS)]
    rows: list[dict[str, Any]] = []
    print(machine())
    for task in tasks:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            result = process.submit(*task).result()
        rows += result if isinstance(result, list) else [result]
        print(*(str(value) for value in rows[-1].values() if value != ""), file=sys.stderr)
    print_table("cells", [{name: str(value) for name, value in line.items()} for line in rows])
    if not arguments.quick:
        write_csv(RESULTS / "cells.csv", rows)


if __name__ == "__main__":
    main()
