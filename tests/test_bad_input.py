"""Every refusal names the argument, what was wrong and the way out."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import cellsolve as cs

X = np.arange(6.0).reshape(3, 2)
Y = np.array([1.0, 0.0, 2.0])


def score(values, **options):
    return cs.certify(lambda Z: values, X, Y, lam=0.01, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cs.solve([[1.0], [np.nan]], [0, 1], lam=1), r"X contains NaN at row 1, column 0; drop or impute"),
        (lambda: cs.solve([[1.0], [2.0]], [0, np.inf], lam=1), r"y contains infinity at row 1"),
        (lambda: cs.solve(np.zeros((0, 2)), [], lam=1), "X has 0 rows"),
        (lambda: cs.solve(np.zeros((3, 0)), Y, lam=1), "X has 0 columns"),
        (lambda: cs.solve(np.zeros((2, 2, 2)), [0, 1], lam=1), "X has 3 dimensions"),
        (lambda: cs.solve(X, [0, 1], lam=1), "y has 2 rows but X has 3"),
        (lambda: cs.solve(X, Y, lam=1, n_jobs="two"), "n_jobs is 'two'"),
        (lambda: cs.solve(X, Y, lam=1, n_jobs=0), "n_jobs is 0"),
        (lambda: cs.solve(X, Y, lam=1, random_state="a"), "random_state is 'a'"),
        (lambda: cs.lam_max(X, Y, random_state=1.5), "random_state is 1.5"),
        (lambda: cs.lam_max(X, 1e-100 * Y, loss="huber"), "on another scale"),
        (lambda: cs.contact_set(cs.solve(X, Y, lam=1).certificate, X, Y), "solution is a Certificate"),
        (lambda: cs.interpolate([[9e15, 1], [2e15, 5e15], [1e15, 8e15]], Y), "scales too far apart"),
        (lambda: cs.solve(X, np.zeros((3, 0)), lam=1), "y has 0 columns"),
        (lambda: cs.solve([["a"], ["b"]], [0, 1], lam=1), "X cannot be read as numbers"),
        (lambda: cs.solve(X + 1j, Y, lam=1), "X cannot be read as numbers|X is complex"),
        (lambda: cs.solve(X, Y), "lam is missing.*interpolate"),
        (lambda: cs.solve(X, Y, lam=-1), "lam is -1.0; pass a positive finite number"),
        (lambda: cs.solve(X, Y, lam=0), "lam is 0.0"),
        (lambda: cs.solve(X, Y, lam="big"), "lam is 'big'"),
        (lambda: cs.solve(X, lam=1), "y is missing"),
        (lambda: cs.solve(X, Y, lam=1, loss="l2"), "loss is 'l2'; choose one of squared"),
        (lambda: cs.solve(X, Y, lam=1, penalty="l2"), "penalty is 'l2'; choose one of variation"),
        (lambda: cs.solve(X, Y, lam=1, free="all"), "free is 'all'; choose one of none"),
        (lambda: cs.solve(X, Y, lam=1, penalty="slope", free="none"), "free='constant' .the default. or 'affine'"),
        (lambda: cs.solve(X, Y, lam=1, fit_bias="no"), "fit_bias is 'no'"),
        (
            lambda: cs.solve(
                [[1.1, 33.98], [2.3, 36.14], [7.7, 45.86], [0.3, 32.54]], [1, 2, 0, 1], lam=1, free="affine"
            ),
            "column 0 of X, column 1 of X, the constant depend on each other but for rounding",
        ),
        (lambda: cs.solve(X, Y, lam=1, loss="hinge"), "needs labels -1 and 1"),
        (lambda: cs.solve(X, Y, lam=1, method="magic"), "method is 'magic'"),
        (lambda: cs.solve(X, Y, lam=1, tol=-1), "tol is -1"),
        (lambda: cs.solve(X, Y, lam=1, max_time="soon"), "max_time is 'soon'"),
        (lambda: cs.solve(X, Y, lam=1, max_cells=0), "max_cells is 0"),
        (lambda: cs.solve(X, Y, lam=1, warm_start=3), "warm_start has to be"),
        (lambda: cs.solve(cs.Problem(X, Y, lam=1), lam=2), "lam given together with a Problem"),
        (lambda: cs.interpolate([[1.0], [1.0], [2.0]], [0, 1, 2]), "y differs at rows 0 and 1"),
        (lambda: cs.interpolate([[1.0], [2.0], [3.0]], [1, 1, 1], fit_bias=False), "no network interpolates"),
        (lambda: cs.interpolate(X, Y, sparsest=True), "sparsest=True is for one input and output"),
        (lambda: cs.interpolate(cs.Problem(X, Y, lam=1)), "the Problem has a lam"),
        (lambda: cs.path(X, Y, lams=[1, -1]), "lams has to hold positive finite numbers"),
        (lambda: cs.path(X, Y, n_lams=0), "n_lams is 0; pass a whole number, at least 1"),
        (lambda: cs.path(X, Y, n_lams=2.5), "n_lams is 2.5; pass a whole number"),
        (lambda: cs.path(X, Y, lam_min_ratio=2), "lam_min_ratio is 2"),
        (lambda: cs.path(X, Y, lams=(lam for lam in (1, 2))), "lams cannot be read as numbers"),
        (lambda: cs.solve(X, Y, lam=True), "lam is True"),
        (lambda: cs.solve(X, Y, lam=1, tol=True), "tol is True"),
        (lambda: cs.solve(X, Y, lam=1, method=[]), "method is .*; pass the name"),
        (lambda: cs.solve(X, Y, lam=1, max_time=-1), "max_time is -1; pass seconds, a number of at least 0"),
        (lambda: cs.solve(X, Y, lam=1, max_time=np.nan), "max_time is nan"),
        (lambda: cs.path(X, Y, n_lams=2, max_time="x"), "max_time is 'x'"),
        (lambda: cs.solve(X, Y, lam=1, max_cells="x"), "max_cells is 'x'; pass a whole number"),
        (lambda: cs.solve(X, Y, lam=1, max_cells=np.nan), "max_cells is nan; pass a whole number"),
        (lambda: cs.solve(X, Y, lam=1, max_cells=np.inf), "max_cells is inf; pass a whole number"),
        (lambda: cs.solve([["1"], ["2"]], [0, 1], lam=1), "X cannot be read as numbers .it holds text"),
        (lambda: cs.solve(np.array([[1], ["2"]], dtype=object), [0, 1], lam=1), "X .*it holds text"),
        (lambda: cs.solve(np.zeros((2, 1), dtype="M8[s]"), [0, 1], lam=1), "X cannot.*dates or times"),
        (lambda: cs.solve([[10**400], [1]], [0, 1], lam=1), "X cannot be read as numbers"),
        (lambda: cs.solve(np.ma.masked_less(X, 1), Y, lam=1), "X has masked entries"),
        (
            lambda: cs.solve(X[:, :1], [1, 1, 1], lam=1, loss="logistic", free="constant"),
            "is separated by the free part",
        ),
        (lambda: cs.solve(X, np.column_stack([Y, Y]), lam=1, method="all_cells"), "takes one output, y has 2"),
        (
            lambda: cs.solve(
                np.random.default_rng(0).random((30, 3)), np.zeros(30), lam=1, method="all_cells", max_cells=50
            ),
            r"X has 8180 cells, and method 'all_cells' takes max_cells=50; use method='auto'",
        ),
        (
            lambda: cs.enumerate_cells(np.random.default_rng(0).random((30, 3)), max_cells=50),
            "8180 cells.*sample_cells",
        ),
        (lambda: cs.certify(3, X, Y, lam=1), "network is a int"),
        (lambda: cs.certify(lambda Z: Z[:, 0], X, Y, lam=1), "norm is missing"),
        (
            lambda: cs.certify(cs.SparseMeasure(np.ones((1, 3)), [1.0], offset=1.0), X, Y, lam=1),
            "network has an offset",
        ),
        (lambda: cs.certify(cs.SparseMeasure(np.ones((1, 3)), [1.0]), X, Y), "no interpolant"),
        (lambda: score(Y, norm=-1.0), "norm is -1.0; pass a finite number, at least 0"),
        (lambda: score(Y, norm=np.nan), "norm is nan"),
        (lambda: score(Y * np.nan, norm=1.0), "network returns nan at row 0"),
        (lambda: score(Y[:2], norm=1.0), r"network returns shape \(2,\) for the 3 rows"),
        (lambda: score(Y, norm=0.0), "below the proven bound .*no network of that norm has these values"),
        (lambda: score(Y, norm=1.0, certificate=3), "certificate is a int; pass a Certificate or a Solution"),
        (
            lambda: cs.certify(cs.SparseMeasure(np.ones((1, 3)), [[1.0, 1.0]]), X, Y, lam=1),
            r"network returns shape \(3, 2\)",
        ),
        (lambda: cs.SparseMeasure(np.ones(3), [1.0]), "neurons has 1 dimensions"),
        (lambda: cs.SparseMeasure(np.ones((2, 3)), [1.0]), "weights has shape"),
        (lambda: cs.Huber(delta=-1), "delta is -1"),
        (lambda: cs.Huber(delta="1"), "delta is '1'; pass a number"),
        (lambda: cs.Huber(delta=True), "delta is True; pass a number"),
        (lambda: cs.Huber(delta=10**400), "delta is too large"),
        (lambda: cs.Quantile(q=2), "q is 2"),
        (lambda: cs.LabelNoise(full="no"), "full is 'no'; pass True or False"),
    ],
)
def test_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_certificate_of_another_problem_is_refused():
    other = cs.solve(X, Y, lam=0.5).certificate
    with pytest.raises(ValueError, match="of another problem"):
        cs.certify(cs.SparseMeasure(np.ones((1, 3)), [1.0]), X, Y, lam=1, certificate=other)


def test_a_solution_serves_as_its_certificate():
    solution = cs.solve(X, Y, lam=0.5)
    assert cs.certify(solution.measure, X, Y, lam=0.5, certificate=solution).gap == solution.gap


def test_the_interpolant_of_least_norm_is_not_impossible():
    solution = cs.interpolate(X, Y)
    almost = solution.predict(X) * (1 - 5e-7)  # met to the tolerance of an interpolant, at a smaller norm
    norm = solution.objective * (1 - 5e-7)
    assert cs.certify(lambda Z: almost, X, Y, norm=norm, certificate=solution).gap == 0
    with pytest.raises(ValueError, match="below the proven bound"):
        cs.certify(lambda Z: almost, X, Y, norm=norm * (1 - 1e-6), certificate=solution)


def test_a_neuron_on_a_border_of_a_potential_that_jumps():
    points, targets = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0])
    penalty = cs.LabelNoise(full=True)
    certificate = cs.solve(points, targets, lam=0.01, penalty=penalty).certificate
    inside = cs.SparseMeasure([[1.0, -1.99]], [0.99])
    assert cs.certify(inside, points, targets, lam=0.01, penalty=penalty, certificate=certificate).excess >= 0
    claimed = dataclasses.replace(certificate, lower_bound=1.0)  # a bound that this network is below
    with pytest.raises(ValueError, match="jumps between cells and is low exactly on a border"):
        cs.certify(inside, points, targets, lam=0.01, penalty=penalty, certificate=claimed)


def test_unknown_options_of_certify():
    with pytest.raises(TypeError, match="certify got unknown arguments: foo"):
        score(Y, norm=1.0, foo=1)


def test_no_limit_of_time():
    assert cs.solve(X, Y, lam=0.5, max_time=np.inf).status == "optimal"
    assert [point.status for point in cs.path(X, Y, n_lams=2, max_time=np.inf)] == ["optimal"] * 2


def test_a_path_ends_with_what_ctrl_c_interrupts(monkeypatch):
    from cellsolve.oracles.exhaustive import ExhaustiveOracle

    price, seen = ExhaustiveOracle.price, []

    def interrupt(self, *arguments, **options):
        seen.append(1)
        if len(seen) == len(calls):
            raise KeyboardInterrupt
        return price(self, *arguments, **options)

    points = np.random.default_rng(0).standard_normal((12, 2))
    calls = range(10**6)
    monkeypatch.setattr(ExhaustiveOracle, "price", interrupt)
    whole = cs.path(points, points[:, 0] ** 2, n_lams=6, method="neurons")
    calls, seen = range(len(seen) // 2), []
    part = cs.path(points, points[:, 0] ** 2, n_lams=6, method="neurons")
    assert len(part) < len(whole) == 6
    assert [point.status for point in part] == ["optimal"] * (len(part) - 1) + ["interrupted"]


def test_verify_is_there_when_asked_for():
    code = "import cellsolve; print(cellsolve.verify.verify)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_potential_without_an_oracle_is_refused():
    from cellsolve.potentials import Variation

    class Seminorm(Variation):
        def cell_matrices(self, patterns, lifted, bias):
            return super().cell_matrices(patterns, lifted, bias)[:, :1]

    class Share(Variation):
        def cell_matrices(self, patterns, lifted, bias):
            return np.eye(lifted.shape[1])[None] * np.sqrt(patterns.mean(axis=1))[:, None, None]

    class Jumps(Variation):
        jumps = True

    for penalty in (Seminorm(), Share(), Jumps()):
        with pytest.raises(ValueError, match="no oracle proves bounds: it has to be"):
            cs.solve(X, Y, lam=0.1, penalty=penalty)


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a measure"):
        cs.SparseMeasure.load(path)
    with pytest.raises(ValueError, match="not a certificate"):
        cs.Certificate.load(path)


def test_scales_that_float64_cannot_hold():
    with pytest.raises(ValueError, match="float64 cannot hold"):
        cs.solve(X * 1e-300, Y * 1e300, lam=1.0)


def test_lam_max_is_zero_where_the_free_part_fits():
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    half = np.full(20, 0.5)
    assert cs.lam_max(points, half, loss="huber", free="constant") == 0
    assert cs.lam_max(points, 0 * half, loss="quantile") == 0
    assert cs.lam_max(np.zeros((20, 4)), points[:, 0], penalty="slope", max_cells=10) == 0


@pytest.mark.parametrize("x_scale", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("y_scale", [1e-100, 1.0, 1e100])
def test_large_and_small_units_are_right(x_scale, y_scale):
    rng = np.random.default_rng(0)
    points, targets = rng.standard_normal((12, 2)) * x_scale, rng.standard_normal(12) * y_scale
    for penalty in ("variation", "slope", "label_noise"):
        top = cs.lam_max(points, targets, penalty=penalty)
        solution = cs.solve(points, targets, lam=top / 30, penalty=penalty)
        assert solution.gap <= 1e-6
        assert solution.certificate.verify(points, targets)


@pytest.mark.parametrize(
    ("points", "targets"),
    [
        (np.zeros((4, 2)), [1.0, 2, 3, 4]),
        (np.ones((1, 3)), [2.0]),
        (np.arange(12).reshape(4, 3), [1, 2, 3, 5]),
        (np.random.default_rng(0).standard_normal((3, 7)), [1.0, -1, 2]),
        (np.array([[1, 1], [1, 1], [2, 1]], dtype=np.float32), np.array([1, 2, 3], dtype=np.float32)),
        ([1, 2, 3], [5, 5, 5]),
        ([1, 2, 3], [0, 0, 0]),
        (np.outer(np.arange(8), [0.1, 0.3]), np.arange(8) % 3),
    ],
    ids=["zero rows", "one row", "integers", "d > n", "float32", "equal y", "zero y", "nearly collinear"],
)
def test_ordinary_but_degenerate_data(points, targets):
    for fit_bias in (True, False):
        solution = cs.solve(points, targets, lam=0.01, fit_bias=fit_bias)
        assert solution.gap <= 1e-6
        assert solution.certificate.verify(points, targets)


def test_import_is_light():
    code = (
        "import sys, cellsolve; dir(cellsolve); "
        "assert not {'cvxpy', 'torch', 'matplotlib', 'sklearn', 'scipy', 'numba'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
