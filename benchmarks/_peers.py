"""The packages for convex ReLU networks, on the engine's problem and judged by its objective.

Their requirements conflict with those of cellsolve (adelie wants numpy < 2), so each has an environment of its own:

    python3.11 -m venv .pyscnn && .pyscnn/bin/pip install torch==2.13.0
    .pyscnn/bin/pip install numpy scipy cvxpy scikit-learn tqdm opt_einsum typing_extensions
    .pyscnn/bin/pip install --no-deps linalg_backends==0.0.1b0 pyscnn==0.0.10
    python3.11 -m venv .adelie && .adelie/bin/pip install adelie==1.1.52
    python benchmarks/engine.py --pyscnn .pyscnn/bin/python --adelie .adelie/bin/python

Both solve the convex program of a ReLU network, with its cone constraints, on `SAMPLED` cells that are given to them:
those of `sampling` in engine.py for the same seed, so the best they can reach is its objective. They get a column of
ones for the bias, and count it in the norm; both state the loss as (1/2n) sum (f - y)^2, so lam is passed on as it is.
Data are not rescaled (pyscnn would, and that changes the penalty). The networks that they return are evaluated by
cellsolve as they are, so a neuron that left its cell by a tolerance is no violation but another neuron. Seconds are
those of the fit, constraints included, imports not. Neurons are those with more than a millionth of the norm.

* pyscnn, SCS: its exact model through cvxpy, in float64, to 1e-6.
* pyscnn, AL: the same by its own augmented Lagrangian, in float64, at its default tolerances. At 1e-8 set C takes four
  times as long, for .03389.
* adelie: `matrix.convex_relu` with a linear constraint a group, down a path of `PATH` values of lam: at lam alone it
  fails. Its limits on iterations are raised, as it stops at them on the path otherwise; the status says where it did.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SAMPLED = 1000
PATH = 30
#: package -> its methods
METHODS = {"pyscnn": ("pyscnn, SCS", "pyscnn, AL"), "adelie": ("adelie",)}

Fit = tuple[float, np.ndarray, np.ndarray, str]


def fit_pyscnn(method: str, X: np.ndarray, y: np.ndarray, lam: float, gates: np.ndarray) -> Fit:
    """Return seconds, neurons, weights and a status."""
    from scnn.metrics import Metrics
    from scnn.models import ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, CVXPYSolver

    start = time.perf_counter()
    model = ConvexReLU(gates.T)
    solver = AL(model) if method == "pyscnn, AL" else CVXPYSolver(model, "scs", {"eps": 1e-6, "max_iters": 100_000})
    options = {"regularizer": NeuronGL1(lam), "unitize_data": False, "dtype": "float64"}
    network, _ = optimize_model(model, solver, Metrics(), X, y, **options)
    theta, weights = network.parameters
    return time.perf_counter() - start, theta, weights[0], ""


def fit_adelie(method: str, X: np.ndarray, y: np.ndarray, lam: float, gates: np.ndarray) -> Fit:
    """Return seconds, neurons, weights and a status."""
    import adelie as ad

    start = time.perf_counter()
    n, d = X.shape
    X, masks = np.asfortranarray(X), X @ gates.T > 0
    masks = np.asfortranarray(masks[:, masks.any(axis=0)])
    above, below = np.full(n, np.inf), np.zeros(n)
    signs = 2.0 * np.tile(masks.T, (2, 1)) - 1
    limits = {"max_iters": 10_000, "nnls_max_iters": 10**8, "pinball_max_iters": 10**8}
    state = ad.grpnet(
        ad.matrix.convex_relu(X, masks),
        ad.glm.gaussian(y),
        constraints=[ad.constraint.linear(s[:, None] * X, below, above, configs=limits) for s in signs],
        groups=np.arange(0, d * len(signs), d),
        penalty=np.ones(len(signs)),
        lmda_path=lam * np.geomspace(100, 1, PATH),
        intercept=False,
        early_exit=False,
        tol=1e-11,
        max_iters=10**8,
        progress_bar=False,
    )
    theta = state.betas[-1].toarray().reshape(-1, d)
    weights = np.repeat([1.0, -1.0], masks.shape[1])
    active = theta.any(axis=1)
    status = f"{state.error} lam = {state.lmdas[-1]:.2e}" if state.error else ""
    return time.perf_counter() - start, theta[active], weights[active], status


def run(interpreter: Path, method: str, **data: np.ndarray | float) -> Fit:
    """Fit in another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "data.npz", Path(folder) / "network.json"
        np.savez(files[0], **data)
        subprocess.run([interpreter, __file__, method, *files], check=True)
        seconds, theta, weights, status = json.loads(files[1].read_text())
    return seconds, np.array(theta), np.array(weights), status


def against_peers(
    cases: list[tuple[str, np.ndarray, np.ndarray, float]], seeds: int, interpreters: dict[str, Path | None]
) -> list[dict[str, object]]:
    """Fit with every package that has an interpreter, beside the engine."""
    import cellsolve as cs

    methods = [(path, method) for peer, path in interpreters.items() if path for method in METHODS[peer]]
    rows: list[dict[str, object]] = []
    for target, X, y, lam in cases if methods else ():
        problem = cs.Problem(X, y, lam=lam)
        solution = cs.solve(problem)
        fits = [("", "engine", solution.time, solution.measure, str(solution.status))]
        for seed in range(seeds):
            gates = cs.sample_cells(X, SAMPLED, random_state=seed).interior_points()
            for path, method in methods:
                seconds, theta, weights, status = run(path, method, X=problem.lifted, y=y, lam=lam, gates=gates)
                fits.append((seed, method, seconds, cs.SparseMeasure(theta, weights), status))
                print(f"  {target} {method} seed={seed}: {seconds:.1f} s {status}", flush=True)
        for seed, method, seconds, measure, status in fits:
            objective = problem.objective(measure)
            sizes = np.abs(measure.weights) * problem.neuron_costs(measure.neurons)
            rows.append(
                {"part": "peers", "target": target, "n": len(X), "d": X.shape[1], "seed": seed, "method": method}
                | {"seconds": seconds, "objective": objective, "lower_bound": solution.lower_bound}
                | {"gap": 1 - solution.lower_bound / objective, "status": status}
                | {"neurons": int(np.sum(sizes > 1e-6 * sizes.sum()))}
            )
    return rows


def main() -> None:
    """In the interpreter of a package: fit the data of one file, and write the network into another."""
    method, source, target = sys.argv[1:]
    with np.load(source) as data:
        X, y, lam, gates = data["X"], data["y"], float(data["lam"]), data["gates"]
    fit = fit_adelie if method == "adelie" else fit_pyscnn
    seconds, theta, weights, status = fit(method, X, y, lam, gates)
    Path(target).write_text(json.dumps([seconds, theta.tolist(), weights.tolist(), status]))


if __name__ == "__main__":
    main()
