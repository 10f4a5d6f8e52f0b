"""Cells by planes and no-broken-circuit sets, against restriction, and the exact signs that they rest on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tracemalloc
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from joblib import parallel_config
from references import arrangements, broken_circuits
from references.restriction import enumerate_by_restriction

from cellsolve.cells import CellArrangement, count_cells, enumerate_cells, enumerate_lifted, iter_cells, sweep
from cellsolve.cells.counting import general_position
from cellsolve.cells.exact_rows import exact_rows, small
from cellsolve.cells.residues import det_sign, det_space
from cellsolve.cells.sweep import Rows, Sweep


def in_order(cells):
    """Sort cells by their packed patterns."""
    return cells.take(np.lexsort(cells.packed.T[::-1]))


def cloud(seed):
    """Draw rows, many of them degenerate or nearly so."""
    rng = np.random.default_rng(seed)
    D = int(rng.integers(1, 6))
    n = int(rng.integers(1, {1: 5, 2: 30, 3: 20, 4: 13, 5: 10}[D]))
    whole = rng.integers(-2, 3, (n, D))
    kind = seed % 6
    if kind == 0:
        return rng.standard_normal((n, D))
    if kind == 1:
        return whole.astype(float)
    noise = 10.0 ** rng.integers(-17, -3) * rng.standard_normal((n, D))
    if kind == 2:
        return whole + noise
    if kind == 3:
        return 0.1 * whole + (rng.random((n, 1)) < 0.3) * noise
    if kind == 4:
        return (
            rng.standard_normal((n, D)) * 10.0 ** rng.integers(-80, 80, (1, D)) * 2.0 ** rng.integers(-30, 30, (n, 1))
        )
    return rng.standard_normal((n, max(1, D - 1))) @ rng.standard_normal((max(1, D - 1), D)) + 1e-4 * noise


@pytest.mark.parametrize("seed", range(300))
def test_same_cells_as_restriction(seed):
    X = cloud(seed)
    ours, (theirs, facets) = in_order(enumerate_lifted(X)), enumerate_by_restriction(X)
    np.testing.assert_array_equal(ours.packed, theirs)
    whole = CellArrangement(ours.lifted, ours.packed, complete=True)
    for mine, its in zip(whole.facets, facets, strict=True):
        np.testing.assert_array_equal(mine, its)


@settings(max_examples=100)
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.integers(-2, 2)), st.booleans()
)
def test_zero_repeated_and_opposite_rows(X, fit_bias):
    cells = enumerate_cells(X, fit_bias=fit_bias)
    np.testing.assert_array_equal(in_order(cells).packed, enumerate_by_restriction(cells.lifted)[0])


@pytest.mark.parametrize("n", [3, 63, 64, 65, 130, 300])
def test_words(n):
    """Rows fill one word, a few, or many."""
    X = np.random.default_rng(n).standard_normal((n, 2))
    cells = enumerate_cells(X)
    assert len(cells) == count_cells(X)
    assert len(np.unique(cells.packed, axis=0)) == len(cells)
    if n <= 65:
        np.testing.assert_array_equal(in_order(cells).packed, enumerate_by_restriction(cells.lifted)[0])


@pytest.mark.parametrize(
    "known",
    [
        arrangements.resonance(5),
        arrangements.threshold(4),
        arrangements.braid(6),
        arrangements.type_b(5),
        arrangements.shi(4),
        arrangements.catalan(4),
        arrangements.cross_polytope(4),
        arrangements.grid(7, 9),
        arrangements.generic(70, 4, 0),
    ],
)
def test_known_counts(known):
    cells = enumerate_lifted(np.asarray(known.normals, dtype=float))
    assert len(cells) == known.n_cells
    assert len(np.unique(cells.packed, axis=0)) == len(cells)


@pytest.mark.parametrize("noise", [1e-6, 1e-8, 1e-10, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16])
@pytest.mark.parametrize("d", [2, 3])
def test_nearly_degenerate_clouds(noise, d):
    X = arrangements.nearly_collinear(16 if d == 2 else 9, d, noise, 1)
    cells = enumerate_cells(X)
    np.testing.assert_array_equal(in_order(cells).packed, enumerate_by_restriction(cells.lifted)[0])


@pytest.mark.parametrize("decades", [20, 100, 250, 300])
@pytest.mark.parametrize("seed", range(10))
def test_entries_of_all_sizes(decades, seed):
    """Ratios of coordinates do not fit into floats."""
    rng = np.random.default_rng(seed)
    n, D = int(rng.integers(5, 10)), int(rng.integers(3, 5))
    sizes = 10.0 ** rng.integers(-decades // 2, decades // 2 + 1, (n, D) if seed % 2 else (n, 1))
    X = rng.integers(-2, 3, (n, D)) * (rng.random((n, D)) < 0.7) * sizes
    cells = enumerate_lifted(X)
    np.testing.assert_array_equal(in_order(cells).packed, enumerate_by_restriction(X)[0])


def test_a_row_that_is_met_beyond_all_floats():
    X = [[1e-300, 0, 0, 0], [-2, 2, -2, 2], [2, 0, 2, 0], [-2, -2, 2, 0], [2, 1, 1, 2], [2, -2, -2, 1]]
    cells = enumerate_lifted(np.array(X, dtype=float))
    assert len(np.unique(cells.packed, axis=0)) == len(cells) == 52


@pytest.mark.parametrize("seed", range(6))
def test_pieces_and_blocks_are_the_whole(seed):
    X = np.column_stack([np.random.default_rng(seed).integers(-3, 4, (14, 3)), np.ones(14)]).astype(float)
    rows = Rows(X)
    whole = np.concatenate([block.copy() for block in Sweep(rows, block=50)])
    cuts = [0, 1, 4, rows.count]
    pieces = [block.copy() for a, b in pairwise(cuts) for block in Sweep(rows, a, b)]
    assert len(np.unique(whole, axis=0)) == len(whole)
    assert np.all(whole[0::2] ^ whole[1::2] == whole[0] ^ whole[1])  # antipodes are beside each other
    np.testing.assert_array_equal(np.unique(np.concatenate(pieces), axis=0), np.unique(whole, axis=0))


@pytest.mark.parametrize("seed", range(40))
def test_the_bijection_in_rationals(seed):
    rng = np.random.default_rng(seed)
    D = int(rng.integers(1, 5))
    X = rng.integers(-2, 3, (int(rng.integers(D, D + 5)), D)).astype(float)
    rows = Rows(X)
    if rows.count and rows.rank == D:
        lines = X[np.unique(rows.line, return_index=True)[1]] if rows.count == len(X) else None
        if lines is not None:
            cells = list(broken_circuits.cells(X.astype(int).tolist()))
            assert len(set(cells)) == len(cells)
            theirs = np.packbits(np.array(cells) > 0, axis=1)
            np.testing.assert_array_equal(np.unique(theirs, axis=0), in_order(enumerate_lifted(X)).packed)


def determinant(matrix):
    """By cofactors, in fractions."""
    if not matrix:
        return Fraction(1)
    minors = (determinant([row[:k] + row[k + 1 :] for row in matrix[1:]]) for k in range(len(matrix)))
    return sum((-1) ** k * Fraction(matrix[0][k]) * minor for k, minor in enumerate(minors))


@pytest.mark.parametrize("seed", range(40))
def test_signs_of_determinants(seed):
    rng = np.random.default_rng(seed)
    r = int(rng.integers(1, 6))
    X = rng.standard_normal((r + 2, r)) * 10.0 ** rng.integers(-30, 30, (r + 2, 1))
    if seed % 2 and r > 1:
        X[1] = X[0] * (1 + rng.choice([0, 1e-15, 1e-9], r))
    exact = exact_rows(X)
    if len(exact.columns) < r:
        return
    space = det_space(exact.residues)
    for chosen in combinations(range(len(X)), r):
        value = determinant([X[i].tolist() for i in chosen])
        sign = det_sign(exact.residues, exact.moduli, np.array(chosen), space)
        assert sign == (value > 0) - (value < 0)


def test_which_integers_are_small():
    assert small(np.ones((4, 3), dtype=int)) and not small(np.full((4, 3), 10**4))
    assert Rows(np.ones((2, 1))).roundoff == 0.0 and Rows(np.array([[1.0, 0.1], [0.3, 1.0]])).roundoff > 0.0


def test_nothing_but_zeros():
    cells = enumerate_lifted(np.zeros((3, 2)))
    assert cells.packed.tolist() == [[0]]


def test_progress_is_told(small_pieces):
    told = []
    X = np.random.default_rng(0).standard_normal((20, 3))
    sweep.all_cells(X, progress=lambda done, total: told.append((done, total)))
    assert told == [(k, len(told)) for k in range(1, len(told) + 1)] and len(told) > 3


@pytest.mark.parametrize("known", [arrangements.generic(30, 4, 1), arrangements.resonance(5), arrangements.grid(6, 5)])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_do_not_change_the_answer(known, backend, small_pieces, monkeypatch):
    normals = np.asarray(known.normals, dtype=float)
    alone = enumerate_lifted(normals).packed
    with parallel_config(backend=backend):
        np.testing.assert_array_equal(enumerate_lifted(normals, n_jobs=2).packed, alone)
    monkeypatch.setattr(sweep, "ROOM", 0)  # as for cells of which there may be far more
    np.testing.assert_array_equal(enumerate_lifted(normals, n_jobs=2).packed, alone)
    assert len(alone) == known.n_cells
    assert np.all(alone[0::2] ^ alone[1::2] == alone[0] ^ alone[1])


@pytest.mark.parametrize("n, d", [(1, 1), (1, 3), (5, 1), (40, 1), (12, 2), (9, 4)])
@pytest.mark.parametrize("batch", [1, 7, 10**6])
def test_batches_are_the_cells_in_order(n, d, batch):
    X = np.random.default_rng(n).integers(-4, 5, (n, d))
    batches = list(iter_cells(X, batch=batch))
    whole = enumerate_cells(X)
    assert [len(cells) for cells in batches[:-1]] == [batch] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate([cells.packed for cells in batches]), whole.packed)


def test_batches_take_no_more_memory_with_more_cells():
    X = np.random.default_rng(0).standard_normal((40, 4))
    tracemalloc.start()
    count = sum(len(cells) for cells in iter_cells(X, batch=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == general_position(40, 5) and count * 5 > 3 * 10**5
    assert peak < 12 * 2**20  # a block, a batch, and the search, whatever there is to come


def test_the_first_batch_comes_at_once_and_a_search_can_be_stopped():
    """In many dimensions a search takes minutes for a block: it comes back in between, and hears that it is over."""
    X = np.random.default_rng(0).standard_normal((24, 20))
    assert len(next(iter_cells(X, batch=10, fit_bias=False))) == 10
    rows = sweep.Rows(X)
    with pytest.raises(sweep.Stopped), rows.stopping():
        try:
            with rows.stopping():
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            next(iter(Sweep(rows)))


@pytest.mark.parametrize("options", ["", ", n_jobs=2"])
def test_ctrl_c_ends_a_long_search(options):
    program = (
        "import numpy as np, cellsolve\n"
        "cellsolve.enumerate_cells(np.random.default_rng(0).standard_normal((12, 3)))\n"  # compiled
        "X = np.random.default_rng(0).standard_normal((20, 14))\n"
        "print('begins', flush=True)\n"
        f"cellsolve.enumerate_cells(X, fit_bias=False, max_cells=10**9{options})"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "begins\n"
    time.sleep(1.0)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=20)
    assert run.returncode != 0 and errors.rstrip().endswith("KeyboardInterrupt")
