"""Master of program (G) on a few active cells: one neuron, any in its cell, for each cell and sign."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from cellsolve.data import Array
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution, loss_block, run_clarabel, whitening, widen
from cellsolve.solvers.gram import CellGram
from cellsolve.solvers.sliding import Slide, can_slide

#: a neuron may be on the wrong side of a point by this share of |theta| |x~|: what a convex solver leaves of a facet
OUTSIDE = 1e-9
#: rows that a cell starts with, and gets at most in one round, by dimension: as many as meet in a corner, and some more
ROWS = 2
#: largest dimension of a hull: it takes 10 ms there, and several times as long for each further one
HULL = 7
#: points, by dimension, among which facets are looked for at first: those nearest to the neuron
NEAR = 50
#: a point that is nearer, as a share of its length, is taken to be that far: a hull needs finite points
THIN = 1e-12
#: rounds of rows; nearly all programs need fewer than ten, and a neuron that is still outside is only a little worse
ROUNDS = 30
#: cells lighter than this share of the norm are at zero
ZERO = 1e-8


class CellMaster:
    """Holds cells, each with a sign; `solve` finds the best neuron of each.

    Of the n inequalities of a cell only those are in the program that were once violated: few matter. Where theta and
    -theta are one neuron only one of the two cells is held, that with fewer active points.
    """

    wanders = False
    #: neurons to be offered in one round
    most = 30

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # the program is in coordinates t of neurons u = W t
        self.W = whitening(problem.lifted)
        self.points = problem.lifted @ self.W
        lengths = np.linalg.norm(self.points, axis=1, keepdims=True)
        self.sizes = np.where(lengths > 0, lengths, 1.0)
        self.directions = self.points / self.sizes
        self.patterns = np.zeros((0, problem.n), dtype=bool)
        self.signs = np.zeros(0)
        self.rows: list[np.ndarray] = []
        self.live = np.zeros(0, dtype=bool)
        self.known: set[bytes] = set()
        self.gram = CellGram(problem.boxes, self.points, problem.basis, problem.targets[:, 0])

    def __len__(self) -> int:
        return len(self.signs)

    def add(self, theta: Array, pulls: Array) -> int:
        """Add the cells of these neurons that are not there yet, with the signs of `pulls` (K, 1); return how many."""
        patterns, signs = [self.patterns], []
        for start in range(0, len(theta), 256):
            products = theta[start : start + 256] @ self.problem.lifted.T
            if self.problem.one_facing:
                products *= np.where(2 * np.sum(products > 0, axis=1) > self.problem.n, -1.0, 1.0)[:, None]
            for k, pattern in enumerate(products > 0, start):
                sign = 1.0 if pulls[k, 0] >= 0 else -1.0
                key = _key(pattern, sign)
                if key in self.known or not pattern.any():
                    continue
                self.known.add(key)
                t = np.asarray(np.linalg.solve(self.W, theta[k]), dtype=np.float64)
                self.rows.append(facets_around(self.directions, t))
                patterns.append(pattern[None])
                signs.append(sign)
        self.patterns = np.concatenate(patterns)
        self.signs = np.append(self.signs, signs)
        self.live = np.append(self.live, np.ones(len(signs), dtype=bool))
        return len(signs)

    def solve(self, max_time: float = np.inf) -> MasterSolution:
        """Return the best neurons, scaled to w = 1, their weights, and a dual vector."""
        t, coefficients, alpha, forces, slacks = self._within(max_time)
        u = t @ self.W.T
        cost = self.problem.neuron_costs(u)
        total = max(cost.sum(), np.finfo(float).tiny)
        live = cost > ZERO * total
        # of a weight and its slack an interior-point method leaves both above zero: the smaller one is zero
        self.live = cost > slacks * total
        weights = (self.signs[live] * cost[live])[:, None]
        faces = np.zeros((len(weights), self.problem.n), dtype=np.int8)
        for row, k in zip(faces, np.flatnonzero(live).tolist(), strict=True):
            row[:] = self._face(k, t[k], forces[k])
        return MasterSolution(u[live] / cost[live, None], weights, coefficients, alpha, faces)

    def after(self, solution: MasterSolution, fell: bool) -> None:
        """Forget the cells at zero, if the objective fell, and add those that the neurons slide to.

        On a plateau, where dual vectors are not unique, cells that were dropped would come back for ever.
        """
        if fell:
            self._forget()
        if can_slide(self.problem):
            landed = self.slide.land(solution.theta, solution.weights, solution.coefficients)
            self.add(landed.theta, landed.weights)

    @cached_property
    def slide(self) -> Slide:
        """What moves neurons."""
        return Slide(self.problem)

    def _forget(self) -> None:
        keep = self.live
        for k in np.flatnonzero(~keep):
            self.known.discard(_key(self.patterns[k], self.signs[k]))
        self.patterns, self.signs, self.live = self.patterns[keep], self.signs[keep], self.live[keep]
        self.rows = [rows for rows, kept in zip(self.rows, keep, strict=True) if kept]

    # -- the convex program ---------------------------------------------------------------------------------

    def _within(self, max_time: float):
        """Solve, add the rows that are violated, and so on until none is."""
        D = self.problem.lifted.shape[1]
        for _ in range(ROUNDS):
            t, coefficients, alpha, forces, slacks = self._program(max_time)
            sizes = np.linalg.norm(t, axis=1)
            live = np.flatnonzero(sizes > ZERO * sizes.sum())
            new = 0
            for k in live:
                products = self.directions @ t[k]
                products = np.where(self.patterns[k], products, -products)
                wrong = np.flatnonzero(products < -OUTSIDE * sizes[k])
                wrong = np.setdiff1d(wrong, self.rows[k], assume_unique=True)
                wrong = wrong[np.argsort(products[wrong])[: ROWS * D]]
                self.rows[k] = np.concatenate([self.rows[k], wrong])
                new += len(wrong)
            if not new:
                break
        return t, coefficients, alpha, forces, slacks

    def _face(self, k: int, t: Array, forces: Array) -> np.ndarray:
        """1 where t is active, -1 where not, 0 where the cell holds it on a hinge: the multiplier exceeds the slack."""
        rows = self.rows[k][: len(forces)]
        slacks = np.abs(self.directions[rows] @ t) / np.linalg.norm(t)
        face = np.where(self.patterns[k], 1, -1).astype(np.int8)
        face[rows[forces > slacks]] = 0
        return face

    def _program(self, max_time: float):
        import clarabel

        problem = self.problem
        K, (n, D) = len(self.signs), self.points.shape
        k = problem.basis.shape[1]
        width = K * D + k
        targets = problem.targets[:, 0]
        gram = not problem.interpolates and problem.loss.name == "squared" and width <= n
        block = None if gram or problem.interpolates else loss_block(problem)
        head = 0 if block is None else block.size
        cones = _Cones(problem, self.patterns, self.W)
        size = head + width + cones.extra
        quadratic: sparse.spmatrix = sparse.csc_matrix((size, size))
        cost = np.zeros(size)
        rows, bounds, kinds = [], [], []
        if gram:
            upper = np.zeros((size, size))
            inner, right = self.gram.products(self.patterns, self.signs)
            upper[:width, :width] = np.triu(inner)
            quadratic = sparse.csc_matrix(upper)
            cost[:width] = -right
        else:
            F = self._columns()
            if block is not None:
                quadratic = sparse.diags(np.append(block.quadratic, np.zeros(size - head)), format="csc")
                cost[:head] = block.linear
                picked = sparse.hstack([sparse.identity(n), sparse.csc_matrix((n, head - n)), -F])
                right = np.zeros(n)
            else:
                picked, right = sparse.csc_matrix(F) * -1.0, -targets
            rows.append(widen(picked, 0, size))
            bounds.append(right)
            kinds.append(clarabel.ZeroConeT(n))
            if block is not None and len(block.bounds):
                rows.append(widen(block.rows, 0, size))
                bounds.append(block.bounds)
                kinds.append(clarabel.NonnegativeConeT(len(block.bounds)))
        facets = self._facets()
        first = sum(map(len, bounds))
        if facets.shape[0]:
            rows.append(widen(-facets, head, size))
            bounds.append(np.zeros(facets.shape[0]))
            kinds.append(clarabel.NonnegativeConeT(facets.shape[0]))
        if problem.penalty.free_constant(problem.fit_bias):
            ranges = self._bias_ranges(k, cones.unit)
            rows.append(widen(ranges, head, size))
            bounds.append(np.zeros(ranges.shape[0]))
            kinds.append(clarabel.NonnegativeConeT(ranges.shape[0]))
        cost[head + width :] = problem.level * cones.unit
        begin = sum(map(len, bounds))
        rows.append(widen(cones.matrix(k), head, size))
        bounds.append(np.zeros(rows[-1].shape[0]))
        end = begin + len(bounds[-1])
        kinds += cones.kinds
        if block is not None and len(block.offsets):
            rows.append(widen(-block.cones, 0, size))
            bounds.append(block.offsets)
            kinds += [clarabel.ExponentialConeT()] * (len(block.offsets) // 3)
        x, z = run_clarabel(quadratic, cost, rows, bounds, kinds, max_time)
        values = x[head : head + width]
        t, a = values[: K * D].reshape(K, D), values[K * D :]
        alpha = (targets - self._fit(t) - problem.basis @ a) / n if gram else z[:n]
        forces = np.split(
            z[first : first + facets.shape[0]] / problem.level, np.cumsum([len(rows) for rows in self.rows])[:-1]
        )
        slacks = cones.slacks(z[begin:end] / problem.level)
        return t, a[:, None], alpha[:, None], forces, slacks

    def _columns(self) -> Array:
        """[s_k D_k X, B], dense."""
        active = (self.patterns * self.signs[:, None]).T
        return np.hstack([(active[:, :, None] * self.points[:, None, :]).reshape(len(active), -1), self.problem.basis])

    def _fit(self, t: Array) -> Array:
        return self.problem.boxes.network(t @ self.W.T, self.signs[:, None])[:, 0]

    def _facets(self) -> sparse.csr_matrix:
        """The rows (2 s_i - 1) x~_i / |x~_i| of every cell, over all t."""
        K, D = len(self.signs), self.directions.shape[1]
        owner = np.repeat(np.arange(K), [len(rows) for rows in self.rows])
        point = np.concatenate([np.zeros(0, dtype=int), *self.rows]).astype(int)
        data = np.where(self.patterns[owner, point], 1.0, -1.0)[:, None] * self.directions[point]
        columns = owner[:, None] * D + np.arange(D)
        return sparse.csr_matrix((data.ravel(), columns.ravel(), np.arange(len(owner) + 1) * D), (len(owner), K * D))

    def _bias_ranges(self, free: int, unit: float) -> sparse.csc_matrix:
        """The rows |b_k| <= R unit w_k over (t, a, w), R = max |x_i|.

        They hold in every cell, of the one that is active everywhere in its part that is needed, and without them
        biases that cost nothing run off to infinity.
        """
        K, D = len(self.signs), self.directions.shape[1]
        lifted = self.problem.lifted
        radius = float((np.linalg.norm(lifted[:, :-1], axis=1) / lifted[:, -1]).max())
        pick = sparse.kron(sparse.identity(K), sparse.csr_matrix(self.W[D - 1 :]))
        gap, reach = sparse.csr_matrix((K, free)), -radius * unit * sparse.identity(K)
        return sparse.vstack([sparse.hstack([pick, gap, reach]), sparse.hstack([-pick, gap, reach])], format="csc")


def facets_around(directions: Array, theta: Array) -> np.ndarray:
    """Return the rows of `directions` that are facets of the cell of theta.

    With <r, theta> > 0 for the rows r of the cone, turned to its side, the cone's slice {theta + delta} is
    {<r, delta> / <r, theta> >= -1}: the facets are the vertices of the convex hull of r / <r, theta>, taken
    orthogonally to theta.
    """
    from scipy.spatial import ConvexHull, QhullError

    n, D = directions.shape
    most = min(n, ROWS * D)
    theta = theta / np.linalg.norm(theta)
    products = directions @ theta
    near = np.arange(n)
    if n > NEAR * D:
        near = np.argpartition(np.abs(products), NEAR * D)[: NEAR * D]
    if 1 < D - 1 <= HULL and n > D:
        away = np.linalg.qr(np.column_stack([theta, np.eye(D)]))[0][:, 1:D]
        distances = np.copysign(np.maximum(np.abs(products[near]), THIN), products[near])
        try:
            vertices = ConvexHull(np.vstack([directions[near] @ away / distances[:, None], np.zeros(D - 1)])).vertices
            return near[vertices[vertices < len(near)]]
        except QhullError:
            pass
    return np.argpartition(np.abs(products), most - 1)[:most]


def _key(pattern: np.ndarray, sign: float) -> bytes:
    return np.packbits(pattern).tobytes() + (b"+" if sign > 0 else b"-")


class _Cones:
    """w(W t_k) <= unit w_k as cones: one w a cell for the Euclidean length, one a coordinate for the sum of |.|.

    The unit is the largest w of a t of length 1, so that what the solver sees is of one size.
    """

    def __init__(self, problem: Problem, patterns: np.ndarray, W: Array) -> None:
        import clarabel

        M = problem.penalty.cell_matrices(patterns, problem.lifted, problem.fit_bias) @ W
        self.unit = float(np.linalg.norm(M, axis=(1, 2)).max(initial=0.0)) or 1.0
        M /= self.unit
        self.blocks = [M[k] if len(M) > 1 else M[0] for k in range(len(patterns))]
        self.absolute = problem.penalty.order == 1
        heights = self.heights = [len(block) for block in self.blocks]
        self.extra = sum(heights) if self.absolute else len(heights)
        self.kinds = (
            [clarabel.NonnegativeConeT(2 * self.extra)]
            if self.absolute
            else [clarabel.SecondOrderConeT(height + 1) for height in heights]
        )

    def matrix(self, free: int) -> sparse.csc_matrix:
        """A of A (t, a, w) + s = 0, s in the cones; `free` columns for a."""
        if not self.blocks:
            return sparse.csc_matrix((0, free))
        if self.absolute:
            images = sparse.block_diag(self.blocks)
            gap, eye = sparse.csc_matrix((self.extra, free)), sparse.identity(self.extra)
            return sparse.vstack([sparse.hstack([images, gap, -eye]), sparse.hstack([-images, gap, -eye])])
        images = sparse.block_diag([np.vstack([np.zeros(block.shape[1]), block]) for block in self.blocks])
        tops = sparse.block_diag([np.eye(len(block) + 1, 1) for block in self.blocks])
        return sparse.hstack([-images, sparse.csc_matrix((images.shape[0], free)), -tops])

    def slacks(self, z: Array) -> Array:
        """1 - |phi| / (level w), at most, on every cell: from the multipliers of the cones, divided by the level."""
        if not self.heights:
            return np.zeros(0)
        if self.absolute:
            sizes = np.abs(z[: self.extra] - z[self.extra :])
            starts = np.cumsum([0, *self.heights[:-1]])
            return 1 - np.maximum.reduceat(sizes, starts) / self.unit
        parts = np.split(z, np.cumsum([height + 1 for height in self.heights])[:-1])
        return 1 - np.array([np.linalg.norm(part[1:]) for part in parts]) / self.unit
