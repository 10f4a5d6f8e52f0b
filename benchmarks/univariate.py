"""One input: time against n, of least-norm interpolation and of penalised fits, and what others take for the same.

All on one thread, as make bench sets it, with kernels compiled before the clock starts. Seconds are the best of up to
`REPEATS` calls, as many as begin within `BUDGET` seconds: several for small n, one for large. Those of cellsolve are of
the whole call, with sorting, the proof, and what turns the last round into an answer.

* interpolation: x uniform on [-1, 1] in random order, y standard normal, free="affine". The reference is a stable
  `numpy.argsort` of x, the least that any method does to unsorted points, and the ratio says how many of it an
  interpolant takes. The data `convex` are y = x^2 at such x, sorted, which bend one way everywhere: one size.
* penalised: y = sin(5 x) plus noise of .1, lam = 1e-4, `variation`; losses of labels have the signs of sin(5 x) plus
  noise of .5. Each row is a process of its own. MB are its peak, of which imports and the solve of `WARM` points that
  loads the kernels are what the smallest n shows. All losses are of nothing free, the squared one of both.
* path: the same data, `LAMS` values of lam down from lam_max, each from the one before, to the default `tol`; and
  CellRegressorCV over as many, in five folds, fit included. The gap is the largest of the path.
* programs: the same with free="affine" as one cone program, whose size grows like n: on every segment two kinks, one of
  each sign, as (m, p) with x_i m <= p <= x_(i+1) m and cost ||(m, p)||. By Clarabel directly, through cvxpy, and
  directly with tolerances of 1e-12; seconds include stating the program. Its objective and its gap are those that it
  reports of iterates that meet the constraints to a tolerance; `excess` is how far the network that it returns, with
  its kinks put into their segments, is above the bound that cellsolve proves for networks of any width: what the
  constraints miss adds up along the chain.
* splineops: its adaptive regression splines, which are the penalty `slope` with free="affine". `denoise_y` is ADMM for
  min 1/2 ||v - y||^2 + lamb ||D v||_1, v the values at sorted x, D v the changes of slope of the line through them (the
  docstring lacks the 1/2, but the iteration and the largest useful lamb have it). With lamb = n lam that is n times our
  objective, mean (v - y)^2 / 2 + lam int |f''|, by which it is judged. With its defaults (rho = 1, 10,000 iterations),
  and with up to `ITERATIONS` and the best power of ten for rho on these data: the first to converge, else that of the
  least objective, in a search that is not counted; also on an even grid, where D is conditioned better.
  `sparsest_interpolant` is beside interpolate(penalty="slope", sparsest=True), both from sorted points; its objective
  is the sum of its amplitudes, its residual that of its own `linear_spline`.

In the last two parts the reference is the time of cellsolve on the same data with `tol` at the gap of the other (of
splineops: its excess), or for the interpolant as it is, and the ratio is the other's time by it: above 1, cellsolve is
sooner. Kinks are those that hold more than a millionth of the norm, of interpolants all. Growth is the exponent of n in
a fit to the seconds of the last three sizes.

splineops is no dependency of anything here, and its part is left out where it is missing. It needs numpy, scipy and
matplotlib, in versions that cellsolve takes too:

    pip install splineops==2.2.0
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import clarabel
import numpy as np
import scipy.sparse as sp
from _results import machine, write_csv

import cellsolve as cs
from cellsolve.comparison import print_table
from cellsolve.losses import as_loss

RESULTS = Path(__file__).parent / "results"
LAM = 1e-4
SIZES = (1000, 10_000, 100_000, 1_000_000)
QUICK = (1000, 3000, 10_000)
CONVEX = 100_000
WARM = 20_000
LAMS = 20
PATH = 100_000
REPEATS = 5
BUDGET = 10.0
PENALTIES = ("variation", "slope")
OTHERS = ("absolute", "huber", "hinge", "squared_hinge", "logistic")
#: whose proof takes a minute for more: of every point the logarithm in rationals
MOST = {"logistic": 100_000}
TIGHT = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
#: method -> settings of Clarabel
PROGRAMS = {"clarabel": {}, "clarabel, 1e-12": TIGHT, "cvxpy, clarabel": {}}
#: largest n of others: a minute or so
PROGRAM = 100_000
ITERATIONS = 100_000
#: data, n -> rho of ADMM; its `ITERATIONS` take a minute at the larger n
RHO = {("random", 1000): 1e-2, ("random", 10_000): 1e-2, ("grid", 1000): 1e-2, ("grid", 10_000): 1.0}
#: relative gap below which none is asked for
ROUNDING = 1e-12

#: part -> title, columns of its table
TABLES = {
    "interpolation": (
        "Least-norm interpolation, free='affine'",
        ("data", "penalty", "n", "seconds", "reference", "ratio", "gap", "residual", "kinks", "status"),
    ),
    "penalised": (
        "lam = 1e-4, penalty 'variation'",
        ("loss", "free", "n", "seconds", "objective", "gap", "kinks", "MB", "status"),
    ),
    "path": (
        f"{LAMS} values of lam, squared loss, penalty 'variation', free='affine'",
        ("method", "n", "seconds", "gap", "kinks", "status"),
    ),
    "programs": (
        "The same as one cone program, free='affine'; reference: cellsolve to the same gap",
        ("n", "method", "seconds", "reference", "ratio", "objective", "gap", "excess", "kinks", "MB", "status"),
    ),
    "splineops": (
        "Penalty 'slope', free='affine'; reference: cellsolve to the same excess",
        ("data", "n", "method", "seconds", "reference", "ratio", "objective", "excess", "residual", "kinks", "status"),
    ),
}
COLUMNS = ("part", *dict.fromkeys(name for _, columns in TABLES.values() for name in columns), "exponent")
FORMATS = {
    **{"seconds": ".4g", "reference": ".3g", "ratio": ".3g", "objective": ".10g"},
    **{"gap": ".1e", "excess": ".1e", "residual": ".1e", "MB": ".0f"},
}

Row = dict[str, object]
Points = tuple[np.ndarray, np.ndarray]


def noise(n: int) -> Points:
    """Return points to interpolate."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, n), rng.standard_normal(n)


