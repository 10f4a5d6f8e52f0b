"""The optimisers of gradient training: anything that is stepped like a `torch.optim.Optimizer`, made for a Network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cellsolve.training.objective import Network


class _RestartingLBFGS(torch.optim.LBFGS):
    """L-BFGS, an iteration a step; where a line search finds nothing, as happens at a kink, it forgets and restarts."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(
            parameters, lr, max_iter=1, max_eval=25, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
        )

    def step(self, closure: Callable[[], Any]) -> Any:
        parameters = self.param_groups[0]["params"]
        before = [parameter.detach().clone() for parameter in parameters]
        value = super().step(closure)
        if all(map(torch.equal, before, parameters)):
            self.state.clear()
            super().step(closure)
        return value


#: penalties that PathProx takes: w is a norm of the weights, whatever the data
NORMS = ("variation", "slope", "l1")


class PathProx(torch.optim.Optimizer):
    r"""Proximal gradient descent on mean loss + lam sum_k w(theta_k) ||c_k||, which makes neurons exactly zero.

    A step moves the size of the inner weights into the outer ones, w(theta_k) = 1, so that the penalty is that of the
    multitask lasso, lam sum_k ||c_k||. It then goes down the gradient of the loss, with momentum 0.9, shrinks every
    ||c_k|| by (its rate) lam, to zero where it is smaller, and balances, w(theta_k) = ||c_k||. Inner weights go along
    the surface w = 1, as what leaves it would be a second step of c_k, and as far as in the balanced network.

    Inner, outer and free weights have a rate each, `lr` over the mean of ||grad f(x_i)||^2 in those weights: the trace
    of the Gauss-Newton matrix, which bounds the curvature wherever that of the loss is at most 1.

    A neuron at zero keeps its direction in mind and comes back where the loss pulls by more than lam.

    Source: Yang, Zhang, Shenouda, Papailiopoulos, Lee and Nowak, A better way to decay (2022).
    """

    MOMENTUM = 0.9

    def __init__(self, network: Network, lr: float) -> None:
        penalty = network.problem.penalty.name
        if penalty not in NORMS:
            raise ValueError(
                f"optimizer is 'pathprox' and penalty is {penalty!r}, which depends on the data; "
                f"take penalty {', '.join(NORMS)}, or another optimizer."
            )
        super().__init__(network.parameters, {"lr": lr})
        self.network = network
        self.velocities = [torch.zeros_like(parameter) for parameter in network.parameters]
        self.directions = network.theta.detach().clone()
        self.reach = network.lifted.square().sum(1)
        # What the neurons add up to is seldom less than y; a network near zero would take steps without bounds.
        self.least = self.reach.mean() * (network.targets.square().mean().sqrt() or 1.0)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step, and return the mean loss before it; the closure is that of other optimisers, with a penalty."""
        network, lr = self.network, self.param_groups[0]["lr"]
        theta, outer, _ = network.parameters
        self._normalise()
        with torch.enable_grad():
            response = network.response()
            loss = network.loss(response)
            inner_slope, outer_slope, free_slope = torch.autograd.grad(loss, network.parameters)
            (normal,) = torch.autograd.grad(network.squares(None)[0].sum() / 2, theta)
        size = _lengths(outer)
        inner_slope -= (inner_slope * theta).sum(1, keepdim=True) * normal
        inner_square = (self.reach * ((response > 0).double() @ size)[:, 0]).mean().clamp(min=self.least)
        squares = inner_square, response.square().sum(1).mean(), network.basis.square().sum(1).mean()
        rates = [lr / square if square > 0 else 0.0 * square for square in squares]

        before = outer.clone()
        slopes = torch.where(size > 0, inner_slope / size, 0), outer_slope, free_slope
        for parameter, velocity, slope, rate in zip(network.parameters, self.velocities, slopes, rates):
            parameter += velocity.mul_(self.MOMENTUM).sub_(rate * slope)
        theta /= self._costs()  # back to w = 1: the length of a step along it is no size of the neuron
        outer.copy_(soft_threshold(outer, rates[1] * network.problem.level))
        self.velocities[1].copy_(outer - before)
        self._balance()
        return loss

    def _normalise(self) -> None:
        """Move the size of the inner weights into the outer ones: w(theta_k) = 1, also for neurons at zero."""
        theta, outer, _ = self.network.parameters
        cost = self._costs()
        theta.copy_(torch.where(cost > 0, theta / cost, self.directions))
        outer *= cost
        self.directions.copy_(theta)

    def _balance(self) -> None:
        """Share the size of every neuron between its weights: w(theta_k) = ||c_k||."""
        theta, outer, _ = self.network.parameters
        root = _lengths(outer).sqrt()
        self.directions.copy_(theta)
        theta *= root
        outer *= torch.where(root > 0, 1 / root, 0)

    def _costs(self) -> Any:
        return self.network.squares(None)[0].sqrt()[:, None]


def _lengths(rows: Any) -> Any:
    return rows.square().sum(1, keepdim=True).sqrt()


def soft_threshold(rows: Any, by: Any) -> Any:
    """Return the minimiser of ||v - rows||^2 / 2 + by sum_k ||v_k||: every row shorter by `by`, or zero."""
    lengths = _lengths(rows)
    return torch.where(lengths > by, rows * (1 - by / lengths), 0)


@dataclass(frozen=True)
class Optimizer:
    """A line of the registry: how to make it, its default learning rate and steps, whether the rate decays to zero."""

    make: Callable[[Network, float], Any]
    lr: float
    steps: int
    decays: bool = True


#: one line an optimiser; every step sees all data
OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(lambda network, lr: torch.optim.Adam(network.parameters, lr), lr=3e-2, steps=5_000),
    "sgd": Optimizer(lambda network, lr: torch.optim.SGD(network.parameters, lr, momentum=0.9), lr=0.3, steps=10_000),
    "lbfgs": Optimizer(lambda network, lr: _RestartingLBFGS(network.parameters, lr), lr=1.0, steps=1_000, decays=False),
    "pathprox": Optimizer(PathProx, lr=1.0, steps=5_000),
}
