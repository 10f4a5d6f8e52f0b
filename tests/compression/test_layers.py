"""compress_layer: the smaller network computes what it should, and what is not understood stays as it was."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

import cellsolve as cs
from cellsolve.compression import compress_layer


def seeded(make):
    torch.manual_seed(0)
    return make()


def mlp(width=60, m=4):
    return seeded(lambda: nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, m)))


def inputs(n=400, shape=(6,)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def run(module, x):
    was = module.training
    module.eval()
    with torch.no_grad():
        out = module(x)
    module.train(was)
    return out.double().numpy()


def relative(small, module, x):
    exact = run(module, x)
    return np.linalg.norm(run(small, x) - exact) / np.linalg.norm(exact)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 40), nn.Linear(40, 40), nn.Linear(40, 3)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(hidden + nn.functional.relu(self.second(hidden)))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 40), nn.Linear(40, 3)

    def forward(self, x):
        if x.sum() > 1e9:  # cannot be traced
            return self.last(x)
        return self.last(torch.relu(self.first(x)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.relu(self.second(self.first(torch.relu(self.second(x))))))


def network(kind):
    conv = nn.Conv2d
    return {
        "mlp": lambda: nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Dropout(0.5), nn.Linear(40, 3)),
        "no bias": lambda: nn.Sequential(nn.Linear(6, 40, bias=False), nn.ReLU(), nn.Linear(40, 3, bias=False)),
        "deep": lambda: nn.Sequential(
            nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 3)
        ),
        "double": lambda: nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3)).double(),
        "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(6, 40), nn.ReLU()), nn.Sequential(nn.Linear(40, 3))),
        "conv": lambda: nn.Sequential(
            conv(2, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), conv(12, 5, 3, padding=1, stride=2)
        ),
        "flat": lambda: nn.Sequential(conv(2, 12, 3), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(48, 3)),
        "same": lambda: nn.Sequential(
            conv(2, 12, 3), nn.ReLU(), conv(12, 5, (2, 3), padding="same", dilation=2, padding_mode="reflect")
        ),
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "layer", "maker"),
    [
        ("mlp", "3", "0"), ("no bias", "2", "0"), ("deep", "3", "0"), ("deep", "5", "3"), ("double", "2", "0"),
        ("nested", "1.0", "0.0"), ("conv", "4", "0"), ("flat", "4", "0"), ("same", "2", "0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_neurons_are_removed(kind, layer, maker, fit_intercept):
    module = seeded(network(kind))
    x = inputs(200, (6,) if isinstance(module[0], (nn.Linear, nn.Sequential)) else (2, 8, 8))
    x = x.to(next(module.parameters()).dtype)
    module.train()
    run_once = module(x)  # so that running means are not trivial
    assert run_once.requires_grad
    before = copy.deepcopy(module.state_dict())
    small = compress_layer(module, layer, x, max_error=0.2, fit_intercept=fit_intercept)
    count = len(module.get_submodule(maker).weight)
    assert small.removed and 0 < small.n_kept < count and small.error <= 0.2
    made, reader = small.module.get_submodule(maker), small.module.get_submodule(layer)
    assert len(made.weight) == getattr(made, "out_features", None) or made.out_channels == small.n_kept
    assert getattr(reader, "in_channels", reader.weight.shape[1]) == reader.weight.shape[1]
    # the error that it names is the one that it has
    caught = {}
    for name, net in (("before", module), ("after", small.module)):
        part = net.get_submodule(layer)
        hook = part.register_forward_hook(lambda part, _, out, name=name: caught.update({name: (part.bias, out)}))
        run(net, x)
        hook.remove()
    (bias, exact), (_, found) = caught["before"], caught["after"]

    def unbiased(out, bias):
        out = out.double().movedim(1, -1)
        return (out if bias is None else out - bias.detach().double()).reshape(-1, out.shape[-1])

    base = unbiased(exact, bias)
    missed = unbiased(found, bias) - base
    if fit_intercept:
        base = base - base.mean(0)
    assert (missed.norm() / base.norm()).item() == pytest.approx(small.error, rel=1e-3)
    assert module.training and small.module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    torch.save(small.module, io.BytesIO())
    small.module(x).sum().backward()  # it can be trained on


@pytest.mark.parametrize(("make", "layer"), [(Skip, "last"), (Skip, "second"), (Branching, "last"), (Twice, "first")])
def test_neurons_that_others_read_stay(make, layer):
    module = seeded(make)
    x = inputs()
    small = compress_layer(module, layer, x, max_error=0.3)
    weight = small.module.get_submodule(layer).weight
    assert not small.removed and weight.shape == module.get_submodule(layer).weight.shape
    assert np.array_equal(np.flatnonzero(weight.detach().abs().sum(0)), small.kept)
    assert small.module(x).shape == module(x).shape


def test_exact_outputs():
    module, x = mlp(), inputs(20)
    small = compress_layer(module, "2", x)
    assert small.removed and small.n_kept <= min(59, small.compression.rank_bound)
    assert small.error < 1e-10 and relative(small.module, module, x) < 1e-5
    again = compress_layer(module, "2", x.split(3))
    assert again.n_kept == pytest.approx(small.n_kept, abs=2)


def test_dead_and_doubled_neurons_go_for_nothing():
    module, x = mlp(), inputs()
    with torch.no_grad():
        module[0].bias[:10] = -1e3  # dead
        module[0].weight[10:20], module[0].bias[10:20] = module[0].weight[20:30], module[0].bias[20:30]
    small = compress_layer(module, "2", x)
    assert small.n_kept <= 40 and relative(small.module, module, x) < 1e-5


def test_refitting_is_least_squares():
    module, x = mlp(), inputs()
    small = compress_layer(module, "2", x, lam=0.02)
    plain = compress_layer(module, "2", x, lam=0.02, refit=False)
    assert np.array_equal(small.kept, plain.kept) and small.error < plain.error
    hidden = np.maximum(run(module[0], x), 0)
    outputs = hidden @ module[2].weight.detach().double().numpy().T
    best = np.linalg.lstsq(hidden[:, small.kept], outputs)[0]
    assert small.module[2].weight.detach().numpy() == pytest.approx(best.T, abs=1e-5)
    found = cs.compress(hidden, outputs, lam=0.02)
    assert found.weights[:, found.kept] == pytest.approx(plain.module[2].weight.detach().numpy(), abs=1e-5)
    assert plain.error == pytest.approx(found.error, rel=1e-5)


def test_batches_of_every_kind():
    module, x = mlp(), inputs()
    dataset = torch.utils.data.TensorDataset(x, torch.zeros(len(x)))
    whole = compress_layer(module, "2", x, lam=0.02)
    for data in (x.numpy(), x.split(30), iter(x.split(7)), torch.utils.data.DataLoader(dataset, batch_size=64)):
        parts = compress_layer(module, "2", data, lam=0.02)
        assert np.array_equal(parts.kept, whole.kept)
        assert parts.compression.objective == pytest.approx(whole.compression.objective, rel=1e-5)


def test_places_of_images():
    module = seeded(network("conv"))
    x = inputs(100, (2, 10, 10))
    some = compress_layer(module, "4", x, lam=0.01, positions=3, random_state=0)
    same = compress_layer(module, "4", x, lam=0.01, positions=3, random_state=0)
    every = compress_layer(module, "4", x, lam=0.01, positions=1000)
    assert some.compression.objective == same.compression.objective != every.compression.objective
    assert some.compression.objective == pytest.approx(every.compression.objective, rel=0.3)


def test_the_smallest_error_asked_for():
    module, x = mlp(), inputs()
    errors = [0.5, 0.1, 0.01, 1e-9]
    found = [compress_layer(module, "2", x, max_error=error) for error in errors]
    assert all(small.error <= error for small, error in zip(found[:3], errors))
    assert [small.n_kept for small in found] == sorted(small.n_kept for small in found)


def test_everything_dropped():
    module, x = mlp(), inputs()
    small = compress_layer(module, "2", x, lam=1e9)
    assert small.n_kept == 0 and not small.removed and small.error == 1
    assert run(small.module, x) == pytest.approx(np.tile(module[2].bias.detach().numpy(), (400, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": 3}, "module is a int"),
        ({"layer": "9"}, "layer is '9'; pass the name of a Linear or Conv2d: 0, 2"),
        ({"layer": "1"}, "layer is '1'"),
        ({"layer": ""}, "layer is ''"),
        ({"lam": 1.0, "max_error": 0.1}, "both given"),
        ({"max_error": 0.0}, "max_error is 0.0"),
        ({"max_error": "a"}, "max_error is 'a'"),
        ({"lam": -1.0}, "lam is -1.0"),
        ({"data": []}, "data has no samples"),
        ({"data": 3}, "data is a int"),
        ({"data": [{"x": 1}]}, "a batch that is a dict"),
        ({"data": torch.full((3, 6), torch.nan)}, "features have a NaN"),
        ({"positions": 0}, "positions is 0"),
    ],
)
def test_bad_input(change, message):
    arguments = {"module": mlp(), "layer": "2", "data": inputs(), **change}
    with pytest.raises(ValueError, match=message):
        compress_layer(**arguments)
    if isinstance(arguments["module"], nn.Module):
        assert arguments["module"].training and not arguments["module"][2]._forward_pre_hooks


def test_groups_of_channels_are_refused():
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="groups of channels"):
        compress_layer(module, "2", inputs(5, (4, 8, 8)), lam=0.1)
