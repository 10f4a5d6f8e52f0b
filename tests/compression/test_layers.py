"""compress_layer: the smaller network computes what it should, and what is not understood stays as it was."""

import copy
import dataclasses
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import cellsolve as cs
from cellsolve.compression import compress_layer, features, layers
from cellsolve.solution import Status


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
    wide = made.out_channels if isinstance(made, nn.Conv2d) else made.out_features
    assert len(made.weight) == wide == small.n_kept
    read = reader.in_channels if isinstance(reader, nn.Conv2d) else reader.in_features
    assert reader.weight.shape[1] == read and read % small.n_kept == 0
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


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_exact_outputs(dtype, error):
    module, x = mlp().to(dtype), inputs(20)
    small = compress_layer(module, "2", x)
    assert small.removed and small.n_kept <= min(59, small.compression.rank_bound)
    assert small.error < error and relative(small.module, module, x.to(dtype)) < 10 * error
    again = compress_layer(module, "2", x.split(3))
    assert again.n_kept == pytest.approx(small.n_kept, abs=2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("options", [{}, {"lam": 1e-3}, {"lam": 1e-3, "fit_intercept": True}, {"fit_intercept": True}])
def test_the_error_is_that_of_the_weights_as_they_are(dtype, n, options):
    module, x = mlp().to(dtype), inputs(n)
    with torch.no_grad():
        module[0].weight[20:], module[0].bias[20:] = module[0].weight[:20].repeat(2, 1), module[0].bias[:20].repeat(2)
        module[2].bias += 3
    small = compress_layer(module, "2", x, **options)
    assert small.removed and small.n_kept <= 20 and all(p.dtype == dtype for p in small.module.parameters())

    def outputs(net, bias):
        return run(net[:2], x.to(dtype)) @ net[2].weight.detach().double().numpy().T + bias.detach().double().numpy()

    exact, found = (outputs(net, net[2].bias) for net in (module, small.module))
    base = exact - (exact.mean(axis=0) if "fit_intercept" in options else module[2].bias.detach().double().numpy())
    assert small.error == pytest.approx(np.linalg.norm(found - exact) / np.linalg.norm(base), rel=1e-4, abs=2e-8)
    if "lam" not in options:
        assert small.error <= 100 * torch.finfo(dtype).eps


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


def test_refitting_neurons_of_every_size():
    torch.manual_seed(0)
    sizes = torch.logspace(-4, 4, 40, dtype=torch.float64)
    module = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3)).double()
    with torch.no_grad():
        for values in (module[0].weight, module[0].bias):
            values *= sizes.reshape(-1, *[1] * (values.ndim - 1))
        module[2].weight /= sizes
    x = inputs().double()
    small = compress_layer(module, "2", x, max_error=0.1)
    hidden = run(module[:2], x) / sizes.numpy()
    best = np.linalg.lstsq(hidden[:, small.kept], hidden @ (module[2].weight.detach() * sizes).numpy().T)[0]
    assert small.module[2].weight.detach().numpy() * sizes.numpy()[small.kept] == pytest.approx(best.T, rel=1e-6)
    plain = compress_layer(module, "2", x, lam=small.compression.lam, refit=False)
    assert small.error <= 0.1 and small.error < plain.error


def test_a_refit_that_is_worse_is_left(monkeypatch):
    module, x = mlp(), inputs()
    plain = compress_layer(module, "2", x, lam=0.02, refit=False)
    monkeypatch.setattr(layers, "_least_squares", lambda moments, at: np.full((4, len(at)), np.nan))
    small = compress_layer(module, "2", x, lam=0.02)
    assert small.error <= plain.error and np.array_equal(small.kept, plain.kept)


def test_batches_of_every_kind():
    module, x = mlp(), inputs()
    dataset = torch.utils.data.TensorDataset(x, torch.zeros(len(x)))
    whole = compress_layer(module, "2", x, lam=0.02)
    for data in (x.numpy(), x.split(30), iter(x.split(7)), torch.utils.data.DataLoader(dataset, batch_size=64)):
        parts = compress_layer(module, "2", data, lam=0.02)
        assert np.array_equal(parts.kept, whole.kept)
        assert parts.compression.objective == pytest.approx(whole.compression.objective, rel=1e-5)


