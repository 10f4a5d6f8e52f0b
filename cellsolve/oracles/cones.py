"""The oracle beyond enumeration: ascents find violators, branch and bound over cones proves that there are none."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np

from cellsolve.data import Array
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.bound_kernels import PLAIN
from cellsolve.oracles.cone_kernels import search_cone, workspace
from cellsolve.oracles.pricing import Interrupted, Oracle, Pricing, spread
from cellsolve.potentials import UNIT
from cellsolve.problem import Problem
from cellsolve.tasks import Deadline, outcomes

#: steps of Frank and Wolfe on a cone: six close most cones that can be closed (docs/oracle.md)
STEPS = 6
#: point visits that the searches of a proof may take together where no time is given: a minute or two
MAX_WORK = 5_000_000_000
#: point visits that no search makes
UNLIMITED = 2**62
#: a supremum below this share of the crude bound is not told from rounding
FLOOR = 1e-10
#: directions that ascents start from where there are three coordinates, and four times as many for each of three
#: more: the proofs that they spare take longer still
STARTS, FURTHER = 50, 3
#: cones that there is room for at first: a tree is a byte a cone
CONES = 2**20
#: neurons that one orthant may report
MOST = 1000
#: of all of them, those that are climbed from
CLIMBED = 300
#: a supremum above the level is proven to this share of its excess
ROUGH = 0.2
#: accuracy of a first search where a close one may take long: it finds what violates first
FIRST = 1e-4
#: coordinates from which a proof takes much longer than a round: once there is one, others may stop where they find
#: what violates, and the next goes on there
MANY = 6
#: accuracies that are proven first with so many, each from the cones of the last: the wanted one may never be reached.
#: Up to `PROVABLE` coordinates every second one does: with more each takes some four times as long as the one before
LADDER = (8.0, 4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.1)
#: D up to which any accuracy may be proven
PROVABLE = 8
#: largest D that branch and bound is tried for where time is limited, so that it is known what the bound may cost: to
#: look at 2^D orthants once takes seconds
MOST_COORDINATES = 12


def can_prove(problem: Problem) -> bool:
    """Whether branch and bound can end: for label noise of several outputs no bound is tight where w vanishes."""
    return problem.n_outputs == 1 or not problem.penalty.depends_on_data


class _Memory:
    """What the proofs at one level leave to the next one at that level.

    trees : by orthant and sign the largest tree so far; what it halved, the next proof halves without a test
    least : the best accuracy of a search that has ended
    turn : the orthant that the next search begins with
    """

    def __init__(self, level: float) -> None:
        self.level = level
        self.trees: dict[int, bytes] = {}
        self.least = np.inf
        self.turn = 0


class ConeOracle(Oracle):
    """Sup of ||phi_alpha|| / w over all neurons, to a relative accuracy, without a list of cells.

    Parameters
    ----------
    problem : Problem
        Label noise with one output only.
    accuracy : float
        The supremum is proven to max(level, sup) (1 + accuracy), less closely where it is far above the level.
    random_state, n_jobs
        As for `AscentOracle`; the orthants are tasks, which joblib may be told to take elsewhere.
    max_work : int
        Point visits after which a proof of no limited time is given up, and the last bound is what is left.
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
        if not can_prove(problem):
            raise ValueError("branch and bound over cones takes label noise with one output only.")
        self.problem = problem
        self.accuracy = accuracy
        self.n_jobs = n_jobs
        #: cones visited by the last proof
        self.nodes = 0
        self.memory = _Memory(0.0)
        lifted = problem.lifted
        n, D = lifted.shape
        self.max_work = max_work
        n_starts = STARTS * 4 ** min(max(D - 3, 0), FURTHER) if D <= PROVABLE else STARTS
        self.ascents: AscentOracle = AscentOracle(problem, n_starts, random_state, n_jobs)
        self.radius = self.ascents.radius
        # sums over the data, and z halved along the way down, which adds a rounding each time
        self.rounding = 2 * (n + problem.n_outputs + 60 * D * D + 100) * UNIT

    def around(self, theta, weights):
        self.ascents.around(theta, weights)

    def price(self, alpha, level, correction=None, prove=True, max_time=np.inf, thorough=True):
        """As `Oracle.price`: branch and bound where a proof is asked for, ascents alone where not."""
        start = self.ascents.price(alpha, level, correction)
        if not prove:
            return start
        if level != self.memory.level:
            self.memory = _Memory(level)
        memory = self.memory
        theta, ratios = [start.theta], [start.ratios]
        best = float(start.ratios[0]) if len(start.ratios) else 0.0
        floor = max(level, best, self._far(alpha, correction), FLOOR * start.supremum)
        # far from the level there is no need to know the supremum to the last digits
        wanted = max(self.accuracy, ROUGH * (best / level - 1) if level > 0 else 0.0)
        supremum, finished, tree = start.supremum, False, None
        end = time.time() + max_time  # a clock that other processes have too
        self.nodes, left = 0, self.max_work if max_time == np.inf else UNLIMITED
        first = wanted if self.ascents.kind == PLAIN or self.radius else max(FIRST, wanted)
        D = self.problem.lifted.shape[1]
        ladder = () if D < MANY else LADDER[::2] if D <= PROVABLE else LADDER
        steps = {max(step, wanted) for step in ladder if step < memory.least}
        hasty = not thorough and memory.least < np.inf and D >= MANY
        for accuracy in sorted({wanted, first, *steps}, reverse=True):
            search = _Search(self, alpha, correction, accuracy, floor * (1 + accuracy), left, hasty)
            try:
                search.run(end)
            except KeyboardInterrupt:
                raise Interrupted(Pricing(supremum, start.theta, start.ratios, False, tree)) from None
            self.nodes, left = self.nodes + search.nodes, search.left
            theta += search.theta
            ratios += search.ratios
            finished = search.finished
            if finished:
                memory.least = min(memory.least, accuracy)
            if finished and search.reached < supremum:
                supremum, tree = search.reached * (1 + 4 * UNIT), b"".join(search.trees)
            violated = level > 0 and any((values > max(level, best)).any() for values in search.ratios)
            if not finished or violated:
                break
        found, values = self._best(np.concatenate(theta), np.concatenate(ratios), alpha, level)
        self.ascents.start_from(found)
        return Pricing(supremum, found, values, exhaustive=finished, tree=tree)

    def _best(self, theta: Array, ratios: Array, alpha: Array, level: float) -> tuple[Array, Array]:
        """Return where ascents take the largest violators that are apart from each other."""
        starts = spread(theta[np.argsort(-ratios, kind="stable")], CLIMBED)
        return self.ascents.climb(starts, alpha, level)

    def corrected(self, supremum: float, alpha: Array, correction: Array) -> float:
        """Bound the supremum of alpha', |alpha' - alpha| <= correction, for `slope`, by that proven of alpha.

        |phi| is subadditive, and |b| < radius |a| wherever it is not known.
        """
        lifted = self.problem.lifted
        reach = np.linalg.norm(lifted[:, :-1], axis=1) + self.radius * np.abs(lifted[:, -1])
        more = np.linalg.norm(correction, axis=1) @ reach * (1 + self.rounding)
        return max((supremum + more) * (1 + 4 * UNIT), self._far(alpha, correction))

    def _far(self, alpha: Array, correction: Array | None) -> float:
        """The supremum of `slope` far out, where every point is active and phi = (sum alpha_i x_i^T) a; rounded up."""
        if not self.radius:
            return 0.0
        points = self.problem.lifted[:, :-1]
        error = self.rounding * (np.abs(points).T @ np.abs(alpha))
        if correction is not None:
            error += np.abs(points).T @ correction
        return float((np.linalg.norm(points.T @ alpha, 2) + np.linalg.norm(error)) * (1 + self.rounding))


