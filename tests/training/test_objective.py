"""The losses and costs in torch against those in NumPy."""

import numpy as np
import pytest
import torch

from cellsolve import losses, potentials
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
