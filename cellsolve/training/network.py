"""Gradient training of a shallow ReLU network of fixed width, on exactly the objective of a Problem."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from cellsolve.checks import positive
from cellsolve.converters import to_torch
from cellsolve.data import Array
from cellsolve.losses import Loss
from cellsolve.measure import SparseMeasure
from cellsolve.potentials import Potential
from cellsolve.problem import Problem
from cellsolve.training.noisy import STEPS, refuse_unfit, train_on_rows
from cellsolve.training.objective import LOSSES, SQUARED_COSTS, Network
from cellsolve.training.optimizers import OPTIMIZERS, Optimizer

#: about how many records a history has
N_RECORDS = 100
RECORD = ("step", "objective", "decay_objective", "imbalance", "time")
Record = tuple[int, float, float, float, float]  # as RECORD says
#: up to this many products of a row and a neuron, one thread is faster than several that wait for each other after
#: every operation: on two busy cores five to seventy times, measured from 500 products to a million
ONE_THREAD = 1_000_000

#: every status and its sentence
STATUSES = {
    "finished": "all steps done",
    "stalled": "stopped early: steps do not change the objective any more",
    "diverged": "the objective grew out of bounds; this is the best network seen before, pass a smaller lr",
    "interrupted": "interrupted; this is what it had reached",
}


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    r"""What `train_network` returns: the best network that it recorded.

    Attributes
    ----------
    measure : SparseMeasure
        The network as a measure, normalized for the problem's penalty, in the units of the data.
    objective : float
        The problem's objective of `measure`, mean loss + lam * norm, which is what `certify` compares with the
        best network of any width.
    history : dict of arrays
        About a hundred records: ``step``, ``objective`` (mean loss + lam * norm), ``decay_objective`` (with half
        the squared weights in place of the norm: never smaller, equal for a balanced network), ``imbalance``
        (:math:`\sum_k |w_k^2 - \|c_k\|^2| / \sum_k (w_k^2 + \|c_k\|^2)`, 0 for a balanced network, 1 at
        most) and ``time`` in seconds. On one row a step ``loss``, ``norm`` and ``gradient_square``, the mean of
        ||grad f(x_i)||² over the points, take the place of ``decay_objective`` and ``imbalance``.
    module : torch.nn.Module
        The network with the weights that it was trained to, in the units of the data.
    status : str
        ``"finished"``, ``"stalled"``, ``"diverged"`` or ``"interrupted"``.
    """

    measure: SparseMeasure
    objective: float
    history: dict[str, np.ndarray]
    module: Any
    status: str

    @property
    def message(self) -> str:
        """What the status means."""
        return STATUSES[self.status]

    def predict(self, X: ArrayLike) -> Array:
        """Return f(X), shape (n,) or (n, m)."""
        return self.measure.predict(X)

    def __repr__(self) -> str:
        steps, seconds = self.history["step"][-1], self.history["time"][-1]
        return (
            f"TrainedNetwork(objective={self.objective:.10g}, width={self.module.hidden.out_features}, "
            f"{steps} steps in {seconds:.2g} s, {self.status}: {self.message})"
        )


def train_network(
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    lam: float | None = None,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    width: int = 100,
    optimizer: str = "adam",
    label_noise: float = 0.0,
    steps: int | None = None,
    lr: float | None = None,
    init_scale: float = 1.0,
    random_state: Any = None,
    progress: bool = False,
) -> TrainedNetwork:
    r"""Train a network of fixed width by gradient descent, on exactly the problem's objective as weight decay.

    With K = `width` neurons, every step sees all data and lowers

    .. math::
        \frac1n \sum_i \ell(f(x_i), y_i) + \frac\lambda2 \sum_{k=1}^K \bigl(w(\theta_k)^2 + \|c_k\|_2^2\bigr),
        \qquad f(x) = \sum_k c_k \sigma(\langle\theta_k, \tilde x\rangle) + \text{free part}.

    As :math:`\tfrac12(w^2 + \|c\|^2) \ge \|c\|\,w`, with equality once the two are balanced, its infimum is that of
    the problem over networks of this width. For ``variation`` this is weight decay on weights and biases, for
    ``slope`` weight decay without the biases; the free part never decays. The factor of ``LabelNoise(full=True)``
    that jumps between cells counts as a constant in the gradient.

    With `label_noise`, or without a penalty (``lam=None``), ``optimizer="sgd"`` is Algorithm 1 of de Dios & Bruna
    instead. A step sees one random row i and, with :math:`e \sim N(0, 1)`, goes down

    .. math::
        \tfrac12 \bigl(f(x_i) - y_i - \text{label_noise}\, e\bigr)^2
        + \frac\lambda2 \sum_k \bigl(w(\theta_k)^2 + c_k^2\bigr),
        \qquad \lambda = 0 \text{ for } \texttt{lam=None}.

    Among networks on the data the noise prefers those with a small :math:`\frac1n \sum_i \|\nabla f(x_i)\|^2`, the
    gradient taken in all weights (their eq. 10), which is least, over the scales of the neurons, where it is the norm
    with ``LabelNoise(full=True)``. The rate falls along a straight line to zero over nine tenths of the steps, and once
    more over the last tenth, whose labels have no noise. With neither noise nor lam this is plain stochastic gradient
    descent.

    X and y are first divided by one power of two each, so that `lr` means the same for data of any size. Features
    of very different sizes, or far from zero, stay so and slow descent down.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,), or Problem
        A Problem brings y, lam, loss, penalty, free and fit_bias with it.
    y : array-like, shape (n,) or (n, m)
    lam : float
        Weight of the penalty. None is no penalty, which only ``optimizer="sgd"`` trains: with label noise, or plain.
    loss, penalty, free, fit_bias : optional
        As in `Problem`.
    width : int
        Number of neurons K.
    optimizer : {"adam", "sgd", "lbfgs", "pathprox"}
        Adam, most often the most accurate here; gradient descent with momentum 0.9; L-BFGS with a strong Wolfe line
        search, most often the fastest to a percent; PathProx, proximal gradient descent on the path norm, which makes
        neurons exactly zero, for the penalties ``variation``, ``slope`` and ``l1``. All but L-BFGS lower their
        learning rate to zero along a cosine.
    label_noise : float
        Standard deviation of the noise on the labels, in the units of y, for ``optimizer="sgd"``, the squared loss and
        one output; with a lam the penalty is ``variation`` or ``slope``. A third of the size of y is much: neurons
        that points too near to each other need get lost.
    steps : int, optional
        Default 5000 for Adam and PathProx, 10000 for gradient descent, 1000 for L-BFGS; a million on one row each.
    lr : float, optional
        Learning rate, default 0.03 for Adam, 0.3 for gradient descent, 1 for L-BFGS and PathProx (see the notes), on
        one row a step 1/sqrt(width). That of PathProx is divided by a bound on the curvature of smooth losses, so
        it means the same for all of them and should stay below 2; ``absolute`` and ``quantile`` need about 0.1.
    init_scale : float
        Size of the first network's values relative to that of y (to 1 for labels). Its neurons are Gaussian as seen
        from data with mean 0 and variance 1 in every column, and balanced: :math:`\|\theta_k\| = \|c_k\|`.
    random_state : int, numpy.random.Generator or None
        Where the first network comes from. Runs with equal seeds are equal.
    progress : bool
        Show a bar on stderr, if that is a terminal.

    Returns
    -------
    TrainedNetwork
        The best network recorded, also after an interruption by Ctrl-C or where the objective diverges, which is a
        RuntimeWarning. Of steps on one row it is the last network; ``problem.residual`` says how near to y it is.

    Raises
    ------
    ValueError
        Arguments that do not fit together, PathProx with the penalty ``label_noise``, ``lam=None`` without
        ``optimizer="sgd"``, or an optimizer that is not there.

    Notes
    -----
    The default rates are measured: on four problems, (n, d, lam) = (20, 1, 1e-3), (200, 1, 1e-2), (50, 2, 1e-2) and
    (150, 2, 1e-3), x uniform on [-1, 1]^d and y = sin(3 x_1) cos(2 x_2) (d = 1: sin(3 x)) with noise 0.1, the median of
    three seeds is above the best network of any width by 2e-4, 4e-10, 9e-6 and 7e-4 with Adam at 0.01, 4e-5, 7e-10,
    5e-6 and 5e-4 at 0.03, 3e-5, 1e-9, 2e-4 and 4e-4 at 0.1; with gradient descent by 2e-1, 3e-4, 4e-3 and 7e-2 at 0.03,
    2e-3, 3e-11, 1e-4 and 5e-3 at 0.3, 5e-5, 6e-11, 4e-6 and 2e-3 at 1; with PathProx by 3e-2, 3e-9, 2e-4 and 1e-2 at
    0.3, 6e-4, 3e-10, 4e-5 and 6e-3 at 1, 4e-4, 6e-10, 2e-5 and 2e-3 at 2; with L-BFGS by 1e-4, 4e-7, 6e-4 and 2e-3.
    On features of one sign gradient descent can diverge at 0.3 already, PathProx at 4.
    """
    problem = _as_problem(X, y, lam=lam, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}; choose one of {', '.join(OPTIMIZERS)}.")
    method = OPTIMIZERS[optimizer]
    label_noise = positive(label_noise, "label_noise", 0.0, zero=True)
    width = _count("width", width)
    by_rows = problem.interpolates or label_noise > 0
    if by_rows:
        refuse_unfit(problem, optimizer, label_noise)
        method = replace(method, lr=1 / np.sqrt(width), steps=STEPS)
    steps = _count("steps", method.steps if steps is None else steps)
    lr, init_scale = _positive("lr", method.lr if lr is None else lr), _positive("init_scale", init_scale)
    if by_rows:
        rng = np.random.default_rng(random_state)
        with _bar(steps, progress) as advance:
            status, history, trained = train_on_rows(problem, width, label_noise, steps, lr, init_scale, rng, advance)
        if status == "diverged":
            warnings.warn(f"train_network: {STATUSES[status]}.", RuntimeWarning, stacklevel=2)
        measure = trained.normalized(problem.penalty, problem.X)
        return TrainedNetwork(measure, problem.objective(measure), history, to_torch(trained), status)
    inside, units = problem.normalized()
    with _threads(1 if problem.n * width <= ONE_THREAD else torch.get_num_threads()):
        network = Network(inside, width, init_scale, np.random.default_rng(random_state))
        if not np.isfinite(network.values()[1]):
            raise ValueError(
                f"init_scale is {init_scale}; the objective of the first network is not finite, pass a smaller one."
            )
        status, records, best = _descend(network, method, lr, steps, progress)
    if status == "diverged":
        warnings.warn(f"train_network: {STATUSES[status]}.", RuntimeWarning, stacklevel=2)

    theta, outer, coefficients = (part.numpy() for part in best)
    # one scale for the balance in the caller's units; it leaves the function as it is
    scale = 2.0 ** ((units.y - units.x * (1 + units.data_degree)) / 2)
    neurons, weights = units.neurons(theta) * scale, units.weights(outer) / scale
    trained = problem.measure(neurons, weights, units.coefficients(coefficients))
    measure = trained.normalized(problem.penalty, problem.X)
    history = {name: np.array(column) for name, column in zip(RECORD, zip(*records))}
    history |= {name: history[name] * units.value for name in ("objective", "decay_objective")}
    return TrainedNetwork(measure, problem.objective(measure), history, to_torch(trained), status)


def _descend(
    network: Network, method: Optimizer, lr: float, steps: int, progress: bool
) -> tuple[str, list[Record], tuple[Any, Any, Any]]:
    """Return the status, the records and the best recorded network."""
    optimizer = method.make(network, lr)
    start, best = time.perf_counter(), network.snapshot()
    records: list[Record] = []

    def closure() -> Any:
        optimizer.zero_grad()
        decayed = network.objectives()[1]
        decayed.backward()
        return decayed

    def record(step: int) -> str:
        nonlocal best
        objective, decayed, imbalance = network.values()
        if not np.isfinite(decayed):
            return "diverged"
        if records and objective < min(earlier[1] for earlier in records):
            best = network.snapshot()
        records.append((step, objective, decayed, imbalance, time.perf_counter() - start))
        return "stalled" if step and records[-1][1:3] == records[-2][1:3] else "finished"

    status = record(0)
    every = max(1, steps // N_RECORDS)
    with _bar(steps, progress) as advance:
        try:
            for step in range(1, steps + 1):
                if method.decays:
                    for group in optimizer.param_groups:
                        group["lr"] = lr * (1 + np.cos(np.pi * (step - 1) / steps)) / 2
                optimizer.step(closure)
                if step % every == 0 or step == steps:
                    status = record(step)
                    advance(step)
                    if status != "finished":
                        break
        except KeyboardInterrupt:
            status = "interrupted"
    if status == "finished" and records[-1][2] > records[0][2]:
        status = "diverged"
    return status, records, best


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(steps: int, progress: bool) -> Iterator[Callable[[int], None]]:
    if not (progress and sys.stderr.isatty()):
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=steps)
        yield lambda step: bar.update(task, completed=step)


def _as_problem(X: Any, y: Any, **keywords: Any) -> Problem:
    given = {name: value for name, value in keywords.items() if value is not None}
    if isinstance(X, Problem):
        extra = [*(["y"] if y is not None else []), *given]
        if extra:
            raise ValueError(f"{', '.join(extra)} cannot be given beside a Problem; change it by its replace().")
        problem = X
    elif y is None:
        raise ValueError("y is missing; pass X and y, or a Problem.")
    else:
        problem = Problem(X, y, **given)
    for what, name, known in (("loss", problem.loss.name, LOSSES), ("penalty", problem.penalty.name, SQUARED_COSTS)):
        if name not in known:
            raise ValueError(f"{what} {name!r} cannot be trained by gradients; choose one of {', '.join(known)}.")
    return problem


def _count(name: str, value: Any) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; pass a positive integer.")
    return int(value)


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 < value < np.inf:
        raise ValueError(f"{name} is {value!r}; pass a positive finite number.")
    return float(value)
