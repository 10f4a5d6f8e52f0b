"""Parhi (2024): weight decay balances neurons, is a sparse convex problem in disguise, and estimates at fast rates."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from sklearn.kernel_ridge import KernelRidge
from torch import nn

import cellsolve as cs
from cellsolve.training import OPTIMIZERS, TrainedNetwork, train_network
from claims import Claim, Measured

LAM = 1e-2
KEYS = ("decay_objective", "objective")
WIDTHS = (10, 30, 100, 300, 1000)


def surface(n: int, outputs: int | None = None, seed: int = 0) -> cs.Problem:
    """Noisy values of a smooth function of two features, and for more outputs its multiples with a slope."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(n)
    if outputs is not None:
        y = np.stack([y * (k + 1) / outputs + k * X[:, 1] for k in range(outputs)], axis=1)
    return cs.Problem(X, y, lam=LAM)


PROBLEMS = {"50 points, one output": surface(50), "30 points, two outputs": surface(30, 2)}


@cache
def best(name: str) -> cs.Solution:
    """The proven optimum."""
    return cs.solve(PROBLEMS[name])


@cache
def trained(name: str, optimizer: str) -> TrainedNetwork:
    """A network trained with an optimiser's defaults."""
    return train_network(PROBLEMS[name], optimizer=optimizer, random_state=0)


# -- balance ------------------------------------------------------------------------------------------------


def differences(decay: float, lr: float = 0.1, steps: int = 8_000) -> tuple[float, float, float]:
    """Train PyTorch's own network by gradient descent with its weight decay.

    Returns the imbalance at the start and at the end, and how large sum |w^2 - c^2| is left.
    """
    torch.manual_seed(0)
    problem = PROBLEMS["50 points, one output"]
    X, y = torch.tensor(problem.X), torch.tensor(problem.targets)
    network = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 1, bias=False)).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, weight_decay=decay)

    def apart() -> tuple[float, float]:
        inner = network[0].weight.detach().square().sum(1) + network[0].bias.detach().square()
        outer = network[2].weight.detach().square().sum(0)
        return (inner - outer).abs().sum().item(), (inner + outer).sum().item()

    first = apart()
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (network(X) - y).square().mean()).backward()
        optimizer.step()
    last = apart()
    return first[0] / first[1], last[0] / last[1], last[0] / first[0]


def neural_balance() -> Measured:
    first, with_decay, left = differences(LAM)
    _, without, _ = differences(0.0)
    ends = {optimizer: trained("50 points, one output", optimizer).history["imbalance"][-1] for optimizer in OPTIMIZERS}
    expected = np.exp(-2 * LAM * 0.1 * 8_000)
    text = (
        f"The imbalance sum |w² - c²| / sum (w² + c²) of PyTorch's network goes from {first:.2f} to {with_decay:.0e} "
        f"under gradient descent with weight decay and to {without:.2f} without. The differences shrink to {left:.1e} "
        f"of the first, by gradient flow it were {expected:.1e}. With train_network the last imbalance is "
        f"{', '.join(f'{value:.0e} ({optimizer})' for optimizer, value in ends.items())}."
    )
    balanced = with_decay < 1e-3 and max(ends.values()) < 1e-2
    return Measured(text, "yes" if balanced and without > 0.1 else "partly" if balanced else "no")


# -- three problems that are one ----------------------------------------------------------------------------


def one_value() -> Measured:
    parts, near, passed = [], True, False
    for name in PROBLEMS:
        bound = best(name).lower_bound
        ends = {
            optimizer: np.array([trained(name, optimizer).history[key].min() for key in KEYS])
            for optimizer in OPTIMIZERS
        }
        over = {optimizer: values / bound - 1 for optimizer, values in ends.items()}
        near &= min(value.max() for value in over.values()) < 1e-3 and best(name).gap < 1e-4
        passed |= min(value.min() for value in over.values()) < -1e-9
        numbers = ", ".join(f"{value[0]:.0e} and {value[1]:.0e} ({optimizer})" for optimizer, value in over.items())
        parts.append(f"{name}, optimum proven to {best(name).gap:.0e}: {numbers}")
    text = f"Weight decay and path norm above the convex problem's proven bound, as a share: {'; '.join(parts)}."
    return Measured(text, "yes" if near and not passed else "partly" if not passed else "no")


