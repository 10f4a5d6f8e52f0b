"""Surgery on torch networks: what makes the neurons that a layer reads, and a network without some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from cellsolve.compression.blocks import rows

#: modules and functions that treat every neuron, or channel, apart from the others
APART_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Tanh,
    nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity, nn.Dropout, nn.Dropout2d, nn.BatchNorm1d,
    nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
APART_FUNCTIONS = (
    torch.relu, torch.tanh, torch.sigmoid, nn.functional.relu, nn.functional.gelu, nn.functional.silu,
    nn.functional.leaky_relu, nn.functional.elu, nn.functional.dropout, nn.functional.max_pool2d,
    nn.functional.avg_pool2d, nn.functional.adaptive_avg_pool2d, torch.nn.functional.softplus,
)  # fmt: skip
APART_METHODS = ("relu", "tanh", "sigmoid", "contiguous")


@dataclass(frozen=True)
class Source:
    """The layer that makes the neurons, and the normalisations on the way."""

    name: str
    norms: tuple[str, ...]
    channels: int


def source_of(module: Any, layer: str, reader: Any) -> Source | None:
    """Return what makes the neurons that the layer reads, if nothing else reads them; else None."""
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception:  # whatever a network does that cannot be traced
        return None
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    if len(calls) != 1:
        return None
    norms: list[str] = []
    node = calls[0].args[0] if calls[0].args else None
    while isinstance(node, fx.Node) and len(node.users) == 1:
        part = module.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            return _made_by(graph, node, part, reader, tuple(norms))
        if not _apart(node, part, reader):
            return None
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norms.append(node.target)
        node = node.args[0] if node.args else None
    return None


def _made_by(graph: fx.Graph, node: fx.Node, part: Any, reader: Any, norms: tuple[str, ...]) -> Source | None:
    once = all(sum(n.target == name for n in graph.nodes) == 1 for name in (node.target, *norms))
    channels = len(part.weight)
    width = reader.in_channels if isinstance(reader, nn.Conv2d) else reader.in_features
    flat = isinstance(part, nn.Conv2d) and isinstance(reader, nn.Linear)
    if not once or getattr(part, "groups", 1) != 1 or (width % channels if flat else width != channels):
        return None
    return Source(str(node.target), norms, channels)


def _apart(node: fx.Node, part: Any, reader: Any) -> bool:
    """Whether a step leaves the neurons apart, so that each may be left out; flattening may go before a Linear."""
    if node.op == "call_module":
        flattens = isinstance(part, nn.Flatten) and part.start_dim == 1 and isinstance(reader, nn.Linear)
        return flattens or isinstance(part, APART_MODULES)
    if node.target in (torch.flatten, "flatten"):
        return node.args[1:] == (1,) and isinstance(reader, nn.Linear)
    return node.target in APART_FUNCTIONS if node.op == "call_function" else node.target in APART_METHODS


def group_size(reader: Any, source: Source | None) -> int:
    """Return how many columns of what reaches the layer belong to one neuron or channel."""
    if isinstance(reader, nn.Conv2d):
        return int(np.prod(reader.kernel_size))
    return reader.in_features // source.channels if source else 1


def keep_only(module: Any, layer: str, source: Source, kept: np.ndarray, size: int) -> None:
    """Remove all neurons but `kept` between their source and the layer that reads them, in place."""
    at = torch.as_tensor(kept)
    maker, reader = module.get_submodule(source.name), module.get_submodule(layer)
    _keep(maker, ("weight", "bias"), at)
    if isinstance(maker, nn.Conv2d):
        maker.out_channels = len(kept)
    else:
        maker.out_features = len(kept)
    for name in source.norms:
        norm = module.get_submodule(name)
        _keep(norm, ("weight", "bias", "running_mean", "running_var"), at)
        norm.num_features = len(kept)
    if isinstance(reader, nn.Conv2d):
        reader.weight = nn.Parameter(reader.weight.detach()[:, at])
        reader.in_channels = len(kept)
    else:
        reader.weight = nn.Parameter(reader.weight.detach()[:, torch.as_tensor(rows(kept, size))])
        reader.in_features = reader.weight.shape[1]


def _keep(part: Any, names: tuple[str, ...], at: Any) -> None:
    for name in names:
        values = getattr(part, name)
        if isinstance(values, nn.Parameter):
            setattr(part, name, nn.Parameter(values.detach()[at], requires_grad=values.requires_grad))
        elif values is not None:
            setattr(part, name, values[at])
