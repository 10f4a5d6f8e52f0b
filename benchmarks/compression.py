"""The multitask lasso of compression: cellsolve, scikit-learn, and FISTA on the same products, to the same proven gap.

All minimise |F V' - O|^2 / (2 N) + lam sum_k |v_k|, without an intercept, to a duality gap of 1e-6 of the objective;
scikit-learn's tolerance, which is a share of |O|^2, is set to that gap. FISTA is a dozen lines of NumPy on F'F and F'O
with restarts. Times are of whole calls from the arrays, the products included; "as scikit-learn" is its time divided by
that of the line. lam is a share of the least that keeps no neuron. Data: Gaussian features, ReLU features (correlated,
as their means are not zero) of random neurons, both with outputs of a fifth of the neurons and noise; and both hidden
layers of a network trained on scikit-learn's digits. scikit-learn is left out where it takes minutes, unless `--long`
asks for it: a minute and more on ReLU features, no end in sight on the digits.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _digits import between, trained
from _results import machine, write_csv
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

import cellsolve as cs
from cellsolve.comparison import print_table
from cellsolve.compression import Moments

RESULTS = Path(__file__).parent / "results"
GAP = 1e-6

Data = tuple[np.ndarray, np.ndarray]


def random_layer(kind: str, samples: int, neurons: int = 512, outputs: int = 512) -> Data:
    """Features of random neurons, and outputs of a fifth of them with noise."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((samples, neurons))
    if kind == "ReLU":
        features = np.maximum(features, 0)
    weights = rng.standard_normal((neurons, outputs)) * (rng.random(neurons) < 0.2)[:, None]
    return features, features @ weights + 0.5 * rng.standard_normal((samples, outputs))


def objective(features: np.ndarray, outputs: np.ndarray, weights: np.ndarray, lam: float) -> float:
    """What is minimised, from the samples."""
    missed = np.sum((features @ weights.T - outputs) ** 2) / (2 * len(features))
    return float(missed + lam * np.linalg.norm(weights, axis=0).sum())


def by_cellsolve(features: np.ndarray, outputs: np.ndarray, lam: float, best: float, limit: float) -> np.ndarray:
    return cs.compress(features, outputs, lam=lam, tol=GAP).weights


def by_scikit_learn(features: np.ndarray, outputs: np.ndarray, lam: float, best: float, limit: float) -> np.ndarray:
    tol = GAP * best * len(features) / np.sum(outputs**2)
    return MultiTaskLasso(lam, fit_intercept=False, tol=tol, max_iter=10**5).fit(features, outputs).coef_


def by_fista(features: np.ndarray, outputs: np.ndarray, lam: float, best: float, limit: float) -> np.ndarray | None:
    end = time.perf_counter() + limit
    N = len(features)
    gram, cross, square = features.T @ features / N, features.T @ outputs / N, np.sum(outputs**2) / N
    step = 1 / np.linalg.eigvalsh(gram)[-1]
    V = ahead = np.zeros_like(cross)
    momentum = 1.0
    for number in range(10**6):
        if number % 10 == 0:
            slopes = cross - gram @ V
            inner, cost = np.sum(V * slopes), lam * np.linalg.norm(V, axis=1).sum()
            missed = square - np.sum(V * cross) - inner
            share = min(1.0, lam / np.linalg.norm(slopes, axis=1).max())
            if missed * (1 - share) ** 2 / 2 + cost - share * inner <= GAP * (missed / 2 + cost):
                return V.T
            if time.perf_counter() > end:
                return None
        moved = ahead + step * (cross - gram @ ahead)
        sizes = np.linalg.norm(moved, axis=1, keepdims=True)
        new = moved * np.maximum(1 - lam * step / np.maximum(sizes, 1e-300), 0)
        if np.sum((ahead - new) * (new - V)) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, V, momentum = new + (momentum - 1) / following * (new - V), new, following
    return None


METHODS: dict[str, Callable] = {"cellsolve": by_cellsolve, "scikit-learn": by_scikit_learn, "FISTA": by_fista}


def rows_of(name: str, data: Data, shares: tuple[float, ...], skip: tuple[str, ...], limit: float) -> list[dict]:
    """One row a value of lam and method."""
    features, outputs = data
    most = np.linalg.norm(features.T @ outputs, axis=1).max() / len(features)
    rows = []
    for share in shares:
        lam, best, seconds = share * most, np.inf, {}
        for method, solve in METHODS.items():
            if method in skip:
                continue
            times, weights = [], None
            for _ in range(3 if method == "cellsolve" else 1):
                start = time.perf_counter()
                weights = solve(features, outputs, lam, best, limit)
                times.append(time.perf_counter() - start)
            seconds[method] = min(times)
            value = objective(features, outputs, weights, lam) if weights is not None else np.nan
            best = min(best, value) if method == "cellsolve" else best
            rows.append(
                {
                    "data": name,
                    "samples": len(features),
                    "neurons": features.shape[1],
                    "outputs": outputs.shape[1],
                    "lam / lam_max": share,
                    "method": method,
                    "seconds": round(seconds[method], 4),
                    "objective": value,
                    "above cellsolve": value / best - 1,
                    "kept": 0 if weights is None else int(np.count_nonzero(np.abs(weights).max(axis=0))),
                }
            )
        for row in rows[-len(seconds) :]:
            row["as scikit-learn"] = round(seconds.get("scikit-learn", np.nan) / row["seconds"], 1)
    return rows


def main() -> None:
    """Run everything; print, write the CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60, help="seconds of FISTA")
    parser.add_argument("--long", action="store_true", help="scikit-learn also where it takes minutes")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    cs.compress(*random_layer("ReLU", 50, 20, 4), lam=0.1)  # kernels are compiled or loaded
    slow = () if arguments.long else ("scikit-learn",)
    never = ("scikit-learn",)

    rows = rows_of("Gaussian", random_layer("Gaussian", 2000), (0.3, 0.1, 0.03), (), arguments.limit)
    rows += rows_of("ReLU", random_layer("ReLU", 2000), (0.3, 0.1, 0.03), slow, arguments.limit)
    rows += rows_of("Gaussian", random_layer("Gaussian", 50_000), (0.1,), (), arguments.limit)
    network, (X, *_) = trained()
    rows += rows_of("digits, last layer", between(network, 4, X), (0.1, 0.01, 0.001), never, arguments.limit)
    rows += rows_of("digits, middle layer", between(network, 2, X), (0.1, 0.01, 0.001), never, arguments.limit)

    shown = [
        {key: f"{row[key]:.1e}" if key == "above cellsolve" else str(row[key]) for key in row if key != "objective"}
        for row in rows
    ]
    print_table("Compression to a gap of 1e-6", shown, machine())
    write_csv(arguments.out / "compression.csv", rows)

    moments = Moments()
    features, outputs = random_layer("Gaussian", 50_000)
    start = time.perf_counter()
    for part in range(0, 50_000, 1000):
        moments.update(features[part : part + 1000], outputs[part : part + 1000])
    passed = time.perf_counter()
    cs.compress(moments, lam=0.1 * 28)
    print(f"50 batches of 1000: one pass {passed - start:.2f} s, then {time.perf_counter() - passed:.2f} s")


if __name__ == "__main__":
    main()