def convex(n: int) -> Points:
    """Return sorted points on a parabola."""
    x = np.sort(noise(n)[0])
    return x, x**2


def wave(n: int, grid: bool = False) -> Points:
    """Return points to fit."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, n) if grid else rng.uniform(-1, 1, n)
    return x, np.sin(5 * x) + 0.1 * rng.standard_normal(n)


def in_order(x: np.ndarray, y: np.ndarray) -> Points:
    """Return the points sorted by x."""
    order = np.argsort(x)
    return x[order], y[order]


def best_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the quickest call, and what came of the last."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < REPEATS and sum(seconds) < BUDGET):
        result = None  # one at a time: memory is measured
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def labels(n: int) -> Points:
    """Return points to classify."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n)
    return x, np.where(np.sin(5 * x) + 0.5 * rng.standard_normal(n) > 0, 1.0, -1.0)


def compile_kernels(free: str = "affine", loss: str = "squared") -> None:
    """Call what will be measured, on few points."""
    cs.solve(*(labels if as_loss(loss).classification else wave)(WARM), lam=LAM, free=free, loss=loss)


def peak() -> float | str:
    """Return the most memory that this process has held, in MB, where the system says it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), "")


def apart(function: Callable[..., Row], *arguments: object) -> Row:
    """Call in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        row = pool.submit(function, *arguments).result()
    return told(row)


def told(row: Row) -> Row:
    """Print what came of a measurement, and return it."""
    about = [row[key] for key in ("data", "penalty", "loss", "free", "method") if row.get(key)]
    print(f"  {row['part']}: {', '.join(map(str, about))}, n={row['n']}: {row['seconds']:.3g} s", flush=True)
    return row


def large(sizes: np.ndarray) -> int:
    """Return how many hold more than a millionth of the sum."""
    return int(np.sum(np.abs(sizes) > 1e-6 * np.abs(sizes).sum()))


# -- cellsolve ----------------------------------------------------------------------------------------------


def interpolation(data: str, points: Points, penalty: str) -> Row:
    """Interpolate, and sort."""
    x, y = points
    seconds, solution = best_of(lambda: cs.interpolate(x, y, penalty=penalty, free="affine"))
    floor, _ = best_of(lambda: np.argsort(x, kind="stable"))
    return told(
        {"part": "interpolation", "data": data, "penalty": penalty, "free": "affine", "n": len(x)}
        | {"method": "cellsolve", "seconds": seconds, "reference": floor, "ratio": seconds / floor}
        | {"objective": solution.objective, "gap": solution.gap, "residual": solution.residual}
        | {"kinks": len(solution.measure.kinks()[0]), "status": str(solution.status)}
    )