class _Search:
    """One branch and bound: every orthant and sign is a task, which starts from the level that others have reached."""

    def __init__(
        self,
        oracle: ConeOracle,
        alpha: Array,
        correction: Array | None,
        accuracy: float,
        reached: float,
        left: int,
        hasty: bool,
    ) -> None:
        lifted = oracle.problem.lifted
        self.oracle, self.memory, self.accuracy = oracle, oracle.memory, accuracy
        #: what is proven in the end; the work that is left; whether to stop where something violates
        self.reached, self.left, self.hasty = reached, left, hasty
        self.proven = self.nodes = 0
        self.theta: list[Array] = []
        self.ratios: list[Array] = []
        sizes = np.linalg.norm(alpha, axis=1)
        room = np.zeros_like(sizes) if correction is None else np.linalg.norm(correction, axis=1)
        slack = (np.abs(lifted).T @ (oracle.rounding * sizes + room)) * (1 + oracle.rounding)
        ascents = oracle.ascents
        self.fixed = lifted, ascents.kind, ascents.M, oracle.radius, ascents.sizes, slack, oracle.rounding
        orthants = [np.diag(signs) for signs in itertools.product((1.0, -1.0), repeat=lifted.shape[1])]
        if oracle.problem.one_facing:  # the others are their opposites, where phi and w are the same
            orthants = orthants[: len(orthants) // 2]
        signs = (1.0, -1.0) if alpha.shape[1] == 1 else (1.0,)  # a length has no sign
        self.cones = [(sign * alpha, sign * alpha[:, 0] + room, root) for sign in signs for root in orthants]
        self.trees = [b""] * len(self.cones)

    @property
    def finished(self) -> bool:
        """Whether every cone was proven."""
        return self.proven == len(self.cones)

    def run(self, end: float) -> None:
        """Search, until the clock is at `end` at the latest, or no work is left."""
        deadline, wanted, stopped = Deadline(end), self.reached, False
        try:
            for answer in outcomes(self.oracle.n_jobs, search_orthant, self._tasks(deadline), "threads"):
                number, reached, nodes, work, proven, theta, ratios, tree = answer
                self.reached = max(self.reached, reached)
                self.left -= work
                self.nodes += nodes
                self.trees[number] = tree
                if len(tree) > len(self.memory.trees.get(number, b"")):
                    self.memory.trees[number] = tree
                self.theta.append(theta)
                self.ratios.append(ratios)
                self.proven += proven
                if not proven or (self.hasty and self.reached > wanted):
                    if not stopped:  # others end because of it
                        self.memory.turn = number
                    stopped = True
                    deadline.set()
        finally:
            deadline.set()  # threads may still be at work

    def _tasks(self, deadline: Deadline) -> Iterator[tuple]:
        first = self.memory.turn
        for number in (*range(first, len(self.cones)), *range(first)):
            if deadline.passed:
                return
            # no orthant takes most of what there is: the others are no easier
            limit = max(1, self.left // 4)
            last = self.memory.trees.get(number, b"")
            yield number, self.cones[number], self.fixed, last, self.reached, self.accuracy, limit, deadline


def search_orthant(
    number: int,
    cone: tuple,
    fixed: tuple,
    last: bytes,
    reached: float,
    accuracy: float,
    limit: int,
    deadline: Deadline,
) -> tuple[int, float, int, int, bool, Array, Array, bytes]:
    """Prove one orthant of one sign to `reached`, or to the least level above it; a task that can go to any process.

    `last` is the tree of an earlier proof of it.

    Returns
    -------
    number, reached, nodes, work, proven, theta, ratios, tree
        As `search_cone`.
    """
    lifted, kind, M, radius, sizes, slack, rounding = fixed
    # kernels are compiled for arrays that are aligned, in C order and can be written to; others may come
    lifted, M, sizes, slack, signed, upper, root = (
        np.require(array, requirements=["A", "C", "W"]) for array in (lifted, M, sizes, slack, *cone)
    )
    (n, D), m = lifted.shape, signed.shape[1]
    theta, ratios = np.empty((MOST, D)), np.empty(MOST)
    known = np.frombuffer(last, np.uint8).copy()  # kernels take arrays that can be written to
    room, cones, state = 8 * n + 1000, max(CONES, 2 * len(last)), -1
    while state < 0:
        tree = np.empty(cones, np.uint8)
        limits = accuracy, STEPS, limit, workspace(n, D, m, kind, room), deadline.flag, theta, ratios, tree, known
        about = kind, M, radius, sizes, slack, rounding
        answer = search_cone(lifted, signed, upper, root, *about, reached, *limits)
        level, _, nodes, work, count, state = answer
        room, cones = 4 * room, 4 * cones
    return number, level, nodes, work, state == 1, theta[:count].copy(), ratios[:count].copy(), tree[:nodes].tobytes()
