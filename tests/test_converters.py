"""Measures as torch modules and ONNX graphs, and back."""

import itertools
import pickle
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from cellsolve.converters import from_torch, to_onnx, to_torch
from cellsolve.measure import SparseMeasure

torch.manual_seed(0)  # the modules of the parametrizations are made on import


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(1)


SHAPES = list(itertools.product((0, 1, 6), ((), (1,), (3,)), (True, False)))
FREE = list(itertools.product((False, True), repeat=2))


def make(n_neurons=6, outputs=(), bias=True, offset=False, linear=False, d=2):
    rng = np.random.default_rng(0)
    return SparseMeasure(
        rng.standard_normal((n_neurons, d + bias)),
        rng.standard_normal((n_neurons, *outputs)),
        offset=rng.standard_normal(outputs) if offset else None,
        linear=rng.standard_normal((d, *outputs)) if linear else None,
        fit_bias=bias,
    )


def points(n=9, d=2):
    return np.random.default_rng(1).standard_normal((n, d))


def run(module, X):
    with torch.no_grad():
        return module(torch.tensor(X)).numpy()


def assert_same(a, b):
    assert a.fit_bias == b.fit_bias
    for name in ("neurons", "weights", "offset", "linear"):
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == other.shape
            np.testing.assert_array_equal(one, other)


class TwoLayers(nn.Module):
    """A network as people write it, with the layers in either order and any activation."""

    def __init__(self, activation=torch.relu, swapped=False, bias=True, width=5, m=1):
        super().__init__()
        torch.manual_seed(0)
        if swapped:
            self.second = nn.Linear(width, m)
        self.first = nn.Linear(2, width, bias=bias)
        if not swapped:
            self.second = nn.Linear(width, m)
        self.activation = activation

    def forward(self, x):
        return self.second(self.activation(self.first(x)))


# -- torch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_neurons, outputs, bias", SHAPES)
@pytest.mark.parametrize("offset, linear", FREE)
def test_torch_round_trip(n_neurons, outputs, bias, offset, linear):
    measure = make(n_neurons, outputs, bias, offset, linear)
    module = to_torch(measure)
    X = points()
    found, expected = run(module, X), measure.predict(X)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    assert_same(from_torch(module), measure)


def test_the_module_is_plain_and_trainable():
    module = to_torch(make(offset=True, linear=True))
    assert isinstance(module.hidden, nn.Linear) and isinstance(module.output, nn.Linear)
    assert (module.hidden.in_features, module.hidden.out_features, module.output.out_features) == (2, 6, 1)
    assert module.skip.bias is None and module.output.bias is not None
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    module(torch.tensor(points())).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    plain = to_torch(make(bias=False))
    assert plain.skip is None and plain.hidden.bias is None and plain.output.bias is None


def test_training_the_module_leaves_the_measure_alone():
    measure = make()
    module = to_torch(measure)
    with torch.no_grad():
        module.hidden.weight.zero_()
    assert np.all(measure.neurons[:, :2] != 0)


def test_the_module_pickles_and_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    module = to_torch(make(offset=True))
    assert torch.equal(before, torch.get_rng_state())
    again = pickle.loads(pickle.dumps(module))
    np.testing.assert_array_equal(run(again, points()), run(module, points()))


def test_methods_of_the_measure():
    measure = make()
    assert_same(SparseMeasure.from_torch(measure.to_torch()), measure)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sequential_is_read_exactly(bias, m, dtype):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 5, bias=bias), nn.ReLU(), nn.Linear(5, m, bias=bias)).to(dtype)
    measure = from_torch(module)
    assert measure.fit_bias is bias and (measure.offset is not None) is bias
    assert measure.weights.shape == ((5,) if m == 1 else (5, m))
    np.testing.assert_array_equal(measure.neurons[:, :2], module[0].weight.detach().numpy())
    X = points()
    np.testing.assert_allclose(measure.predict(X).reshape(9, m), run(module.double(), X), rtol=1e-12, atol=1e-14)


def test_own_module_cast_to_float32_is_read_exactly():
    module = to_torch(make(offset=True, linear=True)).float()
    np.testing.assert_array_equal(from_torch(module).neurons[:, :2], module.hidden.weight.detach().numpy())