def penalised(n: int, free: str, loss: str) -> Row:
    """Solve, in a process of its own."""
    compile_kernels(free, loss)
    x, y = (labels if as_loss(loss).classification else wave)(n)
    seconds, solution = best_of(lambda: cs.solve(x, y, lam=LAM, free=free, loss=loss))
    memory = peak()
    return (
        {"part": "penalised", "data": "random", "penalty": "variation", "free": free, "n": n, "method": "cellsolve"}
        | {"loss": loss, "seconds": seconds, "objective": solution.objective, "gap": solution.gap, "MB": memory}
        | {"kinks": large(solution.measure.kinks()[1]), "status": str(solution.status)}
    )


def path(n: int) -> list[Row]:
    """Solve along a path, and cross-validate."""
    x, y = wave(n)
    common = {"part": "path", "data": "random", "penalty": "variation", "free": "affine", "n": n}
    seconds, points = best_of(lambda: cs.path(x, y, free="affine", n_lams=LAMS))
    optimal = sum(point.status == "optimal" for point in points)
    row = common | {"method": "path", "seconds": seconds, "gap": max(point.gap for point in points)}
    row |= {"kinks": len(points[-1].measure.kinks()[0]), "status": f"{optimal} of {len(points)} optimal"}
    seconds, model = best_of(lambda: cs.CellRegressorCV(n_lams=LAMS, free="affine").fit(x[:, None], y))
    chosen = common | {"method": "CellRegressorCV", "seconds": seconds, "gap": model.certificate_.gap}
    chosen |= {"kinks": len(model.measure_.kinks()[0]), "status": f"lam = {model.lam_:.2g}"}
    return [told(row), told(chosen)]


def against(problem: cs.Problem, seconds: float, gap: float, objective: float) -> Row:
    """Return how far above the bound a network of this objective is, and the time of cellsolve to a gap as small."""
    bound = cs.solve(problem).lower_bound
    excess = objective / bound - 1
    tol = max(excess if np.isnan(gap) else gap, ROUNDING)
    reference, _ = best_of(lambda: cs.solve(problem, tol=tol))
    return {"excess": excess, "reference": reference, "ratio": seconds / reference}


def growth(rows: list[Row]) -> list[Row]:
    """Return the exponents of n in the time of cellsolve."""
    ours = [row for row in rows if row["method"] == "cellsolve"]
    keys = ("part", "data", "penalty", "free", "loss")
    exponents = []
    for key in dict.fromkeys(tuple(row.get(name, "") for name in keys) for row in ours):
        runs = [row for row in ours if tuple(row.get(name, "") for name in keys) == key][-3:]
        if len(runs) == 3:
            n, seconds = np.log([row["n"] for row in runs]), np.log([row["seconds"] for row in runs])
            about = {"n": runs[-1]["n"], "method": "growth", "exponent": np.polyfit(n, seconds, 1)[0]}
            exponents.append(dict(zip(keys, key)) | about)
    return exponents


# -- one cone program for Clarabel ---------------------------------------------------------------------------


def directly(x: np.ndarray, y: np.ndarray, settings: dict[str, float]) -> tuple:
    """Return what Clarabel says and has found: objective, bound, status, m and p (2, k), value and slope at x_1.

    Variables are the values at the points, the slope on every segment before its kinks, and m, p and the cost for the
    kinks that bend up, then for those that bend down.
    """
    n, k = len(x), len(x) - 1
    one, none = sp.eye_array(k), sp.csr_array((k, k))
    left, right, width = (sp.diags_array(entries) for entries in (x[:-1], x[1:], np.diff(x)))
    steps = [sp.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(j - 1, j)) for j in (n, k)]
    lift = sp.hstack([right, -one, none])
    bend = sp.hstack([one, none, none])[:-1]
    inside = sp.block_array([[left, -one, none], [-right, one, none]])
    cones = -sp.eye_array(3 * k, format="csr")[np.arange(3 * k).reshape(3, k)[[2, 0, 1]].T.ravel()]
    A = sp.block_array(
        [
            [steps[0], -width, -lift, lift],
            [None, steps[1], -bend, bend],
            *([None, None, *row] for rows in (inside, cones) for row in ((rows, None), (None, rows))),
        ],
        format="csc",
    )
    linear = np.concatenate([-y / n, np.zeros(k), *2 * [np.repeat([0.0, 0.0, LAM], k)]])
    squares = sp.diags_array(np.repeat([1 / n, 0.0], [n, A.shape[1] - n]), format="csc")
    squares.eliminate_zeros()
    kinds = [clarabel.ZeroConeT(2 * k - 1), clarabel.NonnegativeConeT(4 * k)] + 2 * k * [clarabel.SecondOrderConeT(3)]
    options = clarabel.DefaultSettings()
    options.verbose = False
    for name, value in settings.items():
        setattr(options, name, value)
    matrices = (sp.csc_matrix(squares), linear, sp.csc_matrix(A), np.zeros(A.shape[0]))
    answer = clarabel.DefaultSolver(*matrices, kinds, options).solve()
    z = np.array(answer.x)
    m, p, _ = z[n + k :].reshape(2, 3, k).transpose(1, 0, 2)
    constant = np.mean(y**2) / 2
    return answer.obj_val + constant, answer.obj_val_dual + constant, str(answer.status), m, p, z[0], z[n]


