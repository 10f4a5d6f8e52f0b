"""The losses and costs in torch against those in NumPy."""

import numpy as np
import pytest
import torch

from cellsolve import Problem, losses, potentials
from cellsolve.training import objective


@pytest.mark.parametrize("loss", [*losses.LOSSES, losses.Huber(0.3), losses.Quantile(0.8)], ids=str)
def test_losses_agree_with_numpy(loss):
    loss = losses.as_loss(loss)
    rng = np.random.default_rng(0)
    f = np.concatenate([rng.standard_normal((40, 2)) * 3, np.full((2, 2), 400.0), np.full((2, 2), -400.0)])
    y = np.sign(rng.standard_normal(f.shape)) if loss.classification else rng.standard_normal(f.shape)
    in_torch = torch.tensor(f, requires_grad=True)
    values = objective.LOSSES[loss.name](loss, in_torch, torch.tensor(y))
    values.sum().backward()
    np.testing.assert_allclose(values.detach().numpy(), loss.value(f, y), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(in_torch.grad.numpy(), loss.gradient(f, y), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("penalty", [*potentials.POTENTIALS, potentials.LabelNoise(full=True)], ids=str)
def test_costs_agree_with_numpy(penalty, bias):
    potential = potentials.as_potential(penalty)
    rng = np.random.default_rng(0)
    lifted, theta = rng.standard_normal((20, 3)), rng.standard_normal((8, 3))
    both = torch.tensor(lifted), torch.tensor(theta)
    response = torch.relu(both[0] @ both[1].T)
    found = objective.SQUARED_COSTS[potential.name](potential, both[1], response, both[0], bias)
    np.testing.assert_allclose(found.numpy(), potential.value(theta, lifted, bias) ** 2, rtol=1e-13)


def test_every_loss_and_penalty_of_the_library_is_there():
    assert set(objective.LOSSES) == set(losses.LOSSES) and set(objective.SQUARED_COSTS) == set(potentials.POTENTIALS)


@pytest.mark.parametrize("penalty", ["variation", "slope", "label_noise"])
def test_the_objectives_are_the_loss_and_what_the_sizes_of_the_neurons_cost(penalty):
    rng = np.random.default_rng(0)
    problem, _ = Problem(
        rng.uniform(-1, 1, (15, 2)), rng.uniform(-1, 1, (15, 2)), lam=0.3, penalty=penalty
    ).normalized()
    network = objective.Network(problem, 6, 1.0, rng)
    with torch.no_grad():
        network.theta *= torch.linspace(0.5, 2, 6)[:, None]  # out of balance
        theta, outer, _ = (part.numpy() for part in network.parameters)
        loss = network.loss().item()
    inner, size = problem.neuron_costs(theta), np.linalg.norm(outer, axis=1)
    fit = problem.responses(theta) @ outer  # the free part starts at zero
    np.testing.assert_allclose(loss, 0.5 * np.sum((fit - problem.targets) ** 2) / problem.n, rtol=1e-12)
    half = (inner**2 + size**2) / 2
    expected = loss + problem.level * np.sum(inner * size), loss + problem.level * np.sum(half)
    np.testing.assert_allclose(network.values()[:2], expected, rtol=1e-12)
    np.testing.assert_allclose(network.values()[2], np.abs(inner**2 - size**2).sum() / half.sum() / 2, rtol=1e-12)
    with torch.no_grad():
        for part in network.parameters:
            part.zero_()
    assert network.values()[2] == 0
