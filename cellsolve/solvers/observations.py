"""What a chain observes of f: points, or what many of them add up to.

A loss of one number is linear, quadratic and linear again, with corners where its multiplier reaches an end of its box;
some pieces may be missing. Where the piece of a point is known, linear ones push f with a known multiplier, and
quadratic ones add up, between two kinks, to one square of f and one of f'. Only points near a corner are observed, or,
where many have theirs at the same y, blocks of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cellsolve.data import Array
from cellsolve.solvers.chain import Chain, Push
from cellsolve.solvers.chain_kernels import KINK, SHIFT, SLOPE, VALUE, potentials


@dataclass(frozen=True)
class Rows:
    """Observations in order, and points that push with a known multiplier alpha, whose losses are `worth` about."""

    kind: np.ndarray
    place: Array
    y: Array
    R: Array
    low: Array
    high: Array
    pushing: Array = field(default_factory=lambda: np.zeros(0))
    alpha: Array = field(default_factory=lambda: np.zeros(0))
    worth: float = 0.0

    def chain(self, kinks: Array, shifts: Array, cost: Array, stiffness: Array, linear: Array) -> Chain:
        """Return the chain of these observations and jumps, as `Chain` describes them."""
        phi, moments = np.zeros(len(cost)), np.zeros(2)
        if len(self.alpha):
            places = np.append(self.place[0], self.pushing)  # moments are those about the first observation
            alpha = np.append(0.0, self.alpha)
            events = _events(np.full(len(places), VALUE), places, kinks, shifts)
            potentials(*events, alpha, linear, phi, moments)
        push = Push(phi, moments, float(np.abs(self.alpha).sum()), self.worth)
        events = _events(self.kind, self.place, kinks, shifts)
        observed = self.place, self.y, self.R, self.low, self.high
        return Chain(*events, *observed, len(kinks), len(shifts), cost, stiffness, linear, push)


def _events(kind: np.ndarray, place: Array, kinks: Array, shifts: Array) -> tuple[np.ndarray, Array, np.ndarray]:
    """Return kind, step and index of observations and jumps in order, as `chain_kernels.smooth` takes them."""
    K, M = len(kinks), len(shifts)
    at = np.concatenate([place, kinks, shifts])
    kinds = np.concatenate([kind, np.full(K, KINK), np.full(M, SHIFT)]).astype(np.int8)
    index = np.concatenate([np.arange(len(place)), np.arange(K + M)])
    order = np.lexsort((kinds, at))
    return kinds[order], np.diff(at[order], prepend=at[order[0]]), index[order]


@dataclass(frozen=True)
class Pieces:
    """Losses of sorted points, max over beta in [low, high] of beta (f - y) - R beta^2 / 2, and their pieces.

    A piece is -1 where beta is low, 1 where it is high, and 0 between.
    """

    x: Array
    y: Array
    R: float
    low: Array
    high: Array

    @property
    def sure(self) -> bool:
        """Whether there is but one piece."""
        return bool(np.isneginf(self.low).all() and np.isposinf(self.high).all())

    def at(self, f: Array) -> tuple[np.ndarray, Array]:
        """Return the pieces of the points, and how far f is from the next ones."""
        below, above = (f - self.y) - self.ends[0], (f - self.y) - self.ends[1]
        piece = np.where(below < 0, -1, np.where(above > 0, 1, 0))
        if self.R == 0:  # nothing is between: of both multipliers the smaller one
            piece[piece == 0] = np.where(-self.low < self.high, -1, 1)[piece == 0]
        return piece, np.minimum(np.abs(below), np.abs(above))

    @property
    def ends(self) -> tuple[Array, Array]:
        """Where f - y leaves the first piece, and where it comes to the last one."""
        return (self.R * self.low, self.R * self.high) if self.R else (np.zeros_like(self.y), np.zeros_like(self.y))

    def loss(self, f: Array) -> Array:
        """Return the losses."""
        miss = f - self.y
        within = np.clip(miss, *self.ends)
        beta = np.where(miss < within, self.low, np.where(miss > within, self.high, 0.0))
        half = 0.5 * within**2 / self.R if self.R else 0.0
        return half + np.where(miss != within, beta * (miss - within), 0.0)

    def every(self, step: int) -> Pieces:
        """Return a sample that stands for all: every so many, and the last."""
        some = np.unique(np.append(np.arange(0, len(self.x), step), len(self.x) - 1))
        share = len(self.x) / len(some)
        return Pieces(self.x[some], self.y[some], self.R / share, self.low[some] * share, self.high[some] * share)


class Corners:
    """Points near a corner of their losses as observations, others on a piece each: a guess that learns.

    Parameters
    ----------
    pieces : Pieces
    f : (n,)
        Values that tell the pieces, and what losses are worth about.
    count : int
        How many points are observed, n for all.
    """

    def __init__(self, pieces: Pieces, f: Array, count: int) -> None:
        self.pieces, self.f = pieces, f
        self.piece, away = pieces.at(f)
        self.near = _smallest(away, count)
        self.near[[0, -1]] = True  # sums of what pushes are about the first

    def rows(self, kinks: Array) -> Rows:
        """Return what is observed between these kinks."""
        pieces, near, piece = self.pieces, self.near, self.piece
        x, y, R = pieces.x, pieces.y, pieces.R
        self.observed, self.within = np.flatnonzero(near), np.flatnonzero(~near & (piece == 0))
        self.known = np.where(near | (piece == 0), 0.0, np.where(piece < 0, -pieces.low, -pieces.high))
        at = self.observed
        parts = [(np.full(len(at), VALUE), x[at], y[at], np.full(len(at), R), pieces.low[at], pieces.high[at])]
        if len(self.within):
            place = x[self.within]
            self.sums = Sums(place, y[self.within], np.ones(len(place)), cuts(place, kinks), R)
            free = np.full(len(self.sums.place), np.inf)
            parts.append((self.sums.kind, self.sums.place, self.sums.y, self.sums.R, -free, free))
        kind, place, seen, spread, low, high = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.order = order = np.lexsort((kind, place))
        pushing, worth = np.flatnonzero(self.known), float(pieces.loss(self.f)[~near & (piece != 0)].sum())
        rows = Rows(kind[order], place[order], seen[order], spread[order], low[order], high[order])
        return replace(rows, pushing=x[pushing], alpha=self.known[pushing], worth=worth)

    def alpha(self, of_rows: Array) -> Array:
        """Return the dual vector (n,) of which those of the last rows are a part or the sums."""
        alpha, parts = self.known.copy(), np.empty(len(of_rows))
        parts[self.order] = of_rows
        alpha[self.observed] = parts[: len(self.observed)]
        if len(self.within):
            alpha[self.within] = self.sums.alpha(parts[len(self.observed) :])
        return alpha

    def settled(self, f: Array, rounding: float) -> bool:
        """Return whether all points are on their pieces at f; if not, observe those that are not, the farthest first.

        Then a solution is that of the problem in which every point is observed.
        """
        there, away = self.pieces.at(f)
        crossed = ~self.near & (there != self.piece) & ~(away <= rounding)
        self.near |= crossed & _smallest(np.where(crossed, -away, 0.0), int(self.near.sum()))
        return not crossed.any()


class Blocks:
    """Neighbours of one y between two kinks as one observation: a guess that learns, of losses with one corner.

    The sum of their losses is that of all of them at their mean, unless f crosses the corner among them.
    """

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.order = np.lexsort((pieces.x, pieces.y))
        self.x, self.y = pieces.x[self.order], pieces.y[self.order]
        labels = np.flatnonzero(np.diff(self.y, prepend=np.nan) != 0)
        ends = pieces.x[[0, -1]]
        at_ends = np.flatnonzero(np.diff(np.isin(self.x, ends), prepend=True))  # which are by themselves
        self.starts, self.labels = np.union1d(labels, at_ends), labels

    def rows(self, kinks: Array) -> Rows:
        """Return what is observed between these kinks."""
        n = len(self.x)
        stops = np.append(self.labels[1:], n)
        between = [a + np.searchsorted(self.x[a:b], kinks) for a, b in zip(self.labels, stops, strict=True)]
        starts = np.unique(np.concatenate([self.starts, *between]))
        self.blocks = starts[starts < n]
        self.count = np.diff(np.append(self.blocks, n))
        low, high = (np.add.reduceat(side[self.order], self.blocks) for side in (self.pieces.low, self.pieces.high))
        last = self.blocks + self.count - 1
        place = np.add.reduceat(self.x, self.blocks) / self.count
        place = np.clip(place, self.x[self.blocks], self.x[last])
        self.sorted = order = np.argsort(place, kind="stable")
        value, zero = np.full(len(place), VALUE), np.zeros(len(place))
        return Rows(value, place[order], self.y[self.blocks][order], zero, low[order], high[order])

    def alpha(self, of_rows: Array) -> Array:
        """Return the dual vector (n,), equal within each block."""
        parts, alpha = np.empty(len(of_rows)), np.empty(len(self.x))
        parts[self.sorted] = of_rows
        alpha[self.order] = np.repeat(parts / self.count, self.count)
        return alpha

    def settled(self, f: Array, rounding: float) -> bool:
        """Return whether f crosses no corner within a block; if not, cut those blocks there, finely near the crossing.

        Then a solution is that of the problem in which every point is observed.
        """
        miss = f[self.order] - self.y
        side = np.where(np.abs(miss) <= rounding, 0, np.sign(miss)).astype(int)
        some = np.minimum.reduceat(side, self.blocks) * np.maximum.reduceat(side, self.blocks) < 0
        for first, count in zip(self.blocks[some], self.count[some], strict=True):
            inside = side[first : first + count]
            at = first + int(np.flatnonzero(inside == -inside[inside != 0][0])[0])
            steps = 4 ** np.arange(0, 16)
            new = np.concatenate([[at], at - steps, at + steps])
            self.starts = np.union1d(self.starts, new[(new > first) & (new < first + count)])
        return not some.any()


def _smallest(values: Array, count: int) -> np.ndarray:
    """Return which are the `count` smallest."""
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argpartition(values, min(count, len(values)) - 1)[:count]] = True
    return chosen


def cuts(x: Array, kinks: Array) -> np.ndarray:
    """Return the points that begin a stretch between kinks; the first place is one by itself."""
    starts = np.unique(np.concatenate([[0, np.searchsorted(x, x[0], side="right")], np.searchsorted(x, kinks)]))
    return starts[starts < len(x)]


class Sums:
    """The loss sum_i weights_i (f_i - y_i)^2 / (2 scale), up to a constant, on stretches on which f is linear.

    About the middle of the points of a stretch, their squares are one of f there and one of f'.

    Parameters
    ----------
    x, y, weights : (n,)
        In order.
    cuts : (S,) int
        Where stretches begin.
    scale : float

    Attributes
    ----------
    kind, place, y, R : (S + W,)
        The squares of f, and then those of f' on the W stretches that are wide.
    """

    def __init__(self, x: Array, y: Array, weights: Array, cuts: np.ndarray, scale: float) -> None:
        n, self.scale = len(x), scale
        self.weights, self.count = weights, np.diff(np.append(cuts, n))
        self.total = np.add.reduceat(weights, cuts)
        middle = np.add.reduceat(weights * x, cuts) / self.total
        mean = np.add.reduceat(weights * y, cuts) / self.total
        middle = np.clip(middle, x[cuts], x[np.append(cuts[1:], n) - 1])
        self.away, rest = x - self._each(middle), y - self._each(mean)
        self.spread = np.add.reduceat(weights * self.away**2, cuts)
        lean = np.add.reduceat(weights * self.away * rest, cuts)
        self.wide = np.flatnonzero(self.spread > 0)
        slope = np.zeros(len(cuts))
        slope[self.wide] = lean[self.wide] / self.spread[self.wide]
        #: what the line through a stretch leaves of y, which no f changes
        self.left = rest - self._each(slope) * self.away
        self.place = np.concatenate([middle, middle[self.wide]])
        self.kind = np.repeat([VALUE, SLOPE], [len(cuts), len(self.wide)])
        self.y = np.concatenate([mean, slope[self.wide]])
        self.R = scale / np.concatenate([self.total, self.spread[self.wide]])

    @property
    def rows(self) -> tuple[Rows, np.ndarray]:
        """Them in order, each with any multiplier, and that order."""
        order, free = np.lexsort((self.kind, self.place)), np.full(len(self.kind), np.inf)
        return Rows(self.kind[order], self.place[order], self.y[order], self.R[order], -free, free), order

    def alpha(self, of_rows: Array) -> Array:
        """Return the dual vector (n,) of which these are the sums, and the sums times the distance from the middle.

        As differences y - f its small numbers would be rounding, and far points make sums of them that matter.
        """
        S = len(self.count)
        lean = np.zeros(S)
        lean[self.wide] = of_rows[S:] / self.spread[self.wide]
        return self.weights * (
            self.left / self.scale + self._each(of_rows[:S] / self.total) + self._each(lean) * self.away
        )

    def _each(self, of_stretches: Array) -> Array:
        return np.repeat(of_stretches, self.count)
