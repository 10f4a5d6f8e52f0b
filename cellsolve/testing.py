"""Assertions for the tests of other projects: a network is proven to be nearly the best of any width."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from cellsolve.api import certify, interpolate, solve
from cellsolve.certificate import Certificate
from cellsolve.checks import positive
from cellsolve.losses import Loss
from cellsolve.measure import SparseMeasure
from cellsolve.potentials import Potential
from cellsolve.problem import Problem, as_problem
from cellsolve.solution import Solution


def assert_near_optimal(
    network: Any,
    X: ArrayLike | Problem,
    y: ArrayLike | None = None,
    *,
    lam: float | None = None,
    within: float = 0.01,
    loss: str | Loss | None = None,
    penalty: str | Potential | None = None,
    free: str | None = None,
    fit_bias: bool | None = None,
    certificate: Certificate | Solution | None = None,
    norm: float | None = None,
    **options: Any,
) -> Certificate:
    r"""Raise unless a network is proven to be nearly the best of any width.

    With F the objective and F* its infimum over networks of any width, it is accepted if a proven lower bound says

    .. math:: F(\text{network}) \le (1 + \text{within})\, F^*.

    Parameters
    ----------
    network : SparseMeasure, torch module or callable
        A callable X -> f(X) needs its `norm`, sum |c_k| w(theta_k).
    X, y, lam, loss, penalty, free, fit_bias
        See `Problem`; lam=None asks for an interpolant and compares norms.
    within : float
        Largest excess accepted, as a share of the best objective: 0.01 is 1%.
    certificate : Certificate or Solution, optional
        From a solve of the same problem on the same data; without it the problem is solved here. It is believed:
        `Certificate.verify` checks one that was read from a file.
    norm : float, optional
        Norm of a callable.
    **options
        As in `solve`.

    Returns
    -------
    Certificate
        Of the network; its ``excess`` is at most `within`.

    Raises
    ------
    AssertionError
        Not proven. The message says which: the network is worse, as a network is known that shows it, or the bound is
        too weak to tell.
    ValueError
        As in `certify`.
    """
    __tracebackhide__ = True  # pytest then ends its traceback at the line of the test
    within = positive(within, "within", 0.01)
    problem = as_problem(X, y, lam=lam, loss=loss, penalty=penalty, free=free, fit_bias=fit_bias)
    if callable(network) and hasattr(network, "state_dict"):
        network = SparseMeasure.from_torch(network)
    if certificate is None:
        certificate = interpolate(problem, **options) if problem.interpolates else solve(problem, **options)
    proof = certify(network, problem, certificate=certificate, norm=norm, **options)
    if proof.excess <= within:
        return proof
    lines = [
        f"network is not proven to be within {_percent(within)} of the best of any width",
        f"  objective    {proof.objective:.10g}",
        f"  lower bound  {proof.lower_bound:.10g}   for networks of any width",
        f"  excess       {_percent(proof.excess)}   proven: at most this far above the best",
        f"  within       {_percent(within)}",
    ]
    if isinstance(network, SparseMeasure):
        lines.append(f"  neurons      {network.n_neurons}")
    known, refuted = certificate.objective, proof.objective / (1 + within)
    if known < refuted:  # the best of any width is not above a network's objective
        lines.append(f"It is worse than that: a network with the objective {known:.10g} is known.")
    else:
        lines.append(
            f"The bound is too weak to tell, and no network is known below {refuted:.10g}, which would refute it. "
            "Solve with a larger max_time, or a smaller tol."
        )
        if isinstance(certificate, Solution):
            lines.append(f"The solve ended with {certificate.status}: {certificate.status.sentence}")
    raise AssertionError("\n".join(lines))


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
