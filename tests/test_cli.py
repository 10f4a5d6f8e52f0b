"""Every command, called as a function: what it prints, what it writes and its exit code."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.cli import main
from cellsolve.files import Model, read_table


@pytest.fixture
def data(tmp_path):
    """A table with a text column, two features and a target."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    y = np.maximum(X[:, 0], 0) - np.maximum(X[:, 1] + 0.3, 0) + 0.1 * rng.standard_normal(20)
    path = tmp_path / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "a", "b", "y"])
        writer.writerows([f"row {i}", *row.tolist(), float(t)] for i, (row, t) in enumerate(zip(X, y)))
    return path, X, y


def run(*arguments):
    return main([str(argument) for argument in arguments])


def fit_model(path, folder, *more):
    model = folder / "model.json"
    assert run("fit", path, "--target", "y", "--features", "a,b", "--lam", 0.02, "--out", model, *more) == 0
    return model


def test_fit_agrees_with_solve_and_is_read_back(data, tmp_path, capsys):
    path, X, y = data
    model = fit_model(path, tmp_path, "--certificate", tmp_path / "c.json", "--plot", tmp_path / "fit.png")
    out = capsys.readouterr().out
    solution = cs.solve(X, y, lam=0.02, random_state=0)
    for word in ("optimal", "objective", "lower bound", "gap", "neurons", "y from a, b", "model.json", "fit.png"):
        assert word in out
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    measure = cs.SparseMeasure.load(model)
    np.testing.assert_array_equal(measure.predict(X), Model.load(model).measure.predict(X))
    certificate = cs.Certificate.load(tmp_path / "c.json")
    assert certificate.objective == pytest.approx(solution.objective, rel=1e-6)
    assert cs.Problem(X, y, lam=0.02).objective(measure) == certificate.objective
    assert Model.load(model).features == ["a", "b"]
    assert not list(tmp_path.glob(".*"))


def test_lam_auto_is_a_hundredth_of_lam_max(data, tmp_path):
    path, X, y = data
    run("fit", path, "--target", "y", "--features", "a", "--out", tmp_path / "m.json")
    assert Model.load(tmp_path / "m.json").problem["lam"] == pytest.approx(cs.lam_max(X[:, :1], y) / 100)


def test_lam_auto_is_that_of_the_estimators(data, tmp_path, monkeypatch):
    path, X, y = data
    monkeypatch.setattr("cellsolve.estimators.model.AUTO", 0.5)
    run("fit", path, "--target", "y", "--features", "a", "--out", tmp_path / "m.json")
    assert Model.load(tmp_path / "m.json").problem["lam"] == pytest.approx(cs.lam_max(X[:, :1], y) / 2)


def test_problem_options_reach_the_problem(data, tmp_path):
    path, *_ = data
    options = ("--loss", "absolute", "--penalty", "slope", "--free", "affine", "--no-bias", "--tol", 1e-4)
    problem = Model.load(fit_model(path, tmp_path, *options)).problem
    assert (problem["loss"], problem["penalty"], problem["free"]) == ("absolute", "slope", "affine")
    assert problem["fit_bias"] is False


def test_interpolation(data, tmp_path, capsys):
    path, X, y = data
    model = tmp_path / "m.json"
    assert run("fit", path, "--target", "y", "--features", "a", "--interpolate", "--out", model) == 0
    assert "residual" in capsys.readouterr().out
    np.testing.assert_allclose(cs.SparseMeasure.load(model).predict(X[:, :1]), y, atol=1e-6)


def test_cross_validation_takes_a_lam_that_predicts(data, tmp_path):
    path, X, y = data
    model = tmp_path / "m.json"
    assert run("fit", path, "--target", "y", "--features", "a", "--cv", 3, "--out", model) == 0
    top = cs.lam_max(X[:, :1], y)
    assert 1e-3 * top <= Model.load(model).problem["lam"] <= top * (1 + 1e-9)


