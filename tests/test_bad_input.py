"""Every refusal names the argument, what was wrong and the way out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import cellsolve as cs

X = np.arange(6.0).reshape(3, 2)
Y = np.array([1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cs.solve([[1.0], [np.nan]], [0, 1], lam=1), r"X contains NaN at row 1, column 0; drop or impute"),
        (lambda: cs.solve([[1.0], [2.0]], [0, np.inf], lam=1), r"y contains infinity at row 1"),
        (lambda: cs.solve(np.zeros((0, 2)), [], lam=1), "X has 0 rows"),
        (lambda: cs.solve(np.zeros((3, 0)), Y, lam=1), "X has 0 columns"),
        (lambda: cs.solve(np.zeros((2, 2, 2)), [0, 1], lam=1), "X has 3 dimensions"),
        (lambda: cs.solve(X, [0, 1], lam=1), "y has 2 rows but X has 3"),
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
        (lambda: cs.solve(X, Y, lam=1, loss="hinge"), "needs labels -1 and 1"),
        (lambda: cs.solve(X, Y, lam=1, method="magic"), "method is 'magic'"),
        (lambda: cs.solve(X, Y, lam=1, tol=-1), "tol is -1"),
        (lambda: cs.solve(X, Y, lam=1, max_time="soon"), "max_time is 'soon'"),
        (lambda: cs.solve(X, Y, lam=1, max_cells=0), "max_cells is 0"),
        (lambda: cs.solve(X, Y, lam=1, warm_start=3), "warm_start has to be"),
        (lambda: cs.solve(cs.Problem(X, Y, lam=1), lam=2), "lam given together with a Problem"),
        (lambda: cs.interpolate([[1.0], [1.0], [2.0]], [0, 1, 2]), "y differs at rows 0 and 1"),
        (lambda: cs.interpolate([[1.0], [2.0], [3.0]], [1, 1, 1], fit_bias=False), "no network interpolates"),
        (lambda: cs.interpolate(X, Y, sparsest=True), "sparsest=True is not available"),
        (lambda: cs.interpolate(cs.Problem(X, Y, lam=1)), "the Problem has a lam"),
        (lambda: cs.path(X, Y, lams=[1, -1]), "lams has to hold positive finite numbers"),
        (lambda: cs.path(X, Y, n_lams=0), "n_lams has to be at least 1"),
        (
            lambda: cs.solve(X[:, :1], [1, 1, 1], lam=1, loss="logistic", free="constant"),
            "is separated by the free part",
        ),
        (lambda: cs.solve(X, np.column_stack([Y, Y]), lam=1, method="all_cells"), "takes one output, y has 2"),
        (
            lambda: cs.solve(
                np.random.default_rng(0).random((30, 3)), np.zeros(30), lam=1, method="all_cells", max_cells=50
            ),
            r"X has 8180 cells, and method 'all_cells' takes max_cells=50; use method='neurons'",
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
        (lambda: cs.SparseMeasure(np.ones(3), [1.0]), "neurons has 1 dimensions"),
        (lambda: cs.SparseMeasure(np.ones((2, 3)), [1.0]), "weights has shape"),
        (lambda: cs.Huber(delta=-1), "delta is -1"),
        (lambda: cs.Quantile(q=2), "q is 2"),
    ],
)
def test_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_certificate_of_another_problem_is_refused():
    other = cs.solve(X, Y, lam=0.5).certificate
    with pytest.raises(ValueError, match="of another problem"):
        cs.certify(cs.SparseMeasure(np.ones((1, 3)), [1.0]), X, Y, lam=1, certificate=other)


def test_a_potential_without_an_oracle_is_refused():
    from cellsolve.potentials import Variation

    class Half(Variation):
        def value(self, theta, lifted, bias):
            return 0.5 * super().value(theta, lifted, bias)

    with pytest.raises(ValueError, match="no oracle proves bounds for it yet"):
        cs.solve(X, Y, lam=0.1, penalty=Half())


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
