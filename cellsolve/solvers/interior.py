"""An interior-point method for a chain: Mehrotra's predictor and corrector, from an infeasible start.

Masses p - q = c of the neurons pair with slacks omega -+ phi, the room of beta = -alpha in its box with multipliers;
the products of all pairs fall to 0 together. Every Newton system is a chain (`Chain.newton`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellsolve.data import Array
from cellsolve.solvers.chain import Chain

#: share of the way to the border that a step takes
BOLD = 0.995
#: iterations; 8 to 20 are usual, 60 the most seen
MOST = 200
#: residuals of a solved chain, as shares of what they are residuals of: a few hundred roundings of sums over it
FEASIBLE = 1e-12
#: an objective below this share of the first is zero
NOTHING = 1e-14
#: iterations without a smaller gap after which rounding is all there is
PATIENCE = 6
#: share of the objective below which a gap is small
NEAR = 1e-3
#: slacks start at no less than this share of omega
AWAY = 0.1


@dataclass
class ChainSolution:
    """A solved chain.

    Attributes
    ----------
    weights : (K,)
        c, of the kinks and then of the linear neurons.
    shifts : (M,)
        v.
    cost : float
        What weights and shifts cost.
    held : (K,) bool
        Whether a neuron has a weight at all: further from 0 than |phi| is from its cost, each in its own unit.
    start : (2,)
        f and f' at the first observation.
    alpha : (n,)
    """

    weights: Array
    shifts: Array
    cost: float
    held: np.ndarray
    start: Array
    alpha: Array


def solve_chain(chain: Chain, tol: float) -> ChainSolution:
    """Solve the chain to a relative gap of `tol`, or as far as rounding allows."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a last step may; the best one counts
        return _solve(chain, tol)


def _solve(chain: Chain, tol: float) -> ChainSolution:
    point = _first(chain)
    best, least, smallest, quiet, scale = point, np.inf, np.inf, 0, _Scale(chain)
    for _ in range(MOST):
        here = _Residuals(chain, point, scale)
        merit = max(here.gap / here.worth, here.wrong)
        less = 0.5 if here.gap < NEAR * here.worth else 0.95  # far away it may fall slowly for a while
        quiet = 0 if merit < least or here.gap < less * smallest else quiet + 1
        smallest = min(here.gap, smallest)
        if merit < least:
            best, least = point, merit
        solved = here.gap <= tol * here.worth and here.wrong <= max(FEASIBLE, 1e-3 * tol)
        if solved or quiet == PATIENCE or not np.isfinite(merit):
            break
        ahead = here.step(0.0, (0.0, 0.0, 0.0, 0.0))
        length = point.length(ahead)
        mu = here.gap / max(here.pairs, 1)
        left = point.moved(ahead, length).gap() / here.gap if mu else 0.0
        target = mu * (left * left * left)  # not left**3, which raises where floats end
        # of a short step the products say little, and large ones would spoil the balance of the pairs
        products = tuple(np.clip(a * b, -mu, mu) for a, b in ahead.pairs())
        step = here.step(target, products)
        point = point.moved(step, min(1.0, BOLD * point.length(step)))
    c = best.p - best.q
    omega, pushed = chain.cost[chain.neurons], chain.cost[chain.moved]
    mass, slack = np.where(c > 0, best.p, best.q), np.where(c > 0, best.p_slack, best.q_slack)
    held = mass * omega > slack * mass.max(initial=0.0)
    cost = float(omega @ np.abs(c) + (pushed + 0.5 * chain.stiffness * best.v) @ best.v)
    return ChainSolution(c, best.v, cost, held, best.start, -best.beta)


@dataclass
class _Point:
    """An iterate, or a step: masses and slacks, shifts v, beta with its rooms and their multipliers, the first state.

    The rooms are numbers of their own: as differences they would be rounding in the end.
    """

    p: Array
    q: Array
    p_slack: Array
    q_slack: Array
    below: Array
    above: Array
    room_low: Array
    room_high: Array
    v: Array
    beta: Array
    start: Array

    def pairs(self) -> tuple[tuple[Array, Array], ...]:
        """What is complementary."""
        return (
            (self.p, self.p_slack),
            (self.q, self.q_slack),
            (self.below, self.room_low),
            (self.above, self.room_high),
        )

    def gap(self) -> float:
        """Sum of the products of the pairs."""
        return float(sum(a @ b for a, b in self.pairs()))

    def moved(self, step: _Point, length: float) -> _Point:
        """Return the point so far along the step."""
        return _Point(*(a + length * b for a, b in zip(vars(self).values(), vars(step).values(), strict=True)))

    def length(self, step: _Point) -> float:
        """The longest step, a little more than 1 at most, along which all of the pairs stay positive."""
        longest = 1.0 / BOLD
        for pair, change in zip(self.pairs(), step.pairs(), strict=True):
            for x, dx in zip(pair, change, strict=True):
                down = dx < 0
                longest = float((x[down] / -dx[down]).min(initial=longest))
        return longest


