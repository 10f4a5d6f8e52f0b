"""The masters of program (L): time limits, and what they answer beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from cellsolve import Problem, solve
from cellsolve.oracles.pricing import Oracle, Pricing
from cellsolve.solvers.conic import OutOfTime
from cellsolve.solvers.conic_master import ConicMaster
from cellsolve.solvers.generation import Budget, generate
from cellsolve.solvers.gram_master import GramMaster
from cellsolve.solvers.group_master import GroupMaster
from cellsolve.solvers.linear_master import LinearMaster
from cellsolve.solvers.masters import neuron_master


def _data(n=60):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    return X, np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(n)


def _problem(loss, n=60, outputs=1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = np.sin(3 * X[:, :outputs]) + 0.1 * rng.standard_normal((n, outputs))
    return Problem(X, y[:, 0] if outputs == 1 else y, lam=1e-3, loss=loss).normalized()[0]


@pytest.mark.parametrize(
    ("loss", "outputs", "kind"),
    [
        ("squared", 1, GramMaster),
        ("squared", 2, GroupMaster),
        ("absolute", 1, LinearMaster),
        ("huber", 1, ConicMaster),
    ],
)
def test_a_master_stops_at_its_time_limit_and_goes_on_later(loss, outputs, kind):
    master = neuron_master(_problem(loss, outputs=outputs))
    assert type(master) is kind
    master.add(np.random.default_rng(1).standard_normal((200, 4)))
    with pytest.raises(OutOfTime):
        master.solve(max_time=0.0)
    late = master.solve()
    fresh = neuron_master(master.problem)
    fresh.add(master.theta)
    sizes = [np.linalg.norm(weights, axis=1).sum() for weights in (late.weights, fresh.solve().weights)]
    np.testing.assert_allclose(*sizes, rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_master_out_of_time_ends_the_loop_with_what_there_is(loss):
    class Slow(GramMaster if loss == "squared" else LinearMaster):
        def solve(self, max_time=np.inf):
            if np.isfinite(max_time):
                raise OutOfTime
            return super().solve()

    class Finder(Oracle):
        proves = False

        def price(self, alpha, level, **options):
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


@pytest.mark.parametrize("free", ["none", "constant", "affine"])
@pytest.mark.parametrize(("outputs", "kind"), [(1, GramMaster), (3, GroupMaster)])
def test_inner_products_give_what_the_rows_give(free, outputs, kind):
    problem = _problem("squared", outputs=outputs).replace(free=free)
    by_rows, by_products = ConicMaster(problem), neuron_master(problem)
    assert type(by_products) is kind
    rng = np.random.default_rng(3)
    for _ in range(3):
        theta = rng.standard_normal((40, 4))
        by_rows.add(theta)
        by_products.add(theta)
        one, two = by_rows.solve(), by_products.solve()
        np.testing.assert_allclose(two.objective(problem), one.objective(problem), rtol=1e-6)
        np.testing.assert_allclose(two.alpha, one.alpha, atol=1e-4 * np.abs(one.alpha).max())
    held = {row.tobytes() for row in by_products.theta}
    size = len(by_products)
    by_products.after(two, True)
    stayed = {row.tobytes() for row in by_products.theta} & held
    assert len(stayed) < len(held)  # those at zero are gone, and that costs nothing
    if outputs == 1:  # with several, where the others slide to comes in
        assert len(by_products) < size
    assert by_products.solve().objective(problem) <= two.objective(problem) * (1 + 1e-7)


def test_a_neuron_is_held_once_for_each_sign():
    problem = _problem("squared")
    master = GramMaster(problem)
    theta = np.random.default_rng(4).standard_normal((5, 4))
    assert master.add(theta, np.ones((5, 1))) == 5
    assert master.add(2.0 * theta, np.ones((5, 1))) == 0
    assert master.add(theta, -np.ones((5, 1))) == 5
    assert master.add(theta) == 0 and len(master) == 10
    columns = np.hstack(master.blocks)
    np.testing.assert_allclose(master.inner, columns.T @ columns / problem.n)


def test_a_free_part_alone_needs_no_convex_program():
    problem = Problem(*_data(), lam=1e-3, free="affine").normalized()[0]
    solution = GramMaster(problem).solve()
    np.testing.assert_allclose(solution.objective(problem), ConicMaster(problem).solve().objective(problem), rtol=1e-7)
