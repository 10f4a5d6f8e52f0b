"""The objective of a Problem in torch, as a function of the weights of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cellsolve.data import Array
from cellsolve.problem import Problem

#: l(f, y) elementwise, by the name of the loss
LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "squared": lambda loss, f, y: 0.5 * (f - y) ** 2,
    "absolute": lambda loss, f, y: (f - y).abs(),
    "huber": lambda loss, f, y: torch.nn.functional.huber_loss(f, y, reduction="none", delta=loss.delta),
    "quantile": lambda loss, f, y: torch.maximum(loss.q * (y - f), (loss.q - 1) * (y - f)),
    "logistic": lambda loss, f, y: torch.logaddexp(torch.zeros_like(f), -y * f),
    "hinge": lambda loss, f, y: torch.relu(1 - y * f),
    "squared_hinge": lambda loss, f, y: 0.5 * torch.relu(1 - y * f) ** 2,
}


def _label_noise(potential: Any, theta: Any, response: Any, lifted: Any, bias: bool) -> Any:
    square = response.square().mean(0)
    if not potential.full:
        return square
    # constant on a cell, so its gradient is zero wherever there is one
    return square * 4 * (lifted.square().sum(1) @ (response > 0).double()) / len(lifted)


#: w(theta_k)^2 of each neuron, by the name of the potential; `response` (n, K) is what the neurons answer
SQUARED_COSTS: dict[str, Callable[[Any, Any, Any, Any, bool], Any]] = {
    "variation": lambda potential, theta, response, lifted, bias: theta.square().sum(1),
    "slope": lambda potential, theta, response, lifted, bias: theta[:, : -1 if bias else None].square().sum(1),
    "l1": lambda potential, theta, response, lifted, bias: theta.abs().sum(1).square(),
    "label_noise": _label_noise,
}


class Network:
    """The network in training: its parameters and its objective, for a normalized problem."""

    def __init__(self, problem: Problem, width: int, init_scale: float, rng: np.random.Generator) -> None:
        self.problem = problem
        outputs = problem.n_outputs
        size = init_scale * (np.sqrt(np.mean(problem.targets**2)) or 1.0) / np.sqrt(width)
        seen = _standardising(problem.lifted, problem.fit_bias)
        theta = rng.standard_normal((width, len(seen))) @ seen.T
        outer = rng.standard_normal((width, outputs))
        balance = np.sqrt(size * np.linalg.norm(outer, axis=1) / np.linalg.norm(theta, axis=1))[:, None]
        # Nothing penalises the free part, so standardising it costs nothing and speeds it up.
        change = _standardising(problem.basis, problem.free == "constant" or problem.fit_bias)
        self.lifted, self.targets, self.basis, self.change = map(
            torch.tensor, (problem.lifted, problem.targets, problem.basis @ change, change)
        )
        free = np.zeros((len(change), outputs))
        self.theta, self.outer, self.free = (
            torch.tensor(part, requires_grad=True) for part in (theta * balance, outer * size / balance, free)
        )

    @property
    def parameters(self) -> list[Any]:
        """What an optimiser moves."""
        return [self.theta, self.outer, self.free]

    def loss(self, response: Any = None) -> Any:
        """Return the mean loss, without the penalty; `response` (n, K) saves computing what the neurons answer."""
        problem = self.problem
        fit = (self.response() if response is None else response) @ self.outer + self.basis @ self.free
        return LOSSES[problem.loss.name](problem.loss, fit, self.targets).sum() / problem.n

    def response(self) -> Any:
        """Return what every neuron answers to every point, (n, K)."""
        return torch.relu(self.lifted @ self.theta.T)

    def squares(self, response: Any) -> tuple[Any, Any]:
        """Return w(theta_k)^2 and ||c_k||^2 of every neuron."""
        potential = self.problem.penalty
        inner = SQUARED_COSTS[potential.name](potential, self.theta, response, self.lifted, self.problem.fit_bias)
        return inner, self.outer.square().sum(1)

    def objectives(self) -> tuple[Any, Any, Any]:
        """Return mean loss + lam sum w ||c||, the same with (w^2 + ||c||^2) / 2 for w ||c||, and the imbalance.

        The imbalance sum |w^2 - ||c||^2| / sum (w^2 + ||c||^2) is 0 for a balanced network and at most 1.
        """
        response, level = self.response(), self.problem.level
        loss, (inner, outer) = self.loss(response), self.squares(response)
        decay, apart = (inner + outer).sum(), (inner - outer).detach().abs().sum()
        imbalance = apart / decay.detach() if decay > 0 else apart
        return loss + level * (inner * outer).sqrt().sum(), loss + level / 2 * decay, imbalance

    def values(self) -> tuple[float, float, float]:
        """Return the objectives and the imbalance as numbers."""
        with torch.no_grad():
            objective, decayed, imbalance = self.objectives()
        return objective.item(), decayed.item(), imbalance.item()

    def snapshot(self) -> tuple[Any, Any, Any]:
        """Return copies of the neurons, the outer weights and the coefficients of the problem's basis."""
        with torch.no_grad():
            return self.theta.clone(), self.outer.clone(), self.change @ self.free


def _standardising(columns: Array, constant: bool) -> Array:
    """Return S such that columns @ S have mean square 1 and, where the last column is constant, the others mean 0."""
    d = columns.shape[1]
    change = np.eye(d)
    if constant and d:
        change[-1, :-1] = -columns[:, :-1].mean(axis=0) / columns[0, -1]
    sizes = np.sqrt(np.mean((columns @ change) ** 2, axis=0))
    flat = sizes <= 1e-12 * np.abs(columns).max(axis=0, initial=0.0)  # constant up to rounding
    return change / np.where(flat, 1.0, sizes)