def test_batches_without_samples_are_left_out():
    module, x = mlp(), inputs()
    some = compress_layer(module, "2", [x[:0], x[:300], x[:0], x[300:]], lam=0.02)
    assert some.compression.objective == pytest.approx(compress_layer(module, "2", x, lam=0.02).compression.objective)
    conv = seeded(network("flat"))
    images = inputs(20, (2, 8, 8))
    assert compress_layer(conv, "4", [images[:0], images], lam=0.02).removed


def test_arrays_as_they_are_found():
    module, x = mlp(), inputs().double().numpy()
    x.flags.writeable = False
    whole = compress_layer(module, "2", x, lam=0.02)
    for array in (x[::-1], x.astype(">f8"), np.asfortranarray(x)):
        found = compress_layer(module, "2", array, lam=0.02)
        assert found.compression.objective == pytest.approx(whole.compression.objective, rel=1e-6)


def test_single_samples():
    module, x = mlp(), inputs()
    whole = compress_layer(module, "2", x, lam=0.02)
    found = compress_layer(module, "2", list(x), lam=0.02)
    assert found.removed and found.compression.objective == pytest.approx(whole.compression.objective, rel=1e-6)
    module, images = seeded(network("same")), inputs(5, (2, 8, 8))
    whole = compress_layer(module, "2", images, lam=0.02)
    found = compress_layer(module, "2", list(images), lam=0.02)
    assert found.removed and found.compression.objective == pytest.approx(whole.compression.objective, rel=1e-6)


def test_integers_that_are_looked_up():
    module = seeded(
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 2))
    )
    words = torch.randint(0, 9, (50, 2), generator=torch.Generator().manual_seed(0))
    small = compress_layer(module, "4", words)
    assert small.removed and relative(small.module, module, words) < 1e-5


class Precisions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 40), nn.Linear(40, 3).double()

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).double())


def test_parts_of_other_precision():
    module, x = seeded(Precisions), inputs(20)
    small = compress_layer(module, "last", x.double())
    assert relative(small.module, module, x) < 1e-10


def test_places_of_images():
    module = seeded(network("conv"))
    x = inputs(100, (2, 10, 10))
    some = compress_layer(module, "4", x, lam=0.01, positions=3, random_state=0)
    same = compress_layer(module, "4", x, lam=0.01, positions=3, random_state=0)
    every = compress_layer(module, "4", x, lam=0.01, positions=1000)
    assert some.compression.objective == same.compression.objective != every.compression.objective
    assert some.compression.objective == pytest.approx(every.compression.objective, rel=0.3)


