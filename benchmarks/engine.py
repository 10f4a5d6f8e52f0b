"""The engine beyond enumeration: time to a proven optimum, how it grows, and what others reach in that time.

Data: x uniform on [-1, 1]^d, noise of .1, squared loss, penalty `variation`, lam = 1e-3. The target `waves` is
sin(3 x_1) cos(2 x_2), on which the engine was tuned; `bump` and `folds` were not used for that. Kernels are compiled
before the clock starts, and all run on one thread, as make bench sets it, but for the proofs with four and five
features, which run on two.

* sizes: seconds until the gap is proven to be at most `tol`, with the checks that turn the last round into an answer.
  Median and worst over seeds, but one seed where a solve may take more than a minute; growth is the exponent of a fit
  to the medians at d = 2.
* set C: the same beside `all_cells`, one convex program over every cell through cvxpy and Clarabel.
* sampling: the same convex program as the engine's, on 1000 cells drawn at random, as packages do that sample patterns:
  how far above the bound they end, and how long the engine takes to a network as good.
* training: Adam on a network of width 100, from as many seeds: how far above the bound after `STEPS` steps.
* peers: pyscnn and adelie on the cells of `sampling`, where interpreters are given that have them: _peers.py says how.
  About ten minutes a seed.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _peers import against_peers
from _results import machine, write_csv

import cellsolve as cs
from cellsolve.comparison import print_table
from cellsolve.solvers.cell_master import CellMaster
from cellsolve.solvers.frame import Frame

RESULTS = Path(__file__).parent / "results"
LAM = 1e-3
TARGETS = {
    "waves": lambda X: np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]),
    "bump": lambda X: np.exp(-4 * np.sum(X**2, axis=1)),
    "folds": lambda X: np.abs(X[:, 0] + 0.5 * X[:, 1]) - np.maximum(X[:, 1] - X[:, 0], 0.0),
}
#: n, d, tol, seconds that a solve may take
SIZES = [
    (100, 2, 1e-6, 60),
    (300, 2, 1e-6, 60),
    (1000, 2, 1e-6, 60),
    (10_000, 2, 1e-6, 60),
    (100_000, 2, 1e-6, 600),
    (1000, 3, 1e-6, 60),
    (500, 4, 1e-4, 120),
    (300, 5, 1e-4, 300),
]
SAMPLED = 1000
STEPS = 10_000


def data(target: str, n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, d))
    return X, TARGETS[target](X) + 0.1 * rng.standard_normal(n)


def set_c() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 points with 3542 cells; lam is 1e-2 for them, the optimum .0338614950."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1] + 0.3 * X[:, 0], 0) + 0.1 * rng.standard_normal(60)
    return X, y


def timed(X: np.ndarray, y: np.ndarray, **options) -> tuple[float, cs.Solution]:
    """Return the seconds of a solve, and what came of it."""
    start = time.perf_counter()
    solution = cs.solve(X, y, **options)
    return time.perf_counter() - start, solution


def sizes(largest: int, seeds: int, targets: list[str]) -> list[dict[str, object]]:
    """Solve every size up to `largest` points."""
    rows = []
    for target in targets:
        for n, d, tol, limit in SIZES:
            if n > largest or (target != "waves" and (n > 1000 or d > 3)):
                continue
            for seed in range(seeds if limit <= 60 else 1):
                n_jobs = 2 if d > 3 else 1
                seconds, solution = timed(*data(target, n, d, seed), lam=LAM, tol=tol, max_time=limit, n_jobs=n_jobs)
                rows.append(
                    {"part": "sizes", "target": target, "n": n, "d": d, "seed": seed, "method": "engine"}
                    | {"seconds": seconds, "objective": solution.objective, "lower_bound": solution.lower_bound}
                    | {"gap": solution.gap, "neurons": solution.measure.n_neurons, "status": str(solution.status)}
                )
                print(f"  {target} n={n} d={d} seed={seed}: {seconds:.1f} s, gap {solution.gap:.1e}", flush=True)
    return rows


def against_all_cells() -> list[dict[str, object]]:
    """Solve set C both ways."""
    X, y = set_c()
    rows = []
    for method in ("active_cells", "all_cells"):
        seconds, solution = timed(X, y, lam=1e-2, method=method)
        rows.append(
            {"part": "set C", "target": "set C", "n": 60, "d": 2, "seed": 0, "method": method}
            | {"seconds": seconds, "objective": solution.objective, "lower_bound": solution.lower_bound}
            | {"gap": solution.gap, "neurons": solution.measure.n_neurons, "status": str(solution.status)}
        )
    return rows


def against_sampling(cases: list[tuple[str, np.ndarray, np.ndarray, float]], seeds: int) -> list[dict[str, object]]:
    """Solve (G) on cells drawn at random, and note when the engine had a network as good."""
    rows = []
    for target, X, y, lam in cases:
        limit = 120.0
        _, solution = timed(X, y, lam=lam, max_time=limit)
        n, d = X.shape
        common = {"part": "sampling", "target": target, "n": n, "d": d}
        for seed in range(seeds):
            start = time.perf_counter()
            cells = cs.sample_cells(X, SAMPLED, random_state=seed)
            frame = Frame.of(cs.Problem(X, y, lam=lam))
            theta = frame.units.neurons_inside(cells.interior_points())
            master = CellMaster(frame.inside)
            for sign in (1.0, -1.0):
                master.add(theta, np.full((len(theta), 1), sign))
            objective = master.solve().objective(frame.inside) * frame.units.value
            seconds = time.perf_counter() - start
            as_good = [r.time for r in solution.history if r.objective <= objective] or [solution.time]
            for method, value, spent in (
                (f"{SAMPLED} cells", objective, seconds),
                ("engine, as good", min(objective, solution.objective), as_good[0]),
            ):
                rows.append(
                    common
                    | {"seed": seed, "method": method, "seconds": spent, "objective": value}
                    | {"lower_bound": solution.lower_bound, "gap": 1 - solution.lower_bound / value}
                    | {"neurons": "", "status": ""}
                )
    return rows


def against_training(n: int, d: int, seeds: int) -> list[dict[str, object]]:
    """Train networks of width 100, for many times as long as the engine takes."""
    from cellsolve.training import train_network

    X, y = data("waves", n, d, 0)
    seconds, solution = timed(X, y, lam=LAM)
    rows = []
    for seed in range(seeds):
        run = train_network(X, y, lam=LAM, width=100, optimizer="adam", steps=STEPS, lr=0.01, random_state=seed)
        spent = float(run.history["time"][-1])
        rows.append(
            {"part": "training", "target": "waves", "n": n, "d": d, "seed": seed, "method": f"adam, {STEPS} steps"}
            | {"seconds": spent, "objective": run.objective, "lower_bound": solution.lower_bound}
            | {"gap": 1 - solution.lower_bound / run.objective, "neurons": "", "status": ""}
        )
    rows.append(
        {"part": "training", "target": "waves", "n": n, "d": d, "seed": "", "method": "engine", "seconds": seconds}
        | {"objective": solution.objective, "lower_bound": solution.lower_bound, "gap": solution.gap}
        | {"neurons": solution.measure.n_neurons, "status": str(solution.status)}
    )
    return rows


def summary(rows: list[dict]) -> list[dict[str, str]]:
    """One line a part, target, size and method: medians and the worst over seeds."""
    lines = []
    keys = ("part", "target", "n", "d", "method")
    for key in dict.fromkeys(tuple(row[name] for name in keys) for row in rows):
        runs = [row for row in rows if tuple(row[name] for name in keys) == key]
        seconds, gaps = [row["seconds"] for row in runs], [row["gap"] for row in runs]
        lines.append(
            {"data": f"{key[0]}: {key[1]}, n={key[2]}, d={key[3]}", "method": key[4], "seeds": str(len(runs))}
            | {"median s": f"{np.median(seconds):.2f}", "worst s": f"{max(seconds):.2f}"}
            | {"objective": f"{runs[0]['objective']:.10f}"}
            | {"median gap": f"{np.median(gaps):.1e}", "worst gap": f"{max(gaps):.1e}"}
        )
    return lines


def growth(rows: list[dict]) -> str:
    """Return the exponent of n in the median time at d = 2, over all sizes and over the last two."""
    times: dict[int, list[float]] = {}
    for row in rows:
        if row["part"] == "sizes" and row["target"] == "waves" and row["d"] == 2:
            times.setdefault(row["n"], []).append(row["seconds"])
    points = np.log(sorted(times))
    medians = np.log([np.median(times[n]) for n in sorted(times)])
    if len(points) < 2:
        return ""
    whole, last = np.polyfit(points, medians, 1)[0], (medians[-1] - medians[-2]) / (points[-1] - points[-2])
    return f"d = 2: time grows like n^{whole:.2f}, between the two largest n like n^{last:.2f}"


def main() -> None:
    """Run everything, print, and write the CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--largest", type=int, default=10_000, help="largest n; 100000 takes some minutes more")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--pyscnn", type=Path, help="interpreter that has it; see _peers.py")
    parser.add_argument("--adelie", type=Path, help="interpreter that has it; see _peers.py")
    arguments = parser.parse_args()

    for n, d in ((60, 2), (100, 3)):  # compiles
        cs.solve(*data("waves", n, d, 0), lam=LAM)
    rows = against_all_cells()
    X, y = data("waves", 300, 2, 0)
    cases = [("set C", *set_c(), 1e-2), ("waves", X, y, LAM)]
    rows += against_sampling(cases, arguments.seeds)
    rows += against_peers(cases, arguments.seeds, {"pyscnn": arguments.pyscnn, "adelie": arguments.adelie})
    rows += against_training(1000, 2, arguments.seeds)
    rows += sizes(arguments.largest, arguments.seeds, list(TARGETS))
    print_table("Time to a proven optimum", summary(rows), f"{growth(rows)}\n{machine()}")
    write_csv(arguments.out / "engine.csv", rows)
    print(arguments.out / "engine.csv")


if __name__ == "__main__":
    main()
