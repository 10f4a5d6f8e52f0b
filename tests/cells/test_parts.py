"""Cells written in parts, by runs that are stopped and go on."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cellsolve.cells import enumerate_cells, parts, write_cells
from cellsolve.cli import main


def packed(path):
    with np.load(path) as content:
        return content["packed"]


@pytest.mark.parametrize("n, d", [(1, 1), (6, 1), (9, 2), (14, 3), (70, 2)])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_file_has_all_cells_in_order(n, d, n_jobs, tmp_path, small_pieces):
    X = np.random.default_rng(n).integers(-5, 6, (n, d))
    cells, path = enumerate_cells(X), tmp_path / "cells.npz"
    assert write_cells(path, X, n_jobs=n_jobs, beside={"X": X}) == len(cells)
    np.testing.assert_array_equal(packed(path), cells.packed)
    assert list(tmp_path.iterdir()) == [path]
    write_cells(path, X[:, :1] * 0, fit_bias=False)
    assert packed(path).tolist() == [[0] * ((n + 7) // 8)]


def test_what_was_done_is_not_done_again(tmp_path, monkeypatch, small_pieces):
    X, path, write = np.random.default_rng(0).standard_normal((20, 3)), tmp_path / "cells.npz", parts._write_part
    made = []

    def stops(rows, piece, part):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(piece)
        write(rows, piece, part)

    monkeypatch.setattr(parts, "_write_part", stops)
    with pytest.raises(KeyboardInterrupt):
        write_cells(path, X)
    assert not path.exists()
    (tmp_path / "cells.npz.parts" / ".00003.123").write_bytes(b"not whole")
    more = []
    monkeypatch.setattr(parts, "_write_part", lambda *part: (more.append(part[1]), write(*part)))
    write_cells(path, X)
    assert more and not set(more) & set(made)
    np.testing.assert_array_equal(packed(path), enumerate_cells(X).packed)
    assert list(tmp_path.iterdir()) == [path]


def test_parts_of_other_points_are_refused(tmp_path, monkeypatch, capsys):
    table, path = tmp_path / "x.csv", tmp_path / "cells.npz"
    table.write_text("a,b\n1,2\n3,5\n4,4\n")

    def stop(*part):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(parts, "_write_part", stop)
        assert main(["cells", str(table), "--out", str(path)]) == 130
    assert "cells.npz.parts, and the same command goes on from there" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"cells.npz.parts holds parts of other points; remove it"):
        write_cells(path, np.eye(2))
    assert main(["cells", str(table), "--out", str(path), "--jobs", "2"]) == 0
    np.testing.assert_array_equal(packed(path), enumerate_cells([[1, 2], [3, 5], [4, 4]]).packed)


def test_two_runs_do_not_write_the_same_file(tmp_path, monkeypatch):
    X, path, write = np.eye(3), tmp_path / "cells.npz", parts._write_part

    def another(*part):
        with pytest.raises(ValueError, match=r"cells.npz.parts is being written by another run"):
            write_cells(path, X)
        write(*part)

    pytest.importorskip("fcntl", reason="files are not locked on Windows")
    monkeypatch.setattr(parts, "_write_part", another)
    assert write_cells(path, X) == len(packed(path))


def test_killed_and_started_again(tmp_path):
    """A run is killed for good in the middle, and the next one makes the file that a run of its own would have."""
    X = np.random.default_rng(0).standard_normal((60, 4))
    table, path = tmp_path / "x.csv", tmp_path / "cells.npz"
    np.savetxt(table, X, delimiter=",", header="a,b,c,d", comments="", fmt="%.17g")
    program = (
        "import sys, time; from cellsolve.cells import parts, sweep; from cellsolve.cli import main\n"
        "sweep.LEAST_PIECE, sweep.LEAST_PER_ROW, write = 2**15, 0, parts._write_part\n"
        "parts._write_part = lambda *part: (write(*part), time.sleep(0.05))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "cells", str(table), "--out", str(path)]
    started = subprocess.Popen(command)
    folder = tmp_path / "cells.npz.parts"
    while len(list(folder.glob("0*")) if folder.exists() else []) < 4 and started.poll() is None:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL and not path.exists()
    before = {part: part.stat().st_mtime_ns for part in folder.glob("0*")}
    again = subprocess.Popen(command)
    while again.poll() is None and not path.exists():
        now = {part: part.stat().st_mtime_ns for part in before if part.exists()}
        assert all(before[part] == now[part] for part in now)
        time.sleep(0.02)
    assert again.wait() == 0
    np.testing.assert_array_equal(packed(path), enumerate_cells(X).packed)
