"""Compression of trained layers: the multitask lasso on the features of their neurons."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "compress": "compressed",
    "Compression": "compressed",
    "Moments": "moments",
    "Triangle": "exact",
    "compress_layer": "layers",
    "CompressedLayer": "layers",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
