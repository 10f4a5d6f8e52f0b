"""Gradient training: it lowers exactly the problem's objective, for every loss, penalty and free part."""

import dataclasses
import io
import itertools
import sys

import numpy as np
import pytest
import torch

import cellsolve.training
from cellsolve.losses import Huber, Quantile, Squared, as_loss
from cellsolve.potentials import LabelNoise, Variation
from cellsolve.problem import Problem
from cellsolve.training import OPTIMIZERS, TrainedNetwork, train_network
from cellsolve.training.network import STATUSES
from cellsolve.training.optimizers import NORMS, Optimizer

ALL_LOSSES = [
    "squared",
    "absolute",
    "huber",
    Huber(0.3),
    "quantile",
    Quantile(0.8),
    "logistic",
    "hinge",
    "squared_hinge",
]
ALL_PENALTIES = ["variation", "slope", "l1", "label_noise", LabelNoise(full=True)]


def name(value):
    return repr(value) if not isinstance(value, str) else value


def data(n=30, d=2, m=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = np.abs(X[:, 0]) - np.maximum(X.sum(axis=1), 0)
    return X, y if m is None else np.stack([y * k + X[:, 0] for k in range(m)], axis=1)


def problem(loss="squared", m=None, lam=1e-2, **keywords):
    X, y = data(m=m)
    if as_loss(loss).classification:
        y = np.where(y > np.median(y), 1.0, -1.0)
    return Problem(X, y, lam=lam, loss=loss, **keywords)


def train(*arguments, width=12, steps=60, random_state=0, **keywords):
    return train_network(*arguments, width=width, steps=steps, random_state=random_state, **keywords)


def balanced_objective(the_problem, module, response_cost):
    """Mean loss + lam / 2 sum (w^2 + ||c||^2) of the module, in NumPy."""
    with torch.no_grad():
        fit = module(torch.tensor(the_problem.X)).numpy().reshape(the_problem.targets.shape)
    outer = module.output.weight.detach().numpy()
    loss = the_problem.loss.value(fit, the_problem.targets).sum() / the_problem.n
    return loss + the_problem.lam / 2 * (np.sum(response_cost**2) + np.sum(outer**2))


def inner_weights(module):
    parts = [module.hidden.weight] + ([] if module.hidden.bias is None else [module.hidden.bias[:, None]])
    return torch.cat(parts, dim=1).detach().numpy()


# -- training lowers the objective, and reports it truly ----------------------------------------------------


def check(trained, the_problem):
    history = trained.history
    assert trained.objective == the_problem.objective(trained.measure)
    np.testing.assert_allclose(trained.objective, history["objective"].min(), rtol=1e-10)
    assert np.all(history["decay_objective"] >= history["objective"] * (1 - 1e-13))
    assert trained.objective < history["objective"][0]
    assert np.all((history["imbalance"] >= 0) & (history["imbalance"] <= 1 + 1e-13))
    assert np.all(np.diff(history["step"]) > 0) and np.all(np.diff(history["time"]) >= 0)
    costs = the_problem.neuron_costs(trained.measure.neurons)
    np.testing.assert_allclose(costs, 1, rtol=1e-12)
    with torch.no_grad():
        by_module = trained.module(torch.tensor(the_problem.X)).numpy()
    np.testing.assert_allclose(by_module, trained.predict(the_problem.X), rtol=1e-10, atol=1e-10)
    assert by_module.shape == the_problem.y.shape
    measure = trained.measure
    assert (measure.offset is None, measure.linear is None) == (
        the_problem.basis.shape[1] == 0 or (the_problem.free == "affine" and not the_problem.fit_bias),
        the_problem.free != "affine",
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=name)
def test_losses_and_optimizers(loss, optimizer):
    the_problem = problem(loss)
    trained = train(the_problem, optimizer=optimizer)
    assert trained.status in ("finished", "stalled")
    check(trained, the_problem)


EVERY_FREE_PART = itertools.product(ALL_PENALTIES, ["none", "constant", "affine"], [True, False])


@pytest.mark.parametrize(
    "penalty, free, bias", [case for case in EVERY_FREE_PART if case != ("slope", "none", True)], ids=name
)
def test_penalties_and_free_parts(penalty, free, bias):
    the_problem = problem(penalty=penalty, free=free, fit_bias=bias)
    check(train(the_problem), the_problem)


@pytest.mark.parametrize("penalty", ALL_PENALTIES, ids=name)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_several_outputs(penalty, optimizer):
    the_problem = problem(m=3, penalty=penalty, free="affine")
    if optimizer == "pathprox" and the_problem.penalty.name not in NORMS:
        pytest.skip("refused, see test_pathprox")
    trained = train(the_problem, optimizer=optimizer)
    check(trained, the_problem)
    assert trained.measure.weights.shape == (trained.measure.n_neurons, 3)


def test_one_column_of_targets_stays_a_column():
    the_problem = problem(m=1)
    assert train(the_problem).predict(the_problem.X).shape == (30, 1)


@pytest.mark.parametrize("penalty", ALL_PENALTIES, ids=name)
def test_what_is_lowered_is_weight_decay_on_the_module(penalty):
    the_problem = problem(penalty=penalty, loss="huber")
    trained = train(the_problem)
    by_hand = balanced_objective(the_problem, trained.module, the_problem.neuron_costs(inner_weights(trained.module)))
    best = np.argmin(trained.history["objective"])
    np.testing.assert_allclose(by_hand, trained.history["decay_objective"][best], rtol=1e-10)
    assert by_hand >= trained.objective


def test_slope_leaves_the_biases_out():
    X, y = np.linspace(-1, 1, 20), np.linspace(-1, 1, 20) ** 2
    module = train(X, y, lam=5.0, penalty="slope", steps=3000).module
    weight, bias = module.hidden.weight.detach().numpy(), module.hidden.bias.detach().numpy()
    alive = np.abs(bias) > 1e-2
    assert np.abs(weight).max() < 1e-2 and alive.any()  # weights decay to nothing, biases stay
    module = train(X, y, lam=5.0, penalty="variation", steps=3000).module
    assert np.abs(module.hidden.bias.detach().numpy()).max() < 1e-2


@pytest.mark.parametrize(
    "optimizer, steps, within",
    [("adam", 1000, 3e-3), ("lbfgs", 500, 1e-3), ("sgd", 3000, 3e-2), ("pathprox", 2000, 1e-2)],
)
def test_reaches_the_known_optimum_by_its_defaults_and_never_passes_it(optimizer, steps, within):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1] + 0.3 * X[:, 0], 0) + 0.1 * rng.standard_normal(60)
    optimum = 0.0338614950
    trained = train(X, y, lam=1e-2, width=100, steps=steps, optimizer=optimizer)
    assert optimum * (1 - 1e-8) <= trained.objective <= optimum * (1 + within)
    assert trained.history["decay_objective"][-1] <= trained.objective * (1 + within)  # weight decay balances
    assert trained.history["imbalance"][-1] < 0.1


