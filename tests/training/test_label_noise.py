"""Steps on one row: the kernel against NumPy, what label noise does, and how it is called."""

import numpy as np
import pytest
import torch

import cellsolve as cs
from cellsolve import LabelNoise, Problem
from cellsolve.training import noisy, train_network
from cellsolve.training.noisy import RECORD, STEPS
from cellsolve.training.sgd_kernels import descend

FULL = LabelNoise(full=True)


def data(n=6, d=1):
    rng = np.random.default_rng(0)
    X = np.linspace(-1, 1, n)[:, None] if d == 1 else rng.uniform(-1, 1, (n, d))
    return X, np.sin(3 * X[:, 0]) + 0.2


def circle(n=8):
    angle = 2 * np.pi * (np.arange(n) + 0.25) / n
    return np.column_stack([np.cos(angle), np.sin(angle)]), 1 + 0.9 * np.cos(angle)


def train(*arguments, width=20, steps=3_000, random_state=0, **keywords):
    keywords = {"optimizer": "sgd"} | keywords
    return train_network(*arguments, width=width, steps=steps, random_state=random_state, **keywords)


# -- the kernel ---------------------------------------------------------------------------------------------


def state(K=7, D=3, n=5, k=2, seed=0):
    rng = np.random.default_rng(seed)
    theta, outer, free = rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal(k)
    return theta, outer, free, rng.standard_normal((n, D)), rng.standard_normal((n, k))


def slow_descend(theta, outer, free, lifted, basis, rows, targets, rates, decay):
    for i, target, rate in zip(rows, targets, rates):
        active = lifted[i] @ theta.T > 0
        response = np.where(active, lifted[i] @ theta.T, 0)
        residual = response @ outer + basis[i] @ free - target
        theta_gradient = residual * (active * outer)[:, None] * lifted[i] + theta * decay[:-1]
        outer_gradient = residual * response + outer * decay[-1]
        free = free - rate * residual * basis[i]
        theta, outer = theta - rate * theta_gradient, outer - rate * outer_gradient
    return theta, outer, free


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("K, D, n, k", [(7, 3, 5, 2), (1, 1, 1, 0), (40, 2, 9, 1)])
def test_kernel_is_the_loop_in_numpy(K, D, n, k, decay):
    theta, outer, free, lifted, basis = state(K, D, n, k)
    rng = np.random.default_rng(1)
    decays = np.append(np.full(D, decay), 2 * decay)
    steps = rng.integers(n, size=200), rng.standard_normal(200), rng.uniform(0, 0.02, 200), decays
    slow = slow_descend(theta, outer, free, lifted, basis, *steps)
    descend(theta, outer, free, lifted, basis, *steps)
    for fast, reference in zip((theta, outer, free), slow):
        np.testing.assert_allclose(fast, reference, rtol=1e-9, atol=1e-11)


def moved(row, target, rate=1e-3):
    """What one step changes, over its rate."""
    before = state()
    theta, outer, free, lifted, basis = state()
    descend(theta, outer, free, lifted, basis, np.array([row]), np.array([target]), np.array([rate]), np.zeros(4))
    return np.concatenate([((new - old) / rate).ravel() for new, old in zip((theta, outer, free), before)])


def test_mean_step_is_the_gradient_of_the_mean_loss_with_noise_or_without():
    theta, outer, free, lifted, basis = (torch.tensor(part, requires_grad=True) for part in state())
    y = np.arange(5.0)
    fit = torch.relu(lifted @ theta.T) @ outer + basis @ free
    (0.5 * (fit - torch.tensor(y)) ** 2).mean().backward()
    gradient = np.concatenate([part.grad.numpy().ravel() for part in (theta, outer, free)])
    rows = range(5)
    np.testing.assert_allclose(np.mean([moved(i, y[i]) for i in rows], axis=0), -gradient, rtol=1e-9, atol=1e-9)
    noisy_steps = [moved(i, y[i] + e) for i in rows for e in (-2.0, 2.0)]
    np.testing.assert_allclose(np.mean(noisy_steps, axis=0), -gradient, rtol=1e-9, atol=1e-9)
    assert np.ptp(noisy_steps, axis=0).max() > 1


# -- what the noise does ------------------------------------------------------------------------------------