def test_places_are_others_in_every_image():
    reader, rng = nn.Conv2d(1, 2, 3, bias=False), np.random.default_rng(0)
    images = torch.arange(100.0).reshape(1, 1, 10, 10).repeat(200, 1, 1, 1)
    (rows,) = features._as_rows(reader, images, 4, rng)
    corners = rows[:, 0].reshape(200, 4)
    assert all(len(set(row.tolist())) == 4 for row in corners)
    places = torch.arange(100.0).reshape(10, 10)[:8, :8].flatten()
    seen = torch.bincount(corners.flatten().long(), minlength=100)[places.long()]
    assert (seen > 0).all() and seen.sum() == 800 and seen.max() < 40


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("options", [{"stride": (2, 1), "padding": (1, 2)}, {"dilation": (1, 2), "padding": (2, 1)}])
def test_patches_are_what_a_convolution_sees(monkeypatch, mode, options):
    reader, images = nn.Conv2d(3, 4, (2, 3), bias=False, padding_mode=mode, **options), inputs(4, (3, 9, 8))
    exact = reader(images).detach().movedim(1, -1).reshape(-1, 4)
    rng = np.random.default_rng(0)
    for room in (2**26, 3000, 1):
        monkeypatch.setattr(features, "ROOM", room)
        parts = list(features._as_rows(reader, images, None, rng))
        assert max(map(len, parts)) == max(1, min(len(exact), room // (4 * 18)))
        torch.testing.assert_close(torch.cat(parts) @ reader.weight.detach().flatten(1).T, exact)


def test_the_smallest_error_asked_for():
    module, x = mlp(), inputs()
    errors = [0.5, 0.1, 0.01, 1e-9]
    found = [compress_layer(module, "2", x, max_error=error) for error in errors]
    assert all(small.error <= error for small, error in zip(found[:3], errors))
    assert [small.n_kept for small in found] == sorted(small.n_kept for small in found)


def test_an_error_that_is_not_met():
    module, x = mlp(), inputs()
    assert compress_layer(module, "2", x, max_error=1e-15).error <= 1e-15  # all stay as they are
    module = module.bfloat16()
    with torch.no_grad():  # neurons that are alike share weights otherwise than before, and those are rounded
        module[0].weight[30:], module[0].bias[30:] = module[0].weight[:30], module[0].bias[:30]
    with pytest.warns(UserWarning, match=r"max_error=1e-07 is not met: the least error is 0\.00\d+, at lam=") as warned:
        small = compress_layer(module, "2", x, max_error=1e-7, refit=False)
    assert 1e-7 < small.error < 1e-2 and warned[0].filename == __file__


@pytest.mark.parametrize("options", [{"lam": 1e9}, {"max_error": 1.0}, {"lam": 1e9, "fit_intercept": True}])
def test_everything_dropped(options):
    module, x = mlp(), inputs()
    small = compress_layer(module, "2", x, **options)
    assert small.n_kept == 0 and not small.removed and small.error == pytest.approx(1, abs=1e-12)
    assert small.module[2].weight.shape == module[2].weight.shape
    assert run(small.module, x) == pytest.approx(np.tile(small.module[2].bias.detach().numpy(), (400, 1)))
    assert torch.equal(small.module[2].bias, module[2].bias) == ("fit_intercept" not in options)


@pytest.mark.parametrize("part", [0, 2])
@pytest.mark.parametrize("options", [{}, {"lam": 0.1}, {"max_error": 0.1}, {"max_error": 0.1, "fit_intercept": True}])
def test_outputs_that_are_zero(part, options):
    module, x = mlp(), inputs()
    with torch.no_grad():
        module[part].weight[:] = 0
        if part == 0:
            module[0].bias[:] = -1
    small = compress_layer(module, "2", x, **options)
    assert small.n_kept == 0 and small.error == 0 and run(small.module, x) == pytest.approx(run(module, x))


@pytest.mark.parametrize("solve", [3, 9])
def test_ctrl_c_ends_the_search(monkeypatch, solve):
    module, x, solved = mlp(), inputs(), []

    def compress(*args, **options):
        solved.append(cs.compress(*args, **options))
        if len(solved) == solve:
            return dataclasses.replace(solved[-1], status=Status.INTERRUPTED)
        return solved[-1]

    best = compress_layer(module, "2", x, max_error=0.1)
    monkeypatch.setattr(layers, "compress", compress)
    if solve == 3:  # none is good enough yet
        with pytest.raises(KeyboardInterrupt):
            compress_layer(module, "2", x, max_error=0.1)
    else:
        small = compress_layer(module, "2", x, max_error=0.1)
        assert small.compression.status is Status.INTERRUPTED and small.error <= 0.1
        assert small.n_kept >= best.n_kept and small.compression.lam <= best.compression.lam
    assert len(solved) == solve
    small = compress_layer(module, "2", x, lam=0.02)  # what is left of one solve is returned
    assert small.compression.status is Status.OPTIMAL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": 3}, "module is a int"),
        (
            {"module": nn.DataParallel(nn.Linear(6, 3))},
            "module is a DataParallel; pass the network in it, module.module",
        ),
        ({"module": nn.Linear(6, 3, device="meta")}, "meta device, without values; load them first"),
        ({"layer": "9"}, "layer is '9'; pass the name of a Linear or Conv2d: 0, 2"),
        ({"layer": "1"}, "layer is '1'"),
        ({"layer": ""}, "layer is ''"),
        ({"lam": 1.0, "max_error": 0.1}, "both given"),
        ({"max_error": 0.0}, "max_error is 0.0"),
        ({"max_error": "a"}, "max_error is 'a'"),
        ({"lam": -1.0}, "lam is -1.0"),
        ({"data": []}, "data has no samples"),
        ({"data": 3}, "data is a int"),
        ({"data": [{"x": 1}]}, "a batch that is a dict; pass tensors, or tuples .* of a dict batch"),
        ({"data": [()]}, "a batch that is a tuple"),
        ({"data": torch.tensor(3.0)}, "data is a single number"),
        ({"data": np.array([["a"] * 6])}, "data has dtype <U1"),
        ({"data": inputs()[:0]}, "data has no samples"),
        ({"data": torch.zeros(3, 6, dtype=torch.uint8)}, r"shape \(3, 6\) and dtype torch.uint8; pass what it takes"),
        ({"data": torch.zeros(3, 5)}, r"shape \(3, 5\) and dtype torch.float32"),
        ({"data": torch.full((3, 6), torch.nan)}, "features have a NaN"),
        ({"positions": 0}, "positions is 0"),
    ],
)
def test_bad_input(change, message):
    arguments = {"module": mlp(), "layer": "2", "data": inputs(), **change}
    with pytest.raises(ValueError, match=message):
        compress_layer(**arguments)
    if "module" not in change:
        assert arguments["module"].training and not arguments["module"][2]._forward_pre_hooks