def _first(chain: Chain) -> _Point:
    """Masses of the size of y; beta amid its box, adding up to 0 where that is possible; slacks that make up for it."""
    n, omega = len(chain.y), chain.cost[chain.neurons]
    low, high = np.maximum(chain.low, -1.0 / n), np.minimum(chain.high, 1.0 / n)
    beta = np.where((low < 0) & (high > 0), 0.0, 0.5 * (low + high))
    up, down = beta[beta > 0].sum(), -beta[beta < 0].sum()
    if min(up, down) > 0:
        beta = np.where(beta > 0, beta * min(1.0, down / up), beta * min(1.0, up / down))
    phi = chain.priced(-beta)[0][chain.neurons]
    far = max(0.0, float((np.abs(phi) - omega).max(initial=0.0)))
    size = float(np.abs(chain.y).max(initial=0.0)) or 1.0
    lower, upper = chain.bounded
    return _Point(
        p=np.full(len(omega), size),
        q=np.full(len(omega), size),
        p_slack=np.maximum(omega - phi, AWAY * omega) + far,
        q_slack=np.maximum(omega + phi, AWAY * omega) + far,
        below=np.full(len(lower), size),
        above=np.full(len(upper), size),
        room_low=beta[lower] - chain.low[lower],
        room_high=chain.high[upper] - beta[upper],
        v=np.zeros(len(chain.moved)),
        beta=beta,
        start=np.zeros(2),
    )


class _Scale:
    """What residuals and the objective are compared with."""

    def __init__(self, chain: Chain) -> None:
        self.size = float(np.abs(chain.y).max(initial=0.0)) or 1.0
        self.width = float(np.ptp(chain.place))
        self.alpha = chain.push.size + float(np.finfo(float).tiny)
        self.first = 0.0


class _Residuals:
    """What is left of the optimality conditions at a point, and the Newton steps that lessen it."""

    def __init__(self, chain: Chain, point: _Point, scale: _Scale) -> None:
        self.chain, self.point = chain, point
        neurons, moved, (lower, upper) = chain.neurons, chain.moved, chain.bounded
        jumps = np.empty(len(chain.cost))
        jumps[neurons], jumps[moved] = point.p - point.q, point.v
        f, self.miss = chain.observed(jumps, point.start)
        phi, self.moments = chain.priced(-point.beta)
        self.r = chain.y + chain.R * point.beta - f
        self.r[upper] += point.above
        self.r[lower] -= point.below
        omega, pushed = chain.cost[neurons], chain.cost[moved]
        self.r_p, self.r_q = omega - phi[neurons] - point.p_slack, omega + phi[neurons] - point.q_slack
        self.r_v = pushed + chain.stiffness * point.v - phi[moved]

        self.gap = point.gap()
        self.pairs = 2 * len(omega) + len(lower) + len(upper)
        worth = float(omega @ (point.p + point.q) + (pushed + 0.5 * chain.stiffness * point.v) @ point.v)
        worth += chain.push.worth + float(0.5 * (chain.R @ point.beta**2))
        worth += float(point.above @ chain.high[upper] - point.below @ chain.low[lower])
        scale.first = scale.first or worth
        self.worth = max(worth, NOTHING * scale.first, float(np.finfo(float).tiny))
        scale.alpha = max(scale.alpha, chain.push.size + float(np.abs(point.beta).sum()))
        spans = np.array([scale.width, 1.0])[: len(self.miss)]  # what a slope and a value change of f
        self.wrong = max(
            float(np.abs(self.moments).max(initial=0.0)) / scale.alpha,
            float(np.abs(self.r).max(initial=0.0)) / scale.size,
            float((np.abs(self.miss) * spans).max(initial=0.0)) / scale.size,
            float(np.abs(self.r_p / omega).max(initial=0.0)),
            float(np.abs(self.r_q / omega).max(initial=0.0)),
        )

    def step(self, target: float, products: tuple[Array | float, ...]) -> _Point:
        """Newton's step to residuals 0 and products `target`, less what second-order terms will add to them."""
        chain, at, (lower, upper) = self.chain, self.point, self.chain.bounded
        on_p, on_q, on_low, on_high = (target - product for product in products)
        p_ratio, q_ratio = at.p / at.p_slack, at.q / at.q_slack
        low_ratio, high_ratio = at.below / at.room_low, at.above / at.room_high
        # with dphi = 0 each would change by this
        p, q = on_p / at.p_slack - at.p - p_ratio * self.r_p, on_q / at.q_slack - at.q - q_ratio * self.r_q
        below, above = on_low / at.room_low - at.below, on_high / at.room_high - at.above
        t, T = np.empty(len(chain.cost)), np.empty(len(chain.cost))
        t[chain.neurons], T[chain.neurons] = p - q, p_ratio + q_ratio
        t[chain.moved], T[chain.moved] = -self.r_v / chain.stiffness, 1 / chain.stiffness
        r, R = self.r.copy(), chain.R.copy()
        r[upper] += above
        r[lower] -= below
        R[upper] += high_ratio
        R[lower] += low_ratio
        dalpha, jumps, dphi, start = chain.newton(R, T, r, t, self.miss, self.moments)
        dc, dphi = jumps[chain.neurons], dphi[chain.neurons]
        p, q = p + p_ratio * dphi, q - q_ratio * dphi
        # of the two masses the larger moves by what the chain says: its slack is rounding, and divides it
        larger = p_ratio > q_ratio
        return _Point(
            p=np.where(larger, dc + q, p),
            q=np.where(larger, q, p - dc),
            p_slack=self.r_p - dphi,
            q_slack=self.r_q + dphi,
            below=below + low_ratio * dalpha[lower],
            above=above - high_ratio * dalpha[upper],
            room_low=-dalpha[lower],
            room_high=dalpha[upper],
            v=jumps[chain.moved],
            beta=-dalpha,
            start=start,
        )
