"""Assertions for other projects' tests: what they accept, and what they say of the rest."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.testing import assert_near_optimal

LAM = 0.01
PAGE = Path(__file__).parents[1] / "docs" / "testing.md"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    return X, np.abs(X[:, 0]) - np.maximum(X[:, 1], 0) + 0.1 * rng.standard_normal(40)


@pytest.fixture(scope="module")
def solution(data):
    return cs.solve(*data, lam=LAM)


def louder(measure, factor):
    """The same neurons with larger weights."""
    return cs.SparseMeasure(measure.neurons, factor * measure.weights)


def excess_of(measure, problem, solution):
    return problem.objective(measure) / solution.objective - 1


def test_a_solved_network_is_accepted_and_its_certificate_comes_back(data, solution):
    proof = assert_near_optimal(solution.measure, *data, lam=LAM, within=1e-6)
    assert isinstance(proof, cs.Certificate) and proof.excess <= 1e-6
    assert proof.objective == solution.objective
    assert proof.verify(*data)


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_the_border_is_within_whatever_the_size_of_y(data, scale):
    problem = cs.Problem(data[0], scale * data[1], lam=LAM * scale)
    solution = cs.solve(problem)
    network = louder(solution.measure, 1.05)
    excess = excess_of(network, problem, solution)
    assert excess > 1e-3
    assert assert_near_optimal(network, problem, within=excess * 1.01, certificate=solution).excess > excess * 0.99
    with pytest.raises(AssertionError, match="It is worse than that"):
        assert_near_optimal(network, problem, within=excess * 0.99, certificate=solution)


def test_torch_modules_well_and_badly_trained(data):
    pytest.importorskip("torch", reason="torch is an extra")
    problem = cs.Problem(*data, lam=LAM)
    certificate = cs.solve(problem).certificate
    runs = [cs.training.train_network(problem, width=20, steps=steps, random_state=0) for steps in (1500, 5)]
    well, badly = (run.module for run in runs)
    assert 0 < assert_near_optimal(well, problem, certificate=certificate).excess <= 0.01
    with pytest.raises(AssertionError) as caught:
        assert_near_optimal(badly, problem, certificate=certificate)
    message = str(caught.value)
    assert "neurons      20" in message and "It is worse than that" in message
    assert f"{certificate.objective:.10g} is known" in message and f"{certificate.lower_bound:.10g} " in message


def test_a_callable_comes_with_its_norm(data, solution):
    network, norm = solution.measure.predict, solution.measure.norm("variation")
    assert assert_near_optimal(network, *data, lam=LAM, norm=norm).excess <= 1e-6
    with pytest.raises(AssertionError) as caught:
        assert_near_optimal(network, *data, lam=LAM, norm=2 * norm, certificate=solution)
    assert "neurons" not in str(caught.value).replace("any width", "")
    with pytest.raises(ValueError, match="norm is missing"):
        assert_near_optimal(network, *data, lam=LAM, certificate=solution)


def test_the_message_has_every_number(data, solution):
    problem = cs.Problem(*data, lam=LAM)
    network = louder(solution.measure, 1.2)
    with pytest.raises(AssertionError) as caught:
        assert_near_optimal(network, problem, within=0.003)
    message, objective = str(caught.value), problem.objective(network)
    for text in (
        "network is not proven to be within 0.3% of the best of any width",
        f"objective    {objective:.10g}\n",
        f"lower bound  {solution.lower_bound:.10g} ",
        f"excess       {100 * (objective / solution.lower_bound - 1):.4g}% ",
        "within       0.3%",
        f"neurons      {network.n_neurons}\n",
        f"It is worse than that: a network with the objective {solution.objective:.10g} is known.",
    ):
        assert text in message
    assert "too weak" not in message and "max_time" not in message


def test_a_weak_bound_is_told_from_a_worse_network(data, solution):
    """The best network, with a proof that was stopped: nothing speaks against it, and the way out is said."""
    with pytest.raises(AssertionError) as caught:
        assert_near_optimal(solution.measure, *data, lam=LAM, max_time=0)
    message = str(caught.value)
    assert f"too weak to tell, and no network is known below {solution.objective / 1.01:.10g}" in message
    assert "larger max_time" in message and "time_limit: max_time ran out" in message and "worse" not in message
    weak = replace(solution.certificate, lower_bound=0.9 * solution.lower_bound)
    with pytest.raises(AssertionError, match="too weak") as caught:
        assert_near_optimal(solution.measure, *data, lam=LAM, certificate=weak)
    assert "The solve ended" not in str(caught.value)
    # the same weak bound, and a network that the known one refutes
    with pytest.raises(AssertionError, match="It is worse than that"):
        assert_near_optimal(louder(solution.measure, 1.2), *data, lam=LAM, certificate=weak)


def test_a_bound_of_nothing_accepts_nothing():
    """Where y vanishes the best objective is 0: no share of it is above 0."""
    network = cs.SparseMeasure([[1.0, 0.0]], [1.0])
    with pytest.raises(AssertionError, match=r"excess       inf%(.|\n)*It is worse than that"):
        assert_near_optimal(network, [0.0, 1.0], [0.0, 0.0], lam=0.1)
    assert assert_near_optimal(louder(network, 0.0), [0.0, 1.0], [0.0, 0.0], lam=0.1).excess == 0


def test_interpolants_compare_norms():
    x, y = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0])
    best = cs.interpolate(x, y).measure
    assert assert_near_optimal(best, x, y).excess <= 1e-6
    idle = cs.SparseMeasure([*best.neurons, [-1.0, -2.0]], [*best.weights, 0.5])  # a neuron that no point sees
    with pytest.raises(AssertionError, match="It is worse than that"):
        assert_near_optimal(idle, x, y)
    with pytest.raises(ValueError, match="no interpolant"):
        assert_near_optimal(louder(best, 1.1), x, y)


def test_a_hundred_networks_cost_one_solve(data, solution, monkeypatch):
    monkeypatch.setattr("cellsolve.api._solve", None)  # to be called by nobody
    for factor in np.linspace(1, 1.02, 100):
        assert_near_optimal(louder(solution.measure, factor), *data, lam=LAM, certificate=solution.certificate)


def test_bad_input(data, solution):
    for within in (0, -0.01, np.nan, np.inf, "1%", True):
        with pytest.raises(ValueError, match="within is"):
            assert_near_optimal(solution.measure, *data, lam=LAM, within=within)
    with pytest.raises(ValueError, match="differs in lam"):
        assert_near_optimal(solution.measure, *data, lam=2 * LAM, certificate=solution)
    with pytest.raises(ValueError, match="differs in data"):
        assert_near_optimal(solution.measure, data[0], -data[1], lam=LAM, certificate=solution)
    with pytest.raises(ValueError, match="certificate is a str"):
        assert_near_optimal(solution.measure, *data, lam=LAM, certificate="certificate.json")
    with pytest.raises(ValueError, match="network is a list"):
        assert_near_optimal([1.0], *data, lam=LAM, certificate=solution)
    with pytest.raises(ValueError, match="lam given together with a Problem"):
        assert_near_optimal(solution.measure, cs.Problem(*data, lam=LAM), lam=LAM)
    for reused in (None, solution):
        with pytest.raises(TypeError, match="max_tim"):
            assert_near_optimal(solution.measure, *data, lam=LAM, certificate=reused, max_tim=1)


def test_it_is_an_attribute_of_the_package():
    code = "import cellsolve; cellsolve.testing.assert_near_optimal"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "testing" in dir(cs)


@pytest.mark.slow
def test_the_example_of_the_docs(tmp_path):
    """The project on the page: its tests pass, and fail for the slip that the page tells of."""
    pytest.importorskip("torch", reason="torch is an extra")
    page = PAGE.read_text(encoding="utf-8")
    files = dict(re.findall(r"```python\n# tests/(\S+)\n(.*?)```", page, re.DOTALL))
    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")

    def run(*command):
        return subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)

    made = run("make_certificate.py")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("Solution: optimal")
    passed = run("-m", "pytest", "-q")
    assert passed.returncode == 0 and "3 passed" in passed.stdout, passed.stdout
    good, slip = re.findall(r"decaying = \[.*\]", page)
    (tmp_path / "training.py").write_text(files["training.py"].replace(good, slip), encoding="utf-8")
    failed = run("-m", "pytest", "-q")
    assert "3 failed" in failed.stdout and failed.stdout.count("It is worse than that") == 3, failed.stdout