def test_groups_of_channels_are_refused():
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="groups of channels"):
        compress_layer(module, "2", inputs(5, (4, 8, 8)), lam=0.1)


REFUSED = {
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(40, 3)), "remove_parametrizations"),
    "spectral norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(40, 3)), "remove_parametrizations"),
    "older spectral norm": (lambda: nn.utils.spectral_norm(nn.Linear(40, 3)), "remove_spectral_norm"),
    "pruned": (lambda: prune.l1_unstructured(nn.Linear(40, 3), "weight", 0.5), "prune.remove"),
    "pruned bias": (lambda: prune.l1_unstructured(nn.Linear(40, 3), "bias", 0.5), "prune.remove"),
    "own forward": (lambda: Doubled(40, 3), "forward of its own"),
    "lazy": (lambda: nn.LazyLinear(3), "run it once"),
    "complex": (lambda: nn.Linear(40, 3, dtype=torch.complex64), "dtype torch.complex64"),
    "one dimension": (lambda: nn.Conv1d(40, 3, 1), "layer is '2', a Conv1d; pass the name of a Linear or Conv2d: 0"),
    "transposed": (lambda: nn.ConvTranspose2d(40, 3, 1), "layer is '2', a ConvTranspose2d"),
}


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_are_refused(kind):
    make, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        compress_layer(nn.Sequential(nn.Linear(6, 40), nn.ReLU(), make()), "2", inputs(), lam=0.1)


def test_compiled_and_scripted_networks_are_refused():
    compiled = nn.Module()
    compiled._orig_mod = mlp()  # as torch.compile names it, which takes seconds
    with pytest.raises(ValueError, match=r"pass the network in it, module\._orig_mod"):
        compress_layer(compiled, "_orig_mod.2", inputs(), lam=0.1)
    with warnings.catch_warnings(action="ignore"):  # torch means to leave scripts behind
        traced = torch.jit.trace(mlp(), inputs())
    with pytest.raises(ValueError, match="scripted or traced; pass the network that it was made from"):
        compress_layer(traced, "2", inputs(), lam=0.1)


def test_a_tuple_is_batches():
    with pytest.raises(ValueError, match="one tensor, or batches of them"):
        compress_layer(mlp(), "2", (inputs(), torch.zeros(30, dtype=torch.int64)), lam=0.1)


def test_what_is_refused_and_made_plain_is_taken():
    module = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), prune.l1_unstructured(nn.Linear(40, 3), "weight", 0.5))
    prune.remove(module[2], "weight")
    assert compress_layer(module, "2", inputs(), max_error=0.1).removed


def test_a_layer_that_is_not_called():
    module = seeded(lambda: nn.TransformerEncoderLayer(6, 2, 32, batch_first=True))
    with pytest.raises(ValueError, match=r"'self_attn.out_proj' is not called when module runs"):
        compress_layer(module, "self_attn.out_proj", inputs(20, (4, 6)), lam=0.1)
    small = compress_layer(module, "linear2", inputs(20, (4, 6)), max_error=0.2)
    assert relative(small.module, module, inputs(20, (4, 6))) < 0.2
