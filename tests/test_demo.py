"""The demo, with fewer seeds and steps."""

import numpy as np
import pytest

import cellsolve as cs
from cellsolve import demo
from cellsolve.cli import main
from cellsolve.files import Model, read_table

pytestmark = pytest.mark.slow
for _name in ("torch", "matplotlib"):
    pytest.importorskip(_name, reason=f"{_name} is an extra")


def test_demo_writes_what_it_names_and_its_proof_holds(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert demo.run(folder, seeds=2, width=20, steps=100) == 0
    out = capsys.readouterr().out
    for name in ("bmi", "bmi and s5"):
        assert f"Diabetes progression from {name}: 442 patients" in out
    for word in ("certified", "R² on 88 held-out patients, of fits to the other 354", "adam, 2 seeds", "optimal"):
        assert out.count(word) == 2
    for name in ("model.json", "fit.png", "cells.png", "training.png"):
        assert f"{name}" in out and (folder / name).stat().st_size > 0
    proof = [str(folder / "certificate.json"), str(folder / "data.csv"), "--target", "progression", "--features", "bmi"]
    assert main(["verify", *proof]) == 0
    model = Model.load(folder / "model.json")
    table = read_table(folder / "data.csv")
    X, y = table.columns(["bmi"]), table.columns(["progression"])[:, 0]
    objective = cs.Problem(X, y, lam=model.problem["lam"]).objective(model.measure)
    assert objective == cs.Certificate.load(folder / "certificate.json").objective


def test_held_out_rows_are_not_among_those_of_the_fit():
    X, y, kept, held_out = demo._patients()
    assert not np.isin(held_out, kept).any() and len(kept) + len(held_out) == len(y) == 442
    np.testing.assert_allclose([y[kept].mean(), *X[kept].mean(axis=0)], 0, atol=1e-12)
