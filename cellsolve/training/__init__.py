"""Gradient training, the other side of every check (networks need torch: ``pip install cellsolve[torch]``)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {"train_network": "network", "TrainedNetwork": "network", "OPTIMIZERS": "optimizers"}
#: these need no torch
_HOME |= {"train_diagonal": "diagonal", "DiagonalRun": "diagonal", "basis_pursuit": "pursuit"}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"training.{name} needs torch, which is not installed: pip install cellsolve[torch]"
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