def through_cvxpy(x: np.ndarray, y: np.ndarray, settings: dict[str, float]) -> tuple:
    """Return the same of the program stated in cvxpy."""
    import cvxpy as cp

    n, k = len(x), len(x) - 1
    f, s = cp.Variable(n), cp.Variable(k)
    m, p, t = ([cp.Variable(k), cp.Variable(k)] for _ in range(3))
    bend, lift = m[0] - m[1], p[0] - p[1]
    constraints = [
        f[1:] == f[:-1] + cp.multiply(np.diff(x), s) + cp.multiply(x[1:], bend) - lift,
        s[1:] == s[:-1] + bend[:-1],
    ]
    for sign in range(2):
        constraints += [cp.multiply(x[:-1], m[sign]) <= p[sign], p[sign] <= cp.multiply(x[1:], m[sign])]
        constraints.append(cp.SOC(t[sign], cp.vstack([m[sign], p[sign]]), axis=0))
    loss = cp.sum_squares(f - y) / (2 * n)
    problem = cp.Problem(cp.Minimize(loss + LAM * (cp.sum(t[0]) + cp.sum(t[1]))), constraints)
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts=settings)
    answer = chain.solve_via_data(problem, data, solver_opts=settings)  # as problem.solve, which keeps no bound
    problem.unpack_results(answer, chain, inverse)
    bound = problem.value + answer.obj_val_dual - answer.obj_val
    found = (np.stack([each.value for each in pair]) for pair in (m, p))
    return float(problem.value), bound, str(answer.status), *found, f.value[0], s.value[0]


def program(n: int, method: str) -> Row:
    """Solve the cone program, in a process of its own, and the same by cellsolve."""
    x, y = in_order(*wave(n))
    call = through_cvxpy if method.startswith("cvxpy") else directly
    seconds, found = best_of(lambda: call(x, y, {"max_threads": 1} | PROGRAMS[method]))
    memory = peak()
    objective, bound, status, m, p, value, slope = found
    m = np.maximum(m, 0.0)
    p = np.clip(p, x[:-1] * m, x[1:] * m)
    neurons, signs = np.column_stack([m.ravel(), -p.ravel()]), np.repeat([1.0, -1.0], n - 1)
    network = cs.SparseMeasure(neurons, signs, offset=value - slope * x[0], linear=np.array([slope]))
    problem = cs.Problem(x, y, lam=LAM, free="affine")
    compile_kernels()
    gap = (objective - bound) / objective
    return (
        {"part": "programs", "data": "random", "penalty": "variation", "free": "affine", "n": n, "method": method}
        | {"seconds": seconds, "objective": objective, "gap": gap, "MB": memory, "status": status}
        | {"kinks": large(np.hypot(m, p))}
        | against(problem, seconds, gap, problem.objective(network))
    )


# -- splineops ----------------------------------------------------------------------------------------------


