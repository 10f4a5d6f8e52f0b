"""Data on one input in order: distinct places, and what the neurons cost whose kinks lie on the line.

A neuron that faces right is (1, -tau), with response x - tau; one that faces left is (-1, tau). Between two knots its
pattern is fixed, so that w is a norm of a plane: of two neurons it is enough to know what they cost and their angle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from cellsolve.data import Array, sorting
from cellsolve.doubles import length
from cellsolve.potentials import L1, UNIT, LabelNoise, Potential, Slope, Variation

RIGHT, LEFT, FLAT = 1, -1, 0
#: places that differ by at most this share of the largest knot are one
SAME = 2.0**-44
#: share of a segment by which, beside some roundings, a kink is moved off a knot: less than shows in a gap
OFF_KNOT = 1e-13


@dataclass(frozen=True)
class Side:
    """Neurons that face right, on the S segments between knots.

    Attributes
    ----------
    left_cost, right_cost : (S,)
        w of the neurons with their kinks at the two ends, in the metric of the segment.
    wedge : (S,)
        Of the angle between them in that metric 1 - cos, or where it is obtuse -(1 + cos): each to all its digits.
        0 where w is linear on the segment.
    all_costs : (2,)
        w of the neuron with its kink at the first knot, and of the one with response 1 everywhere, where all points
        are active; the second is 0 where constants cost nothing.
    all_wedge : float
        The same of their angle.
    cost : callable
        Places (K,) -> w of the neurons with their kinks there, up to the last knot; those before the first knot
        included.
    bend : callable
        Places (K,) within segments -> the first and the second derivative of that.
    """

    left_cost: Array
    right_cost: Array
    wedge: Array
    all_costs: Array
    all_wedge: float
    cost: Callable[[Array], Array]
    bend: Callable[[Array], tuple[Array, Array]]

    @property
    def obtuse(self) -> bool:
        """Whether an arc is: then 0 is within it."""
        return bool(self.all_wedge < 0 or (self.wedge < 0).any())


class Line:
    """Points on one input, sorted, with the costs of neurons.

    Parameters
    ----------
    points : (n,)
    potential : Potential
    unit : float
        The last entry of every lifted point.
    order, ordered : (n,) int and (n,), optional
        The points from left to right, and they in this order.

    Attributes
    ----------
    order : (n,) int
        The points from left to right; `x` (n,) are they.
    knots : (N,)
        Where phi or w may bend: the distinct points, and 0 where w bends there.
    first : (N + 1,) int
        x[first[i]:first[i + 1]] lie at knot i.
    rounding : float
        Relative error of the costs, and of the wedges.
    """

    def __init__(
        self,
        points: Array,
        potential: Potential,
        unit: float = 1.0,
        order: np.ndarray | None = None,
        ordered: Array | None = None,
    ) -> None:
        self.potential, self.unit = potential, unit
        if order is None:
            order, ordered = sorting(points)
        self.order = order
        self.x = (points[order] if ordered is None else ordered) + 0.0
        starts = np.concatenate([[0], np.flatnonzero(self.x[1:] > self.x[:-1]) + 1])
        knots = self.x[starts]
        if potential.order == 1:  # w bends where the bias changes its sign
            at = int(np.searchsorted(knots, 0.0))
            if at == len(knots) or knots[at] != 0.0:
                knots, starts = np.insert(knots, at, 0.0), np.insert(starts, at, np.append(starts, len(self.x))[at])
        self.knots, self.first = knots, np.append(starts, len(self.x))
        self.rounding = (16 + (len(knots) if potential.depends_on_data else 0)) * 8 * UNIT

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.x)

    @cached_property
    def right(self) -> Side:
        """Neurons (1, -tau)."""
        return _SIDES[type(self.potential)](self.knots, np.diff(self.first), self.unit, self.potential)

    @cached_property
    def left(self) -> Side:
        """Neurons (-1, tau), the line mirrored: its segments are listed from the right."""
        counts = np.diff(self.first)[::-1]
        return _SIDES[type(self.potential)](-self.knots[::-1], counts, self.unit, self.potential)

    @property
    def curved(self) -> bool:
        """Whether w is strictly convex within cells."""
        return bool(self.right.all_wedge or self.right.wedge.any())

    def outside(self, facing: np.ndarray, place: Array) -> np.ndarray:
        """Return whether neurons (K,) are linear on the data."""
        return (facing == FLAT) | (place <= self.x[0]) | (place >= self.x[-1])

    def linear_neurons(self, slope: Array, at_first: Array) -> tuple[np.ndarray, Array, Array]:
        """Return facing, place and weight of the neurons that are these linear functions on the data.

        Of a function that changes its sign amid the data it is the nearest one that does not.
        """
        at_last = at_first + slope * (self.x[-1] - self.x[0])
        larger = np.where(np.abs(at_last) > np.abs(at_first), at_last, at_first)
        facing = (np.sign(slope) * np.sign(larger)).astype(int)
        place = self.x[0] - at_first / np.where(slope != 0, slope, 1.0)
        place = np.where(facing == RIGHT, np.minimum(place, self.x[0]), np.maximum(place, self.x[-1]))
        flat = facing == FLAT
        return facing, np.where(flat, 0.0, place), np.where(flat, at_first, np.sign(larger) * np.abs(slope))

    @cached_property
    def tilt(self) -> tuple[float, float]:
        """Where constants turn, and w'' as they do: w of 1 + u (x - centre) is that of 1, to first order in u."""
        cost = float(self.right.all_costs[1])
        if self.potential.depends_on_data:
            centre = float(self.x.mean())
            return centre, cost * float(np.mean((self.x - centre) ** 2))
        return 0.0, 1 / cost if cost else 0.0

    def segment(self, place: Array) -> np.ndarray:
        """Return the segments (K,) that places lie on, the one to the right of a knot; the nearest of those outside."""
        return (np.searchsorted(self.knots, place, side="right") - 1).clip(0, max(len(self.knots) - 2, 0))

    def side(self, facing: int) -> Side:
        """Return the neurons that face one way."""
        return self.right if facing == RIGHT else self.left

    def unsorted(self, values: Array) -> Array:
        """Return values (n,) of the sorted points in the order of the caller."""
        result = np.empty(self.n)
        result[self.order] = values
        return result

    def kinks_of(self, theta: Array, *, one_facing: bool) -> tuple[np.ndarray, Array]:
        """Return facing and place of the neurons (K, 2) that respond somewhere; all facing right, if they may.

        Places that are knots but for the rounding of -b / a are put there.
        """
        facing = np.sign(theta[:, 0]).astype(int)
        place = np.where(facing == FLAT, 0.0, -theta[:, 1] * self.unit / np.where(facing == FLAT, 1.0, theta[:, 0]))
        facing = np.where(one_facing & (facing == LEFT), RIGHT, facing)
        at = np.clip(np.searchsorted(self.knots, place), 1, len(self.knots) - 1)
        nearest = np.where(place - self.knots[at - 1] < self.knots[at] - place, self.knots[at - 1], self.knots[at])
        place = np.where(np.abs(place - nearest) <= SAME * np.abs(self.knots).max(), nearest, place)
        constant = (facing == FLAT) & (theta[:, 1] > 0)
        seen = ((facing == RIGHT) & (place < self.x[-1])) | ((facing == LEFT) & (place > self.x[0])) | constant
        if one_facing:
            seen &= (place > self.x[0]) & (facing != FLAT)
        return facing[seen], place[seen]

    def costs(self, facing: np.ndarray, place: Array) -> Array:
        """Return w of neurons (K,): (1, -tau), (-1, tau), or 1 everywhere."""
        cost = np.full(len(place), self.right.all_costs[1])
        for which in (RIGHT, LEFT):
            here = facing == which
            if here.any():
                cost[here] = self.side(which).cost(which * place[here])
        return cost

    def bends(self, facing: np.ndarray, place: Array) -> tuple[Array, Array]:
        """Return the first and the second derivative of w along the line, for kinks within cells."""
        first, second = np.zeros(len(place)), np.zeros(len(place))
        for which in (RIGHT, LEFT):
            here = facing == which
            if here.any():
                slope, second[here] = self.side(which).bend(which * place[here])
                first[here] = which * slope
        return first, second

    def theta(self, facing: np.ndarray, place: Array) -> Array:
        """Return these neurons as rows (K, 2).

        Where w jumps between segments, a kink at a knot is moved a little into the segment whose cost it has.
        """
        if self.potential.jumps and len(self.knots) > 1:
            at = np.searchsorted(self.knots, place).clip(0, len(self.knots) - 1)
            width = np.diff(self.knots)
            width = np.where(facing == RIGHT, np.append(width, 0.0)[at], np.append(0.0, width)[at])
            step = np.minimum(0.25 * width, OFF_KNOT * width + 16 * UNIT * np.abs(place))
            place = np.where(place == self.knots[at], place + facing * step, place)
        bias = np.where(facing == FLAT, 1.0, -facing * place) / self.unit
        return np.column_stack([facing.astype(float), bias + 0.0])


@njit(cache=True, nogil=True, error_model="numpy")
def _lengths_and_wedges(knots, unit, cost, wedge):
    """Fill cost (N,) with |(unit, knot)| / unit and wedge (N - 1,) with what `Side` says of neighbours."""
    flat_before = steep_before = 0.0
    for i in range(len(knots)):
        size = length(unit, knots[i])
        cost[i], flat, steep = size / unit, unit / size, knots[i] / size
        if i > 0:
            cos, sin = flat_before * flat + steep_before * steep, flat_before * ((knots[i] - knots[i - 1]) / size)
            wedge[i - 1] = sin * sin / (1.0 + abs(cos)) * (1.0 if cos > 0.0 else -1.0)
        flat_before, steep_before = flat, steep


def _variation(knots: Array, counts: np.ndarray, unit: float, potential: Potential) -> Side:
    cost, wedge = np.empty(len(knots)), np.empty(len(knots) - 1)
    _lengths_and_wedges(knots, unit, cost, wedge)
    flat = _wedge(-knots[:1] / np.hypot(unit, knots[:1]), unit / np.hypot(unit, knots[:1]))
    ends = np.array([cost[0], 1 / unit])

    def bend(place: Array) -> tuple[Array, Array]:
        size = np.hypot(unit, place)
        return place / size / unit, (unit / size) ** 2 / size / unit

    return Side(cost[:-1], cost[1:], wedge, ends, float(flat[0]), lambda place: np.hypot(unit, place) / unit, bend)


def _slope(knots: Array, counts: np.ndarray, unit: float, potential: Potential) -> Side:
    one = np.ones(len(knots) - 1)
    return Side(
        one, one, np.zeros_like(one), np.array([1.0, 0.0]), 0.0, np.ones_like, lambda place: (0 * place, 0 * place)
    )


def _l1(knots: Array, counts: np.ndarray, unit: float, potential: Potential) -> Side:
    cost = 1 + np.abs(knots) / unit
    ends = np.array([cost[0], 1 / unit])

    def bend(place: Array) -> tuple[Array, Array]:
        return np.sign(place) / unit, np.zeros_like(place)

    straight = np.zeros(len(cost) - 1)
    return Side(cost[:-1], cost[1:], straight, ends, 0.0, lambda place: 1 + np.abs(place) / unit, bend)


def _label_noise(knots: Array, counts: np.ndarray, unit: float, potential: Potential) -> Side:
    """From moments of the data beyond each knot, which are sums of positive terms, added up in extended precision."""
    n = counts.sum()
    steps = np.diff(knots)
    count = np.cumsum(counts[:0:-1])[::-1]  # of the points that are active on a segment
    away = _from_right(steps * count)  # sum of x - t over them, t the left end and the right one
    away_right = np.append(away, 0.0)[1:]
    # points at a knot join those beyond: the squares about the mean grow by a share of their distance squared
    later = np.append(count, 0)[1:]
    joined = counts[1:] / count * (away_right / np.maximum(later, 1)) * away_right
    spread = _from_right(joined)
    left, right = (np.sqrt((spread + a**2 / count) / n) for a in (away, away_right))
    size = np.where(right > 0, left * right, 1.0)
    wedge = _wedge((spread + away * (away_right / count)) / (n * size), np.sqrt(count * spread) * steps / (n * size))
    everything = np.zeros(1) if not len(steps) else spread[:1] + counts[0] / n * (away[:1] / count[0]) * away[:1]
    mean = away[:1] / n
    first = np.sqrt(everything / n + mean**2) if len(steps) else np.zeros(1)
    ends = np.array([first[0] if len(steps) else 0.0, 1.0])
    all_wedge = _wedge(mean / first, np.sqrt(everything / n) / first)[0] if first.any() else 0.0
    factor, whole = np.ones(len(steps)), 1.0
    if isinstance(potential, LabelNoise) and potential.full:
        squares = _from_right(counts[1:] * (knots[1:] ** 2 + unit**2))
        factor = 2 * np.sqrt(squares / n)
        whole = 2 * np.sqrt((np.append(squares, 0.0)[0] + counts[0] * (knots[0] ** 2 + unit**2)) / n)

    def cost(place: Array) -> Array:
        s = np.searchsorted(knots, place, side="right") - 1
        before, past = s < 0, s >= len(steps)
        s = s.clip(0, max(len(steps) - 1, 0))
        if not len(steps):
            return np.where(before, (knots[0] - place) * whole, 0.0)
        distance = away_right[s] + (knots[s + 1] - place) * count[s]
        size = np.sqrt((spread[s] + distance**2 / count[s]) / n) * factor[s]
        outside = np.sqrt(everything / n + (mean + (knots[0] - place)) ** 2) * whole
        return np.where(before, outside, np.where(past, 0.0, size))

    def bend(place: Array) -> tuple[Array, Array]:
        s = (np.searchsorted(knots, place, side="right") - 1).clip(0, len(steps) - 1)
        distance = away_right[s] + (knots[s + 1] - place) * count[s]
        size = np.sqrt((spread[s] + distance**2 / count[s]) / n)
        second = spread[s] / n * (count[s] / n) / size**3
        before = place < knots[0]
        away = mean + (knots[0] - place)
        whole_size = np.sqrt(everything / n + away**2)
        first = np.where(before, -away / whole_size * whole, -distance / n / size * factor[s])
        return first, np.where(before, everything / n / whole_size**3 * whole, second * factor[s])

    return Side(
        left * factor, right * factor, np.where(right > 0, wedge, 0.0), ends * whole, float(all_wedge), cost, bend
    )  # fmt: skip


_SIDES: dict[type[Potential], Callable[[Array, np.ndarray, float, Potential], Side]] = {
    Variation: _variation,
    Slope: _slope,
    L1: _l1,
    LabelNoise: _label_noise,
}


def _wedge(cos: Array, sin: Array) -> Array:
    """1 - cos of acute angles, -(1 + cos) of obtuse ones."""
    return sin**2 / (1 + np.abs(cos)) * np.where(cos > 0, 1.0, -1.0)


def _from_right(terms: Array) -> Array:
    """Sums over a term and all to its right, in extended precision where there is one."""
    return np.cumsum(terms[::-1], dtype=np.longdouble)[::-1].astype(np.float64)