@pytest.mark.parametrize("penalty", ALL_PENALTIES, ids=name)
@pytest.mark.parametrize("size_x, size_y", [(1e-100, 1.0), (1.0, 1e100), (2.0**40, 2.0**-30)])
def test_data_of_any_size_train_alike(penalty, size_x, size_y):
    # without biases, X of another size is the same network at another scale
    X, y = data()
    plain = Problem(X, y, lam=1e-2, penalty=penalty, fit_bias=False)
    degree = plain.penalty.data_degree
    factor = size_y * size_x * size_x**-degree
    scaled = Problem(X * size_x, y * size_y, lam=1e-2 * factor, penalty=penalty, fit_bias=False)
    first, second = train(plain, steps=300), train(scaled, steps=300)
    np.testing.assert_allclose(second.objective / size_y**2, first.objective, rtol=0.1)


@pytest.mark.parametrize(
    "X, y",
    [
        (np.ones((1, 1)), [2.0]),
        (np.zeros((4, 2)), np.arange(4.0)),
        (np.ones((5, 1)), np.ones(5)),
        (np.arange(5), np.zeros(5)),
        (np.eye(3, 8), np.arange(3)),
    ],
    ids=["one row", "all zero", "constant column", "zero targets", "wide"],
)
@pytest.mark.parametrize("free", ["none", "affine"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_degenerate_data(X, y, free, bias, optimizer):
    trained = train(X, y, lam=1e-2, free=free, fit_bias=bias, optimizer=optimizer)
    assert np.isfinite(trained.objective) and trained.status != "diverged"


# -- how it is called ---------------------------------------------------------------------------------------


def test_equal_seeds_are_equal_runs_and_the_global_seed_is_left_alone():
    the_problem = problem()
    before = torch.get_rng_state()
    runs = [train(the_problem, random_state=seed).module.hidden.weight for seed in (3, 3, np.random.default_rng(3), 4)]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[3])
    assert torch.equal(before, torch.get_rng_state())


def test_a_problem_or_its_parts():
    X, y = data()
    keywords = dict(lam=0.02, loss="huber", penalty="l1", free="constant", fit_bias=False)
    assert train(Problem(X, y, **keywords)).objective == train(X, y, **keywords).objective


def test_init_scale_is_the_size_of_the_first_network():
    sizes = [train(problem(), steps=1, init_scale=s).history["objective"][0] for s in (1e-6, 1.0, 100.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_history_and_repr():
    trained = train(problem(), steps=1000)
    assert isinstance(trained, TrainedNetwork)
    assert len(trained.history["step"]) == 101 and trained.history["step"][-1] == 1000
    assert trained.status == "finished" and trained.message == STATUSES["finished"]
    assert "width=12" in repr(trained) and "1000 steps" in repr(trained)
    assert list(train(problem(), steps=7).history["step"]) == list(range(8))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_brings_its_defaults(monkeypatch, optimizer):
    method = OPTIMIZERS[optimizer]
    monkeypatch.setitem(OPTIMIZERS, optimizer, dataclasses.replace(method, steps=20))
    trained = train_network(problem(), optimizer=optimizer, random_state=0)
    assert trained.history["step"][-1] == 20 and trained.module.hidden.out_features == 100
    assert trained.objective == train(problem(), optimizer=optimizer, width=100, steps=20, lr=method.lr).objective


def test_one_thread_while_a_small_network_trains(monkeypatch):
    seen = []

    class Watching(torch.optim.SGD):
        @classmethod
        def of(cls, network, lr):
            return cls(network.parameters, lr)

        def step(self, closure):
            seen.append(torch.get_num_threads())
            return super().step(closure)

    monkeypatch.setitem(OPTIMIZERS, "watching", Optimizer(Watching.of, lr=1e-3, steps=1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        train(problem(), optimizer="watching", steps=1)
        with pytest.raises(ValueError, match="init_scale"):
            train(problem(), init_scale=1e300)
        assert torch.get_num_threads() == 3
        monkeypatch.setattr("cellsolve.training.network.ONE_THREAD", 30 * 12 - 1)
        train(problem(), optimizer="watching", steps=1)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 3]


# -- when it does not go well -------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e3, 1e200])
def test_divergence_is_a_warning_and_the_best_network(lr):
    with pytest.warns(RuntimeWarning, match="smaller lr"):
        trained = train(problem(), optimizer="sgd", lr=lr)
    assert trained.status == "diverged" and np.isfinite(trained.objective)
    np.testing.assert_allclose(trained.objective, trained.history["objective"].min(), rtol=1e-10)


def test_interruption_returns_the_best_network(monkeypatch):
    class Interrupted(torch.optim.Adam):
        steps = 0

        @classmethod
        def of(cls, network, lr):
            return cls(network.parameters, lr)

        def step(self, closure):
            self.steps += 1
            if self.steps == 30:
                raise KeyboardInterrupt
            return super().step(closure)

    monkeypatch.setitem(OPTIMIZERS, "interrupted", Optimizer(Interrupted.of, lr=1e-2, steps=100))
    trained = train(problem(), optimizer="interrupted")
    assert trained.status == "interrupted" and trained.history["step"][-1] == 29
    assert trained.objective < trained.history["objective"][0]


def test_lbfgs_stops_where_nothing_moves():
    X, y = data()
    trained = train(X, np.zeros_like(y), lam=1.0, optimizer="lbfgs", steps=2000)
    assert trained.status == "stalled" and trained.history["step"][-1] < 2000 and trained.objective < 1e-12


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(lam=None), "small lam"),
        (dict(lam=-1), "lam is -1"),
        (dict(optimizer="newton"), "optimizer is 'newton'; choose one of adam, sgd, lbfgs, pathprox"),
        (dict(width=0), "width is 0"),
        (dict(width=2.5), "width is 2.5"),
        (dict(steps=0), "steps is 0"),
        (dict(steps=True), "steps is True"),
        (dict(lr=0.0), "lr is 0"),
        (dict(lr="fast"), "lr is 'fast'"),
        (dict(init_scale=np.inf), "init_scale is inf"),
        (dict(init_scale=1e300), "init_scale is 1e.300"),
        (dict(y=None), "y is missing"),
        (dict(penalty="slope", free="none"), "free is 'none'"),
        (dict(loss="hinge"), "labels -1 and 1"),
        (dict(X=[[np.nan, 1.0]] * 30), "X contains NaN"),
    ],
)
def test_errors_name_the_argument(change, message):
    X, y = data()
    arguments = {"X": X, "y": y, "lam": 1e-2} | change
    with pytest.raises(ValueError, match=message):
        train_network(arguments.pop("X"), arguments.pop("y"), **arguments)


@pytest.mark.parametrize(
    "extra, message", [(dict(lam=1.0), "lam cannot"), (dict(y=[1.0], loss="huber"), "y, loss cannot")]
)
def test_a_problem_takes_no_second_definition(extra, message):
    with pytest.raises(ValueError, match=message):
        train_network(problem(), **extra)


def test_a_problem_without_penalty_is_refused():
    with pytest.raises(ValueError, match="small lam"):
        train_network(Problem(*data()))


def test_losses_and_potentials_of_ones_own_are_refused():
    class OwnLoss(Squared):
        name = "own"

        def __init__(self):  # the dataclass would name it squared
            pass

    class OwnPotential(Variation):
        name = "own"

        def __init__(self):
            pass

    with pytest.raises(ValueError, match="loss 'own' cannot be trained"):
        train_network(problem(OwnLoss()))
    with pytest.raises(ValueError, match="penalty 'own' cannot be trained"):
        train_network(problem(penalty=OwnPotential()))


def test_progress_draws_only_on_a_terminal(monkeypatch, capsys):
    train(problem(), progress=True)
    assert capsys.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train(problem(), progress=True)
    assert "training" in terminal.getvalue()


def test_importing_the_package_is_light_and_missing_torch_is_explained(monkeypatch):
    assert set(dir(cellsolve.training)) >= {"train_network", "OPTIMIZERS"}
    with pytest.raises(AttributeError, match="nonsense"):
        cellsolve.training.nonsense  # noqa: B018
    for module in ("network", "objective", "optimizers"):
        monkeypatch.delitem(sys.modules, f"cellsolve.training.{module}")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install cellsolve\[torch\]"):
        cellsolve.training.train_network  # noqa: B018