# -- how many neurons ---------------------------------------------------------------------------------------


def neurons() -> Measured:
    problem = PROBLEMS["50 points, one output"]
    convex, kept, pruned, worse = best("50 points, one output").measure.n_neurons, [], [], 0.0
    for width in WIDTHS:
        run = train_network(problem, optimizer="pathprox", width=width, steps=3_000, random_state=0)
        measure = run.measure.prune(problem.X, "variation")
        kept.append(int(np.count_nonzero(run.module.output.weight.detach().numpy())))
        pruned.append(measure.n_neurons)
        worse = max(worse, problem.objective(measure) / run.objective - 1)
    few = [cs.solve(surface(n, seed=seed).replace(free="affine")) for n in (10, 20, 40) for seed in range(3)]
    most = max(solution.measure.n_neurons / len(solution.certificate.alpha) for solution in few)
    text = (
        f"50 points. Of {', '.join(map(str, WIDTHS))} neurons PathProx leaves {', '.join(map(str, kept))} that are not "
        f"exactly zero. Pruned to {', '.join(map(str, pruned))}, the objective grows by at most {max(worse, 0):.0e} of "
        f"it. The proven optimum has {convex}. With the skip connection, on 10 to 40 points, the optima have at most "
        f"{most:.2f} N neurons."
    )
    return Measured(text, "yes" if max(*pruned, convex) <= problem.n and worse < 1e-6 and most < 1 else "no")


# -- estimation ---------------------------------------------------------------------------------------------

SIZES = (25, 50, 100, 200)
#: d -> repeats; a fit of five features takes seconds
REPEATS = {1: 12, 2: 6, 3: 4, 4: 3, 5: 3}
NOISE = 0.1
#: relative gap to prove, and the seconds a fit may take for it
TOL, SECONDS = 1e-2, 2.0
METHODS = ("network", "kernel ridge", "thin plate")


