"""Surgery on torch networks: what makes the neurons that a layer reads, and a network without some of them."""

from __future__ import annotations

import copy
import inspect
import operator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from cellsolve.compression.groups import rows
from cellsolve.data import Array

#: what acts on every number alone: modules, functions, and methods by their names
POINTWISE = {
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Softplus, nn.Softsign, nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
    nn.Threshold, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Identity, nn.Dropout, nn.AlphaDropout,
    torch.relu, torch.relu_, torch.tanh, torch.sigmoid, torch.clamp, torch.clamp_min, torch.abs, torch.square,
    torch.sin, torch.exp, functional.relu, functional.relu6, functional.leaky_relu, functional.elu, functional.selu,
    functional.celu, functional.gelu, functional.silu, functional.mish, functional.softplus, functional.softsign,
    functional.tanh, functional.sigmoid, functional.logsigmoid, functional.hardswish, functional.hardsigmoid,
    functional.hardtanh, functional.threshold, functional.dropout, functional.alpha_dropout,
    "relu", "relu_", "tanh", "sigmoid", "clamp", "clamp_min", "abs", "square", "sin", "exp", "contiguous",
}  # fmt: skip
#: what acts on every channel of images alone
CHANNELWISE = {
    nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, functional.dropout2d,
    functional.max_pool2d, torch.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d,
    functional.adaptive_max_pool2d,
}  # fmt: skip
NORMS = {nn.BatchNorm1d, nn.BatchNorm2d}
FLATTENINGS = {nn.Flatten, torch.flatten, "flatten"}
VIEWS = {torch.reshape, "view", "reshape"}
MEANS = {torch.mean, "mean"}


@dataclass(frozen=True)
class Source:
    """The layer that makes the neurons, the normalisations on the way, and how many columns belong to one neuron."""

    name: str
    norms: tuple[tuple[str, int], ...]
    size: int


def columns(reader: Any) -> int:
    """Return how many columns of what a layer multiplies belong to one of its inputs."""
    return prod(reader.kernel_size) if isinstance(reader, nn.Conv2d) else 1


def source_of(module: Any, layer: str, inputs: Any) -> Source | str:
    """Return what makes the neurons that the layer reads, if nothing else reads or changes them; else say what hinders.

    The module, in evaluation mode, is traced and run on these inputs. The neurons are followed from where they are made
    to where they are read: each is an index of one axis, or, once that is flattened with those behind it, as many
    indices next to each other as `size` says.
    """
    try:
        traced = _traced(module, inputs)
    except AssertionError:
        return "the network cannot be traced: its trace computes something else"
    except Exception as error:  # whatever a network does that cannot be traced
        return f"the network cannot be traced: {' '.join(str(error).split())[:200] or type(error).__name__}"

    def called(node: fx.Node) -> Any:
        return module.get_submodule(str(node.target)) if node.op == "call_module" else None

    reader = module.get_submodule(layer)
    way = [node for node in traced.graph.nodes if called(node) is reader]
    if len(way) != 1:
        return f"{layer!r} is called {len(way)} times"
    while len(way) == 1 or type(called(way[-1])) not in (nn.Linear, nn.Conv2d):
        made = way[-1].args[0] if way[-1].args else way[-1].kwargs.get("input")
        if not isinstance(made, fx.Node):
            return f"no Linear or Conv2d makes what {layer!r} reads"
        if sum(not _counts(user) for user in made.users) != 1:
            return f"what {_name(made)} gives is read elsewhere, too"
        way.append(made)
    maker, *steps = way[:0:-1]
    norms: list[tuple[str, int]] = []
    shape, size = maker.meta["shape"], 1
    axis = len(shape) - (3 if isinstance(called(maker), nn.Conv2d) else 1)
    if getattr(called(maker), "groups", 1) != 1:
        return f"{_name(maker)} has groups of channels"
    for step in steps:
        before, shape = shape, step.meta["shape"]
        if not _apart(step, called(step), axis, before, shape):
            return f"{_name(step)} may mix the neurons of {_name(maker)}"
        if type(called(step)) in NORMS:
            norms.append((str(step.target), size))
        size = size * shape[axis] // before[axis]
    counted = any(len(node.users) > 1 for node in way[1:])  # along the first axis, where samples should be
    if axis != len(shape) - (3 if isinstance(reader, nn.Conv2d) else 1) or (counted and not axis):
        return f"the neurons of {_name(maker)} are no columns of what {layer!r} reads"
    parts = [called(maker), *(module.get_submodule(name) for name, _ in norms), reader]
    for node in way:
        if node.op == "call_module" and _touched(called(node)):
            return f"{_name(node)} has hooks, or a forward of its own"
    for part, name in zip(parts, (str(maker.target), *(name for name, _ in norms), layer)):
        if _shared(module, traced, part):
            return f"{name!r}, or a parameter of it, is used elsewhere, too"
    return Source(str(maker.target), tuple(norms), size * columns(reader))