@pytest.mark.parametrize("swapped", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("activation", [torch.relu, nn.ReLU(), lambda t: t.clamp(min=0)])
def test_two_layers_in_a_module_of_ones_own(swapped, bias, m, activation):
    module = TwoLayers(activation, swapped, bias, m=m).double()
    X = points()
    np.testing.assert_allclose(from_torch(module).predict(X).reshape(9, m), run(module, X), rtol=1e-12, atol=1e-13)


def test_float32_module_of_ones_own():
    assert from_torch(TwoLayers()).n_neurons == 5


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(2, 1),
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU()),
        TwoLayers(nn.functional.gelu),
        TwoLayers(nn.functional.softplus, swapped=True),
        TwoLayers(lambda t: torch.relu(t) + 1e-3 * t.square()),
        TwoLayers(lambda t: t.nonexistent),
        "a string",
    ],
)
def test_other_modules_are_refused(module):
    with pytest.raises(ValueError, match="from_torch reads"):
        from_torch(module)


def idle(module, bias=1e6):
    """Make the network so large and positive that what follows its output layer sees nothing else."""
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        layers[-1].bias += bias
    return module


class Scaled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class SquareOnTheSide(TwoLayers):
    def forward(self, x):  # all three have the same shape
        self.first(x)
        return self.second(torch.relu(x))


class Twice(TwoLayers):
    def forward(self, x):
        return self.second(self.activation(self.first(self.first(x))))


def hooked(module):
    module[2].register_forward_hook(lambda layer, given, result: result.abs())
    return idle(module)


def sequential(*more, hidden=nn.Linear):
    return nn.Sequential(hidden(2, 4), nn.ReLU(), nn.Linear(4, 1), *more)


@pytest.mark.parametrize(
    "module",
    [
        idle(sequential(nn.ReLU())),
        idle(nn.Sequential(sequential(), nn.ReLU())),
        idle(sequential(nn.Hardtanh(-1e9, 1e9))),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Hardtanh(0, 1e9), nn.Linear(4, 1)),
        sequential(hidden=Scaled),
        hooked(sequential()),
        TwoLayers(lambda t: t.relu().clamp(max=1e9)),
        TwoLayers(lambda t: t.mul_(2).relu()),
        SquareOnTheSide(width=2, m=2),
        Twice(width=2),
    ],
)
def test_nothing_hides_where_the_network_leaves_it_idle(module):
    with pytest.raises(ValueError, match="from_torch reads"):
        from_torch(module)


@pytest.mark.parametrize("last", [torch.relu, torch.abs, lambda f: f.clamp(max=1e12), lambda f: f + 1])
def test_what_a_module_of_ones_own_does_to_its_output_is_seen(last):
    class Ended(TwoLayers):
        def forward(self, x):
            return last(super().forward(x))

    with pytest.raises(ValueError, match="computes something else"):
        from_torch(idle(Ended()))


def test_a_weight_that_is_made_anew_for_each_run_is_read_fresh():
    module = TwoLayers().double()
    nn.utils.parametrizations.weight_norm(module.first)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3)
    X = points()
    np.testing.assert_allclose(from_torch(module).predict(X)[:, None], run(module, X), rtol=1e-12, atol=1e-13)


def test_probing_leaves_the_module_alone():
    module = TwoLayers(nn.ReLU(inplace=True)).double()
    before = run(module, points())
    from_torch(module)
    np.testing.assert_array_equal(run(module, points()), before)


# -- onnx ---------------------------------------------------------------------------------------------------


def onnx_predict(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["f"], {"X": X})[0]


@pytest.mark.parametrize("n_neurons, outputs, bias", SHAPES)
@pytest.mark.parametrize("offset, linear", FREE)
def test_onnx_runtime_predicts_the_same(tmp_path, n_neurons, outputs, bias, offset, linear):
    measure = make(n_neurons, outputs, bias, offset, linear)
    measure.to_onnx(tmp_path / "network.onnx")
    for n in (1, 9):
        found, expected = onnx_predict(tmp_path / "network.onnx", points(n)), measure.predict(points(n))
        assert found.dtype == np.float64 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_onnx_graph_names_its_ends(tmp_path):
    to_onnx(make(outputs=(3,)), tmp_path / "network.onnx")
    graph = onnx.load(tmp_path / "network.onnx").graph
    (given,), (result,) = graph.input, graph.output
    assert (given.name, result.name) == ("X", "f")
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["n", 2]
    assert [d.dim_param or d.dim_value for d in result.type.tensor_type.shape.dim] == ["n", 3]


def test_onnx_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"precious")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            to_onnx(make(), path)
    assert path.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [path]
    to_onnx(make(), path)
    assert path.read_bytes() != b"precious" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name, convert", [("torch", to_torch), ("torch", from_torch), ("onnx", to_onnx)])
def test_a_missing_library_names_the_extra(monkeypatch, tmp_path, name, convert):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install cellsolve\[{name}\]"):
        convert(make(), *([tmp_path / "network.onnx"] if name == "onnx" else []))
