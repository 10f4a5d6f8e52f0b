"""Dual vectors in rationals: B^T alpha = 0 exactly, and the dual objective without rounding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from cellsolve.data import Array
from cellsolve.exact_sums import exact_dot
from cellsolve.problem import Problem

#: a dual value this share of its interval away from the ends is inside, whatever the three products that make it round
INSIDE = 2.0**-48


@dataclass(frozen=True)
class ExactDual:
    """alpha' = alpha + delta with B^T alpha' = 0 in rationals; delta of output j lives on ``rows[j]``."""

    alpha: Array
    rows: tuple[tuple[int, ...], ...]
    delta: tuple[tuple[Fraction, ...], ...]

    def correction(self) -> Array:
        """Return |delta| as floats rounded up, shape (n, m)."""
        result = np.zeros_like(self.alpha)
        for i, j, change in self.changes():
            result[i, j] = np.nextafter(float(abs(change)), np.inf) if change else 0.0
        return result

    def changes(self) -> Iterator[tuple[int, int, Fraction]]:
        """Yield (i, j, delta_ij) where there is one."""
        for j, (rows, changes) in enumerate(zip(self.rows, self.delta, strict=True)):
            for i, change in zip(rows, changes, strict=True):
                yield i, j, change

    def entries(self, which: np.ndarray) -> Iterator[tuple[int, int, Fraction]]:
        """Yield (i, j, alpha'_ij) for the entries of the mask `which` (n, m)."""
        changed = {(i, j): change for i, j, change in self.changes()}
        for i, j in np.argwhere(which).tolist():
            yield i, j, Fraction(float(self.alpha[i, j])) + changed.get((i, j), 0)

    @property
    def named_rows(self) -> tuple[Any, ...]:
        """The rows as a certificate states them: flat for one output."""
        return self.rows[0] if len(self.rows) == 1 else self.rows


def exact_dual(problem: Problem, alpha: Array) -> ExactDual:
    """Correct alpha (n, m) to B^T alpha' = 0 exactly, on rank(B) rows an output: those with most room in the box."""
    m = alpha.shape[1]
    if not problem.basis.shape[1]:
        return ExactDual(alpha, ((),) * m, ((),) * m)
    low, high = problem.dual_box()
    answers = [_correct_column(problem.basis, alpha[:, j], low[:, j], high[:, j]) for j in range(m)]
    rows, delta = zip(*answers, strict=True)
    return ExactDual(alpha, rows, delta)


def _correct_column(B: Array, alpha: Array, low: Array, high: Array):
    residual = [exact_dot(alpha, column) for column in B.T]
    if np.isneginf(low).all() and np.isposinf(high).all():
        ends = np.unique(np.concatenate([B.argmin(axis=0), B.argmax(axis=0)]))
        return _solve_on_rows(B, chain((ends[i] for i in _independent(B[ends])), range(len(B))), residual)
    room = np.minimum(alpha - low, high - alpha)
    largest = room[np.isfinite(room)].max(initial=0.0)
    room = np.where(np.isfinite(room), room.clip(min=0.0), max(largest, 1.0))
    if not room.any():
        room = np.ones_like(room)
    order = chain(_independent(B * room[:, None]), range(len(B)))  # all, in case that those are not, exactly
    return _solve_on_rows(B, order, residual)


def _independent(rows: Array) -> Iterator[int]:
    """Yield the rows that elimination with row pivots would take: each the longest less those before."""
    rest = rows.copy()
    for _ in range(rows.shape[1]):
        squares = np.einsum("ij,ij->i", rest, rest)
        i = int(np.argmax(squares))
        if not squares[i] > 0:
            return
        yield i
        unit = rest[i] / np.sqrt(squares[i])
        rest -= np.multiply.outer(rest @ unit, unit)


def _solve_on_rows(B: Array, order: Iterable[int], residual: list[Fraction]):
    """Find independent rows R, in the given order, and delta with B_R^T delta = -residual; elimination in rationals."""
    k = B.shape[1]
    rows: list[int] = []
    echelon: list[tuple[int, list[Fraction], list[Fraction]]] = []  # pivot, row, combination of chosen basis rows
    for i in order:
        row, combination = [Fraction(float(x)) for x in B[i]], [Fraction(0)] * len(rows) + [Fraction(1)]
        for pivot, other, mix in echelon:
            amount = row[pivot]
            if amount:
                row = [x - amount * e for x, e in zip(row, other, strict=True)]
                combination = [
                    x - amount * e
                    for x, e in zip(combination, mix + [Fraction(0)] * (len(combination) - len(mix)), strict=True)
                ]
        pivot = max(range(k), key=lambda c: abs(row[c]))
        if row[pivot]:
            scale = row[pivot]
            echelon.append((pivot, [x / scale for x in row], [x / scale for x in combination]))
            rows.append(int(i))
            if len(rows) == k:
                break
    left, delta = [-x for x in residual], [Fraction(0)] * len(rows)
    for pivot, other, mix in echelon:
        amount = left[pivot]
        if amount:
            left = [x - amount * e for x, e in zip(left, other, strict=True)]
            delta = [x + amount * e for x, e in zip(delta, mix + [Fraction(0)] * (len(rows) - len(mix)), strict=True)]
    return tuple(rows), tuple(delta)


def exact_lower_bound(problem: Problem, dual: ExactDual, supremum: float) -> float:
    """Return a float below the dual objective at kappa alpha', or -inf where that is outside the domain.

    kappa = min(1, lam / supremum), or 1 / supremum for interpolation, so that sup |phi| / w <= lam.
    """
    if problem.interpolates:
        total = sum((value * Fraction(float(problem.targets[i, j])) for i, j, value in dual.changes()), Fraction(0))
        total += exact_dot(dual.alpha, problem.targets)
        if supremum <= 0:
            return 0.0 if total <= 0 else np.inf
        return _below(total / Fraction(supremum))
    kappa = Fraction(1) if supremum <= problem.level else Fraction(problem.level) / Fraction(supremum)
    low, high = problem.loss.domain(problem.targets)
    u = -problem.n * float(kappa) * dual.alpha
    inside = (u > low * (1 - INSIDE)) & (u < high * (1 - INSIDE))  # low <= 0 <= high
    inside &= problem.loss.bend is not None
    for i, j, _ in dual.changes():
        inside[i, j] = False
    total, factor = Fraction(0), problem.n * kappa
    for i, j, value in dual.entries(~inside):
        term = problem.loss.dual_exact(-factor * value, Fraction(float(problem.targets[i, j])))
        if term is None:
            return -np.inf
        total += term
    if inside.any():
        alpha = dual.alpha[inside]
        total += factor * exact_dot(alpha, problem.targets[inside])
        if problem.loss.bend:
            total -= factor**2 * Fraction(problem.loss.bend) * exact_dot(alpha, alpha) / 2
    return _below(total / problem.n)


def independent_rows(B: Array) -> int:
    """Return the rank of B, exactly."""
    return len(_solve_on_rows(B, range(len(B)), [Fraction(0)] * B.shape[1])[0])


def _below(value: Fraction) -> float:
    rounded = float(value)
    return float(np.nextafter(rounded, -np.inf)) if Fraction(rounded) > value else rounded
