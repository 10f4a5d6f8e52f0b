"""What is cut out of a network: never anything that something else reads, whatever the network looks like."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from cellsolve.compression import compress_layer

VECTORS, IMAGES, SEQUENCES = (6,), (2, 8, 8), (5, 6)


class Net(nn.Module):
    """Parts, a makes the neurons and b reads them, and a function that says how to use them."""

    def __init__(self, rule, **parts):
        super().__init__()
        self.rule = rule
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.rule(self, x)


class Options(Net):
    """Called without a mask, while a tracer would take it for given."""

    def forward(self, x, mask=None, scale=2.0):
        hidden = torch.relu(self.a(x))
        return self.rule(self, hidden) if mask is None else scale * self.b(hidden)


class Mixing(nn.Linear):
    def forward(self, x):
        return mixed(super().forward(x))


def mixed(x):
    return x + x.flip(-1)


def mlp(*between, maker=None):
    return nn.Sequential(maker or nn.Linear(6, 12), *between, nn.Linear(12, 3))


def convs(*between, last):
    maker = nn.Conv2d(2, 8, 3)
    with torch.no_grad():  # channels that are alike, so that some can go
        maker.weight[4:], maker.bias[4:] = maker.weight[:4], maker.bias[:4]
    return nn.Sequential(maker, *between, last)


def linear(rule, kind=Net):
    parts = {"a": nn.Linear(6, 12), "b": nn.Linear(12, 3), "c": nn.Linear(12, 3), "n": nn.BatchNorm1d(12)}
    return kind(rule, **parts, z=nn.Linear(6, 6), r=nn.ReLU(), low=nn.Parameter(torch.zeros(12)))


def image(between, width=128):
    return Net(lambda net, x: net.b(between(torch.relu(net.a(x)))), a=nn.Conv2d(2, 8, 5), b=nn.Linear(width, 3))


def hooked(net, name, pre=False):
    part = net.get_submodule(name)
    if pre:
        part.register_forward_pre_hook(lambda _, args: (mixed(args[0]),))
    else:
        part.register_forward_hook(lambda _, args, out: mixed(out))
    return net


def patched():
    net = mlp(nn.ReLU())
    plain = net[0].forward
    net[0].forward = lambda x: mixed(plain(x))
    return net


def shared(name):
    net = linear(lambda net, x: net.b(torch.relu(net.a(x))) + net.d(x).sum(-1, keepdim=True))
    net.d = nn.Linear(6, 12)
    setattr(net.d, name, getattr(net.a, name))
    return net


def embedding():
    net = Net(lambda net, x: net.b(torch.relu(net.a(net.e(x[..., 0].abs().long() % 3)))), a=nn.Linear(12, 12))
    net.e, net.b = nn.Embedding(3, 12), nn.Linear(12, 3)
    net.b.weight = net.e.weight
    return net


def places():
    net = convs(nn.MaxPool2d(2, return_indices=True), last=nn.Conv2d(8, 3, 2))
    return Net(lambda net, x: net.b(net.c(net.a(x))[0]), a=net[0], c=net[1], b=net[2])


flat = nn.Flatten
#: networks whose neurons can be cut out, or not, with the shape of a sample
CUT = {
    "linear": (lambda: mlp(nn.ReLU()), VECTORS),
    "nothing between": (mlp, VECTORS),
    "sequences": (lambda: mlp(nn.GELU()), SEQUENCES),
    "norm": (lambda: mlp(nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout()), VECTORS),
    "norm without parameters": (lambda: mlp(nn.BatchNorm1d(12, affine=False), nn.ReLU()), VECTORS),
    "norm without means": (lambda: mlp(nn.ReLU(), nn.BatchNorm1d(12, track_running_stats=False)), VECTORS),
    "norm after flattening": (
        lambda: convs(nn.AvgPool2d(3), flat(), nn.BatchNorm1d(32), last=nn.Linear(32, 3)),
        IMAGES,
    ),
    "convolutions": (lambda: convs(nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), last=nn.Conv2d(8, 3, 2)), IMAGES),
    "pooled": (lambda: convs(nn.Dropout2d(), nn.PReLU(), nn.AvgPool2d(3), flat(), last=nn.Linear(32, 3)), IMAGES),
    "pooled to a point": (lambda: convs(nn.AdaptiveMaxPool2d(1), flat(), last=nn.Linear(8, 3)), IMAGES),
    "in place": (lambda: nn.Sequential(nn.ReLU(inplace=True), *mlp(nn.ReLU(inplace=True))), VECTORS),
    "keywords": (lambda: linear(lambda net, x: net.b(input=F.relu(input=net.a(input=x)))), VECTORS),
    "one activation": (lambda: linear(lambda net, x: net.b(net.r(net.a(net.r(net.z(x)))))), VECTORS),
    "skip around": (lambda: linear(lambda net, x: x[..., :3] + net.b(torch.relu(net.a(x)))), VECTORS),
    "options": (lambda: linear(lambda net, hidden: net.b(hidden), Options), VECTORS),
    "constants": (lambda: linear(lambda net, x: net.b(torch.relu(net.a(x * torch.ones(6))))), VECTORS),
    "view": (lambda: image(lambda h: h.view(h.size(0), -1)), IMAGES),
    "view of a shape": (lambda: image(lambda h: h.view((h.shape[0], -1))), IMAGES),
    "reshape": (lambda: image(lambda h: torch.reshape(h, (h.size()[0], -1))), IMAGES),
    "flatten by keyword": (lambda: image(lambda h: torch.flatten(h, start_dim=1)), IMAGES),
    "flatten to the last": (lambda: image(lambda h: h.flatten(1, -1)), IMAGES),
    "mean": (lambda: image(lambda h: h.mean([2, 3]), 8), IMAGES),
    "mean by keyword": (lambda: image(lambda h: torch.mean(h, dim=(-1, -2)), 8), IMAGES),
    "mean kept": (lambda: image(lambda h: h.mean((-2, -1), keepdim=True).flatten(1), 8), IMAGES),
    "flatten from behind": (lambda: convs(flat(-3), last=nn.Linear(288, 3)), IMAGES),
}
LEFT = {
    "view of a constant": (lambda: image(lambda h: h.view(-1, 128)), IMAGES),
    "shape by keyword": (lambda: image(lambda h: torch.reshape(h, shape=(-1, 128))), IMAGES),
    "flattened sequences": (lambda: nn.Sequential(nn.Linear(6, 12), nn.ReLU(), flat(), nn.Linear(60, 3)), SEQUENCES),
    "flattened by half": (lambda: convs(flat(1, 2), last=nn.Linear(6, 3)), IMAGES),
    "flattened with samples": (lambda: convs(nn.AdaptiveAvgPool2d(1), flat(0), last=nn.Linear(512, 3)), IMAGES),
    "mean over channels": (lambda: image(lambda h: h.mean((1, 2)), 4), IMAGES),
    "mean over a row": (lambda: image(lambda h: h.mean(3).flatten(1), 32), IMAGES),
    "mean of all": (lambda: image(lambda h: (h - h.mean()).flatten(1)), IMAGES),
    "not flattened": (lambda: convs(nn.ReLU(), last=nn.Linear(6, 3)), IMAGES),
    "as many by chance": (lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Linear(6, 3)), IMAGES),
    "convolution of a linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Conv2d(5, 3, 1)), (5, 5, 6)),
    "pool across neurons": (lambda: mlp(nn.MaxPool2d(3, 1, 1)), (2, 5, 6)),
    "norm across neurons": (lambda: mlp(nn.BatchNorm1d(12)), (12, 6)),
    "pool with places": (places, IMAGES),
    "slopes for each": (lambda: mlp(nn.PReLU(12)), VECTORS),
    "bounds for each": (lambda: linear(lambda net, x: net.b(torch.clamp(net.a(x), net.low))), VECTORS),
    "depthwise between": (lambda: convs(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), last=nn.Conv2d(8, 3, 2)), IMAGES),
    "softmax": (lambda: mlp(nn.Softmax(-1)), VECTORS),
    "mixed": (lambda: linear(lambda net, x: net.b(mixed(net.a(x)))), VECTORS),
    "first layer": (lambda: nn.Sequential(nn.Linear(6, 3)), VECTORS),
    "read by another": (lambda: linear(lambda net, x: net.b(h := torch.relu(net.a(x))) + net.c(h)), VECTORS),
    "returned": (lambda: linear(lambda net, x: (h := torch.relu(net.a(x)), net.b(h))), VECTORS),
    "their number read": (lambda: linear(lambda net, x: net.b(h := net.a(x)) / h.size(-1)), VECTORS),
    "reader called twice": (lambda: linear(lambda net, x: net.b(net.a(x)) + net.b(net.a(-x))), VECTORS),
    "maker called twice": (lambda: linear(lambda net, x: net.b(net.a(x)) + net.a(-x).mean(-1, keepdim=True)), VECTORS),
    "training": (lambda: linear(lambda net, x: net.b(h := net.a(x)) + (0 if net.training else net.c(h))), VECTORS),
    "an option": (lambda: linear(lambda net, hidden: net.b(hidden) + net.c(hidden), Options), VECTORS),
    "a type": (lambda: linear(lambda net, x: net.b(h := net.a(x)) + (net.c(h) if torch.is_tensor(h) else 0)), VECTORS),
    "values": (lambda: linear(lambda net, x: net.b(net.a(x)) if x.sum() < 1e9 else net.z(x)), VECTORS),
    "weights read": (lambda: linear(lambda net, x: net.b(net.a(x)) + (x @ net.a.weight.T)[..., :3]), VECTORS),
    "means read": (lambda: linear(lambda net, x: net.b(net.n(net.a(x))) + net.n.running_mean.sum()), VECTORS),
    "weight shared": (lambda: shared("weight"), VECTORS),
    "bias shared": (lambda: shared("bias"), VECTORS),
    "embedding shared": (embedding, VECTORS),
    "hook on the maker": (lambda: hooked(mlp(nn.ReLU()), "0"), VECTORS),
    "hook on an activation": (lambda: hooked(mlp(nn.ReLU()), "1"), VECTORS),
    "hook on a norm": (lambda: hooked(mlp(nn.BatchNorm1d(12)), "1"), VECTORS),
    "hook on the reader": (lambda: hooked(mlp(nn.ReLU()), "2"), VECTORS),
    "hook before the reader": (lambda: hooked(mlp(nn.ReLU()), "2", pre=True), VECTORS),
    "hook on a block": (lambda: hooked(mlp(maker=nn.Sequential(nn.Linear(6, 12))), "0"), VECTORS),
    "forward of its own": (patched, VECTORS),
    "class of its own": (lambda: mlp(nn.ReLU(), maker=Mixing(6, 12)), VECTORS),
    "weight norm": (lambda: mlp(nn.ReLU(), maker=parametrizations.weight_norm(nn.Linear(6, 12))), VECTORS),
    "spectral norm": (lambda: mlp(nn.ReLU(), maker=parametrizations.spectral_norm(nn.Linear(6, 12))), VECTORS),
    "pruned": (lambda: mlp(nn.ReLU(), maker=prune.l1_unstructured(nn.Linear(6, 12), "weight", 0.5)), VECTORS),
}
HINDRANCES = {
    "flattened sequences": "'2' may mix the neurons of '0'",
    "mean over a row": "mean may mix the neurons of 'a'",
    "not flattened": "the neurons of '0' are no columns of what '2' reads",
    "depthwise between": "'1' has groups of channels",
    "read by another": "what relu gives is read elsewhere, too",
    "reader called twice": "'b' is called 2 times",
    "maker called twice": "'a', or a parameter of it, is used elsewhere, too",
    "first layer": "no Linear or Conv2d makes what '0' reads",
    "hook on an activation": "'1' has hooks, or a forward of its own",
    "a type": "the network cannot be traced: its trace computes something else",
    "values": "the network cannot be traced: symbolically traced variables cannot be used as inputs to control flow",
}
FUNCTIONS = [
    torch.relu, torch.tanh, torch.sigmoid, torch.abs, torch.square, torch.sin, torch.exp, F.relu, F.relu6, F.leaky_relu,
    F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus, F.softsign, F.logsigmoid, F.hardswish, F.hardsigmoid,
    F.hardtanh, lambda x: F.threshold(x, 0.1, 0.2), lambda x: F.dropout2d(F.dropout(x, training=False), training=False),
    lambda x: torch.clamp(x, 0.1, 0.5), lambda x: x.clamp_min(0.1).relu().tanh().contiguous(), lambda x: x.relu_(),
    lambda x: F.relu(x, inplace=True), lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2),
    lambda x: F.adaptive_avg_pool2d(x, 6), lambda x: F.adaptive_max_pool2d(x, 6),
]  # fmt: skip


def outputs(module, x):
    with torch.no_grad():
        found = copy.deepcopy(module).eval()(x.clone())
    return found[-1] if isinstance(found, tuple) else found


def made(kind, exact):
    """Return the network, the layer, data, and a memory of what it was."""
    torch.manual_seed(0)
    make, shape = (CUT | LEFT)[kind]
    module = make()
    x = torch.randn(64, *shape)
    with torch.no_grad():
        module.train()(x.clone())  # so that running means are not trivial
    layer = "b" if isinstance(module, Net) else str(len(module) - 1)
    if exact and kind != "flattened with samples":
        x = x[: 2 if shape == VECTORS else 1]
    return module, layer, x


def check(module, layer, x, removed, **options):
    before, names = copy.deepcopy(module.state_dict()), [set(vars(part)) for part in module.modules()]
    data = x.clone()
    small = compress_layer(module, layer, x, refit=False, **options)
    assert small.removed == removed
    # the network itself is as it was
    assert torch.equal(x, data) and all(part.training for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [set(vars(part)) for part in module.modules()] == names
    # the small one computes what it would with the weights found
    expected = copy.deepcopy(module)
    reader = expected.get_submodule(layer)
    found = torch.as_tensor(small.compression.weights, dtype=reader.weight.dtype)
    reader.weight = nn.Parameter(found.reshape(reader.weight.shape))
    assert 0 < small.n_kept
    torch.testing.assert_close(outputs(small.module, x), outputs(expected, x), rtol=1e-4, atol=1e-5)
    assert all(part.training for part in small.module.modules())
    assert [set(vars(part)) for part in small.module.modules()] == names
    return small


@pytest.mark.parametrize("kind", CUT | LEFT)
def test_what_is_left_computes_the_same(kind):
    module, layer, x = made(kind, exact=False)
    small = check(module, layer, x, kind in CUT, max_error=0.5)
    assert small.hindrance == HINDRANCES.get(kind, small.hindrance)
    assert f"zero ({small.hindrance})" in repr(small) if kind in LEFT else "the others removed" in repr(small)
    if kind in CUT:
        assert sum(p.numel() for p in small.module.parameters()) < sum(p.numel() for p in module.parameters())
        out = small.module.train()(x.clone())
        (out[-1] if isinstance(out, tuple) else out).sum().backward()


@pytest.mark.parametrize("kind", CUT | LEFT)
def test_exact_outputs_are_exact(kind):
    module, layer, x = made(kind, exact=True)
    small = check(module, layer, x, kind in CUT)
    torch.testing.assert_close(outputs(small.module, x), outputs(module, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_functions_between(number):
    torch.manual_seed(0)
    function, x = FUNCTIONS[number], torch.randn(50, 2, 8, 8)
    net = Net(lambda net, x: net.b(function(net.a(x))), a=nn.Conv2d(2, 8, 3), b=nn.Conv2d(8, 3, 2))
    check(net, "b", x, True, max_error=0.5)


@pytest.mark.parametrize(
    "part",
    [
        nn.ReLU6(), nn.RReLU(), nn.Softsign(), nn.LogSigmoid(), nn.Hardsigmoid(), nn.Threshold(0.1, 0.2), nn.PReLU(),
        nn.Softshrink(), nn.AlphaDropout(), nn.Mish(), nn.Softplus(), nn.CELU(), nn.Hardtanh(), nn.Identity(),
    ],
)  # fmt: skip
def test_modules_between(part):
    torch.manual_seed(0)
    check(mlp(part), "2", torch.randn(64, 6), True, max_error=0.5)


def test_the_other_of_two_that_share_weights_keeps_them():
    torch.manual_seed(0)
    net = Net(lambda net, x: net.d(torch.relu(net.z(torch.relu(net.a(x))))), a=nn.Linear(12, 12), z=nn.Linear(12, 12))
    net.d = nn.Linear(12, 12, bias=False)
    net.d.weight = net.a.weight
    small = compress_layer(net, "d", torch.randn(64, 12), max_error=0.5)
    assert not small.removed and torch.equal(small.module.a.weight, net.a.weight)
    assert not torch.equal(small.module.d.weight, net.d.weight)


@pytest.mark.parametrize("frozen", [("a.weight", "a.bias"), ("b.weight",), ("n.weight", "b.bias")])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_what_is_frozen_stays_frozen(frozen, fit_intercept):
    net = linear(lambda net, x: net.b(net.n(net.a(x))))
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    small = compress_layer(net, "b", torch.randn(64, 6), max_error=0.3, fit_intercept=fit_intercept)
    assert small.removed
    assert all(p.requires_grad == net.get_parameter(name).requires_grad for name, p in small.module.named_parameters())


def test_what_a_network_remembers_is_its_own():
    def rule(net, x):
        net.memory = net.a(x)
        return net.b(torch.relu(net.memory))

    net = linear(rule)
    net(torch.ones(3, 6))
    memory = net.memory
    small = compress_layer(net, "b", torch.randn(64, 6), max_error=0.5)
    assert net.memory is memory and memory.requires_grad and torch.equal(small.module.memory, memory)
