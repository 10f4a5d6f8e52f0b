"""PathProx: its step in closed form, neurons at exactly zero, balance, and how near to the optimum it comes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import cellsolve as cs
from cellsolve.training import train_network
from cellsolve.training.objective import Network
from cellsolve.training.optimizers import NORMS, PathProx, soft_threshold


def data(n=30, m=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    y = np.abs(X[:, 0]) - np.maximum(X.sum(axis=1), 0)
    return X, y if m is None else np.stack([y * k + X[:, 0] for k in range(m)], axis=1)


def network(m=None, width=12, **keywords):
    X, y = data(m=m)
    inside, _ = cs.Problem(X, y, **{"lam": 1e-2} | keywords).normalized()
    return Network(inside, width, 1.0, np.random.default_rng(0))


def sizes(net):
    """w(theta_k) and ||c_k||."""
    with torch.no_grad():
        inner, outer = net.squares(net.response())
    return inner.sqrt().numpy(), outer.sqrt().numpy()


@given(rows=arrays(float, (4, 3), elements=st.floats(-10, 10).map(lambda v: round(v, 3))), by=st.floats(0.001, 5))
def test_the_proximal_step_is_where_its_subgradient_vanishes(rows, by):
    found = soft_threshold(torch.tensor(rows), by).numpy()
    for row, shrunk in zip(rows, found):
        if np.any(shrunk):
            np.testing.assert_allclose(shrunk - row + by * shrunk / np.linalg.norm(shrunk), 0, atol=1e-10)
        else:
            assert np.linalg.norm(row) <= by * (1 + 1e-12)


def test_the_proximal_step_in_closed_form():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    np.testing.assert_allclose(soft_threshold(rows, 1.0).numpy(), [[2.4, 3.2], [0, 0], [0, 0], [0, -1]], rtol=1e-15)
    assert not torch.any(soft_threshold(rows, 5.0))


@pytest.mark.parametrize("m", [None, 3])
@pytest.mark.parametrize("penalty", NORMS)
def test_a_step_by_hand(penalty, m):
    """In NumPy: the sizes ||c_k|| w(theta_k) of the neurons, and the free part."""
    net = network(m=m, penalty=penalty, free="constant", lam=0.3)
    lr, potential = 1e-4, net.problem.penalty
    theta, outer, free = (part.detach().numpy().copy() for part in net.parameters)
    cost = potential.value(theta, net.problem.lifted, True)[:, None]
    theta, outer = theta / cost, outer * cost
    response = np.maximum(net.problem.lifted @ theta.T, 0)
    residual = (response @ outer + net.basis.numpy() @ free - net.problem.targets) / net.problem.n
    rate = lr / np.mean(np.sum(response**2, axis=1))
    moved = outer - rate * response.T @ residual
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    expected = moved * np.maximum(0, 1 - rate * net.problem.level / length)
    loss = PathProx(net, lr).step()
    np.testing.assert_allclose(loss.item(), 0.5 * net.problem.n * np.sum(residual**2), rtol=1e-12)
    inner, size = sizes(net)
    # the step along the surface w = 1 leaves it by the square of its length
    np.testing.assert_allclose(inner * size, np.linalg.norm(expected, axis=1), rtol=1e-10)
    basis = net.basis.numpy()
    by_hand = free - lr / np.mean(np.sum(basis**2, axis=1)) * basis.T @ residual
    np.testing.assert_allclose(net.free.detach().numpy(), by_hand, rtol=1e-10)


@pytest.mark.parametrize("m", [None, 3])
@pytest.mark.parametrize("penalty", NORMS)
def test_every_step_ends_balanced_with_some_neurons_exactly_zero(penalty, m):
    net = network(m=m, penalty=penalty, free="constant", lam=0.1)
    optimizer = PathProx(net, 1.0)
    for _ in range(200):
        optimizer.step()
        inner, size = sizes(net)
        np.testing.assert_allclose(inner, size, rtol=1e-12)
    assert 0 < np.count_nonzero(size) < len(size)
    assert np.all(np.isfinite(net.theta.detach().numpy()))


def test_an_optimum_stays_where_it_is():
    X, y = data(n=12)
    problem = cs.Problem(X, y, lam=0.05)
    inside, _ = problem.normalized()
    best = cs.solve(inside, tol=1e-12).measure.normalized("variation")
    net = Network(inside, best.n_neurons, 1.0, np.random.default_rng(0))
    with torch.no_grad():
        net.theta.copy_(torch.tensor(best.neurons))
        net.outer.copy_(torch.tensor(best.weights.reshape(-1, 1)))
    before = net.values()[0]
    optimizer = PathProx(net, 0.01)
    for _ in range(20):
        optimizer.step()
    assert abs(net.values()[0] / before - 1) < 1e-4  # neurons on the hyperplane of a point do chatter


def test_above_lam_max_all_neurons_are_zero_and_below_they_come_back():
    X, y = data()
    most = cs.lam_max(X, y)
    trained = train_network(X, y, lam=1.01 * most, optimizer="pathprox", steps=2000, width=20, random_state=0)
    assert not np.any(trained.module.output.weight.detach().numpy()) and trained.history["imbalance"][-1] == 0
    net = network(width=20)
    with torch.no_grad():
        net.outer.zero_()
    optimizer = PathProx(net, 0.1)
    for _ in range(50):
        optimizer.step()
    assert 0 < np.count_nonzero(sizes(net)[1])


@pytest.mark.parametrize("penalty, within", [("variation", 1e-3), ("slope", 1e-3), ("l1", 3e-2)])
def test_comes_near_the_certified_optimum_and_never_passes_it(penalty, within):
    problem = cs.Problem(*data(), lam=0.02, penalty=penalty)
    best = cs.solve(problem)
    assert best.status == "optimal"
    trained = train_network(problem, optimizer="pathprox", steps=4000, width=60, random_state=0)
    assert best.lower_bound <= trained.objective <= best.objective * (1 + within)
    assert np.count_nonzero(trained.module.output.weight.detach().numpy()) < 60


@pytest.mark.parametrize("penalty", ["label_noise", cs.LabelNoise(full=True)], ids=repr)
def test_a_penalty_that_depends_on_the_data_is_refused(penalty):
    X, y = data()
    with pytest.raises(ValueError, match=r"'pathprox' and penalty is 'label_noise'.*variation, slope, l1"):
        train_network(X, y, lam=0.1, penalty=penalty, optimizer="pathprox")
    with pytest.raises(ValueError, match="'pathprox' needs a penalty"):
        train_network(X, y, optimizer="pathprox")
