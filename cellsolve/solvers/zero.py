r"""The level above which no neuron pays: lam_max.

.. math:: \lambda_{\max} = \min_\alpha \sup_\theta \|\varphi_\alpha(\theta)\| / w(\theta)

over the dual vectors that certify the best free part alone: -n alpha_i in the subdifferential of the loss there, and
B^T alpha = 0. Where the loss is smooth there is one such alpha; else the least supremum is a small cutting-plane loop.
"""

from __future__ import annotations

import numpy as np

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.masters import neuron_master

#: distance, relative to the data, within which a value counts as a kink of the loss: the accuracy of the convex solver
AT_KINK = 1e-7
#: a supremum below this share of what residuals of size 1 could give is rounding: the free part fits alone
NOTHING = 1e-13
#: the loop stops at this relative gap between the supremum and the program's value
SETTLED = 1e-9


def zero_level(problem: Problem, oracle, max_time: float = np.inf) -> float:
    """Return lam_max of the (normalized, penalised) problem: of the neurons found, so a lower bound.

    The oracle takes at most `max_time` seconds for each dual vector.
    """
    solution = neuron_master(problem).solve()
    fit = problem.basis @ solution.coefficients
    width = AT_KINK * max(1.0, np.abs(problem.targets).max())
    low = -problem.loss.gradient(fit + width, problem.targets) / problem.n
    high = -problem.loss.gradient(fit - width, problem.targets) / problem.n
    alpha = problem.dual_candidate(solution.alpha)
    flexible = np.abs(high - low) > 1e-5 * np.maximum(np.abs(high), np.abs(low)).max(initial=0.0)
    scale = np.abs(solution.alpha) + 1 / problem.n
    crude_bound, about = problem.penalty.crude_bound, (problem.lifted, problem.fit_bias)
    nothing = NOTHING * crude_bound(scale, *about)
    if crude_bound(alpha, *about) <= nothing:
        return 0.0
    best = _largest(oracle, alpha, max_time)[1]
    if not flexible.any() or problem.n_outputs > 1:
        return best if best > nothing else 0.0
    low, high = np.where(flexible, low, alpha), np.where(flexible, high, alpha)
    cuts = np.zeros((0, problem.n))
    for _ in range(200):
        found, value = _largest(oracle, alpha, max_time)
        best = min(best, value)
        theta = found[: problem.n + 10]
        cost = problem.neuron_costs(theta)
        theta = theta[cost > 0] / cost[cost > 0, None]
        cuts = np.vstack([cuts, problem.responses(theta).T])
        candidate, bound = _least_level(cuts, problem.basis, low[:, 0], high[:, 0])
        if candidate is None or best - bound <= max(SETTLED * best, nothing):
            break
        alpha = candidate[:, None]
    return best if best > nothing else 0.0


def _largest(oracle, alpha: Array, max_time: float) -> tuple[Array, float]:
    pricing = oracle.price(alpha, 0.0, max_time=max_time)
    return pricing.theta, float(pricing.ratios[0]) if len(pricing.ratios) else 0.0


def _least_level(cuts: Array, basis: Array, low: Array, high: Array) -> tuple[Array | None, float]:
    """Minimise t over alpha in the box with B^T alpha = 0 and |cuts alpha| <= t."""
    from scipy.optimize import linprog

    n = cuts.shape[1]
    unit = float(np.abs(high - low).max())  # without it HiGHS may take millions of steps where the level is 0
    minus = -np.ones((len(cuts), 1))
    result = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.vstack([np.hstack([cuts, minus]), np.hstack([-cuts, minus])]),
        b_ub=np.zeros(2 * len(cuts)),
        A_eq=np.hstack([basis.T, np.zeros((basis.shape[1], 1))]) if basis.shape[1] else None,
        b_eq=np.zeros(basis.shape[1]) if basis.shape[1] else None,
        bounds=[*zip(low / unit, high / unit, strict=True), (0, None)],
        method="highs",
    )
    return (unit * result.x[:n], unit * float(result.fun)) if result.status == 0 else (None, 0.0)