def test_predict_to_a_file_and_to_standard_output(data, tmp_path, capsys):
    path, X, _ = data
    model = fit_model(path, tmp_path)
    expected = cs.SparseMeasure.load(model).predict(X)
    assert run("predict", model, path, "--out", tmp_path / "p.csv") == 0
    np.testing.assert_array_equal(read_table(tmp_path / "p.csv").columns(["y"])[:, 0], expected)
    capsys.readouterr()
    assert run("predict", model, path) == 0
    header, *values = capsys.readouterr().out.split()
    assert header == "y"
    np.testing.assert_array_equal(np.array(values, dtype=float), expected)


def test_cells(data, tmp_path, capsys):
    path, X, _ = data
    assert run("cells", path, "--features", "a,b", "--count") == 0
    count = int(capsys.readouterr().out)
    assert count == cs.count_cells(X) == 382
    assert run("cells", path, "--features", "a,b", "--no-bias") == 0
    assert capsys.readouterr().out.startswith("40 cells")
    assert run("cells", path, "--features", "a,b", "--out", tmp_path / "cells.npz") == 0
    with np.load(tmp_path / "cells.npz") as content:
        np.testing.assert_array_equal(content["packed"], cs.enumerate_cells(X).packed)
        np.testing.assert_array_equal(content["X"], X)


def test_cells_leave_out_the_target(data, capsys):
    table = data[0].with_name("numbers.csv")
    table.write_text("a,b,y\n" + "\n".join(f"{a!r},{b!r},{i}" for i, (a, b) in enumerate(data[1].tolist())))
    assert run("cells", table, "--target", "y", "--count") == 0
    assert int(capsys.readouterr().out) == 382
    assert "'z'" in refused(capsys, "cells", table, "--target", "z")


def test_predict_into_a_pipe(data, tmp_path):
    path, *_ = data
    model = fit_model(path, tmp_path)
    command = f"{sys.executable} -m cellsolve predict {model} {path}"
    plain = subprocess.run(command, shell=True, capture_output=True, text=True)
    piped = subprocess.run(f"{command} --out /dev/stdout | cat", shell=True, capture_output=True, text=True)
    assert piped.stderr == ""
    assert piped.stdout.split() == plain.stdout.split()
    for more in ("", "--out /dev/stdout"):  # the reader is gone before the first line
        closed = subprocess.run(f"{command} {more} | true", shell=True, capture_output=True, text=True)
        assert (closed.returncode, closed.stderr) == (0, "")


def test_certify_and_verify(data, tmp_path, capsys):
    path, *_ = data
    model = fit_model(path, tmp_path)
    # a worse network of the same problem
    content = json.loads(model.read_text())
    content["weights"] = [1.1 * weight for weight in content["weights"]]
    model.write_text(json.dumps(content))
    proof = tmp_path / "proof.json"
    assert run("certify", model, path, "--target", "y", "--out", proof) == 0
    out = capsys.readouterr().out
    assert "excess" in out and "lower bound" in out
    certificate = cs.Certificate.load(proof)
    assert certificate.excess > 1e-3
    assert run("verify", proof, path, "--target", "y", "--features", "a,b") == 0
    assert "holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("lower_bound", lambda value: value * 1.001),
        ("supremum", lambda value: value * 0.999),
        ("alpha", lambda value: [2 * a for a in value]),
        ("lam", lambda value: value / 2),
    ],
)
def test_verify_refuses_a_mutated_certificate(data, tmp_path, capsys, key, change):
    path, *_ = data
    proof = tmp_path / "c.json"
    fit_model(path, tmp_path, "--certificate", proof)
    content = json.loads(proof.read_text())
    content[key] = change(content[key])
    proof.write_text(json.dumps(content))
    capsys.readouterr()
    assert run("verify", proof, path, "--target", "y", "--features", "a,b") == 1
    assert "does not hold" in capsys.readouterr().out


def test_verify_refuses_other_data(data, tmp_path, capsys):
    path, *_ = data
    proof = tmp_path / "c.json"
    fit_model(path, tmp_path, "--certificate", proof)
    assert run("verify", proof, path, "--target", "a", "--features", "y,b") == 1
    assert "are not the data that it was made for" in capsys.readouterr().out


