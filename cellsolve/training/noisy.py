"""Stochastic gradient descent on one row a step, with or without noise on the labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.problem import Problem
from cellsolve.training.objective import Network
from cellsolve.training.sgd_kernels import descend
from cellsolve.units import largest_exponent

#: default number of steps: a third of a second for a hundred neurons
STEPS = 1_000_000
#: about how many records a history has
N_RECORDS = 100
RECORD = ("step", "objective", "loss", "norm", "gradient_square", "time")
#: share of the steps, at the end, that see the labels as they are
QUIET = 0.1
#: steps between two looks for Ctrl-C
BLOCK = 2**18
#: exponents of the largest entry of X and y up to which squares and their sums are floats
LARGEST = 480


def refuse_unfit(problem: Problem, optimizer: str, label_noise: float) -> None:
    """Raise ValueError for what cannot be trained on one row a step."""
    why = f"label_noise is {label_noise:g}" if label_noise else "lam is None"
    if optimizer != "sgd" and label_noise:
        raise ValueError(f"{why} and optimizer is {optimizer!r}; noise on the labels needs optimizer='sgd'.")
    if optimizer != "sgd":
        raise ValueError(
            f"lam is None, but optimizer {optimizer!r} needs a penalty; use a small lam such as 1e-6, or 'sgd', "
            "which then goes without."
        )
    if problem.n_outputs > 1:
        raise ValueError(f"{why} and y has {problem.n_outputs} outputs; steps on one row take one output.")
    if problem.loss.name != "squared":
        raise ValueError(f"{why} and loss is {problem.loss.name!r}; steps on one row take the squared loss.")
    if not problem.interpolates and problem.penalty.name not in ("variation", "slope"):
        raise ValueError(
            f"{why}, but penalty {problem.penalty.name!r} cannot decay on one row a step; "
            "pass lam=None, or penalty 'variation' or 'slope'."
        )
    if max(abs(largest_exponent(problem.lifted)), abs(largest_exponent(problem.targets))) > LARGEST:
        raise ValueError(f"{why} and X or y is of a size whose square float64 cannot hold; rescale it.")


def train_on_rows(
    problem: Problem,
    width: int,
    label_noise: float,
    steps: int,
    lr: float,
    init_scale: float,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> tuple[str, dict[str, np.ndarray], SparseMeasure]:
    """Run de Dios and Bruna's Algorithm 1; return the status, the history and the last network."""
    network = Network(problem, width, init_scale, rng)
    theta, outer, free = (part.detach().numpy().copy() for part in network.parameters)
    outer, free, basis = outer[:, 0].copy(), free[:, 0].copy(), network.basis.numpy()
    decay = np.full(theta.shape[1] + 1, problem.lam or 0.0)
    if problem.penalty.name == "slope" and problem.fit_bias:
        decay[-2] = 0.0  # of the biases
    start, records = time.perf_counter(), []

    def recorded(step: int) -> bool:
        with np.errstate(all="ignore"):
            values = _values(problem, theta, outer, basis @ free)
        finite = bool(np.isfinite(values).all())
        if finite:
            records.append((step, *values, time.perf_counter() - start))
        return finite

    if not recorded(0):
        raise ValueError(
            f"init_scale is {init_scale}; the objective of the first network is not finite, pass a smaller one."
        )
    status, last = "finished", (theta.copy(), outer.copy(), free.copy())
    every = max(1, steps // N_RECORDS)
    try:
        for stop, rows, noise, rates in _schedule(problem, label_noise, steps, lr, every, rng):
            targets = problem.targets[rows, 0] + noise
            descend(theta, outer, free, problem.lifted, basis, rows, targets, rates, decay)
            if stop % every and stop < steps:
                continue
            if not recorded(stop):
                status = "diverged"
                break
            last = theta.copy(), outer.copy(), free.copy()
            advance(stop)
    except KeyboardInterrupt:
        status, last = "interrupted", (theta, outer, free)
    history = {name: np.array(column) for name, column in zip(RECORD, zip(*records))}
    if status == "finished" and _lost(problem, history):
        status = "diverged"
    theta, outer, free = last
    return status, history, problem.measure(theta, outer[:, None], network.change.numpy() @ free[:, None])


def _lost(problem: Problem, history: dict[str, np.ndarray]) -> bool:
    """Whether the run ended worse than it began, or without a penalty no better than f = 0, with dead neurons."""
    if not problem.interpolates:
        return bool(history["objective"][-1] > history["objective"][0])
    nothing = np.sum(problem.loss.value(np.zeros_like(problem.targets), problem.targets)) / problem.n
    return bool(history["loss"][-1] >= nothing > 0)


def _schedule(
    problem: Problem, label_noise: float, steps: int, lr: float, every: int, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, Array, Array]]:
    """Yield where each block of steps ends, with their rows, noise and rates; blocks end at multiples of `every`.

    The rate falls to zero twice: with noise, so that the network settles where it costs least, and without, so that it
    ends on the data. It is in the units of the data: the square of a gradient is about as large as |f(x_i)| |x~_i|.
    """
    rate = float(np.ldexp(lr, -largest_exponent(problem.lifted) - largest_exponent(problem.targets)))
    noisy, done = steps - int(QUIET * steps), 0
    while done < steps:
        stop = min(steps, done + BLOCK, (done // every + 1) * every)
        t = np.arange(done, stop)
        left = np.where(t < noisy, 1 - t / noisy, 1 - (t - noisy) / max(1, steps - noisy))
        noise = np.where(t < noisy, label_noise * rng.standard_normal(len(t)), 0.0)
        yield stop, rng.integers(problem.n, size=len(t)), noise, rate * left
        done = stop


def _values(problem: Problem, theta: Array, outer: Array, free_part: Array) -> tuple[float, float, float, float]:
    """Return the objective, the mean loss, the norm, and mean_i ||grad f(x_i)||² in the weights of all neurons."""
    response = problem.responses(theta)
    fit = (response @ outer + free_part)[:, None]
    loss = float(np.sum(problem.loss.value(fit, problem.targets)) / problem.n)
    norm = float(np.abs(outer) @ problem.neuron_costs(theta))
    squares = np.sum(problem.lifted**2, axis=1)
    gradient = (np.sum(response**2) + squares @ (response > 0) @ outer**2) / problem.n
    return problem.objective_of(fit, norm), loss, norm, float(gradient)
