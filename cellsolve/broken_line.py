"""Dots connected, on one input: where that line bends, and its runs, the bends of one sign in a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from cellsolve.data import Array
from cellsolve.line import Line
from cellsolve.potentials import Potential, Variation, as_potential
from cellsolve.problem import Problem

#: points within this share of |y| of a line are on it: some roundings of targets that were computed
TUBE = 2.0**-46
#: points of a strictly convex or concave run from which on Assumption 1 of Boursier and Flammarion does not hold
LONG = 6


class BrokenLine:
    """The line that connects the dots, in pieces that pass over points on them.

    Parameters
    ----------
    line : Line
    targets : (n,)
        In the order of the caller.

    Attributes
    ----------
    x, y : (P,)
        The corners, and a point amid each piece that passes others.
    whole : (P,) bool
        Which of them are corners.
    number, rows : (P,) int
        Which of the distinct points in order they are, and which rows of the data.
    bend : (P,)
        How much the slope grows there; 0 at the ends and where a point is no corner.
    """

    def __init__(self, line: Line, targets: Array) -> None:
        first = line.first[:-1][np.diff(line.first) > 0]
        if len(first) == line.n:
            self.x, self.rows = line.x, line.order
        else:
            self.x, self.rows = line.x[first], line.order[first]
        self.n, self.y = line.n, targets[self.rows]
        self.number = np.empty(len(self.x), dtype=np.int64)
        self.number = self.number[: _corners(self.x, self.y, TUBE, self.number)]
        self.whole = np.ones(len(self.number), dtype=bool)
        if len(self.number) < len(self.x):
            long = np.flatnonzero(np.diff(self.number) > 1)
            amid = (self.number[long] + self.number[long + 1]) // 2
            self.number, self.whole = (
                np.insert(part, long + 1, new) for part, new in ((self.number, amid), (self.whole, False))
            )
            self.x, self.y, self.rows = (part[self.number] for part in (self.x, self.y, self.rows))
        self.bend = np.zeros(len(self.x))
        if len(self.x) > 2:
            _bends(self.x, self.y, self.whole, self.bend)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the runs as ranges of points."""
        start, stop = next_run(self.bend, 0)
        while start < stop:
            yield start, stop
            start, stop = next_run(self.bend, stop)

    def scattered(self, values: Array) -> Array:
        """Return numbers (P,) of these points as those of all rows of the data (n,), 0 elsewhere."""
        result = np.zeros(self.n)
        result[self.rows] = values
        return result


