"""The optimisers of gradient training: anything that is made and stepped like a `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


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


@dataclass(frozen=True)
class Optimizer:
    """A line of the registry: how to make it, its default learning rate and steps, whether the rate decays to zero."""

    make: Callable[[list[Any], float], Any]
    lr: float
    steps: int
    decays: bool = True


#: one line an optimiser; every step sees all data
OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(lambda parameters, lr: torch.optim.Adam(parameters, lr), lr=3e-2, steps=5_000),
    "sgd": Optimizer(lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9), lr=0.3, steps=10_000),
    "lbfgs": Optimizer(_RestartingLBFGS, lr=1.0, steps=1_000, decays=False),
}
