"""The oracle beyond enumeration: ascents find violators, branch and bound over cones proves that there are none."""

from __future__ import annotations

import itertools
from threading import TIMEOUT_MAX, Lock, Timer

import numpy as np

from cellsolve.data import Array
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.cone_kernels import search_cone, workspace
from cellsolve.oracles.pricing import Oracle, Pricing
from cellsolve.oracles.threads import each
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem

#: steps of Frank and Wolfe on a cone: six close most cones that can be closed (docs/oracle.md)
STEPS = 6
#: point visits that a proof may take by default: about a minute
MAX_WORK = 5_000_000_000
#: a supremum below this share of the crude bound is not told from rounding
FLOOR = 1e-10
#: what a Timer takes for ever
LONGEST = TIMEOUT_MAX / 2
#: neurons that one orthant may report
MOST = 1000
#: of them that are climbed from
CLIMBED = 200
#: a supremum above the level is proven to this share of its excess
ROUGH = 0.1
#: largest D that branch and bound is tried for: it starts from 2^D orthants, and the visits grow faster than that
MOST_COORDINATES = 8


class ConeOracle(Oracle):
    """Sup of |phi_alpha| / w over all neurons, to a relative accuracy, without a list of cells.

    Parameters
    ----------
    problem : Problem
        With one output.
    accuracy : float
        The supremum is proven to max(level, sup) (1 + accuracy), less closely where it is far above the level.
    random_state, n_jobs
        As for `AscentOracle`; the threads share the orthants.
    max_work : int
        Point visits after which a proof is given up, and the crude bound is what is left.
    """

    proves = True

    def __init__(
        self,
        problem: Problem,
        accuracy: float = 1e-7,
        random_state=None,
        n_jobs: int | None = None,
        max_work: int = MAX_WORK,
    ) -> None:
        self.problem = problem
        self.accuracy = accuracy
        self.max_work = max_work
        self.n_jobs = n_jobs
        self.ascents = AscentOracle(problem, random_state=random_state, n_jobs=n_jobs)
        #: cones visited by the last proof
        self.nodes = 0
        lifted = problem.lifted
        n, D = lifted.shape
        self.radius = self.ascents.radius
        # sums over the data, and z halved along the way down, which adds a rounding each time
        self.rounding = 2 * (n + 60 * D * D + 100) * UNIT

    def price(self, alpha, level, correction=None, prove=True, max_time=np.inf):
        """As `Oracle.price`: branch and bound where a proof is asked for, ascents alone where not."""
        start = self.ascents.price(alpha, level, correction)
        if not prove:
            return start
        theta, ratios = [start.theta], [start.ratios]
        best = float(start.ratios[0]) if len(start.ratios) else 0.0
        # far from the level there is no need to know the supremum to the last digits
        accuracy = max(self.accuracy, ROUGH * (best / level - 1) if level > 0 else 0.0)
        t = max(level, best, self._far(alpha, correction), FLOOR * start.supremum) * (1 + accuracy)
        column = np.ascontiguousarray(alpha[:, 0])
        lifted = self.problem.lifted
        D = lifted.shape[1]
        weight = np.abs(lifted).T @ np.abs(column)
        slack = self.rounding * weight * (1 + self.rounding)
        if correction is not None:
            slack += (np.abs(lifted).T @ correction[:, 0]) * (1 + self.rounding)
        fixed = self.ascents.kind, self.ascents.M, self.radius, self.ascents.sizes, slack, self.rounding
        spread = 0.0 if correction is None else correction[:, 0]
        orthants = [np.diag(signs) for signs in itertools.product((1.0, -1.0), repeat=D)]
        tasks = [(sign * column, sign * column + spread, root) for sign in (1.0, -1.0) for root in orthants]
        reached, left, finished = t, self.max_work, True
        self.nodes = 0
        stop = np.zeros(1, dtype=np.uint8)

        lock = Lock()

        def search(signed, upper, root):
            nonlocal reached, left, finished
            if not finished or stop[0]:
                return
            found, values = np.empty((MOST, D)), np.empty(MOST)
            # no orthant takes most of what there is: the others are no easier
            limit, room, state = max(1, left // 4), 8 * len(lifted) + 1000, -1
            while state < 0:
                space = workspace(D, self.ascents.kind, room)
                limits = accuracy, STEPS, limit, space, stop, found, values
                t, _, nodes, work, count, state = search_cone(lifted, signed, upper, root, *fixed, reached, *limits)
                room *= 4
            with lock:
                reached = max(reached, t)
                left -= work
                finished = finished and state == 1
                self.nodes += nodes
                theta.append(found[:count])
                ratios.append(values[:count])

        timer = Timer(min(max_time, LONGEST), lambda: stop.fill(1))
        timer.daemon = True
        timer.start()
        try:
            each(self.n_jobs, tasks, search)
        except BaseException:
            stop[0] = 1  # threads may still be at work
            raise
        finally:
            timer.cancel()
        finished = finished and not stop[0]
        found, values = self._best(np.concatenate(theta), np.concatenate(ratios), alpha, level)
        supremum = reached * (1 + 4 * UNIT) if finished else start.supremum
        return Pricing(min(supremum, start.supremum), found, values, exhaustive=finished)

    def _best(self, theta: Array, ratios: Array, alpha: Array, level: float) -> tuple[Array, Array]:
        """Return the largest violators and where ascents take them."""
        order = np.argsort(-ratios, kind="stable")[:MOST]
        theta, ratios = theta[order], ratios[order]
        up, higher = self.ascents.climb(theta[:: max(1, len(theta) // CLIMBED)], alpha, level)
        theta, ratios = np.concatenate([up, theta]), np.concatenate([higher, ratios])
        order = np.argsort(-ratios, kind="stable")
        return theta[order], ratios[order]

    def _far(self, alpha: Array, correction: Array | None) -> float:
        """The supremum of `slope` far out, where every point is active and phi = <sum alpha_i x_i, a>; rounded up."""
        if not self.radius:
            return 0.0
        points, column = self.problem.lifted[:, :-1], alpha[:, 0]
        error = self.rounding * (np.abs(points).T @ np.abs(column))
        if correction is not None:
            error += np.abs(points).T @ correction[:, 0]
        return float((np.linalg.norm(points.T @ column) + np.linalg.norm(error)) * (1 + self.rounding))
