"""A first network: neurons that ascents find, moved until hinges stop them. No convex program, and no proof."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from cellsolve.data import Array
from cellsolve.oracles.ascent import AscentOracle
from cellsolve.oracles.pricing import Oracle
from cellsolve.problem import Problem
from cellsolve.solvers.conic import MasterSolution
from cellsolve.solvers.generation import Outcome, Patience, generate
from cellsolve.solvers.options import Options
from cellsolve.solvers.sliding import Slide, can_slide

#: L-BFGS steps at most, far more than it takes until hinges stop it
STEPS = 1000
#: share of the objective that some dozen steps, or a round, have to gain
GAIN = 2e-3
#: all neurons that are new weigh this share of those that are there: less, and the first steps are spent on growing
NEW = 0.3


def first_network(problem: Problem, oracle: Oracle, options: Options) -> Outcome | None:
    """Return a network that is nearly as good as sliding makes one, or None where it cannot."""
    ascents = oracle if isinstance(oracle, AscentOracle) else oracle.ascents
    if ascents is None or not can_slide(problem):
        return None
    master = SlidingMaster(problem, options.start)
    return generate(
        problem, master, ascents, options.budget, options.tol, options.report, patience=Patience(1, 5 * GAIN)
    )


class SlidingMaster:
    """Holds neurons that move: `solve` slides them as far as they go, those that are new included."""

    wanders = False
    #: neurons to be offered in one round
    most = 30

    def __init__(self, problem: Problem, start: MasterSolution | None = None) -> None:
        self.problem = problem
        self.slide = Slide(problem)
        n, D = problem.lifted.shape
        m = problem.n_outputs
        self.here = start or MasterSolution(
            np.zeros((0, D)), np.zeros((0, m)), np.zeros((problem.basis.shape[1], m)), np.zeros((n, m))
        )

    def __len__(self) -> int:
        return len(self.here.theta)

    def add(self, theta: Array, pulls: Array) -> int:
        """Add neurons of small weight in the directions of `pulls` (K, m); return how many."""
        cost = self.problem.neuron_costs(theta)
        sizes = np.linalg.norm(pulls, axis=1)
        real = (cost > 0) & (sizes > 0)
        if real.any():
            norm = np.linalg.norm(self.here.weights, axis=1).sum() or np.abs(self.problem.targets).max()
            weights = NEW * norm / real.sum() * pulls[real] / sizes[real, None]
            self.here = replace(
                self.here,
                theta=np.concatenate([self.here.theta, theta[real] / cost[real, None]]),
                weights=np.concatenate([self.here.weights, weights]),
            )
        return int(real.sum())

    def solve(self, max_time: float = np.inf) -> MasterSolution:
        """Return where the neurons land."""
        end = time.monotonic() + max_time
        here = self.here
        self.here = self.slide.land(
            here.theta, here.weights, here.coefficients, STEPS, GAIN, lambda: end - time.monotonic()
        )
        return self.here

    def after(self, solution: MasterSolution, fell: bool) -> None:
        """Nothing: neurons at zero are left out as they slide."""
