"""Settings that make a test's outcome a matter of the code alone."""

import os

# Before anything imports NumPy: sums in one order, and no oversubscribed cores under joblib.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("cellsolve", derandomize=True, deadline=None)
settings.load_profile("cellsolve")


def pytest_addoption(parser):
    parser.addoption("--verify", action="store_true", help="replay the proof of every optimal solution of every test")


@pytest.fixture(autouse=True)
def _verified(request, monkeypatch):
    """With --verify no test passes in which the verifier refuses what a solve called optimal."""
    refused = []
    if request.config.getoption("--verify"):
        from cellsolve import api

        solve = api._solve

        def solve_and_verify(problem, *args, **kwargs):
            solution = solve(problem, *args, **kwargs)
            if solution.status == "optimal":
                verdict = solution.certificate.check(problem.X, problem.y)
                # potentials and losses that a test makes up are not the verifier's
                if not verdict.ok and not verdict.reason.endswith("is not known"):
                    refused.append(f"{verdict.reason}: {solution!r}")
            return solution

        monkeypatch.setattr(api, "_solve", solve_and_verify)
    yield
    assert not refused


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut even small arrangements into pieces."""
    from cellsolve.cells import sweep

    monkeypatch.setattr(sweep, "LEAST_PIECE", 8)
    monkeypatch.setattr(sweep, "LEAST_PER_ROW", 0)