def test_compare(data, capsys):
    pytest.importorskip("torch", reason="torch is an extra")
    path, *_ = data
    options = ("--seeds", 2, "--steps", 50, "--width", 10, "--optimizers", "adam,lbfgs")
    assert run("compare", path, "--target", "y", "--features", "a", *options) == 0
    out = capsys.readouterr().out
    for word in ("convex program (optimal)", "adam, 2 seeds", "lbfgs, 2 seeds", "certified lower bound"):
        assert word in out


def test_a_table_that_goes_to_a_file_is_as_wide_as_it_needs_to_be(capsys):
    from cellsolve.comparison import print_table

    print_table("wide", [{"method": "x" * 150, "steps": "y" * 50}])
    assert "x" * 150 in capsys.readouterr().out
    print_table("narrow", [{"method": "x", "steps": "y"}])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 40


# -- bad input ----------------------------------------------------------------------------------------------------


def refused(capsys, *arguments):
    """Run what has to fail; return its one line."""
    assert run(*arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.count("\n") == 1
    return streams.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("a,y\n", ["no rows"]),
        ("1,2\n3,4\n", ["header"]),
        ("a,a,y\n1,2,3\n", ["repeated"]),
        ("a,,y\n1,2,3\n", ["empty or repeated"]),
        ("a,y\n1,2\n3\n", ["line 3", "1 fields"]),
        ("a,y\n1,2\n\n3,x\n", ["line 4", "'y'", "'x'"]),
        ("a,y\n1,2\n,3\n", ["line 3", "'a'", "empty"]),
        ("a,y\n1,nan\n", ["line 2", "'y'", "finite"]),
        ("a,y\n1,inf\n", ["line 2", "finite"]),
        ("a,b\n1,2\n", ["no column 'y'", "a, b"]),
        ("y\n1\n", ["no column beside"]),
        ("a,y\n\xff\x00", ["data.csv"]),
    ],
)
def test_bad_tables(tmp_path, capsys, text, words):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode("latin-1"))
    line = refused(capsys, "fit", path, "--target", "y")
    assert line.startswith("cellsolve fit: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--lam", "-1"], "'-1' is neither a positive number nor auto"),
        (["--lam", "nan"], "'nan' is neither a positive number nor auto"),
        (["--interpolate", "--loss", "hinge"], "--loss does nothing with --interpolate"),
        (["--lam", "0"], "lam"),
        (["--lam", "small"], "--lam"),
        (["--lam", "1", "--interpolate"], "not allowed"),
        (["--features", "a,c"], "'c'"),
        (["--features", "a,,b"], "empty"),
        (["--features", "a,y"], "target"),
        (["--penalty", "l0"], "l0"),
        (["--penalty", "slope", "--free", "none"], "free"),
        (["--loss", "hinge"], "labels"),
        (["--method", "magic"], "method"),
        (["--tol", "-1"], "tol"),
        (["--cv", "1"], "folds"),
        (["--cv", "21"], "20 rows"),
        (["--plot", "fit.txt"], ".png"),
        (["--out", "/nowhere/m.json"], "folder"),
        (["--out", "/"], "folder"),
        (["--certificate", "/nowhere/c.json"], "folder"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_options(data, capsys, options, word):
    path, *_ = data
    features = [] if "--features" in options else ["--features", "a"]
    assert word in refused(capsys, "fit", path, "--target", "y", *features, *options)


def test_a_text_column_is_named_with_the_way_out(data, capsys):
    assert "--features" in refused(capsys, "fit", data[0], "--target", "y")


def test_missing_files_and_commands(data, tmp_path, capsys):
    path, *_ = data
    assert "No such file" in refused(capsys, "fit", tmp_path / "none.csv", "--target", "y")
    assert "not a measure" in refused(capsys, "predict", path, path)
    assert "not a certificate" in refused(capsys, "verify", path, path, "--target", "y", "--features", "a")
    assert "COMMAND" in refused(capsys)
    assert "--target" in refused(capsys, "fit", path)


def test_a_measure_without_a_problem_is_refused(data, tmp_path, capsys):
    path, *_ = data
    cs.SparseMeasure([[1.0, 0.0]], [1.0]).save(tmp_path / "m.json")
    assert "cellsolve fit" in refused(capsys, "certify", tmp_path / "m.json", path, "--target", "y")


def test_plot_of_three_features_is_refused(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,y\n1,2,3,4\n2,1,0,1\n")
    assert "one or two" in refused(capsys, "fit", path, "--target", "y", "--plot", tmp_path / "fit.png")


def test_compare_without_torch_says_what_to_install(data, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cellsolve.training", None)
    assert "cellsolve" in refused(capsys, "compare", data[0], "--target", "y", "--features", "a")


# -- files and interruptions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["api.solve", "certificate.Certificate.save", "plotting.plot_fit"])
def test_existing_files_stay_until_everything_is_whole(data, tmp_path, capsys, monkeypatch, broken):
    path, *_ = data
    old = [tmp_path / name for name in ("model.json", "c.json", "fit.png")]
    for file in old:
        file.write_text("old")

    def fail(*arguments, **options):
        raise ValueError("broken on purpose")

    monkeypatch.setattr(f"cellsolve.{broken}", fail)
    options = ("--out", old[0], "--certificate", old[1], "--plot", old[2])
    assert "on purpose" in refused(capsys, "fit", path, "--target", "y", "--features", "a", "--lam", 0.1, *options)
    assert all(file.read_text() == "old" for file in old)
    assert sorted(tmp_path.iterdir()) == sorted([path, *old])


def test_outputs_follow_links_and_keep_them(data, tmp_path):
    path, *_ = data
    (tmp_path / "model.json").symlink_to(tmp_path / "real.json")
    model = fit_model(path, tmp_path)
    assert model.is_symlink() and (tmp_path / "real.json").is_file()


def test_an_interrupted_solve_reports_the_best_so_far(data, tmp_path, capsys, monkeypatch):
    from cellsolve.oracles.exhaustive import ExhaustiveOracle

    path, *_ = data
    price, calls = ExhaustiveOracle.price, []

    def interrupt(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return price(self, *arguments, **options)

    monkeypatch.setattr(ExhaustiveOracle, "price", interrupt)
    model = fit_model(path, tmp_path)
    assert "interrupted" in capsys.readouterr().out.lower()
    assert cs.SparseMeasure.load(model).n_neurons > 0


def test_interrupted_cross_validation_chooses_nothing(data, tmp_path, capsys, monkeypatch):
    from cellsolve.solution import Status

    solution = cs.solve(data[1], data[2], lam=0.02)
    stopped = dataclasses.replace(solution, status=Status.INTERRUPTED)
    monkeypatch.setattr("cellsolve.api.path", lambda *arguments, **options: [solution, stopped])
    arguments = (data[0], "--target", "y", "--features", "a,b", "--cv", 3, "--out", tmp_path / "m.json")
    assert run("fit", *arguments) == 130
    assert not (tmp_path / "m.json").exists()


def test_an_interrupt_with_nothing_to_show_exits_130(data, tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cellsolve.api.solve", interrupt)
    options = ("--features", "a", "--lam", 0.1, "--out", tmp_path / "m.json")
    assert run("fit", data[0], "--target", "y", *options) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "m.json").exists()


@pytest.mark.parametrize("module", ["cellsolve", "cellsolve.cli"])
def test_modules_run_the_command_line(data, module):
    def run_module(*arguments):
        command = [sys.executable, "-W", "error", "-m", module, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100)

    counted = run_module("cells", data[0], "--features", "a", "--count")
    assert (counted.returncode, counted.stdout, counted.stderr) == (0, "40\n", "")
    assert run_module("cells", "no file").returncode == 2


def test_version_and_help(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
        assert "cellsolve" in capsys.readouterr().out
