"""A SparseMeasure as a torch module or an ONNX graph, and a torch network as a SparseMeasure.

torch and onnx are imported when they are first needed.
"""

from __future__ import annotations

import importlib
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.replacing import replacing

ACCEPTED = (
    "from_torch reads what to_torch returns, nn.Sequential(nn.Linear, nn.ReLU, nn.Linear), and a module whose only "
    "parameters are those of two nn.Linear layers and which computes output(relu(hidden(x)))"
)

#: rows that a module is run on, to see what it computes
PROBES = 64

ONNX_OPSET = 17
ONNX_IR_VERSION = 8  # the one that came with this opset: readers of that age and later understand the file


def to_torch(measure: SparseMeasure) -> Any:
    """Return the measure as a `torch.nn.Module` in float64.

    Parameters
    ----------
    measure : SparseMeasure

    Returns
    -------
    ReLUNetwork
        ``output(relu(hidden(X))) + skip(X)`` with the layers ``hidden`` (d to K, with biases iff the neurons have
        them), ``output`` (K to m, its bias the offset) and ``skip`` (d to m, the linear part, or None). It returns
        shape (n,) where the weights of the measure are flat and (n, m) otherwise.

    Raises
    ------
    ImportError
        torch is not installed.
    """
    _require("torch")
    d, m = measure.n_features, measure.n_outputs
    hidden = _linear(measure.neurons[:, :d], measure.neurons[:, d] if measure.fit_bias else None)
    output = _linear(_columns(measure.weights, m).T, None if measure.offset is None else measure.offset.reshape(m))
    skip = None if measure.linear is None else _linear(_columns(measure.linear, m).T, None)
    return _network_class()(hidden, output, skip, flat=measure.weights.ndim == 1)


def from_torch(module: Any) -> SparseMeasure:
    """Read a torch network with one hidden ReLU layer; float32 weights become the float64 numbers they are.

    Biases of the hidden layer make ``fit_bias=True``, the bias of the output layer is the offset, and one output
    makes flat weights.

    Parameters
    ----------
    module : torch.nn.Module
        What `to_torch` returns, ``nn.Sequential(nn.Linear, nn.ReLU, nn.Linear)``, or a module of another class whose
        only parameters are those of two ``nn.Linear`` layers. As a module does not show what its ``forward``
        computes, it is run on a few points, in the mode that it is in, and refused where it is not the network that
        its layers spell. While it runs, numbers of every size and sign take the place of what its layers return, so
        that a second ReLU, say, or a clamp far out, cannot hide where its input happens to leave it idle.

    Returns
    -------
    SparseMeasure

    Raises
    ------
    ValueError
        Any other module.
    ImportError
        torch is not installed.
    """
    nn = _require("torch").nn
    if type(module) is _network_class():
        return _read(module.hidden, module.output, module.skip, module.flat)
    if not isinstance(module, nn.Module):
        raise ValueError(f"{ACCEPTED}; this is a {type(module).__name__}.")
    if type(module) is nn.Sequential:
        if len(module) != 3 or not all(map(isinstance, module, (nn.Linear, nn.ReLU, nn.Linear))):
            parts = ", ".join(type(part).__name__ for part in module)
            raise ValueError(f"{ACCEPTED}; this is nn.Sequential({parts}).")
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    known = {id(parameter) for layer in layers for parameter in layer.parameters()}
    if len(layers) != 2 or any(True for _ in module.buffers()) or known != {id(p) for p in module.parameters()}:
        raise ValueError(f"{ACCEPTED}; this {type(module).__name__} has {len(layers)} linear layers or other parts.")
    for hidden, output in permutations(layers):
        if hidden.out_features == output.in_features and _computes(module, hidden, output):
            return _read(hidden, output)
    raise ValueError(f"{ACCEPTED}; this {type(module).__name__} computes something else.")


