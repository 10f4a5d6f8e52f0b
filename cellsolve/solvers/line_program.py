"""The problem on given neurons of one input: which points are observed, and who may move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellsolve.broken_line import BrokenLine
from cellsolve.data import Array
from cellsolve.kinks import network_on_line
from cellsolve.line import FLAT, LEFT, Line
from cellsolve.problem import Problem
from cellsolve.solvers.chain import Chain
from cellsolve.solvers.chain_kernels import VALUE
from cellsolve.solvers.interior import ChainSolution, solve_chain
from cellsolve.solvers.line_network import Fit, Neurons, free_only, summed
from cellsolve.solvers.observations import Blocks, Corners, Pieces, Rows, Sums, cuts

#: steps towards the targets of interpolation; each squares the distance
MEETINGS = 6
#: steps of Newton's method on one set of neurons, and halvings of one; 3 to 10 steps are usual
NEWTON, HALVINGS = 50, 40
#: share of the objective by which a step of Newton's method has to lower it to be followed by another: rounding
STILL = 1e-14
#: least curvature of a loss: with less a point is as good as not there
LEAST = 1e-20
#: points up to which each is observed; of more, these shares, those nearest to a corner of their losses where a
#: solution for other neurons tells, and where one for every so many points does
FEW, NEAREST, NEAR, EVERY = 2000, 0.02, 0.15, 10
#: share of the objective that weights may be worth which are dropped as what an iteration leaves
LOST = 1e-11
#: values of y up to which neighbours of one are seen as a block
LABELS = 50
#: share of y by which f may be beyond a corner by rounding
BEYOND = 1e-12
#: B^T alpha up to this share of its terms is rounding, which the certificate corrects
BALANCED = 1e-9


class Layout:
    """Neurons in the order of a chain: kinks from left to right, then those that are linear on the data.

    Two kinks at one place, which face apart, move as one: how they share their weight may be settled by nothing.
    """

    def __init__(self, line: Line, neurons: Neurons, weights: Array | None = None) -> None:
        kink = ~line.outside(neurons.facing, neurons.place)
        order = np.lexsort((neurons.place, ~kink))
        self.line, self.neurons = line, neurons.take(order)
        self.weights = (neurons.weight if weights is None else weights)[order]
        self.kinks = self.neurons.place[: int(kink.sum())]
        facing, place, weight = self.neurons.facing, self.neurons.place, self.neurons.weight
        K = len(self.kinks)
        self.slopes = np.where(facing == LEFT, -1.0, 0.0)
        self.slopes[K:] = facing[K:]
        self.turns = (facing == FLAT).astype(float)  # a constant tilts
        together = np.cumsum(np.append(True, (np.diff(place) != 0) | (np.arange(1, len(place)) >= K))[: len(place)])
        moving = np.flatnonzero((weight != 0) & (np.bincount(together, weight)[together] != 0))
        first = np.append(True, np.diff(together[moving]) != 0)[: len(moving)]
        self.moving = moving[first]
        #: which of them each neuron belongs to, and its share of the weight
        self.unit = np.full(len(weight), -1)
        self.unit[moving] = np.cumsum(first) - 1
        self.total = np.bincount(self.unit[moving], weight[moving], len(self.moving))
        share = weight[moving] / self.total[self.unit[moving]]
        # a shift v of a kink that faces left is that of one that faces right, and -v everywhere
        drift = np.where(facing[moving] == LEFT, -1.0, np.where(moving < K, 0.0, 1.0))
        self.drift = np.bincount(self.unit[moving], share * drift, len(self.moving))

    def offsets(self, start: float) -> Array:
        """Values at `start` of the linear parts."""
        facing, place = self.neurons.facing, self.neurons.place
        return np.where(facing == FLAT, 1.0, self.slopes * (start - place))

    def drifts(self, start: float) -> Array:
        """Values at `start` of the linear functions of the shifts."""
        return np.where(self.turns[self.moving] > 0, start - self.line.tilt[0], self.drift)

    def chain(self, rows: Rows, level: float, b: int) -> Chain:
        """Return the chain on the observations `rows`."""
        facing, place = self.neurons.facing, self.neurons.place
        K, moving = len(self.kinks), self.moving
        first, second = self.line.bends(facing[moving], place[moving])
        second = np.where(facing[moving] == FLAT, self.line.tilt[1], second)
        cost, push = self.line.costs(facing, place), -np.sign(self.total) * first
        linear = np.column_stack([self.slopes, self.offsets(rows.place[0])])
        drift = np.column_stack([self.turns[moving], self.drifts(rows.place[0])])
        M = int(np.searchsorted(moving, K))
        return rows.chain(
            self.kinks,
            place[moving[:M]],
            level * np.concatenate([cost[:K], push[:M], cost[K:], push[M:]]),
            level * second / np.abs(self.total),
            np.vstack([linear[:K], drift[:M], linear[K:], drift[M:]])[:, :b].copy(),
        )

    @property
    def reach(self) -> Array:
        """How far those that move may do so: the widths of their cells."""
        place = self.neurons.place[self.moving]
        s, width = self.line.segment(place), np.diff(self.line.knots)
        return np.where(self.line.outside(self.neurons.facing[self.moving], place), width.sum(), width[s])

    def rest(self, rows: Rows, moved: Array, state: Array, weights: Array) -> tuple[float, float]:
        """Return what the neurons leave of the state at the first observation: slope, and value at x[0]."""
        start = rows.place[0]
        slope = float(state[1] - self.slopes @ weights - self.turns[self.moving] @ moved)
        value = float(state[0] - self.offsets(start) @ weights - self.drifts(start) @ moved)
        return slope, value - slope * (start - self.line.x[0])

    def steady(self, weights: Array) -> bool:
        """Whether none that is linear on the data and moves lost or won most of its weight."""
        turns = self.moving[self.moving >= len(self.kinks)]
        ratios = weights[turns] / self.neurons.weight[turns]
        return bool(np.all((ratios > 0.5) & (ratios < 2.0)))

    def moved(self, weights: Array, moved: Array) -> tuple[Neurons, Array]:
        """Put the neurons where their shifts take them, within their cells."""
        line, centre, unit = self.line, self.line.tilt[0], self.unit
        facing, place, weights = self.neurons.facing.copy(), self.neurons.place.copy(), weights.copy()
        outside = line.outside(facing, place)
        inner = np.flatnonzero(~outside & (unit >= 0))
        total = np.bincount(unit[inner], weights[inner], len(moved))
        step = np.where(total != 0, -moved / np.where(total != 0, total, 1.0), 0.0)
        s = line.segment(place[inner])
        place[inner] = np.clip(place[inner] + step[unit[inner]], line.knots[s], line.knots[s + 1])
        turns = np.flatnonzero(outside & (unit >= 0))
        c, v, face = weights[turns], moved[unit[turns]], facing[turns]
        slope = np.where(face == FLAT, v, face * c)
        at_first = np.where(face == FLAT, c + v * (line.x[0] - centre), face * (c * (line.x[0] - place[turns]) + v))
        facing[turns], place[turns], weights[turns] = line.linear_neurons(slope, at_first)
        kept = np.flatnonzero(weights)
        return Neurons(facing, place, weights).take(kept), weights[kept]


class LineProgram:
    """The problem on given neurons, over data in order.

    Parameters
    ----------
    problem : Problem
    line : Line
    every : bool
        Whether every point is observed, however many there are.
    """

    def __init__(self, problem: Problem, line: Line, every: bool = False) -> None:
        self.problem, self.line = problem, line
        self.y = problem.targets[line.order, 0]
        self.basis = np.ascontiguousarray(problem.basis[line.order].T)
        self.size = float(np.abs(self.y).max())
        #: what interpolation observes: distinct points, without those that are met as they are on a line with others
        self.corners = line.first[:-1][np.diff(line.first) > 0]
        self.guesses = False
        if problem.interpolates and not (every or problem.penalty.depends_on_data):
            distinct, self.corners = self.corners, self.corners[BrokenLine(line, problem.targets[:, 0]).number]
            self.guesses = len(self.corners) < len(distinct)
        #: where Newton's method for losses with curvature everywhere goes on from, and guesses of pieces
        self.values, self.norm = np.zeros(line.n), 0.0
        self.pieces: Pieces | None = None
        self.blocks: Blocks | None = None
        if problem.loss.bend is not None and not problem.interpolates:
            low, high = problem.loss.domain(self.y)
            self.pieces = Pieces(line.x, self.y, line.n * problem.loss.bend, low / line.n, high / line.n)
            self.guesses = not (every or self.pieces.sure or line.n <= FEW)
            if self.guesses and problem.loss.polyhedral and len(np.unique(self.y)) <= LABELS:
                self.blocks = Blocks(self.pieces)

    def solve(self, neurons: Neurons, tol: float) -> Fit:
        """Solve on these neurons, each given once; those with a weight move to where w, to second order, has them."""
        layout = Layout(self.line, neurons)
        if self.pieces is not None:
            return self._by_pieces(layout, self.pieces, tol)
        if not self.problem.interpolates:
            return self._by_newton(layout, tol)
        rows, alpha = self._points(), np.zeros(self.line.n)
        solved = self._chained(layout, rows, tol)
        alpha[self.corners] = solved.alpha
        return self._fit(layout, rows, solved, alpha)

    def _by_pieces(self, layout: Layout, pieces: Pieces, tol: float, again: bool = True) -> Fit:
        """Solve with what the points near corners of their losses do not know added up; again, where one crosses it."""
        if pieces.sure:
            sums = Sums(pieces.x, pieces.y, np.ones(self.line.n), cuts(pieces.x, layout.kinks), pieces.R)
            rows, order = sums.rows
            solved = self._chained(layout, rows, tol)
            return self._fit(layout, rows, solved, sums.alpha(solved.alpha[np.argsort(order)]))
        guess, rounding = self._guess(layout, pieces, tol), BEYOND * self.size
        while True:
            rows = guess.rows(layout.kinks)
            solved = self._chained(layout, rows, tol)
            self.values = self._walked(layout, rows.place[0], solved)
            if guess.settled(self.values, rounding):
                break
        alpha = guess.alpha(solved.alpha)
        fit = self._fit(layout, rows, solved, alpha)
        value = float(pieces.loss(self.values).sum()) + solved.cost
        value += LOST * abs(value)
        if again and self.objective(fit) > value:  # small weights were worth something, to others or as they are
            few = self._by_pieces(Layout(self.line, summed(self.line, fit)[0]), pieces, tol, again=False)
            every = self._fit(layout, rows, replace(solved, held=solved.weights != 0), alpha)
            fit = min((fit, few, every), key=lambda f: max(self.objective(f), value))
        return replace(fit, alpha=alpha)

    def _guess(self, layout: Layout, pieces: Pieces, tol: float) -> Corners | Blocks:
        """Return which points to observe: all of few, of others those that an earlier solution or a sample tells."""
        n = self.line.n
        if not self.guesses:
            return Corners(pieces, self.values, n)
        if self.blocks is not None:
            return self.blocks
        share = NEAREST
        if not self.values.any():
            some, share = pieces.every(EVERY), NEAR
            rows = Corners(some, some.y, len(some.x)).rows(layout.kinks)
            self.values = self._walked(layout, rows.place[0], self._chained(layout, rows, tol))
        return Corners(pieces, self.values, max(FEW // 2, int(share * n)))

    def _chained(self, layout: Layout, rows: Rows, tol: float) -> ChainSolution:
        return solve_chain(layout.chain(rows, self.problem.level, 2 - self.problem.basis.shape[1]), tol)

    def _fit(self, layout: Layout, rows: Rows, solved: ChainSolution, alpha: Array) -> Fit:
        weights = np.where(solved.held, solved.weights, 0.0)
        rest = layout.rest(rows, solved.shifts, solved.start, weights)
        neurons, kept = layout.moved(weights, solved.shifts)
        fit = Fit(neurons, kept, *rest, alpha, layout.steady(solved.weights))
        return free_only(fit, 2 - self.problem.basis.shape[1])

    def _by_newton(self, layout: Layout, tol: float) -> Fit:
        """Solve for a loss with curvature everywhere: squared losses to second order, each solved as a chain.

        A step is shortened where the objective does not fall enough along it; in the end steps are whole.
        """
        loss, y, n = self.problem.loss, self.y, self.line.n
        f, norm = self.values, self.norm
        for _ in range(NEWTON):
            slope, curve = loss.gradient(f, y), np.maximum(loss.curvature(f, y), LEAST)
            rows = Sums(self.line.x, f - slope / curve, curve, cuts(self.line.x, layout.kinks), n).rows[0]
            solved = self._chained(layout, rows, tol)
            there, size = self._walked(layout, rows.place[0], solved), solved.cost
            change = float(slope @ (there - f)) / n + size - norm
            now, length = float(np.sum(loss.value(f, y))) / n + norm, 1.0
            for _ in range(HALVINGS):
                value = float(np.sum(loss.value(f + length * (there - f), y))) / n + norm + length * (size - norm)
                if value <= now + 0.1 * length * change + STILL * abs(now):
                    break
                length *= 0.5
            f, norm = f + length * (there - f), norm + length * (size - norm)
            if length == 1 and abs(change) <= STILL * abs(now):
                break
        fit = self._fit(layout, rows, solved, -loss.gradient(f, y) / n)
        self.values, self.norm = self.network(fit), self.problem.level * self.norm_of(fit)
        return fit

    def _walked(self, layout: Layout, start: float, solved: ChainSolution) -> Array:
        """Return the values at the sorted points of the chain's f."""
        x, t, K = self.line.x, layout.kinks, len(layout.kinks)
        result = solved.start[0] + solved.start[1] * (x - start)
        if K:
            slopes = np.cumsum(solved.weights[:K])
            jumps = np.zeros(K)
            jumps[layout.moving[layout.moving < K]] = solved.shifts[: np.searchsorted(layout.moving, K)]
            bases = np.append(0.0, np.cumsum(slopes[:-1] * np.diff(t))) + np.cumsum(jumps)
            k = np.searchsorted(t, x, side="left") - 1
            seen = k >= 0
            result[seen] += bases[k[seen]] + slopes[k[seen]] * (x[seen] - t[k[seen]])
        return result

    def met(self, fit: Fit) -> Fit:
        """Return the nearest network through the targets, in units of its weights: iterations left something."""
        line, at = self.line, self.corners
        y, b = self.y[at], 2 - self.problem.basis.shape[1]
        fit = free_only(fit, b)
        for _ in range(MEETINGS):
            miss = y - self.network(fit)[at]
            facing, place = fit.neurons.facing, fit.neurons.place
            corner = np.isin(place, line.knots) | ((facing == FLAT) & (not line.curved))
            layout = Layout(line, Neurons(facing, place, np.where(corner, 0.0, fit.weights)), fit.weights)
            rows = self._points()
            chain = layout.chain(rows, 1.0, b)
            T = np.empty(len(chain.cost))
            c = layout.weights
            T[chain.neurons] = c**2
            T[chain.moved] = (layout.total * layout.reach) ** 2
            zero, jumps = np.zeros(len(at)), np.zeros(len(T))
            _, step, _, start = chain.newton(zero, T, miss, jumps, np.zeros(b), np.zeros(2 - b))
            slope, offset = layout.rest(rows, step[chain.moved], start, step[chain.neurons])
            neurons, weights = layout.moved(c + step[chain.neurons], step[chain.moved])
            moved = Fit(neurons, weights, fit.slope + slope, fit.offset + offset, fit.alpha)
            better = free_only(moved, b)
            if not np.abs(y - self.network(better)[at]).max() < np.abs(miss).max():
                break
            fit = better
        return fit

    def objective(self, fit: Fit) -> float:
        """Return the objective of the network."""
        if self.problem.interpolates:
            return self.norm_of(fit)
        loss = float(np.sum(self.problem.loss.value(self.network(fit), self.y))) / self.line.n
        return loss + self.problem.level * self.norm_of(fit)

    def miss(self, fit: Fit) -> float:
        """Return by how much an interpolant misses the targets, as a share of them; 0 where it need not meet them."""
        if not self.problem.interpolates:
            return 0.0
        return float(np.abs(self.network(fit) - self.y).max() / (np.abs(self.y).max() or 1.0))

    def norm_of(self, fit: Fit) -> float:
        """Return what the network costs."""
        return float(np.abs(fit.weights) @ self.line.costs(fit.neurons.facing, fit.neurons.place))

    def balanced(self, alpha: Array) -> bool:
        """Whether B^T alpha is rounding."""
        size = np.abs(alpha)
        return all(abs(alpha @ column) <= BALANCED * (size @ np.abs(column)) for column in self.basis)

    def network(self, fit: Fit) -> Array:
        """Return f at the sorted points."""
        x = self.line.x
        weights = np.concatenate([fit.weights, [fit.slope, fit.offset]])[:, None]
        theta = np.vstack([self.line.theta(fit.neurons.facing, fit.neurons.place), [[1.0, -x[0]], [0.0, 1.0]]])
        theta[:-2, 1] *= self.line.unit
        return network_on_line(theta, weights, np.arange(len(x)), x)[:, 0]

    def _points(self) -> Rows:
        at, zero = self.corners, np.zeros(len(self.corners))
        return Rows(np.full(len(at), VALUE), self.line.x[at], self.y[at], zero, zero - np.inf, zero + np.inf)
