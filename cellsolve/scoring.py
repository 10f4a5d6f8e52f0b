"""Networks from anywhere, scored by the objective of a problem."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellsolve.certificate import Certificate
from cellsolve.checks import positive
from cellsolve.data import Array, as_floats
from cellsolve.measure import SparseMeasure
from cellsolve.problem import Problem

#: an objective this share below a lower bound is not rounding
ROUNDING = 1e-9


def values_and_norm(network: Any, problem: Problem, norm: float | None) -> tuple[Array, float]:
    """Return the values of a network on the data, shape (n, m), and its norm."""
    if isinstance(network, SparseMeasure):
        if network.fit_bias != problem.fit_bias and problem.fit_bias:
            network = _with_biases(network)
        _refuse_other_free_part(network, problem)
        fit, size = network.predict(problem.X), network.norm(problem.penalty, problem.X)
    elif callable(network):
        if norm is None:
            raise ValueError("norm is missing; a callable has to come with its norm sum |c_k| w(theta_k).")
        size = positive(norm, "norm", None, zero=True)
        fit = as_floats(network(problem.X), "the values of network")
    else:
        raise ValueError(f"network is a {type(network).__name__}; pass a SparseMeasure, a torch module or a callable.")
    shapes = [problem.y.shape, problem.targets.shape]
    if problem.n_outputs == 1:
        shapes.append((problem.n,))
    if fit.shape not in shapes:
        raise ValueError(f"network returns shape {fit.shape} for the {problem.n} rows of X; y has {problem.y.shape}.")
    if not np.isfinite(fit).all():
        row = int(np.argwhere(~np.isfinite(fit))[0][0])
        raise ValueError(f"network returns {fit[row]} at row {row} of X; only finite values can be scored.")
    fit = fit.reshape(problem.targets.shape)
    if problem.interpolates:
        miss = np.abs(fit - problem.targets).max()
        if miss > 1e-6 * max(1.0, np.abs(problem.targets).max()):
            raise ValueError(f"network misses y by up to {miss:.2g}, so it is no interpolant; pass lam to score it.")
    return fit, size


def refuse_impossible(network: Any, problem: Problem, fit: Array, objective: float, certificate: Certificate) -> None:
    """Raise ValueError where the objective is below the proven bound: no network of that norm has these values."""
    bound = certificate.lower_bound
    room = ROUNDING * abs(bound) + certificate.scale
    if problem.interpolates and certificate.supremum > 0:  # the same alpha bounds the norm of what it interpolates
        dual = certificate.alpha.reshape(fit.shape)
        room += abs(float(np.sum(dual * (problem.targets - fit)))) / certificate.supremum
    if objective >= bound - room:
        return
    below = f"network has the objective {objective:.10g}, below the proven bound {bound:.10g} for networks of any width"
    if isinstance(network, SparseMeasure) and problem.penalty.jumps:
        raise ValueError(
            f"{below}: penalty {problem.penalty!r} jumps between cells and is low exactly on a border, where a neuron "
            "of this network is; move that neuron off it, or use a penalty without jumps."
        )
    raise ValueError(f"{below}: no network of that norm has these values, so norm, or what network returns, is wrong.")


def _with_biases(network: SparseMeasure) -> SparseMeasure:
    neurons = np.column_stack([network.neurons, np.zeros(network.n_neurons)])
    return SparseMeasure(neurons, network.weights, offset=network.offset, linear=network.linear)


def _refuse_other_free_part(network: SparseMeasure, problem: Problem) -> None:
    if not problem.fit_bias and network.fit_bias and np.any(network.neurons[:, -1] != 0):
        raise ValueError("network has biases, but the problem is one without (fit_bias=False).")
    constant = problem.free != "none" and (problem.free == "constant" or problem.fit_bias)
    if network.offset is not None and np.any(network.offset != 0) and not constant:
        raise ValueError(
            f"network has an offset, which free={problem.free!r} does not allow; certify with a larger free part."
        )
    if network.linear is not None and np.any(network.linear != 0) and problem.free != "affine":
        raise ValueError(f"network has a linear part, which free={problem.free!r} does not allow; use free='affine'.")