def target(d: int) -> Callable[[np.ndarray], np.ndarray]:
    """Three kinked ridge functions in random directions, which are the same for all N."""
    directions = np.random.default_rng(d).standard_normal((3, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return lambda X: np.abs(X @ directions.T - [-0.3, 0.1, 0.4]) @ [1.0, -1.0, 1.0]


def networks(X: np.ndarray, y: np.ndarray) -> Iterator[cs.Solution]:
    """Convex solutions with a skip connection, from few neurons to many."""
    solution = None
    for lam in np.geomspace(3e-2, 2e-4, 5):
        solution = cs.solve(X, y, lam=lam, free="affine", tol=TOL, max_time=SECONDS, warm_start=solution)
        yield solution


def linear(X: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Kernel ridge regressions and smoothing splines over a grid of hyperparameters."""
    for gamma in (0.1, 0.3, 1, 3):
        for alpha in np.geomspace(1e-4, 1, 5):
            yield "kernel ridge", KernelRidge(kernel="rbf", gamma=gamma, alpha=alpha).fit(X, y).predict
    for smoothing in np.geomspace(1e-4, 1e2, 10):
        yield "thin plate", RBFInterpolator(X, y, kernel="thin_plate_spline", smoothing=smoothing)


@cache
def estimation() -> tuple[dict[tuple[str, int], np.ndarray], dict[int, float]]:
    """Mean squared errors against the target, (repeats, sizes) by method and d, and by d the largest gap in use."""
    errors = {(method, d): np.zeros((REPEATS[d], len(SIZES))) for method in METHODS for d in REPEATS}
    gaps = dict.fromkeys(REPEATS, 0.0)
    for d in REPEATS:
        f = target(d)
        for repeat, column in np.ndindex(REPEATS[d], len(SIZES)):
            N, rng = SIZES[column], np.random.default_rng([d, repeat, column])
            X, valid, test = (rng.uniform(-1, 1, (count, d)) for count in (N, N, 4_000))
            y, seen = (f(points) + NOISE * rng.standard_normal(N) for points in (X, valid))
            chosen = dict.fromkeys(METHODS, (np.inf, f))
            for solution in networks(X, y):
                score = np.mean((solution.predict(valid) - seen) ** 2)
                if score > 1.1 * chosen["network"][0]:
                    break  # too many neurons from here on, and these fits take longest
                if score < chosen["network"][0]:
                    chosen["network"], gap = (score, solution.predict), solution.gap
            for method, predict in linear(X, y):
                chosen[method] = min(
                    chosen[method], (np.mean((predict(valid) - seen) ** 2), predict), key=lambda c: c[0]
                )
            gaps[d] = max(gaps[d], gap)
            for method, (_, predict) in chosen.items():
                errors[method, d][repeat, column] = np.mean((predict(test) - f(test)) ** 2)
    return errors, gaps


def rate(method: str, d: int) -> tuple[float, float]:
    """The fitted rate r of error = C N^-r, and its standard error over the repeats."""
    slopes = [-np.polyfit(np.log(SIZES), np.log(row), 1)[0] for row in estimation()[0][method, d]]
    return float(np.mean(slopes)), float(np.std(slopes, ddof=1) / np.sqrt(REPEATS[d]))


def shown(method: str) -> str:
    """The fitted rates in words."""
    return ", ".join("{:.2f} ± {:.2f}".format(*rate(method, d)) for d in REPEATS)


def estimation_rate() -> Measured:
    minimax = {d: (d + 3) / (2 * d + 3) for d in REPEATS}
    fast = all(value + 2 * error >= minimax[d] for d in REPEATS for value, error in [rate("network", d)])
    gaps = estimation()[1]
    text = (
        f"Three kinked ridge functions, noise {NOISE}, N = {SIZES[0]} to {SIZES[-1]}, hyperparameters chosen on N more "
        f"points. Fitted rates for d = 1 to 5 {shown('network')}; minimax "
        f"{', '.join(f'{least:.2f}' for least in minimax.values())}. A few kinks are easier than the worst function; "
        f"faster is no contradiction. Largest gap in use, by d: {', '.join(f'{gap:.0e}' for gap in gaps.values())}; "
        f"{TOL:g} is asked for, within {SECONDS:g} s a fit."
    )
    return Measured(text, "no" if not fast else "yes" if max(gaps.values()) <= TOL else "partly")


def curse() -> Measured:
    errors, parts, slower, grows = estimation()[0], [], True, True
    for method in METHODS[1:]:
        times = [np.exp(np.mean(np.log(errors[method, d] / errors["network", d])[:, -1])) for d in REPEATS]
        slower &= all(rate(method, d)[0] < rate("network", d)[0] for d in REPEATS if d > 1)
        grows &= times[-1] > 1.5 * times[0]
        parts.append(
            f"{method} {shown(method)}, at N = {SIZES[-1]} {', '.join(f'{t:.1f}' for t in times)} times the error"
        )
    text = (
        f"Same data. Fitted rates, and errors over the network's: {'; '.join(parts)}. The linear lower bound is "
        f"{', '.join(f'{3 / (d + 3):.2f}' for d in REPEATS)}; it is for the worst function, so one target can agree "
        "with it, not prove it."
    )
    return Measured(text, "yes" if slower and grows else "partly" if slower or grows else "no")


CLAIMS = [
    Claim("Weight decay balances the inner and outer weights of a neuron", "Neural Balance Theorem", neural_balance),
    Claim("Weight decay, the path norm and the multitask lasso have one value", "Secret sparsity", one_value),
    Claim("N neurons, fewer with a skip connection, are enough", "Representer theorem", neurons),
    Claim("The error falls like N^-(d+3)/(2d+3) or faster, without the curse", "Minimax optimality", estimation_rate),
    Claim("Linear methods suffer the curse of dimensionality", "Minimax optimality", curse),
]
