"""Every loss x potential x free part x bias: solved, proven, verified, and never beaten."""

from __future__ import annotations

import numpy as np
import pytest
from problems import CASES, pose, random_network

import cellsolve as cs

ROUNDS = 500
CHUNK = 25


def _solve(problem):
    try:
        return cs.interpolate(problem) if problem.interpolates else cs.solve(problem)
    except ValueError as error:
        assert problem.interpolates and "no network interpolates" in str(error)
        return None


@pytest.mark.parametrize("chunk", range(ROUNDS // CHUNK))
def test_gap_is_proven_and_no_network_is_below_the_bound(chunk):
    rng = np.random.default_rng(1000 + chunk)
    solved = 0
    for k in range(CHUNK):
        case = CASES[(chunk * CHUNK + k) % len(CASES)]
        problem = pose(case, rng)
        solution = _solve(problem) if problem is not None else None
        if solution is None:
            continue
        solved += 1
        where = f"{case}, n={problem.n}, lam={problem.lam}"
        assert solution.gap <= 1e-6, where
        assert solution.status == "optimal", where
        assert solution.objective >= solution.lower_bound - 1e-12 * abs(solution.objective) or problem.interpolates, (
            where
        )
        assert solution.measure.n_neurons <= problem.n, where
        if k % 5 == 0:
            verdict = solution.certificate.check(problem.X, problem.y)
            assert verdict.ok, f"{where}: {verdict.reason}"
        if not problem.interpolates:
            for _ in range(100):
                network = random_network(problem, rng)
                assert problem.objective(network) >= solution.lower_bound, where
    assert solved >= CHUNK // 3


def test_interpolants_of_random_networks_are_not_below_the_bound():
    rng = np.random.default_rng(5)
    for _ in range(40):
        X = rng.standard_normal((8, 2))
        theta = rng.standard_normal((20, 3))
        for penalty in ("variation", "l1", "label_noise"):
            network = cs.SparseMeasure(theta, rng.standard_normal(20))
            solution = cs.interpolate(X, network.predict(X), penalty=penalty)
            assert network.norm(penalty, X) >= solution.lower_bound
            assert solution.gap <= 1e-6


@pytest.mark.parametrize("n_outputs", [2, 3])
def test_several_outputs(n_outputs):
    rng = np.random.default_rng(n_outputs)
    for k in range(24):
        case = CASES[int(rng.integers(len(CASES)))]
        problem = pose(case, rng, n_outputs)
        if problem is None or problem.n > 8:
            continue
        solution = _solve(problem)
        if solution is None:
            continue
        # small weights of piecewise linear losses end at the conic solver's accuracy; the gap says so
        assert solution.gap <= 2e-5, f"{case}, n={problem.n}"
        assert solution.measure.n_neurons <= problem.n * n_outputs
        for _ in range(20):
            if not problem.interpolates:
                assert problem.objective(random_network(problem, rng)) >= solution.lower_bound
        if k % 6 == 0:
            assert solution.certificate.verify(problem.X, problem.y), f"{case}"


def test_gradient_trained_networks_are_not_below_the_bound():
    pytest.importorskip("torch", reason="torch is an extra")
    from cellsolve.training import train_network

    rng = np.random.default_rng(11)
    done = 0
    for case in [CASES[i] for i in rng.permutation(len(CASES))]:
        if case.loss is None:
            continue
        problem = pose(case, rng)
        if problem is None or problem.lam > 1e3:
            continue
        solution = _solve(problem)
        trained = train_network(problem, width=20, steps=300, optimizer="adam", random_state=done)
        certificate = cs.certify(trained.measure, problem, certificate=solution.certificate)
        assert trained.objective >= solution.lower_bound, f"{case}"
        assert certificate.lower_bound == solution.lower_bound
        assert certificate.excess >= 0
        done += 1
        if done == 30:
            return
    raise AssertionError("fewer than 30 problems were trained")


def _reference(problem):
    """One program over all cells; Clarabel gives up on few of them, with exponential cones and cells at zero."""
    try:
        return cs.solve(problem, method="all_cells")
    except ValueError as error:
        assert "gave no answer" in str(error)
        return cs.solve(problem, method="all_cells", solver="SCS")


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(12))
def test_active_cells_agree_with_the_program_over_all_cells(chunk):
    """Over losses, potentials, free parts and biases, degenerate data included; 300 problems in all."""
    rng = np.random.default_rng(3000 + chunk)
    compared, k = 0, 0
    while compared < 25:
        problem = pose(CASES[(31 * chunk + k) % len(CASES)], rng)
        k += 1
        if problem is None or problem.interpolates or problem.n_outputs > 1 or problem.penalty.jumps:
            continue
        if cs.count_cells(problem.X) > 300:
            continue
        ours, reference = cs.solve(problem, method="active_cells"), _reference(problem)
        where = f"{problem}, {k}"
        assert ours.gap <= 1e-6, where
        assert ours.lower_bound <= reference.objective * (1 + 1e-9) + problem.scale, where
        assert ours.objective <= reference.objective * (1 + 1e-6) + problem.scale, where
        if reference.gap <= 1e-6:
            np.testing.assert_allclose(ours.objective, reference.objective, rtol=1e-6, atol=problem.scale)
        compared += 1