@dataclass(frozen=True, eq=False)
class ConvexRuns:
    """Where the line that connects the dots is strictly convex or strictly concave.

    Attributes
    ----------
    first, last : (R,)
        Places of the first and the last of the consecutive points that are in strictly convex, or concave, position.
    points : (R,) int
        How many points that are: a run of K bends has K + 2.
    sign : (R,) int
        1 for convex runs, -1 for concave ones.
    inner_ends : bool
        Whether 1 + x_1 x_2 >= 0 and 1 + x_{n-1} x_n >= 0 for the distinct points in order: then kinks of `variation`
        stay off the first segment and the last one.
    """

    first: Array
    last: Array
    points: np.ndarray
    sign: np.ndarray
    inner_ends: bool

    def __len__(self) -> int:
        return len(self.points)

    @property
    def violations(self) -> np.ndarray:
        """The numbers of the runs of 6 points or more, against Assumption 1 of Boursier and Flammarion (2023)."""
        return np.flatnonzero(self.points >= LONG)

    @property
    def sparse(self) -> bool:
        """Whether the interpolant of least norm (`variation`, affine part free) has the fewest kinks of all.

        So it is, with `fewest_kinks`, where no run has 6 points or more (Boursier and Flammarion, Assumption 1 and
        Theorem 3) and `inner_ends` holds. Otherwise it may have more.
        """
        return self.inner_ends and not len(self.violations)

    @property
    def fewest_kinks(self) -> int:
        """The fewest kinks of an interpolant of which the slope varies least: half the bends of each run, rounded up.

        That many has ``interpolate(..., penalty="slope", free="affine", sparsest=True)`` (Debarre, Denoyelle, Unser and
        Fageot, 2022).
        """
        return int(np.sum((self.points - 1) // 2))

    def unique(self, penalty: str | Potential = "variation") -> bool:
        """Return whether there is only one interpolant of least norm, the affine part being free.

        Always for `variation` (Boursier and Flammarion, Theorem 2). For `slope` where no run has more than one bend:
        those of neighbouring points may gather anywhere between them at the same cost.

        Raises
        ------
        ValueError
            Another penalty: `contact_set` of a solution tells.
        """
        potential = as_potential(penalty)
        if isinstance(potential, Variation):
            return True
        if potential.name != "slope":
            raise ValueError(
                f"penalty is {potential.name!r}; 'variation' and 'slope' are known to have one minimiser, or not, "
                "beforehand. contact_set tells it of a solution."
            )
        return bool((self.points <= 3).all())

    def __repr__(self) -> str:
        if not len(self):
            return "ConvexRuns(none: the points are on a line)"
        long = len(self.violations)
        word = f"does not hold: {long} with {LONG} points or more" if long else "holds"
        runs = "1 run" if len(self) == 1 else f"{len(self)} runs"
        return f"ConvexRuns({runs}, the longest of {self.points.max()} points; Assumption 1 {word})"


def convex_runs(X: ArrayLike | Problem, y: ArrayLike | None = None) -> ConvexRuns:
    """Find the strictly convex and strictly concave runs of points on one input.

    They decide how sparse interpolants of least norm are, and whether there is one: `ConvexRuns`.

    Parameters
    ----------
    X : array-like, shape (n,) or (n, 1), or Problem
        Points in any order.
    y : array-like, shape (n,)

    Returns
    -------
    ConvexRuns

    Raises
    ------
    ValueError
        More than one input or output, or repeated points with different y.

    Notes
    -----
    Points that miss a straight line by no more than some roundings of y (2^-46 of it) are on the line.

    References
    ----------
    E. Boursier and N. Flammarion, Penalising the biases in norm regularisation enforces sparsity, 2023.
    T. Debarre, Q. Denoyelle, M. Unser and J. Fageot, Sparsest piecewise-linear regression of one-dimensional data,
    2022.
    """
    given = (X.X, X.y) if isinstance(X, Problem) else (X, y)
    problem = Problem(*given, free="affine")
    if problem.X.shape[1] > 1 or problem.n_outputs > 1:
        raise ValueError(f"X has {problem.X.shape[1]} columns and y {problem.n_outputs}; convex_runs takes one each.")
    inside = (problem.unscaled() or problem.normalized())[0]
    line = Line(inside.lifted[:, 0], inside.penalty, order=problem.order)
    broken = BrokenLine(line, inside.targets[:, 0])
    start, stop = np.array(list(broken.runs()), dtype=int).reshape(-1, 2).T
    places = np.unique(problem.X)
    first, last = places[broken.number[start] - 1], places[broken.number[stop - 1] + 1]
    inner = len(places) < 2 or min(1 + places[0] * places[1], 1 + places[-2] * places[-1]) >= 0
    return ConvexRuns(first, last, stop - start + 2, np.sign(broken.bend[start]).astype(int), bool(inner))


@njit(cache=True, nogil=True)
def next_run(bend, start):
    """Return the first run at or after `start` as a range; an empty one where there is none."""
    P = len(bend)
    while start < P and bend[start] == 0.0:
        start += 1
    stop = start
    while stop < P and bend[stop] != 0.0 and (bend[stop] > 0.0) == (bend[start] > 0.0):
        stop += 1
    return start, stop


@njit(cache=True, nogil=True)
def _corners(x, y, tube, at):
    """Fill at (N,) with the corners of a broken line that starts and ends at data, the longest pieces first.

    A piece is a chord between two points that passes all points between within `tube` times the largest |y| on it.

    Returns
    -------
    how many corners there are
    """
    N = len(x)
    at[0], count, i = 0, 1, 0
    while i < N - 1:
        j, low, high = i + 1, -np.inf, np.inf
        size = max(abs(y[i]), abs(y[j]))
        while j + 1 < N:
            h, rise, error = x[j] - x[i], y[j] - y[i], tube * size
            low, high = max(low, (rise - error) / h), min(high, (rise + error) / h)
            chord = (y[j + 1] - y[i]) / (x[j + 1] - x[i])
            if not low <= chord <= high:
                break
            j += 1
            size = max(size, abs(y[j]))
        at[count] = i = j
        count += 1
    return count


@njit(cache=True, nogil=True)
def _bends(x, y, whole, bend):
    """Fill bend (P,) with the jumps of the slope of the broken line through points x, y; 0 at both ends.

    Where the pieces on both sides of a point are one, whole (P,) is false and the bend 0.
    """
    P = len(x)
    bend[0] = bend[P - 1] = 0.0
    before = (y[1] - y[0]) / (x[1] - x[0])
    for i in range(1, P - 1):
        after = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
        bend[i] = after - before if whole[i] else 0.0
        before = after
