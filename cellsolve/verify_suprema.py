"""Proof, in integers, of a bound on sup ||phi_alpha(theta)|| / w(theta) over all neurons: the harder half of `verify`.

On the cone K of a cell phi is linear, phi(theta) = Q^T theta, and w(theta)^2 = theta^T W theta (or w is the l1 norm).
For every direction u of the outputs, every beta >= 0 and every theta with W theta = Q u + G^T beta, where the rows of
G are the inequalities of K, weak duality gives <u, Q^T eta> <= ||theta||_W w(eta) for all eta in K. Floats only guess
which beta are positive; the numbers are solved for, and compared, in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, product
from typing import Any

import numpy as np

from cellsolve.cells import CellArrangement, count_cells, enumerate_cells
from cellsolve.cells.predicates import signs
from cellsolve.data import Array
from cellsolve.verify_crude import crude_supremum
from cellsolve.verify_integers import Ints, Refused, dot, is_copositive, solve, to_integers

MAX_CELLS = 300_000
#: cones of output directions that may be looked at in one cell
MAX_CONES = 20_000

_BLOCK = 4096
_ROUNDING_BITS = 120
#: how strongly a float guess insists on equations that have to hold exactly
_INSISTENCE = (1e4, 1e7, 1e1)

# -- the cells ----------------------------------------------------------------------------------------------------


def all_cells(X: Array, fit_bias: bool) -> CellArrangement:
    """Return the cells of the data, after checking that each is one, that they are distinct and that none is missing.

    The patterns are held against the exact signs of one neuron each, and their number against a count that does not
    enumerate.
    """
    try:
        cells = enumerate_cells(X, fit_bias=fit_bias, max_cells=MAX_CELLS)
    except ValueError as error:
        raise Refused(f"too many cells for this verifier, which takes up to {MAX_CELLS}") from error
    neurons = cells.interior_points(strict=False)
    thin: list[int] = []
    patterns: set[bytes] = set()
    nonzero = cells.lifted.any(axis=1)
    for start in range(0, len(cells), _BLOCK):
        block = cells.unpack(start, start + _BLOCK)
        patterns.update(map(bytes, block))
        wanted = np.where(block, 1, -1) * nonzero
        right = (signs(cells.lifted, np.nan_to_num(neurons[start : start + _BLOCK])) == wanted).all(axis=1)
        thin += (start + np.flatnonzero(~right)).tolist()
    points, _ = to_integers(cells.lifted)
    for k in thin:  # too thin for floats: a neuron in integers
        wanted = np.where(cells.unpack(k, k + 1)[0], 1, -1) * nonzero
        if not np.array_equal(np.sign(points @ np.array(cells.exact_interior(k), dtype=object)), wanted):
            raise Refused("a listed pattern is not a cell of the data")
    if len(patterns) != len(cells) or len(cells) != count_cells(X, fit_bias=fit_bias):
        raise Refused("the list of cells is not complete")
    return cells


@dataclass(frozen=True)
class _Vertex:
    """A direction u of the outputs and a bound for it: theta / d solves W theta = Q u + G^T beta with beta >= 0.

    `weighted` is W theta. For the l1 norm both are the max-norm of Q u + G^T beta instead, times d.
    """

    u: list[int]
    theta: list[int]
    weighted: list[int]
    d: int

    def height(self) -> Fraction:
        """The square of the bound."""
        return Fraction(dot(self.theta, self.weighted), self.d**2)


@dataclass
class _Cell:
    """A cell in integers: phi = Q^T theta, w^2 = theta^T W theta (W None: the l1 norm), rows G theta >= 0.

    The claim is ||theta||_W^2 <= limit ||u||^2 in these integer units.
    """

    Q: list[list[int]]
    W: list[list[int]] | None
    G: list[list[int]]
    directions: Array
    limit: Fraction

    def bound(self, u: list[int]) -> _Vertex | None:
        """Return the best bound found for direction u."""
        q = [dot(row, u) for row in self.Q]
        return self._bound_l1(u, q) if self.W is None else self._bound_quadratic(u, q, self.W)

    def gram(self, vertices: Sequence[_Vertex]) -> list[list[int]]:
        """Return C such that the bound holds for all nonnegative combinations of the u_k if C is copositive.

        C_jk = limit <u_j, u_k> - <z_j, z_k>, z_k the dual vector of the bound for u_k; for the l1 norm its max-norm.
        """
        p, q = self.limit.numerator, self.limit.denominator
        return [[p * a.d * b.d * dot(a.u, b.u) - q * dot(a.theta, b.weighted) for b in vertices] for a in vertices]

    def _bound_quadratic(self, u: list[int], q: list[int], W: list[list[int]]) -> _Vertex | None:
        """Minimise theta^T W theta over W theta = q + G^T beta, beta >= 0, by an active-set method in integers.

        A float guess of where beta > 0 is the start. Where W is singular, a guess that takes a small entry of q for
        rounding has no solution, or a negative one; then the search starts over from one or no row of G. One of these
        has a solution whenever any beta has: q is in the range of W for the label noise, and `slope` leaves one
        equation, that of the bias.
        """
        best = None
        cold: Iterator[list[int]] = chain([[]], ([j] for j in range(len(self.G))))
        for support in chain((self._guess(q, root) for root in self._roots), cold):
            found, exact = self._descend(u, q, W, support)
            if exact:
                return found
            if found is not None and (best is None or found.height() < best.height()):
                best = found
        return best

    def _descend(self, u: list[int], q: list[int], W: list[list[int]], start: list[int]) -> tuple[_Vertex | None, bool]:
        """Return the best vertex found from one start, if any, and whether it is the exact supremum over the cell.

        Once beta >= 0 it stays so: a step stops where its first entry vanishes (Lawson and Hanson, 1974).
        """
        support, best = list(start), None
        feasible: dict[int, Fraction] = {}
        for _ in range(4 * (len(self.G) + len(q)) + 2):
            tight = [self.G[j] for j in support]
            upper = [[*row, *(-g[i] for g in tight)] for i, row in enumerate(W)]
            system = upper + [[*g, *[0] * len(tight)] for g in tight]
            solution = solve(system, [[entry] for entry in [*q, *[0] * len(tight)]])
            if solution is None:
                break
            values, d = [row[0] for row in solution[0]], solution[1]
            theta, beta = values[: len(q)], values[len(q) :]
            if min(beta, default=0) >= 0:
                feasible = {j: Fraction(b, d) for j, b in zip(support, beta)}
                best = _Vertex(u, theta, [dot(row, theta) for row in W], d)
                slack = [dot(g, theta) for g in self.G]
                if min(slack, default=0) >= 0:
                    return best, True
                support.append(slack.index(min(slack)))
            elif best is None:
                del support[beta.index(min(beta))]
            else:
                old = [feasible.get(j, Fraction(0)) for j in support]
                steps = [(b / (b - Fraction(e, d)), k) for k, (b, e) in enumerate(zip(old, beta)) if e < 0]
                step, leaves = min(steps)
                feasible = {j: b + step * (Fraction(e, d) - b) for j, b, e in zip(support, old, beta)}
                del feasible[support.pop(leaves)]
        return best, False

    @cached_property
    def _roots(self) -> list[Array]:
        """Float matrices R with ||R p||^2 = p^T W^{-1} p on the range of W and much more off it."""
        W = np.array(self.W, dtype=object)
        largest = max(max(W.diagonal()), 1)
        scale = np.sqrt([entry / largest if entry else 1.0 for entry in W.diagonal()])
        scale[scale == 0] = 1.0
        values, vectors = np.linalg.eigh((W / largest).astype(float) / np.outer(scale, scale))
        flat = values <= 1e-11 * max(values[-1], 0)
        sizes = [1.0] if not flat.any() else _INSISTENCE
        return [(vectors / np.sqrt(np.where(flat, size**-2, values))).T / scale for size in sizes]

    def _guess(self, q: list[int], root: Array) -> list[int]:
        """Return where beta is positive in the float minimiser of ||R (q + G^T beta)||."""
        from scipy.optimize import nnls

        largest = max(map(abs, q))
        if not largest or not len(self.G):
            return []
        matrix = root @ self.directions.T
        size = np.linalg.norm(matrix, axis=0)
        try:
            beta, _ = nnls(matrix / np.where(size > 0, size, 1.0), -root @ np.array([entry / largest for entry in q]))
        except RuntimeError:  # too many iterations
            return []
        return np.flatnonzero(beta > 0).tolist()

    def _bound_l1(self, u: list[int], q: list[int]) -> _Vertex:
        """Round the solution of min ||q + G^T beta||_inf to dyadic numbers, and refine it by solving for the rest."""
        size = [max(map(abs, g)) for g in self.G]
        shift = max(0, _ROUNDING_BITS + max(size, default=1).bit_length() - max(map(abs, q)).bit_length())
        target, beta = [entry << shift for entry in q], [0] * len(size)
        for attempts_left in (2, 1, 0):
            theta = [entry + sum(b * g[i] for b, g in zip(beta, self.G)) for i, entry in enumerate(target)]
            height = max(map(abs, theta))
            if not attempts_left or not self.G or height**2 <= self.limit * (dot(u, u) << 2 * shift):
                break
            step = _chebyshev(self.G, size, theta, [-b * s / height for b, s in zip(beta, size)])
            beta = [max(0, b + int(Fraction(e) * height / s)) for b, e, s in zip(beta, step, size)]
        return _Vertex(u, [height], [height], 1 << shift)


def _chebyshev(G: list[list[int]], size: list[int], theta: list[int], lower: list[float]) -> list[float]:
    """Minimise ||theta + sum_j step_j g_j / size_j||_inf over step >= lower, theta scaled to max-norm 1; in floats."""
    from scipy.optimize import linprog

    rows = np.array([[entry / s for entry in g] for g, s in zip(G, size)]).T
    height = max(map(abs, theta))
    target = np.array([entry / height for entry in theta])
    one = np.ones((len(target), 1))
    found = linprog(
        [*[0.0] * len(G), 1.0],
        A_ub=np.block([[rows, -one], [-rows, -one]]),
        b_ub=np.concatenate([-target, target]),
        bounds=[*((low, None) for low in lower), (0.0, None)],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return [0.0] * len(G) if found.x is None else found.x[:-1].tolist()


# -- the proof ----------------------------------------------------------------------------------------------------


def prove_supremum(
    alpha: Ints,
    denominator: int,
    supremum: float,
    X: Array,
    *,
    fit_bias: bool,
    penalty: str,
    full: bool,
    progress: Callable[[int, int], Any] | None = None,
) -> None:
    """Prove ||phi_alpha(theta)|| <= supremum w(theta) for all neurons theta, or raise Refused.

    Parameters
    ----------
    alpha, denominator : array of ints, shape (n, m), and int
        The dual vector times its common denominator.
    supremum : float
    X : array, shape (n, d)
    fit_bias, penalty, full
        What w is, as in `cellsolve.verify.Claim`.
    progress : callable, optional
        Called as ``progress(cells_done, cells)``.
    """
    crude = crude_supremum(alpha, denominator, X, fit_bias=fit_bias, penalty=penalty, full=full)
    if crude is not None and crude <= Fraction(supremum):
        return
    if penalty == "slope" and fit_bias:  # biases are free, so only the unit of X changes: by a power of two, exactly
        exponent = int(np.frexp(np.abs(X).max())[1])
        scaled = np.ldexp(X, -exponent), float(np.ldexp(supremum, -exponent))
        if np.array_equal(np.ldexp(scaled[0], exponent), X) and np.ldexp(scaled[1], exponent) == supremum:
            X, supremum = scaled
    cells = all_cells(X, fit_bias)
    for k, (cell, first) in enumerate(_cells(cells, alpha, denominator, supremum, fit_bias, penalty, full)):
        if progress is not None and k % 256 == 0:
            progress(k, len(cells))
        if first is None or first > cell.limit:
            failure = _failure(cell)
            if failure:
                raise Refused(f"the supremum is not shown to be at most {supremum!r}: cell {k} {failure}")
    if progress is not None:
        progress(len(cells), len(cells))


def _cells(
    cells: CellArrangement, alpha: Ints, denominator: int, supremum: float, fit_bias: bool, penalty: str, full: bool
) -> Iterator[tuple[_Cell, int | None]]:
    """The cells in integers, each with the bound that beta = 0 gives in the units of its limit (None: no bound)."""
    lifted = cells.lifted
    n, D = lifted.shape
    points, unit = to_integers(lifted)
    length = np.abs(lifted).max(axis=1, initial=0.0, keepdims=True)
    directions = lifted / np.where(length > 0, length, 1.0)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1.0)
    slopes = D - 1 if penalty == "slope" and fit_bias else D
    fixed = None if penalty == "l1" else [[int(i == j < slopes) for j in range(D)] for i in range(D)]
    terms = points[:, :, None] * alpha[:, None, :]
    sizes, squares, outer = (alpha**2).sum(axis=1), (points**2).sum(axis=1), points[:, :, None] * points[:, None, :]
    level = (Fraction(supremum) * denominator) ** 2
    indptr, indices = cells.facets
    for start in range(0, len(cells), _BLOCK):
        for k, pattern in enumerate(cells.unpack(start, start + _BLOCK), start):
            Q = terms[pattern].sum(axis=0)
            if penalty == "label_noise":
                # W theta = Q u has theta = alpha u on the active points: ||theta||_W^2 = sum_i s_i ||alpha_i||^2
                W = outer[pattern].sum(axis=0).tolist()
                crude: int | None = sizes[pattern].sum()
                limit = level / n * (Fraction(4 * squares[pattern].sum(), n * unit**2) if full else 1)
            else:
                W, limit = fixed, level * unit**2
                energy = (Q**2).sum(axis=1).tolist()
                crude = max(energy) if W is None else sum(energy) if not any(energy[slopes:]) else None
            facets = indices[indptr[k] : indptr[k + 1]]
            sides = np.where(pattern[facets], 1, -1)[:, None]
            G = points[facets] * sides.astype(object)
            yield _Cell(Q.tolist(), W, G.tolist(), directions[facets] * sides, limit), crude


def _failure(cell: _Cell) -> str | None:
    """Cover the output directions by simplicial cones, prove each or split it; return what went wrong, if anything."""
    vertices = [(cell.bound(u), cell.bound([-entry for entry in u])) for u in _output_axes(cell.Q)]
    cones = list(product(*vertices))
    looked_at = 0
    while cones:
        cone = cones.pop()
        looked_at += 1
        kept = [vertex for vertex in cone if vertex is not None]
        gram = cell.gram(kept)
        if len(kept) < len(cone) or any(row[k] < 0 for k, row in enumerate(gram)):
            return "is above it"
        if is_copositive(gram):
            continue
        if looked_at >= MAX_CONES:
            return "could not be decided"
        j, k = _longest_edge([vertex.u for vertex in kept])
        middle = cell.bound(_middle(kept[j].u, kept[k].u))
        cones += [(*cone[:j], middle, *cone[j + 1 :]), (*cone[:k], middle, *cone[k + 1 :])]
    return None


def _output_axes(Q: list[list[int]]) -> list[list[int]]:
    """Orthogonal vectors that span the u that matter: R^m, or the row space of Q where m > D (Gram-Schmidt)."""
    D, m = len(Q), len(Q[0])
    if m <= D:
        return [[int(j == k) for j in range(m)] for k in range(m)]
    axes: list[list[int]] = []
    for row in Q:
        for axis in axes:
            length, along = dot(axis, axis), dot(axis, row)
            row = [length * a - along * b for a, b in zip(row, axis, strict=True)]
        divisor = math.gcd(*row)
        if divisor:
            axes.append([entry // divisor for entry in row])
    return axes


def _longest_edge(directions: list[list[int]]) -> tuple[int, int]:
    """The pair of vertices at the widest angle."""
    floats = np.array([[entry / (max(map(abs, u)) or 1) for entry in u] for u in directions])
    floats /= np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1.0)
    cosine = floats @ floats.T + 2 * np.tri(len(floats))
    j, k = np.unravel_index(int(np.argmin(cosine)), cosine.shape)
    return int(j), int(k)


def _middle(a: list[int], b: list[int]) -> list[int]:
    """About the bisector: the sum, after a power of two has made the lengths comparable."""
    shift = (dot(a, a).bit_length() - dot(b, b).bit_length()) // 2
    if shift < 0:
        a, b, shift = b, a, -shift
    return [p + (q << shift) for p, q in zip(a, b, strict=True)]
