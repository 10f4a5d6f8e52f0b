"""Families for potentials that measure a neuron by its responses, w = factor_s ||X_s theta|| / sqrt(n).

Where the active rows X_s have full rank, theta = T t with T^-1 the triangular factor of X_s / sqrt(n) does it. Where
they do not, w vanishes on a subspace and only the responses matter: the cell is projected onto them exactly
(Fourier-Motzkin, in rationals), which leaves a cone in rank(X_s) coordinates, the responses of independent rows.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cellsolve.cells import CellArrangement
from cellsolve.data import Array
from cellsolve.oracles.families import ConeFamily, cone_family, unit_rows
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem

#: coordinates of a cell that cannot be certified to this are replaced by the exact projection; below it they add
#: less than that to the supremum
COORDINATE_TOLERANCE = 1e-9


#: <first, tau> + <second, what is to be eliminated> >= 0, and the rows of the data that it was made of
_Inequality = tuple[list[Fraction], list[Fraction], frozenset[int]]


class ResponseFamily(ConeFamily):
    """Cones in response coordinates: `maps[k]` (n, r) takes coordinates to the responses of all points of cell k."""

    maps: list[Array]


def response_families(problem: Problem, cells: CellArrangement) -> list[ConeFamily]:
    """Return the families of a response potential; the all-inactive cell, where phi = w = 0, is left out."""
    n, D = problem.lifted.shape
    S = len(cells)
    T, eta = np.zeros((S, D, D)), np.full(S, np.inf)
    step = max(1, 2**21 // (n * D))
    for start in range(0, S, step):
        stop = min(S, start + step)
        active = cells.unpack(start, stop)[:, :, None] * problem.lifted[None]
        T[start:stop], eta[start:stop] = _coordinates(active, n)
    good = np.flatnonzero(eta <= COORDINATE_TOLERANCE)
    factor = _factors(problem, cells)
    families = (
        [cone_family(cells, good, T[good] / factor[good, None, None], eta[good] + 16 * UNIT)] if len(good) else []
    )
    by_rank: dict[int, list[tuple[int, Array, Array]]] = {}
    for s in np.flatnonzero(~(eta <= COORDINATE_TOLERANCE)):
        pattern = cells.unpack(int(s), int(s) + 1)[0]
        if pattern.any():
            facets = cells.facets[1][cells.facets[0][s] : cells.facets[0][s + 1]]
            to_responses, rows = project(problem.lifted, pattern, facets[~pattern[facets]])
            by_rank.setdefault(to_responses.shape[1], []).append((int(s), to_responses, rows))
    return families + [_projected(members, n, factor) for _, members in sorted(by_rank.items())]


def _factors(problem: Problem, cells: CellArrangement) -> Array:
    """Return w / (||X_s theta|| / sqrt(n)) on each cell."""
    if not getattr(problem.penalty, "full", False):
        return np.ones(len(cells))
    squares = np.sum(problem.lifted**2, axis=1) / problem.n
    factor = np.empty(len(cells))
    for start in range(0, len(cells), 2**14):
        factor[start : start + 2**14] = 2 * np.sqrt(cells.unpack(start, min(len(cells), start + 2**14)) @ squares)
    return np.where(factor > 0, factor, 1.0)


def _coordinates(active: Array, n: int) -> tuple[Array, Array]:
    """Return T with ||active T t|| / sqrt(n) = |t| up to eta, and eta, inf where the rows are too dependent."""
    count, rows, D = active.shape
    T, eta = np.zeros((count, D, D)), np.full(count, np.inf)
    if rows < D:
        return T, eta
    triangle = np.linalg.qr(active, mode="r") / np.sqrt(n)
    diagonal = np.abs(np.diagonal(triangle, axis1=1, axis2=2))
    solid = np.flatnonzero(diagonal.min(axis=1) > 1e-9 * diagonal.max(axis=1))
    if len(solid):
        T[solid] = np.linalg.inv(triangle[solid])
        eta[solid] = _certify(active[solid], T[solid], n)
    return T, eta


def _certify(active: Array, T: Array, n: int) -> Array:
    """Return eta with |t| <= (1 + eta) ||active T t|| / sqrt(n) for all t, from B^T B near I, rounding included.

    Relative errors of u in the entries of `active` are allowed for (the maps of projected cells are rounded).
    """
    _count, rows, D = active.shape
    B = active @ T / np.sqrt(n)
    size = np.linalg.norm(np.abs(active) @ np.abs(T) / np.sqrt(n), axis=(1, 2))
    B_error = (D + 6) * UNIT * size
    norm = np.linalg.norm(B, axis=(1, 2))
    deviation = np.linalg.norm(np.swapaxes(B, 1, 2) @ B - np.eye(D), axis=(1, 2))
    deviation += 2 * norm * B_error + B_error**2 + (rows + 4) * UNIT * (norm**2 + D)
    return np.where(deviation < 0.5, deviation, np.inf)  # 1 / sqrt(1 - x) <= 1 + x for x <= 1/2


def _projected(members: list[tuple[int, Array, Array]], n: int, factor: Array) -> ConeFamily:
    chosen = np.array([s for s, _, _ in members])
    maps = np.array([to_responses for _, to_responses, _ in members])
    r = maps.shape[2]
    T = np.linalg.inv(np.linalg.qr(maps, mode="r") / np.sqrt(n))
    eta = _certify(maps, T, n) + 16 * UNIT
    T /= factor[chosen, None, None]
    blocks, errors, counts = [], [], []
    for k, (_, _, rows) in enumerate(members):
        normals, sizes = rows @ T[k], np.abs(rows) @ np.abs(T[k])
        units, error = unit_rows(normals, (r + 4) * UNIT * sizes)
        blocks.append(units)
        errors.append(error)
        counts.append(len(rows))
    family = ResponseFamily(
        chosen,
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate(blocks),
        np.concatenate(errors),
        T,
        eta,
        np.full(r, 1 + 1e-8),
    )
    object.__setattr__(family, "maps", list(maps))
    return family


def project(lifted: Array, pattern: Array, inactive: Array) -> tuple[Array, Array]:
    """Project the cell onto the responses of its active points, exactly.

    Parameters
    ----------
    lifted : (n, D)
    pattern : (n,) bool
    inactive : (f,)
        Indices of inactive rows that, with the active ones, cut out the cell.

    Returns
    -------
    to_responses : (n, r)
        Responses of all points from the coordinates, the responses of r independent active points; correctly
        rounded entries, zero rows for inactive points.
    rows : (k, r)
        The projected cone is {tau : rows tau >= 0}; entries relative to the largest of their row correctly rounded.
    """
    n, D = lifted.shape
    active = np.flatnonzero(pattern)
    exact = {int(i): [Fraction(float(value)) for value in lifted[i]] for i in (*active, *inactive)}
    chosen, reduced, pivots = _row_basis([(int(i), exact[int(i)]) for i in active], D)
    r = len(chosen)
    rest = [c for c in range(D) if c not in pivots]

    def coordinates(row: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
        """<row, theta> = <first, tau> + <second, theta_rest>."""
        first, second = [Fraction(0)] * r, list(row)
        for (combination, echelon), pivot in zip(reduced, pivots, strict=True):
            amount = second[pivot]
            if amount:
                second = [x - amount * e for x, e in zip(second, echelon, strict=True)]
                first = [x + amount * c for x, c in zip(first, combination, strict=True)]
        return first, [second[c] for c in rest]

    maps = np.zeros((n, r))
    cone: list[_Inequality] = []
    for i in active:
        first, _ = coordinates(exact[int(i)])
        maps[i] = [float(x) for x in first]
        cone.append((first, [Fraction(0)] * len(rest), frozenset()))
    for j in inactive:
        cone.append((*coordinates([-x for x in exact[int(j)]]), frozenset([int(j)])))
    for c in range(len(rest)):
        cone = _eliminate(cone, c)
    unique = {tuple(_over_largest(first)): None for first, _, _ in cone if any(first)}
    return maps, np.array([[float(x) for x in row] for row in unique]).reshape(-1, r)


def _over_largest(row: list[Fraction]) -> list[Fraction]:
    largest = max(abs(x) for x in row)
    return [x / largest for x in row] if largest else row


def _row_basis(rows, D):
    """Gauss-Jordan: chosen row indices, reduced echelon rows with their combination of chosen rows, pivot columns."""
    chosen: list[int] = []
    reduced: list[tuple[list[Fraction], list[Fraction]]] = []
    pivots: list[int] = []
    for index, row in rows:
        combination = [Fraction(0)] * len(chosen) + [Fraction(1)]
        row = list(row)
        for (other, echelon), pivot in zip(reduced, pivots, strict=True):
            amount = row[pivot]
            if amount:
                row = [x - amount * e for x, e in zip(row, echelon, strict=True)]
                combination = [
                    x - amount * y
                    for x, y in zip(combination, other + [Fraction(0)] * (len(combination) - len(other)), strict=True)
                ]
        pivot = max(range(D), key=lambda c: abs(row[c]))
        if not row[pivot]:
            continue
        scale = row[pivot]
        row, combination = [x / scale for x in row], [x / scale for x in combination]
        padded = []
        for other, echelon in reduced:
            other = [*other, Fraction(0)]
            amount = echelon[pivot]
            if amount:
                echelon = [x - amount * e for x, e in zip(echelon, row, strict=True)]
                other = [x - amount * y for x, y in zip(other, combination, strict=True)]
            padded.append((other, echelon))
        chosen.append(index)
        reduced = [*padded, (combination, row)]
        pivots.append(pivot)
        if len(chosen) == D:
            break
    return chosen, reduced, pivots


def _eliminate(cone: list[_Inequality], c: int) -> list[_Inequality]:
    """One step of Fourier-Motzkin: remove the c-th of the remaining coordinates from the inequalities >= 0.

    After c + 1 steps one that was made of more than c + 2 of the first ones follows from the others (Chernikov);
    without that their number is squared at each step.
    """
    keep = [row for row in cone if row[1][c] == 0]
    up = [row for row in cone if row[1][c] > 0]
    down = [row for row in cone if row[1][c] < 0]
    for first, second, parents in up:
        for other, rest, others in down:
            if len(parents | others) > c + 2:
                continue
            a, b = -rest[c], second[c]
            total = _over_largest([a * x + b * y for x, y in zip((*first, *second), (*other, *rest), strict=True)])
            keep.append((total[: len(first)], total[len(first) :], parents | others))
    return keep


def least_neuron(lifted: Array, pattern: NDArray[np.bool_], responses: Array) -> Array:
    """Return the shortest theta of the closed cell with <theta, x~_i> = responses_i on its active points.

    Least distance programming: the null space of the active rows is searched by nonnegative least squares.
    """
    from scipy.optimize import nnls

    active = lifted[pattern]
    theta = np.linalg.lstsq(active, responses[pattern], rcond=None)[0]
    _, size, right = np.linalg.svd(active)
    rank = int(np.sum(size > 1e-12 * size.max(initial=0.0)))
    null = right[rank:]
    outside = -lifted[~pattern]
    need = -outside @ theta
    if not len(null) or np.all(need <= 0):
        return np.asarray(theta)
    scale = np.linalg.norm(outside, axis=1)
    scale[scale == 0] = 1.0
    goal = np.append(np.zeros(len(null)), 1.0)
    for slack in (0.0, 1e-13, 1e-11, 1e-9):  # on the border of the cell rounding alone can make it infeasible
        system = np.vstack([(outside @ null.T / scale[:, None]).T, need / scale - slack * np.linalg.norm(theta)])
        residual = system @ nnls(system, goal)[0] - goal
        if residual[-1] < -1e-12:
            return np.asarray(theta - null.T @ (residual[:-1] / residual[-1]))
    return np.asarray(theta)
