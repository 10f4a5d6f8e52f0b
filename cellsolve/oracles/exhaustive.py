"""The exhaustive oracle: every cell is priced, so its supremum is over all neurons and proven, rounding included."""

from __future__ import annotations

import time

import numpy as np

from cellsolve.cells import CellArrangement, enumerate_lifted
from cellsolve.data import Array
from cellsolve.oracles import kernels
from cellsolve.oracles.families import ConeFamily, cone_family, round_families
from cellsolve.oracles.pricing import Oracle, Pricing
from cellsolve.oracles.responses import ResponseFamily, least_neuron
from cellsolve.oracles.spheres import sphere_suprema
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem
from cellsolve.tasks import over_blocks

#: how far, relative to its length, a neuron is moved off a border: far more than rounding, far less than shows in a gap
OFF_BORDER = 1e-10
#: cells that one call of a kernel takes
BLOCK = 2**13


class ExhaustiveOracle(Oracle):
    """Sup of ||phi_alpha|| / w over all neurons by looking into every cell.

    Parameters
    ----------
    problem : Problem
    cells : CellArrangement
        All cells of ``problem.lifted``.
    n_jobs : int, optional
        joblib threads over blocks of cells.

    Notes
    -----
    On a cell phi is linear and w(theta) = ||M_s theta||_p. For p = 2 the supremum is a least-squares problem over
    nonnegative multipliers of the cell's facets, and any multipliers bound it (weak duality). For p = 1 the
    arrangement is refined by the coordinate hyperplanes, which makes w linear on its cells.
    """

    proves = exact = True

    def __init__(self, problem: Problem, cells: CellArrangement, n_jobs: int | None = None) -> None:
        self.problem = problem
        self.n_jobs = n_jobs
        #: the cells of the data, before any refinement
        self.data_cells = cells
        if problem.penalty.order == 1:
            n, D = problem.lifted.shape
            self.cells = enumerate_lifted(np.vstack([problem.lifted, np.eye(D)]), max_cells=max(10**7, 8 * len(cells)))
            everything = np.arange(len(self.cells))
            self.families = [cone_family(self.cells, everything, np.eye(D)[None], np.zeros(len(self.cells)))]
            signs = np.concatenate([self.cells.unpack(k, k + 2**14)[:, n:] for k in range(0, len(self.cells), 2**14)])
            self.linear = np.where(signs, 1.0, -1.0)
        else:
            self.cells = cells
            self.families = round_families(problem, cells)

    def price(self, alpha, level, correction=None, prove=True, max_time=np.inf, thorough=True):
        """As `Oracle.price`: always tight, with the best neuron of every cell; that takes a second or so.

        Only several outputs take longer, and look at `max_time`.
        """
        end = time.perf_counter() + max_time
        q, slack = self._sums(alpha, correction)
        best = [self._price_family(family, alpha, correction, q, slack, level, end) for family in self.families]
        supremum = max((bound for bound, _, _ in best), default=0.0)
        theta = np.concatenate([found for _, found, _ in best]) if best else np.zeros((0, self.problem.lifted.shape[1]))
        theta = theta[np.any(theta != 0, axis=1)]
        ratios = self._ratios(theta, alpha)
        order = np.argsort(-ratios, kind="stable")
        return Pricing(supremum, theta[order], ratios[order], exhaustive=True)

    def _sums(self, alpha: Array, correction: Array | None) -> tuple[Array, Array]:
        """Return q_s = sum of x~_i alpha_i^T over active points (S, D, m), and bounds (D, m) on its error."""
        lifted, (n, m) = self.problem.lifted, alpha.shape
        q = np.empty((len(self.cells), lifted.shape[1], m))
        packed = self.cells.packed
        over_blocks(self.n_jobs, len(q), lambda a, b: kernels.cell_sums(packed[a:b], lifted, alpha, q[a:b]), BLOCK)
        absolute = np.abs(lifted).T @ np.abs(alpha)
        slack = (n + 4) * UNIT * absolute  # gamma_n of a sum of n rounded products, with room for this line
        if correction is not None:
            slack += np.abs(lifted).T @ correction * (1 + (n + 4) * UNIT)
        return q, slack

    def _price_family(self, family: ConeFamily, alpha, correction, q, slack, level, end):
        """Return (bound, neurons above the level, their cells) of one family."""
        if isinstance(family, ResponseFamily):
            q, slack = _response_sums(family, alpha, correction)
        else:
            q, slack = q[family.cells], np.broadcast_to(slack, (len(family.cells), *slack.shape))
        if alpha.shape[1] > 1:
            linear = self.linear if self.problem.penalty.order == 1 else None
            bound, directions, above = sphere_suprema(family, q, slack, level, linear, end)
        else:
            bounds, directions, above = [], [], []
            for sign in (1.0, -1.0):
                values, errors, found = self._one_sign(family, sign * q[:, :, 0], np.ascontiguousarray(slack[:, :, 0]))
                bounds.append(((values + errors) * (1 + family.eta) * (1 + 8 * UNIT)).max(initial=0.0))
                pick = np.flatnonzero(values > level)
                directions.append(found[pick])
                above.append(pick)
            bound, directions, above = max(bounds), np.concatenate(directions), np.concatenate(above)
        return float(bound), self._neurons(family, directions, above), above

    def _one_sign(self, family: ConeFamily, q: Array, slack: Array):
        S, D = q.shape
        values, errors, found = np.empty(S), np.empty(S), np.empty((S, D))
        q = np.ascontiguousarray(q)
        fixed = (family.rows, family.row_errors, family.weights)
        if self.problem.penalty.order == 1:

            def block(a, b):
                part = (q[a:b], slack[a:b], 0.0, values[a:b], errors[a:b], found[a:b])
                kernels.ray_suprema(family.indptr[a : b + 1], *fixed, self.linear[a:b], *part)
        else:

            def block(a, b):
                T = family.T if len(family.T) == 1 else family.T[a:b]
                part = (q[a:b], slack[a:b], values[a:b], errors[a:b], found[a:b])
                kernels.round_suprema(family.indptr[a : b + 1], *fixed, T, *part)

        over_blocks(self.n_jobs, S, block, BLOCK)
        return values, errors, found

    def _neurons(self, family: ConeFamily, directions: Array, members: np.ndarray) -> Array:
        """Turn directions in a family's coordinates into neurons."""
        problem = self.problem
        if isinstance(family, ResponseFamily):
            theta = np.zeros((len(directions), problem.lifted.shape[1]))
            for k, (tau, member) in enumerate(zip(directions, members, strict=True)):
                pattern = self.cells.unpack(family.cells[member], family.cells[member] + 1)[0]
                theta[k] = least_neuron(problem.lifted, pattern, np.maximum(family.maps[member] @ tau, 0.0))
            return self.inside(theta, family.cells[members])
        if problem.penalty.free_constant(problem.fit_bias) and len(directions):
            return self._at_the_ends(directions, family.cells[members])
        return self.inside(directions, family.cells[members])

    def inside(self, theta: Array, cells: np.ndarray) -> Array:
        """Where w jumps between cells, return neurons moved off the border, into the cells they belong to."""
        if not self.problem.penalty.jumps or not len(theta):
            return theta
        distinct, inverse = np.unique(cells, return_inverse=True)
        within = self.cells.take(distinct)
        inner = within.interior_points()[inverse]
        sizes = np.linalg.norm(theta, axis=1, keepdims=True) / np.linalg.norm(inner, axis=1, keepdims=True)
        inner *= sizes
        sides = np.where(within.unpack(0, len(distinct))[inverse], 1.0, -1.0)
        lifted = self.problem.lifted.T
        outside, margin = -np.minimum(sides * (theta @ lifted), 0.0), sides * (inner @ lifted)
        beyond = np.divide(outside, margin, out=np.zeros_like(margin), where=margin > 0)  # a point at 0 has no sides
        return theta + np.maximum(OFF_BORDER, 2 * beyond.max(axis=1, keepdims=True)) * inner

    def _at_the_ends(self, directions: Array, cells: np.ndarray) -> Array:
        """The least and the largest bias that keep each direction in its cell.

        For fixed a, phi is linear in b and w does not depend on it, so one of the two is best; and in the coordinates
        of `slope` the bias is what rounding spares least.
        """
        lifted = self.problem.lifted
        active = np.concatenate([self.cells.unpack(s, s + 1) for s in cells])
        places = -(directions[:, :-1] @ lifted[:, :-1].T) / lifted[:, -1]
        low = np.where(active, places, -np.inf).max(axis=1)
        high = np.where(active, np.inf, places).min(axis=1)
        ends = [np.column_stack([directions[:, :-1], end])[np.isfinite(end)] for end in (low, high)]
        return np.concatenate(ends)

    def _ratios(self, theta: Array, alpha: Array) -> Array:
        if not len(theta):
            return np.zeros(0)
        phi = np.linalg.norm(self.problem.responses(theta).T @ alpha, axis=1)
        cost = self.problem.neuron_costs(theta)
        return np.divide(phi, cost, out=np.zeros_like(phi), where=cost > 0)


def _response_sums(family: ResponseFamily, alpha: Array, correction: Array | None) -> tuple[Array, Array]:
    """Q in response coordinates (S, r, m) and bounds on its error."""
    maps = np.array(family.maps)
    q = np.einsum("sir,ij->srj", maps, alpha)
    slack = (len(alpha) + 4) * UNIT * np.einsum("sir,ij->srj", np.abs(maps), np.abs(alpha))
    if correction is not None:
        slack += np.einsum("sir,ij->srj", np.abs(maps), correction) * (1 + (len(alpha) + 4) * UNIT)
    return q, slack