def write(reader: Any, weights: Array, bias: Array | None) -> None:
    """Give a layer other weights and another bias: new parameters, as others may have a part in the old ones."""
    old = reader.weight
    reader.weight = _parameter(torch.as_tensor(weights).reshape(old.shape), old)
    if bias is not None:
        reader.bias = _parameter(torch.as_tensor(bias), old if reader.bias is None else reader.bias)


def keep_only(module: Any, layer: str, source: Source, kept: np.ndarray) -> None:
    """Remove all neurons but `kept` between their source and the layer that reads them, in place."""
    maker, reader = module.get_submodule(source.name), module.get_submodule(layer)
    _keep(maker, ("weight", "bias"), kept)
    for name, size in source.norms:
        norm = module.get_submodule(name)
        _keep(norm, ("weight", "bias", "running_mean", "running_var"), rows(kept, size))
        norm.num_features = len(kept) * size
    _keep(reader, ("weight",), rows(kept, source.size // columns(reader)), axis=1)
    for part in (maker, reader):
        kind = "channels" if isinstance(part, nn.Conv2d) else "features"
        setattr(part, f"out_{kind}", part.weight.shape[0])
        setattr(part, f"in_{kind}", part.weight.shape[1])


def _keep(part: Any, names: tuple[str, ...], kept: np.ndarray, axis: int = 0) -> None:
    for name in names:
        old = getattr(part, name)
        if old is not None:
            new = old.detach().index_select(axis, torch.as_tensor(kept, device=old.device))
            setattr(part, name, _parameter(new, old) if isinstance(old, nn.Parameter) else new)


def _parameter(values: Any, old: Any) -> nn.Parameter:
    return nn.Parameter(values.to(old.device, old.dtype), requires_grad=old.requires_grad)


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of all that it computes."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(getattr(result, "shape", ()))
        return result


def _traced(module: Any, inputs: Any) -> Any:
    """Return the trace, with shapes, of a network that is called with one argument; raise if it computes otherwise.

    What a tracer cannot follow may go unnoticed by it, such as a branch on the type of a tensor.
    """
    root = copy.copy(module)  # tracing leaves constants there
    _, *options = inspect.signature(root.forward).parameters.values()
    given = {option.name: option.default for option in options if option.default is not option.empty}
    traced = fx.GraphModule(root, _Tracer().trace(root, concrete_args=given or None))
    with torch.no_grad():
        torch.testing.assert_close(_Shapes(traced).run(inputs.clone()), module(inputs.clone()), equal_nan=True)
    return traced


def _name(node: fx.Node) -> str:
    """Return how a user would call a step."""
    return repr(str(node.target)) if node.op == "call_module" else node.name


def _counts(node: fx.Node) -> bool:
    """Whether a node is x.size(0), or such that only its first entry is read, as in x.shape[0]: to count samples."""
    if node.target == "size" and len(node.args) == 2:
        return node.args[1] == 0
    whole = node.target == "size" or (node.target is getattr and node.args[1] == "shape")
    return whole and all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)


def _apart(step: fx.Node, part: Any, axis: int, before: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a step leaves the neurons apart, each along the axis, however many there are."""
    kind = step.target if part is None else type(part)
    if kind in VIEWS:
        sizes = step.args[1:]
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
        free = len(sizes) == 2 and sizes[1] == -1
    else:
        free = len(step.all_input_nodes) == 1
    if not free:
        return False
    if kind in FLATTENINGS | VIEWS:
        return shape == (*before[:axis], prod(before[axis:]))
    if kind in NORMS:
        return axis == 1
    if kind in MEANS:  # over the places of images
        over = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim")
        places = {len(before) - 2, len(before) - 1}
        told = isinstance(over, (tuple, list)) and {one % len(before) for one in over} == places
        return told and axis == len(before) - 3 and shape in (before[:-2], (*before[:-2], 1, 1))
    if kind in CHANNELWISE:
        return axis == len(before) - 3 and len(shape) == len(before)
    return kind in POINTWISE and shape == before and getattr(part, "num_parameters", 1) == 1


def _touched(part: Any) -> bool:
    """Whether a module does something else than its class says."""
    return bool(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part))


def _shared(module: Any, traced: Any, part: Any) -> bool:
    """Whether a part, or one of its parameters and buffers, is used more than once."""
    used: list[Any] = [values for part in module.modules() for values in _tensors(part)]
    for node in traced.graph.nodes:
        if node.op == "call_module":
            used += module.get_submodule(node.target).modules()
        elif node.op == "get_attr":
            used.append(operator.attrgetter(node.target)(traced))
    return any(sum(one is other for other in used) != 1 for one in (part, *_tensors(part)))


def _tensors(part: Any) -> list[Any]:
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]