def to_onnx(measure: SparseMeasure, path: str | Path) -> None:
    """Write the measure as an ONNX graph in float64, input ``X`` [n, d] and output ``f`` [n] or [n, m].

    The file appears under its name when it is whole.

    Parameters
    ----------
    measure : SparseMeasure
    path : str or Path

    Raises
    ------
    ImportError
        onnx is not installed.
    """
    onnx = _require("onnx")
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    nodes, constants = [], []

    def constant(name: str, values: Array) -> str:
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
        return name

    def node(kind: str, *inputs: str, to: str) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [to]))
        return to

    d, outputs = measure.n_features, measure.weights.shape[1:]
    terms = []
    if measure.n_neurons:
        inner = node("MatMul", "X", constant("hidden_weight", measure.neurons[:, :d].T), to="inner_product")
        if measure.fit_bias:
            inner = node("Add", inner, constant("hidden_bias", measure.neurons[:, d]), to="preactivation")
        response = node("Relu", inner, to="response")
        terms.append(node("MatMul", response, constant("output_weight", measure.weights), to="neurons"))
    if measure.linear is not None or not terms:  # a network without neurons still has to know how many rows X has
        linear = np.zeros((d, *outputs)) if measure.linear is None else measure.linear
        terms.append(node("MatMul", "X", constant("skip_weight", linear), to="skip"))
    if measure.offset is not None:
        terms.append(constant("offset", measure.offset))
    total = terms[0]
    for k, term in enumerate(terms[1:]):
        total = node("Add", total, term, to=f"sum_{k}")
    node("Identity", total, to="f")

    graph = helper.make_graph(
        nodes,
        "cellsolve",
        [helper.make_tensor_value_info("X", double, ["n", d])],
        [helper.make_tensor_value_info("f", double, ["n", *outputs])],
        constants,
    )
    opset = [helper.make_opsetid("", ONNX_OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=ONNX_IR_VERSION, producer_name="cellsolve")
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as draft:
        draft.write_bytes(model.SerializeToString())


def __getattr__(name: str) -> Any:
    if name == "ReLUNetwork":  # so that pickle and torch.load find the class by its name
        return _network_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _network_class() -> Any:
    import torch

    class ReLUNetwork(torch.nn.Module):
        """f(X) = output(relu(hidden(X))) + skip(X), the last where there is one."""

        __qualname__ = "ReLUNetwork"

        def __init__(self, hidden: Any, output: Any, skip: Any = None, *, flat: bool = False) -> None:
            super().__init__()
            self.hidden = hidden
            self.output = output
            self.skip = skip
            self.flat = flat

        def forward(self, X: Any) -> Any:
            f = self.output(torch.relu(self.hidden(X)))
            if self.skip is not None:
                f = f + self.skip(X)
            return f.squeeze(-1) if self.flat else f

    return ReLUNetwork


def _require(name: str) -> Any:
    try:
        if name == "onnx":
            importlib.import_module("onnx.numpy_helper")
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name}, which is not installed: pip install cellsolve[{name}]") from error


def _columns(values: Array, m: int) -> Array:
    return values.reshape(len(values), m)


def _linear(weight: Array, bias: Array | None) -> Any:
    import torch

    # on the meta device nothing is drawn at random, and no warning about layers without neurons
    layer = torch.nn.Linear(1, 1, bias=bias is not None, device="meta")
    layer.out_features, layer.in_features = weight.shape
    layer.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    if bias is not None:
        layer.bias = torch.nn.Parameter(torch.tensor(bias, dtype=torch.float64))
    return layer


def _read(hidden: Any, output: Any, skip: Any = None, flat: bool | None = None) -> SparseMeasure:
    def numbers(parameter: Any) -> Array:
        return parameter.detach().cpu().double().numpy()

    neurons, weights = numbers(hidden.weight), numbers(output.weight).T
    if hidden.bias is not None:
        neurons = np.column_stack([neurons, numbers(hidden.bias)])
    offset = None if output.bias is None else numbers(output.bias)
    linear = None if skip is None else numbers(skip.weight).T
    if output.out_features == 1 if flat is None else flat:
        weights = weights[:, 0]
        offset = None if offset is None else offset[0]
        linear = None if linear is None else linear[:, 0]
    return SparseMeasure(neurons, weights, offset=offset, linear=linear, fit_bias=hidden.bias is not None)


def _computes(module: Any, hidden: Any, output: Any) -> bool:
    """Whether the module is output(relu(hidden(x))), whatever its layers return.

    Both layers are made to return random numbers instead. What lies before, between and behind them is then seen on
    inputs of every size and sign, which the layers themselves may never produce.
    """
    import torch

    kind = torch.finfo(hidden.weight.dtype)
    sizes = np.geomspace(kind.tiny**0.5, kind.max**0.5, PROBES)[:, None]  # so that products of two can be held

    rng = np.random.default_rng(0)

    def draw(width: int) -> Any:
        return torch.tensor(rng.standard_normal((PROBES, width)) * sizes).to(hidden.weight)

    X, inner, outer = map(draw, (hidden.in_features, hidden.out_features, output.out_features))
    calls = []

    def replace(layer: Any, arguments: tuple[Any, ...], result: Any) -> Any:
        given = arguments[0].clone()  # it may be changed in place later
        linear = torch.equal(result, torch.nn.functional.linear(given, layer.weight, layer.bias))
        calls.append((layer, given, linear))
        return (inner if layer is hidden else outer).clone().reshape(result.shape)

    hooks = [layer.register_forward_hook(replace, prepend=True) for layer in (hidden, output)]
    try:
        with torch.no_grad():
            found = module(X.clone())
        shaped = found.reshape(outer.shape)
    except Exception:  # a foreign forward may raise anything
        return False
    finally:
        for hook in hooks:
            hook.remove()
    if [layer for layer, _, _ in calls] != [hidden, output]:
        return False
    (_, into_hidden, first), (_, into_output, second) = calls
    passed_on = torch.equal(into_hidden, X) and torch.equal(into_output, inner.relu()) and torch.equal(shaped, outer)
    return passed_on and first and second
