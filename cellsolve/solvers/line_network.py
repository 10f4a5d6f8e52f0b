"""Networks of one input while they are solved for: kinks and the way they face, summed up where cells allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellsolve.data import Array
from cellsolve.line import FLAT, LEFT, RIGHT, Line
from cellsolve.problem import Problem
from cellsolve.solvers.facings import face_apart

#: kinks that face apart are one where they are at most this share of the data's width apart: what the loop leaves
TOGETHER = 1e-9
#: share of their terms up to which the moments of alpha leave it open which way a kink faces
FAINT = 1e-4


@dataclass(frozen=True)
class Neurons:
    """Neurons of one input: (1, -tau) facing right, (-1, tau) facing left, or 1 everywhere (FLAT).

    `weight` (K,) is what a neuron within a segment had last, from where it may move; 0 of those that stay.
    """

    facing: np.ndarray
    place: Array
    weight: Array

    @classmethod
    def at(cls, facing: np.ndarray, place: Array) -> Neurons:
        """Return neurons that stay where they are."""
        return cls(facing, place, np.zeros(len(place)))

    def __len__(self) -> int:
        return len(self.place)

    def __add__(self, other: Neurons) -> Neurons:
        return Neurons(*(np.concatenate(pair) for pair in zip(self._columns, other._columns, strict=True)))

    @property
    def _columns(self) -> tuple[np.ndarray, Array, Array]:
        return self.facing, self.place, self.weight

    def take(self, which: np.ndarray) -> Neurons:
        """Return some of them."""
        return Neurons(*(column[which] for column in self._columns))

    def distinct(self) -> Neurons:
        """Return each once, the first of equal ones, in order."""
        order = np.lexsort((self.facing, self.place))
        new = np.append(True, (np.diff(self.place[order]) != 0) | (np.diff(self.facing[order]) != 0))
        return self.take(order[new[: len(order)]])


@dataclass(frozen=True)
class Fit:
    """The best network on given neurons.

    Attributes
    ----------
    neurons : Neurons
        Those with a weight, and `weights` (K,), their slope jumps c.
    slope, offset : float
        The free part: offset is its value at the first point.
    alpha : (n,)
        The dual vector, sorted.
    steady : bool
        Whether neurons that are linear on the data kept most of their weight as they moved: what they cost is known
        near their weights only.
    """

    neurons: Neurons
    weights: Array
    slope: float
    offset: float
    alpha: Array
    steady: bool = True


def free_only(fit: Fit, b: int) -> Fit:
    """Drop what is rounding of the linear functions that cost something: the slope (b = 1), or all (b = 2)."""
    return replace(fit, slope=0.0 if b else fit.slope, offset=0.0 if b == 2 else fit.offset)


def summed(line: Line, fit: Fit, as_one: bool = True) -> tuple[Neurons, Array]:
    """Sum up neurons of one segment, facing and sign: the same function at no more cost, since w is convex there.

    Parameters
    ----------
    as_one : bool
        Whether those at a knot are of the segments beside it, and two of a segment that face apart go to one place,
        where it counts for little which way they face.

    Returns
    -------
    the neurons, those within segments with their weights, and the weights of all
    """
    old, weights = fit.neurons, fit.weights
    s = line.segment(old.place)
    kind = 2 * (old.facing > 0) + (weights > 0)
    outside = line.outside(old.facing, old.place)
    at_knot = ~outside & (old.place == line.knots[s])
    label = 4 * s + kind
    label[outside] = -1 - (weights[outside] > 0)
    if as_one and not line.potential.jumps:  # a knot belongs to the segments on both sides
        inner = np.unique(label[~at_knot])
        for other in (s, s - 1):
            join = at_knot & np.isin(4 * other + kind, inner)
            label, at_knot = np.where(join, 4 * other + kind, label), at_knot & ~join
    if not line.curved:  # w is linear there, and nothing is gained
        at_knot, outside = at_knot | outside, np.zeros_like(outside)
    inner = np.flatnonzero(~at_knot & ~outside)
    _, firsts, group = np.unique(label[inner], return_index=True, return_inverse=True)
    c, places = weights[inner], old.place[inner]
    base = places[firsts]
    totals = np.bincount(group, c, len(firsts)).astype(float)
    means = base + np.bincount(group, c * (places - base[group]), len(firsts)) / np.where(totals, totals, 1.0)
    facing = old.facing[inner][firsts]
    if as_one and not line.potential.depends_on_data and indifferent(line, fit.alpha):
        cell = 2 * line.segment(means) + (totals > 0)
        _, pair = np.unique(cell, return_inverse=True)
        means = (np.bincount(pair, totals * means) / np.bincount(pair, totals))[pair] if len(pair) else means
    moving = Neurons(facing, means, totals)
    stay = old.take(np.flatnonzero(at_knot))
    stay = Neurons.at(stay.facing, stay.place)
    linear, sums = _one_linear(line, old.take(np.flatnonzero(outside)), weights[outside])
    return moving + stay + linear, np.concatenate([totals, weights[at_knot], sums])


def without_dust(line: Line, fit: Fit, size: float) -> Fit:
    """Drop the neurons that move f by the least, by `size` in sum at most."""
    facing, place = fit.neurons.facing, fit.neurons.place
    reach = np.where(facing == FLAT, 1.0, np.where(facing == LEFT, place - line.x[0], line.x[-1] - place))
    moved = np.abs(fit.weights) * reach
    order = np.argsort(moved)
    kept = np.sort(order[np.cumsum(moved[order]) > size])
    return replace(fit, neurons=fit.neurons.take(kept), weights=fit.weights[kept])


def indifferent(line: Line, alpha: Array) -> bool:
    """Whether linear functions count for nothing, though they cost: then a kink may face either way."""
    away = line.x - line.x[0]
    size = np.abs(alpha)
    return bool(abs(alpha.sum()) <= FAINT * size.sum() and abs(alpha @ away) <= FAINT * (size @ away))


def _one_linear(line: Line, neurons: Neurons, weights: Array) -> tuple[Neurons, Array]:
    """Sum up the neurons of each sign that are linear on the data: they are one cell."""
    facing, place = neurons.facing, neurons.place
    at_first = np.where(facing == FLAT, 1.0, facing * (line.x[0] - place))
    signs = [here for here in (weights > 0, weights < 0) if here.any()]
    sums = np.array([((facing * weights)[here].sum(), (at_first * weights)[here].sum()) for here in signs])
    facing, place, c = line.linear_neurons(*sums.reshape(-1, 2).T)
    corner = ((facing == RIGHT) & (place >= line.x[0])) | ((facing == LEFT) & (place <= line.x[-1]))
    return Neurons(facing, place, np.where(corner, 0.0, c)), c


def _paired(line: Line, neurons: Neurons, weights: Array) -> tuple[Neurons, Array]:
    """Sum up kinks at neighbouring knots where w is linear between them, two by two: of a run of K half are left.

    The function is the same on the data, and the cost too; none of that cost has fewer kinks (Debarre et al., 2022).
    """
    knot = np.searchsorted(line.knots, neurons.place)
    kind = 2 * np.sign(weights).astype(int) + neurons.facing
    kind[line.outside(neurons.facing, neurons.place) | ~np.isin(neurons.place, line.knots)] = 9
    order = np.lexsort((knot, kind))
    first, second = order[:-1], order[1:]
    beside = (kind[first] == kind[second]) & (kind[first] != 9) & (knot[second] == knot[first] + 1)
    # within a run the even ones take the next
    number = np.arange(len(beside)) - np.maximum.accumulate(np.where(beside, -1, np.arange(len(beside))))
    takes = np.flatnonzero(beside & (number % 2 == 1))
    one, two = first[takes], second[takes]
    total = weights[one] + weights[two]
    place, c = neurons.place.copy(), weights.copy()
    place[one] += weights[two] / total * (place[two] - place[one])
    c[one] = total
    kept = np.delete(np.arange(len(c)), two)
    return Neurons(neurons.facing, place, np.zeros(len(c))).take(kept), c[kept]


def settled(problem: Problem, line: Line, fit: Fit) -> Fit:
    """The same function with few neurons: those of one segment summed up, and of two that face apart mostly one.

    A kink may face left or right at the same cost, but for label noise; which way they face only matters in sum, for
    the linear function that it leaves: one or two equations, so that all but one or two kinks can face one way.
    """
    neurons, weights = summed(line, fit)
    if not line.curved:
        neurons, weights = _paired(line, neurons, weights)
    b = 2 - problem.basis.shape[1]
    if problem.penalty.depends_on_data or not b:
        return free_only(replace(fit, neurons=neurons, weights=weights), b)
    kinks = ~line.outside(neurons.facing, neurons.place)
    order = np.flatnonzero(kinks)[np.lexsort((weights[kinks] > 0, neurons.place[kinks]))]
    facing, place, c = neurons.facing[order], neurons.place[order], weights[order]
    close = np.diff(place) <= TOGETHER * (line.x[-1] - line.x[0])
    pair = np.flatnonzero(close & (facing[1:] != facing[:-1]) & (np.sign(c[1:]) == np.sign(c[:-1])))
    pair = pair[np.append(True, np.diff(pair) > 1)[: len(pair)]]  # none in two pairs
    total = c[pair] + c[pair + 1]
    where = (c[pair] * place[pair] + c[pair + 1] * place[pair + 1]) / total
    where = np.where(np.isin(place[pair], line.knots), place[pair], where)
    where = np.where(np.isin(place[pair + 1], line.knots), place[pair + 1], where)
    share = np.where(facing[pair] == LEFT, c[pair], c[pair + 1]) / total
    lean = np.column_stack([total, total * where])[:, :b]
    before = share.copy()
    face_apart(lean, share)
    offset = fit.offset - float((share - before) @ (total * (where - line.x[0]))) if b == 1 else fit.offset
    alone = np.setdiff1d(np.arange(len(weights)), order[np.concatenate([pair, pair + 1])])
    left = np.flatnonzero(share > 0), np.full(len(pair), LEFT), share
    right = np.flatnonzero(share < 1), np.full(len(pair), RIGHT), 1 - share
    new = [(f[k], where[k], (s * total)[k]) for k, f, s in (left, right)]
    kept = neurons.take(alone)
    parts = zip((kept.facing, kept.place, weights[alone]), *new, strict=True)
    facing, place, c = (np.concatenate(part) for part in parts)
    return free_only(replace(fit, neurons=Neurons.at(facing, place), weights=c, offset=offset), b)