def denoised(data: str, n: int, method: str, **options: float) -> Row:
    """Fit by splineops, and the same by cellsolve."""
    from splineops.adaptive_regression_splines import denoise_y

    x, y = in_order(*wave(n, grid=data == "grid"))
    seconds, (v, report) = best_of(lambda: denoise_y(x, y, n * LAM, return_diagnostics=True, **options))
    bends = np.diff(np.diff(v) / np.diff(x))
    objective = float(np.mean((v - y) ** 2) / 2 + LAM * np.sum(np.abs(bends)))
    problem = cs.Problem(x, y, lam=LAM, penalty="slope", free="affine")
    return told(
        {"part": "splineops", "data": data, "penalty": "slope", "free": "affine", "n": n, "method": method}
        | {"seconds": seconds, "objective": objective, "kinks": large(bends)}
        | {"status": f"{'converged' if report.converged else 'stopped'}, {report.iterations} iterations"}
        | against(problem, seconds, np.nan, objective)
    )


def connected(n: int) -> list[Row]:
    """Return the sparsest interpolant of either."""
    from splineops.adaptive_regression_splines.sparsification import linear_spline, sparsest_interpolant

    x, y = in_order(*noise(n))
    problem = cs.Problem(x, y, penalty="slope", free="affine")
    reference, solution = best_of(lambda: cs.interpolate(problem, sparsest=True))
    seconds, (knots, amplitudes, line) = best_of(lambda: sparsest_interpolant(x, y))
    common = {"part": "splineops", "data": "noise", "penalty": "slope", "free": "affine", "n": n}
    objective, residual = np.sum(np.abs(amplitudes)), np.max(np.abs(linear_spline(x, knots, amplitudes, line) - y))
    return [
        told(
            common
            | {"method": "cellsolve, sparsest", "seconds": reference, "objective": solution.objective}
            | {"excess": solution.certificate.excess, "residual": solution.residual}
            | {"kinks": len(solution.measure.kinks()[0]), "status": str(solution.status)}
        ),
        told(
            common
            | {"method": "sparsest_interpolant", "seconds": seconds, "reference": reference}
            | {"ratio": seconds / reference, "objective": objective, "excess": objective / solution.lower_bound - 1}
            | {"residual": residual, "kinks": len(knots)}
        ),
    ]


def by_splineops(sizes: list[int]) -> list[Row]:
    """Return what splineops does with up to so many points, where it is installed."""
    if find_spec("splineops") is None:
        print("  splineops is not installed and is left out: pip install splineops==2.2.0")
        return []
    rows: list[Row] = []
    for (data, n), rho in RHO.items():
        if n <= max(sizes):
            rows.append(denoised(data, n, "denoise_y"))
            rows.append(denoised(data, n, f"denoise_y, rho = {rho:g}", rho=rho, max_iter=ITERATIONS))
    return rows + [row for n in sizes for row in connected(n)]


def show(part: str, rows: list[Row], exponents: list[Row]) -> None:
    """Print the table of a part."""
    title, columns = TABLES[part]
    lines = [
        {name: format(row[name], FORMATS.get(name, "")) if row.get(name, "") != "" else "" for name in columns}
        for row in rows
    ]
    caption = "\n".join(
        f"{', '.join(filter(None, about))}, free={row['free']!r}: time grows like n^{row['exponent']:.2f}"
        for row in exponents
        for about in [(row["data"], row["penalty"], row["loss"])]
    )
    print_table(title, lines, caption or None)


def main() -> None:
    """Run everything, print, and write the CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, in a minute, and no file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else SIZES
    compile_kernels()
    rows = []
    for penalty in PENALTIES:
        cs.interpolate(*noise(WARM), penalty=penalty, free="affine")
        rows += [interpolation("noise", noise(n), penalty) for n in sizes]
        rows.append(interpolation("convex", convex(min(CONVEX, max(sizes))), penalty))
    rows += [apart(penalised, n, free, "squared") for free in ("affine", "none") for n in sizes]
    rows += [apart(penalised, n, "none", loss) for loss in OTHERS for n in sizes if n <= MOST.get(loss, n)]
    rows += [row for n in sizes if 10_000 <= n <= PATH for row in path(n)]
    peers = [n for n in (sizes[:1] if arguments.quick else sizes) if n <= PROGRAM]
    rows += [apart(program, n, method) for n in peers for method in PROGRAMS]
    rows += by_splineops(peers)
    exponents = growth(rows)
    for part in TABLES:
        if here := [row for row in rows if row["part"] == part]:
            show(part, here, [row for row in exponents if row["part"] == part])
    print(machine())
    if not arguments.quick:
        table = [{name: row.get(name, "") for name in COLUMNS} for row in rows + exponents]
        write_csv(arguments.out / "univariate.csv", table)
        print(arguments.out / "univariate.csv")


if __name__ == "__main__":
    main()
