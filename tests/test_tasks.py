"""Proofs, paths and cross-validation as joblib tasks: on every backend the same, with workers that die and Ctrl-C."""

from __future__ import annotations

import _thread
import functools
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from joblib import parallel_config

import cellsolve as cs
from cellsolve import CellRegressorCV, Problem, api
from cellsolve.cells import sweep
from cellsolve.oracles import cones
from cellsolve.oracles.cones import ConeOracle
from cellsolve.tasks import Deadline, outcomes

distributed = pytest.importorskip("distributed", reason="dask is an extra")
psutil = pytest.importorskip("psutil", reason="psutil comes with dask, which is an extra")

ACCURACY = 1e-7
BACKENDS = ["threading", "loky", "dask"]


def _wait_until(condition):
    """Wait for what happens elsewhere; a minute is for ever."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "dask":
        request.getfixturevalue("client")
    with parallel_config(request.param, **({} if request.param == "dask" else {"n_jobs": 2})):
        yield request.param


def _data(n, d):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, d))
    return X, np.sin(3 * X[:, 0]) * np.cos(2 * X[:, -1]) + 0.1 * rng.standard_normal(n)


@functools.cache
def _solved():
    """A problem of 32 tasks with its optimal dual vector."""
    X, y = _data(60, 3)
    problem = Problem(X, y, lam=5e-3).normalized()[0]
    return problem, cs.solve(problem, n_jobs=1).certificate.alpha.reshape(-1, 1)


@functools.cache
def _alone():
    problem, alpha = _solved()
    oracle = ConeOracle(problem, ACCURACY, n_jobs=1)
    return oracle.price(alpha, problem.level), oracle.nodes


def _same_proof(answer, nodes):
    alone, before = _alone()
    assert answer.exhaustive and alone.exhaustive
    assert answer.supremum == pytest.approx(alone.supremum, rel=3 * ACCURACY)
    assert len(answer.tree) == nodes == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("backend", [*BACKENDS, "multiprocessing"], indirect=True)
def test_a_proof_is_the_same_everywhere(backend):
    problem, alpha = _solved()
    oracle = ConeOracle(problem, ACCURACY)
    _same_proof(oracle.price(alpha, problem.level), oracle.nodes)


# -- cells --------------------------------------------------------------------------------------------------------


def _points():
    X = np.random.default_rng(0).integers(-9, 10, (24, 3))  # not in general position
    return X, np.concatenate([cells.packed for cells in cs.iter_cells(X)])


@pytest.mark.parametrize("backend", [*BACKENDS, "multiprocessing"], indirect=True)
def test_cells_are_the_same_everywhere(backend, small_pieces):
    X, alone = _points()
    np.testing.assert_array_equal(cs.enumerate_cells(X).packed, alone)


def test_cells_survive_the_death_of_a_worker(accident, small_pieces):
    X, alone = _points()
    np.testing.assert_array_equal(cs.enumerate_cells(X).packed, alone)
    assert sorted(accident) == list(range(len(accident))) and len(accident) > 10
    assert len(alone) == cs.count_cells(X)


# -- proofs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def accident(client, monkeypatch):
    """Kill a worker when the first outcome of the first proof, or of cells, is in; return the numbers of outcomes."""
    _alone()  # not among the proofs that are watched
    (address, pid), _ = client.run(os.getpid).items()
    numbers = []

    def watched(*arguments):
        first = not numbers
        if first:
            os.kill(pid, signal.SIGSTOP)  # what it is given cannot be done before it dies
        for answer in outcomes(*arguments):
            if first and not numbers:
                try:
                    _wait_until(lambda: client.processing()[address])
                finally:
                    os.kill(pid, signal.SIGKILL)
            if first:
                numbers.append(answer[0])
            yield answer

    monkeypatch.setattr(cones, "outcomes", watched)
    monkeypatch.setattr(sweep, "outcomes", watched)
    with parallel_config("dask"):
        yield numbers
    _wait_until(lambda: len(client.run(os.getpid)) == 2)


def test_a_proof_survives_the_death_of_a_worker(accident):
    problem, alpha = _solved()
    oracle = ConeOracle(problem, ACCURACY)
    _same_proof(oracle.price(alpha, problem.level), oracle.nodes)
    assert sorted(accident) == list(range(32))


def test_a_solve_survives_the_death_of_a_worker(accident):
    X, y = _data(60, 3)
    solution = cs.solve(X, y, lam=5e-3)
    alone = cs.solve(X, y, lam=5e-3, n_jobs=1)
    assert sorted(accident) == list(range(32))
    assert solution.status == alone.status == "optimal"
    assert solution.lower_bound == pytest.approx(alone.lower_bound, rel=1e-6)
    assert solution.certificate.tree and solution.certificate.verify(X, y)


def _long():
    """A proof of minutes, and no level: the dual vector is orthogonal to so many neurons that phi / w is flat."""
    rng = np.random.default_rng(0)
    problem = Problem(rng.uniform(-1, 1, (200, 5)), rng.standard_normal(200), lam=1.0).normalized()[0]
    responses = problem.responses(rng.standard_normal((100, 6)))
    residual = problem.targets - responses @ np.linalg.lstsq(responses, problem.targets, rcond=None)[0]
    return problem, problem.dual_candidate(residual / 200)


def test_max_time_ends_tasks_everywhere(backend):
    problem, alpha = _long()
    answer = ConeOracle(problem, ACCURACY).price(alpha, 0.0, max_time=0.2)
    crude = problem.penalty.crude_bound(alpha, problem.lifted, True)
    assert not answer.exhaustive and answer.ratios[0] <= answer.supremum <= crude
    assert (answer.tree is None) == (answer.supremum == crude)  # no time for the first step of the ladder, or a bit


# -- paths and folds ----------------------------------------------------------------------------------------------


def test_the_points_of_a_path_are_the_same_apart(backend):
    X, y = _data(20, 2)
    apart = cs.path(X, y, n_lams=3, lam_min_ratio=1e-2)
    inline = cs.path(X, y, n_lams=3, lam_min_ratio=1e-2, n_jobs=1)
    assert [point.status for point in apart] == ["optimal"] * 3
    np.testing.assert_array_equal([point.lam for point in apart], [point.lam for point in inline])
    np.testing.assert_allclose([p.objective for p in apart], [p.objective for p in inline], rtol=2e-6)
    assert cs.path(X, y, lams=[1e-3, 1e-2], max_time=0.0)[1].status == "time_limit"


def test_scores_of_lams_that_are_dealt_out(backend):
    X, y = _data(30, 1)
    options = {"lams": [0.1, 0.01, 0.001], "cv": [(np.arange(20), np.arange(20, 30))]}  # one fold, two workers
    apart, inline = CellRegressorCV(**options).fit(X, y), CellRegressorCV(**options, n_jobs=1).fit(X, y)
    np.testing.assert_allclose(apart.cv_scores_, inline.cv_scores_, rtol=1e-3)
    assert apart.lam_ == inline.lam_


# -- where they run -----------------------------------------------------------------------------------------------


def test_where_tasks_run(backend):
    here = os.getpid()
    assert set(outcomes(None, os.getpid, [()] * 8)) - {here} or backend == "threading"
    assert set(outcomes(1, os.getpid, [()] * 8)) == {here}


def test_threads_are_preferred_where_no_backend_is_named():
    def threads(n_jobs, prefer):
        return set(outcomes(n_jobs, threading.get_ident, [()] * 8, prefer))

    here = {threading.get_ident()}
    assert threads(None, None) == here
    for n_jobs in (None, 2):  # also where they come one after the other: the thread that waits is free for Ctrl-C
        assert here.isdisjoint(threads(n_jobs, "threads"))
    with parallel_config(n_jobs=2):
        assert here.isdisjoint(threads(None, "threads"))


def test_ctrl_c_does_not_wait_for_a_kernel():
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    over, ended = threading.Event(), threading.Event()

    def kernel():
        over.wait()
        ended.set()

    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(outcomes(1, kernel, [()], "threads"))
        assert not ended.is_set()
    finally:
        over.set()
        signal.signal(signal.SIGINT, handler)
    with pytest.raises(ZeroDivisionError):
        list(outcomes(1, lambda: 1 // 0, [()], "threads"))


def test_a_deadline_is_kept_by_its_copies():
    deadline = Deadline(time.time() + 0.1)
    copy = pickle.loads(pickle.dumps(deadline))
    _wait_until(lambda: deadline.passed and copy.passed)
    deadline = Deadline(np.inf)
    copy = pickle.loads(pickle.dumps(deadline))
    deadline.set()
    assert deadline.passed and not copy.passed


# -- Ctrl-C -------------------------------------------------------------------------------------------------------


def _pool():
    return {thread for thread in threading.enumerate() if "(worker)" in thread.name}


def test_ctrl_c_leaves_nothing_running(backend, request, monkeypatch):
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    problem, alpha = _long()
    # what a machine of a cluster has begun it finishes
    oracle = ConeOracle(problem, ACCURACY, max_work=10**8 if backend == "dask" else cones.MAX_WORK)
    workers = set(outcomes(None, os.getpid, [()] * 8)) - {os.getpid()}
    before, ended, started = _pool(), [], []

    def interrupted(n_jobs, work, tasks, prefer):
        def watched(*task):
            answer = work(*task)
            ended.append(answer)
            return answer

        if not started:  # the first of several searches
            started.append(threading.Timer(1.0, _thread.interrupt_main))
            started[0].start()
        yield from outcomes(n_jobs, watched if backend == "threading" else work, tasks, prefer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cones, "outcomes", interrupted)
        oracle.price(alpha, 0.0)
    if backend == "threading":
        _wait_until(lambda: not _pool() - before)
        assert len(ended) < 500  # it has ten seconds of work for two threads, nine hundred tasks
    elif backend == "loky":
        _wait_until(lambda: not any(psutil.pid_exists(pid) for pid in workers))
    else:
        _wait_until(lambda: not any(request.getfixturevalue("client").processing().values()))
    problem, alpha = _solved()
    assert ConeOracle(problem, ACCURACY).price(alpha, problem.level).exhaustive  # the backend can go on


def test_ctrl_c_ends_a_path_of_tasks(monkeypatch):
    def interrupted(n_jobs, work, tasks):
        tasks = list(tasks)
        yield work(*tasks[2])
        yield work(*tasks[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "outcomes", interrupted)
    X, y = _data(12, 2)
    whole = cs.path(X, y, lams=[0.1, 0.01, 0.001], n_jobs=1)
    part = cs.path(X, y, lams=[0.1, 0.01, 0.001], n_jobs=2)
    assert [point.status for point in part] == ["optimal", "interrupted"]
    assert part[1].lam == 0.01 and part[1].lower_bound <= whole[1].objective * (1 + 1e-9)
