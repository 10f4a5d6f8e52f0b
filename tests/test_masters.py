"""The masters of program (L): time limits, and what they answer beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from cellsolve import Problem, solve
from cellsolve.solvers.conic import OutOfTime
from cellsolve.solvers.generation import Budget, generate
from cellsolve.solvers.neuron_master import ConicMaster, LinearMaster, neuron_master


def _problem(loss, n=60, outputs=1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = np.sin(3 * X[:, :outputs]) + 0.1 * rng.standard_normal((n, outputs))
    return Problem(X, y[:, 0] if outputs == 1 else y, lam=1e-3, loss=loss).normalized()[0]


@pytest.mark.parametrize(("loss", "kind"), [("squared", ConicMaster), ("absolute", LinearMaster)])
def test_a_master_stops_at_its_time_limit_and_goes_on_later(loss, kind):
    master = neuron_master(_problem(loss))
    assert type(master) is kind
    master.add(np.random.default_rng(1).standard_normal((200, 4)))
    with pytest.raises(OutOfTime):
        master.solve(max_time=0.0)
    late = master.solve()
    fresh = neuron_master(master.problem)
    fresh.add(master.theta)
    np.testing.assert_allclose(np.abs(late.weights).sum(), np.abs(fresh.solve().weights).sum(), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_master_out_of_time_ends_the_loop_with_what_there_is(loss):
    class Slow(ConicMaster if loss == "squared" else LinearMaster):
        def solve(self, max_time=np.inf):
            if np.isfinite(max_time):
                raise OutOfTime
            return super().solve()

    class Finder:
        proves = False

        def price(self, alpha, level, **options):
            from cellsolve.oracles.pricing import Pricing

            theta = np.random.default_rng(2).standard_normal((5, 4))
            return Pricing(1.0, theta, np.ones(5), exhaustive=False)

    problem = _problem(loss)
    outcome = generate(problem, Slow(problem), Finder(), Budget(1000.0), 1e-6)
    assert outcome.status == "time_limit" and len(outcome.history) == 1
    assert np.isfinite(outcome.objective) and outcome.lower_bound <= outcome.objective


def test_gathering_leaves_off_where_no_time_is_left():
    from cellsolve.solvers.conic import MasterSolution
    from cellsolve.solvers.gather import gather

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 2)), rng.standard_normal(12)
    solution = solve(X, y, lam=0.05)
    alpha = solution.certificate.alpha[:, None]
    network = MasterSolution(solution.measure.neurons, solution.measure.weights[:, None], np.zeros((0, 1)), alpha)
    problem = Problem(X, y, lam=0.05)
    assert gather(problem, network, alpha, np.inf, 0.0, left=lambda: np.inf) is not None
    assert gather(problem, network, alpha, np.inf, 0.0, left=lambda: 0.0) is None