@pytest.mark.parametrize("X, y", [data(), circle()], ids=["line", "circle"])
def test_noise_goes_near_the_least_norm_and_plain_descent_does_not(X, y):
    least = cs.interpolate(X, y, penalty=FULL).objective
    size = 0.3 * np.sqrt(np.mean(y**2))
    quiet, loud = (
        train(X, y, penalty=FULL, label_noise=noise, steps=1_500_000, width=60, lr=0.25) for noise in (0.0, size)
    )
    problem = Problem(X, y, penalty=FULL)
    for run in (quiet, loud):
        assert run.status == "finished" and problem.residual(run.measure) < 1e-3
        assert run.objective > least * (1 - 1e-3)
    assert loud.objective < 1.15 * least < 1.7 * least < quiet.objective
    # the noise also balances the neurons, which is where the mean squared gradient is the norm
    assert loud.history["gradient_square"][-1] < 1.05 * loud.objective
    assert quiet.history["gradient_square"][-1] > 1.1 * quiet.objective


def test_history_is_of_the_network_that_is_returned():
    X, y = data(8, 2)
    problem = Problem(X, y, penalty=FULL, free="affine")
    trained = train(problem, label_noise=0.1)
    history = trained.history
    assert tuple(history) == RECORD and history["step"][-1] == 3000 and len(history["step"]) == 101
    assert np.all(np.diff(history["time"]) >= 0)
    module, points = trained.module, torch.tensor(X)
    np.testing.assert_allclose(history["loss"][-1], np.mean((trained.predict(X) - y) ** 2) / 2, rtol=1e-6)
    np.testing.assert_allclose(module(points).detach().numpy(), trained.predict(X), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(history["norm"][-1], trained.measure.norm(FULL, X), rtol=1e-9)
    assert trained.objective == trained.measure.norm(FULL, X)  # the problem has no lam
    np.testing.assert_allclose(history["objective"], history["norm"])
    weights = [module.hidden.weight, module.hidden.bias, module.output.weight]
    squares = [
        sum(part.square().sum().item() for part in torch.autograd.grad(module(point[None]).sum(), weights))
        for point in points
    ]
    np.testing.assert_allclose(history["gradient_square"][-1], np.mean(squares), rtol=1e-9)
    assert np.all(history["gradient_square"] >= history["norm"] * (1 - 1e-12))


@pytest.mark.parametrize("penalty", ["variation", "slope"])
def test_with_a_lam_the_weights_decay(penalty):
    X, y = data(10)
    best = cs.solve(X, y, lam=1e-2, penalty=penalty).objective
    trained = train(X, y, lam=1e-2, penalty=penalty, label_noise=0.01, steps=300_000, lr=0.3)
    assert best * (1 - 1e-8) < trained.objective < 1.02 * best
    heavy = train(X, y, lam=10.0, penalty=penalty, label_noise=1e-9, steps=50_000).module
    slopes, biases = heavy.hidden.weight.detach().numpy(), heavy.hidden.bias.detach().numpy()
    assert np.abs(slopes).max() < 1e-3
    assert (np.abs(biases).max() > 0.1) == (penalty == "slope")


@pytest.mark.parametrize("free", ["none", "constant", "affine"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise", FULL], ids=repr)
def test_every_statement_without_a_penalty_to_descend(penalty, bias, free):
    if penalty == "slope" and bias and free == "none":
        free = "constant"
    X, y = data(5, 2)
    problem = Problem(X, y, penalty=penalty, free=free, fit_bias=bias)
    trained = train(problem, label_noise=0.02, steps=30_000, width=40)
    assert trained.status == "finished" and trained.objective == problem.objective(trained.measure)
    assert problem.residual(trained.measure) < 0.1


def test_data_of_any_size_train_alike():
    # without biases X of another size is the same network at another scale, and powers of two round nothing
    X, y = data(8, 2)
    plain = train(X, y, label_noise=0.1, fit_bias=False)
    scaled = train(X * 2.0**300, y * 2.0**-300, label_noise=0.1 * 2.0**-300, fit_bias=False)
    np.testing.assert_array_equal(scaled.predict(X * 2.0**300), plain.predict(X) * 2.0**-300)


@pytest.mark.parametrize(
    "X, y", [(np.ones((1, 1)), [2.0]), (np.zeros((4, 2)), np.zeros(4)), (np.arange(5), np.zeros(5))]
)
def test_degenerate_data(X, y):
    trained = train(X, y, label_noise=0.1, steps=20_000)
    assert trained.status == "finished" and np.abs(trained.predict(X) - y).max() < 1e-2


# -- how it is called ---------------------------------------------------------------------------------------


def test_equal_seeds_are_equal_runs():
    X, y = data()
    runs = [train(X, y, label_noise=0.3, random_state=s).objective for s in (3, 3, np.random.default_rng(3), 4)]
    assert runs[0] == runs[1] == runs[2] != runs[3]


def test_length_of_blocks_changes_only_the_draws(monkeypatch):
    X, y = data()
    monkeypatch.setattr(noisy, "BLOCK", 7)
    trained = train(X, y, label_noise=0.3, steps=1_050)
    steps = trained.history["step"]
    assert steps[0] == 0 and steps[-1] == 1050 and set(np.diff(steps)) == {10}
    assert list(train(X, y, steps=3).history["step"]) == [0, 1, 2, 3]


def test_the_rate_falls_twice_and_the_noise_ends_before_the_steps():
    X, y = data()
    blocks = list(noisy._schedule(Problem(4 * X, y), 0.5, 1000, 0.1, 10, np.random.default_rng(0)))
    rows, noise, rates = (np.concatenate([block[part] for block in blocks]) for part in (1, 2, 3))
    assert blocks[-1][0] == len(rows) == 1000 and set(rows) == set(range(6))
    assert np.all(noise[:900] != 0) and not noise[900:].any() and 0.45 < noise[:900].std() < 0.55
    assert rates[0] == rates[900] == 0.1 / 2**3 / 2**1  # X up to 4, below 2^3, and y up to 1.2
    assert np.all(np.diff(rates[:900]) < 0) and np.all(np.diff(rates[900:]) < 0) and rates.min() > 0


def test_defaults(monkeypatch):
    X, y = data()
    monkeypatch.setattr("cellsolve.training.network.STEPS", 500)
    assert STEPS == 1_000_000
    run = train_network(X, y, optimizer="sgd", label_noise=0.1, random_state=0)
    assert run.history["step"][-1] == 500 and run.module.hidden.out_features == 100
    assert run.objective == train(X, y, label_noise=0.1, width=100, steps=500, lr=0.1).objective


def test_descent_on_all_rows_stays_where_there_is_a_lam_and_no_noise():
    X, y = data()
    assert "decay_objective" in train(X, y, lam=0.1, steps=10).history
    assert "gradient_square" in train(X, y, lam=0.1, steps=10, label_noise=0.1).history


@pytest.mark.parametrize("lr", [10.0, 1e6, 1e150])
def test_divergence_is_a_warning_and_the_last_finite_network(lr):
    X, y = data()
    with pytest.warns(RuntimeWarning, match="smaller lr"):
        trained = train(X, y, label_noise=0.1, lr=lr)
    assert trained.status == "diverged" and np.isfinite(trained.objective)
    assert all(np.isfinite(column).all() for column in trained.history.values())


def test_interruption_returns_the_network_as_it_is(monkeypatch):
    X, y = data()
    calls = iter(range(20))

    def interrupted(*arguments):
        if next(calls) == 9:
            raise KeyboardInterrupt
        descend(*arguments)

    monkeypatch.setattr(noisy, "descend", interrupted)
    trained = train(X, y, label_noise=0.1)
    assert trained.status == "interrupted" and trained.history["step"][-1] == 270
    np.testing.assert_allclose(trained.objective, trained.history["norm"][-1], rtol=1e-12)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(optimizer="adam", lam=0.1), "label_noise is 0.1 and optimizer is 'adam'"),
        (dict(optimizer="lbfgs", label_noise=0.0), "small lam such as 1e-6, or 'sgd'"),
        (dict(loss="huber"), "squared loss"),
        (dict(y=np.ones((6, 2))), "2 outputs"),
        (dict(lam=0.1, penalty="label_noise"), "pass lam=None"),
        (dict(label_noise=-1.0), "label_noise is -1"),
        (dict(label_noise=np.inf), "label_noise is inf"),
        (dict(label_noise="some"), "label_noise is 'some'"),
        (dict(init_scale=1e300), "init_scale is 1e.300"),
        (dict(y=np.full(6, 1e200)), "float64 cannot hold"),
        (dict(X=[0, 0, 1, 2, 3, 4]), "y differs at rows 0 and 1"),
        (dict(steps=0), "steps is 0"),
    ],
)
def test_errors_name_the_argument(change, message):
    X, y = data()
    arguments = {"X": X, "y": y, "label_noise": 0.1} | change
    with pytest.raises(ValueError, match=message):
        train(arguments.pop("X"), arguments.pop("y"), **arguments)
