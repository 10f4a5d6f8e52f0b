"""Diagonal linear networks: the kernel against finite differences, what the flow conserves, and where it ends."""

import itertools
import signal
import subprocess
import sys

import cvxpy as cp
import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import minimize_scalar

from cellsolve.training import DiagonalRun, basis_pursuit, train_diagonal
from cellsolve.training.diagonal import RECORD

CASES = [
    dict(depth=depth, signed=signed, weight_normalisation=normalised)
    for depth in (2, 3)
    for signed in (False, True)
    for normalised in (False, True)
]


def name(case):
    return f"{case['depth']}{'-signed' * case['signed']}{'-normalised' * case['weight_normalisation']}"


every_case = pytest.mark.parametrize("case", CASES, ids=name)


def system(M=12, N=20, s=2, size=2.0, seed=1, signed=False):
    """A Gaussian matrix and what it measures of a sparse vector, which is the least solution in l1."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((M, N)) / np.sqrt(M)
    x = np.zeros(N)
    x[rng.choice(N, s, replace=False)] = size
    if signed:
        x[np.flatnonzero(x)[::2]] *= -1
    return A, A @ x, x


def distance(run, x):
    return np.linalg.norm(run.x - x) / np.linalg.norm(x)


# -- the kernel ---------------------------------------------------------------------------------------------


def slow_descend(A, b, start, steps, lr, lr_ratio, depth, signed, weight_normalisation):
    """Gradient descent with gradients by central differences."""

    def loss(weights):
        powers = weights**depth
        return 0.5 * np.sum((A @ (powers[: A.shape[1]] - powers[A.shape[1] :] if signed else powers) - b) ** 2)

    def gradient(function, at, h=1e-5):
        return np.array([(function(at + h * e) - function(at - h * e)) / (2 * h) for e in np.eye(len(at))])

    def cartesian(polar):
        return polar[0] * polar[1:] / np.linalg.norm(polar[1:])

    weights = start.copy()
    polar = np.append(np.linalg.norm(start), start / np.linalg.norm(start))
    rates = np.append(lr * lr_ratio, np.full(len(start), lr))
    for _ in range(steps):
        if weight_normalisation:
            polar -= rates * gradient(lambda point: loss(cartesian(point)), polar)
            polar[1:] /= np.linalg.norm(polar[1:])
        else:
            weights -= lr * gradient(loss, weights)
    return cartesian(polar) if weight_normalisation else weights


@every_case
def test_kernel_is_descent_on_the_loss(case):
    A, b, _ = system(6, 8, signed=case["signed"])
    start = np.random.default_rng(0).uniform(0.3, 0.8, (2, 8) if case["signed"] else 8)
    run = train_diagonal(A, b, init_scale=start, lr=0.02, lr_ratio=0.7, steps=50, tol=0, **case)
    slow = slow_descend(A, b, start.ravel(), 50, 0.02, 0.7, **case)
    np.testing.assert_allclose(run.weights.ravel(), slow, rtol=1e-7)
    assert run.steps == 50 and np.abs(slow / start.ravel() - 1).max() > 0.3


@every_case
def test_steps_without_a_rate_are_short(case):
    A, b, _ = system(signed=case["signed"])
    weights = np.full((2, 20) if case["signed"] else 20, 0.1)
    moves = []
    for _ in range(150):
        after = train_diagonal(A, b, init_scale=weights, steps=1, tol=0, **case).weights
        moves.append(np.abs(after / weights - 1).max())
        weights = after
    assert 1e-6 < min(moves) and max(moves) < (0.06 if case["weight_normalisation"] else 0.0201)


# -- what the flow conserves, and where it ends --------------------------------------------------------------


@every_case
def test_invariants(case):
    A, b, _ = system(signed=case["signed"])
    start = np.random.default_rng(0).uniform(0.2, 0.5, (2, 20) if case["signed"] else 20)
    run = train_diagonal(A, b, init_scale=start, lr=1e-4, lr_ratio=0.7, steps=50_000, **case)

    across = null_space(np.column_stack([A, -A]) if case["signed"] else A)

    def moved(normalised):
        """The share of what should be conserved that moved where it should not."""
        ends = []
        for weights in (start.ravel(), run.weights.ravel()):
            if normalised:
                radius = np.linalg.norm(weights)
                weights = weights / radius * np.exp(radius**2 / (2 * 0.7))
            ends.append(np.log(weights) if case["depth"] == 2 else 1 / weights)
        change = ends[1] - ends[0]
        return np.linalg.norm(across.T @ change) / np.linalg.norm(change)

    assert moved(case["weight_normalisation"]) < 2e-3
    assert moved(not case["weight_normalisation"]) > 0.1


def nearest(A, b, weights):
    """The solution of A x = b that is nearest to weights^2 in relative entropy: the limit of the flow of depth 2."""
    x = cp.Variable(len(weights))
    divergence = cp.sum(cp.rel_entr(x, weights**2)) - cp.sum(x)
    cp.Problem(cp.Minimize(divergence), [A @ x == b]).solve(solver="CLARABEL")
    return x.value


@pytest.mark.parametrize("init_scale", [0.2, 0.5, "array"])
def test_plain_descent_ends_nearest_in_relative_entropy(init_scale):
    A, b, _ = system(seed=2)
    weights = np.full(20, init_scale) if init_scale != "array" else np.random.default_rng(0).uniform(0.2, 0.6, 20)
    run = train_diagonal(A, b, init_scale=weights)
    assert run.status == "converged" and run.magnification == 1
    assert distance(run, nearest(A, b, weights)) < 2e-3 < 1e-2 < distance(run, basis_pursuit(A, b))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("init_scale, ratio", [(0.3, 8.0), (0.3, 1.0), (1.2, 1.0)])
def test_normalisation_is_plain_descent_from_weights_over_its_magnification(signed, depth, init_scale, ratio):
    rng = np.random.default_rng(3)
    A, x = rng.standard_normal((4, 10)) / 2, rng.uniform(0.2, 2, 10)
    b = A @ (x * rng.choice([-1, 1], 10) if signed else x)
    start = init_scale * rng.uniform(0.8, 1.2, (2, 10) if signed else 10)
    arguments = dict(depth=depth, signed=signed)
    run = train_diagonal(A, b, init_scale=start, weight_normalisation=True, lr_ratio=ratio, **arguments)
    plain, other = (train_diagonal(A, b, init_scale=first, **arguments) for first in (start / run.magnification, start))
    assert run.status == plain.status == other.status == "converged"
    assert distance(run, plain.x) < 5e-3 and distance(other, plain.x) > 6 * distance(run, plain.x)


def test_magnification_is_above_one_below_the_logarithmic_mean():
    A, b, _ = system()
    ends = []
    for init_scale in (0.2, 1.0):  # the radius grows, the radius shrinks
        for ratio in (0.1, 0.5, 2.0, 8.0, 30.0):
            run = train_diagonal(A, b, init_scale=init_scale, weight_normalisation=True, lr_ratio=ratio, steps=200_000)
            first, last = 20 * init_scale**2, np.sum(run.weights**2)
            mean = (last - first) / np.log(last / first)
            assert (run.magnification > 1) == (ratio < mean if last > first else ratio > mean)
            ends.append((last > first, run.magnification > 1))
    assert len(set(ends)) == 4


@pytest.mark.parametrize("share, dies", [(0.9, True), (1.1, False)])
def test_small_normalised_weights_run_into_zero_below_a_threshold(share, dies):
    systems = (system(12, 40, seed=seed) for seed in range(100))
    A, b = next((A, b) for A, b, _ in systems if (A.T @ b).sum() < -5)
    pulls = A.T @ b
    least = minimize_scalar(lambda s: np.log(np.mean(np.exp(2 * s * pulls))), bounds=(0, 5), method="bounded").fun
    ratio = 1e-4  # the threshold is for x small beside b
    init_scale = share * np.sqrt(-ratio * least / 40)
    arguments = dict(init_scale=init_scale, weight_normalisation=True, lr_ratio=ratio, steps=100_000)
    if dies:
        with pytest.warns(RuntimeWarning, match="larger init_scale or a smaller lr_ratio"):
            run = train_diagonal(A, b, **arguments)
        assert run.status == "collapsed" and np.abs(run.x).max() < 1e-12
        return
    run = train_diagonal(A, b, **arguments)
    assert run.history["radius"][-1] > 10 * run.history["radius"][0]


@pytest.mark.parametrize("signed", [False, True])
def test_both_tend_to_the_least_l1_norm(signed):
    A, b, x = system(30, 60, 3, signed=signed)
    np.testing.assert_allclose(basis_pursuit(A, b, nonnegative=not signed), x, atol=1e-12)
    for normalised, last in ((False, 1e-2), (True, 2e-4)):
        errors = [
            distance(
                train_diagonal(
                    A, b, init_scale=scale, signed=signed, weight_normalisation=normalised, steps=100_000, tol=1e-14
                ),
                x,
            )
            for scale in (0.5, 0.1, 0.02, 0.004)
        ]
        assert errors[0] > 0.1 and errors[-1] < last and max(errors[1:]) < errors[0] / 3
        if not normalised:
            assert np.all(np.diff(errors) < 0)


@pytest.mark.parametrize("depth, ratio", [(2, 0.1), (3, 0.3)])
@pytest.mark.parametrize("signed", [False, True])
def test_normalisation_is_a_hundred_times_nearer_from_a_scale_of_a_tenth(signed, depth, ratio):
    A, b, x = system(30, 60, 3, signed=signed)
    arguments = dict(init_scale=0.1, signed=signed, depth=depth, steps=100_000)
    plain = train_diagonal(A, b, **arguments)
    normalised = train_diagonal(A, b, weight_normalisation=True, lr_ratio=ratio, **arguments)
    assert distance(plain, x) > 100 * distance(normalised, x)


# -- how it is called ---------------------------------------------------------------------------------------


@every_case
def test_history_is_of_the_vector_that_is_returned(case):
    A, b, x = system(signed=case["signed"])
    run = train_diagonal(A, b, target=x, steps=2_000, tol=0, **case)
    assert isinstance(run, DiagonalRun) and tuple(run.history) == (*RECORD, "error")
    powers = run.weights ** case["depth"]
    np.testing.assert_allclose(run.x, powers[0] - powers[1] if case["signed"] else powers, rtol=1e-13)
    last = {key: column[-1] for key, column in run.history.items()}
    assert last["step"] == run.steps == 2_000 and run.status == "finished" and "2000 steps" in repr(run)
    np.testing.assert_allclose(last["loss"], 0.5 * np.sum((A @ run.x - b) ** 2), rtol=1e-6)
    np.testing.assert_allclose(last["l1"], np.abs(run.x).sum())
    np.testing.assert_allclose(last["radius"], np.linalg.norm(run.weights))
    np.testing.assert_allclose(last["error"], np.linalg.norm(run.x - x))
    assert run.history["step"][0] == 0 and np.all(np.diff(run.history["step"]) > 0)
    assert np.all(np.diff(run.history["time"]) >= 0)
    assert (run.magnification == 1) != case["weight_normalisation"]


def test_stops_at_tol():
    A, b, _ = system()
    run = train_diagonal(A, b, tol=1e-6, weight_normalisation=True)
    before, last = run.history["loss"][-2:] / (0.5 * b @ b)
    assert last <= 1e-6 < before and run.status == "converged" and "tol" in run.message
    again = train_diagonal(A, b, tol=0, steps=run.steps - 1, weight_normalisation=True)
    assert again.history["loss"][-1] > 1e-6 * 0.5 * b @ b
    solved = train_diagonal(A, A @ np.full(20, 0.01), init_scale=0.1)
    assert solved.steps == 0 and solved.status == "converged"


def test_rates_that_are_too_large():
    A, b, _ = system()
    for lr, normalised in itertools.product((1.0, 1e6), (False, True)):
        with pytest.warns(RuntimeWarning, match="pass a smaller lr"):
            run = train_diagonal(A, b, lr=lr, weight_normalisation=normalised, lr_ratio=1.0)
        assert run.status == "diverged" and np.isfinite(run.x).all() and (run.weights > 0).all()
        assert run.history["step"][-1] == run.steps < 1000
        np.testing.assert_allclose(run.history["loss"][-1], 0.5 * np.sum((A @ run.x - b) ** 2))


@every_case
@pytest.mark.parametrize("lr", [None, 0.01])
def test_powers_of_two_change_nothing_but_units(case, lr):
    A, b, x = system(signed=case["signed"])
    run = train_diagonal(A, b, target=x, lr=lr, steps=500, **case)
    for of_a, of_u in ((170, 0), (-170, 40), (3, -80)):
        of_b = of_a + case["depth"] * of_u
        of_rate = of_a + of_b + of_u * (case["depth"] if case["weight_normalisation"] else case["depth"] - 2)
        scaled = train_diagonal(
            np.ldexp(A, of_a),
            np.ldexp(b, of_b),
            init_scale=np.ldexp(0.1, of_u),
            lr_ratio=np.ldexp(0.1, 2 * of_u),
            lr=None if lr is None else float(np.ldexp(lr, -of_rate)),
            target=np.ldexp(x, of_b - of_a),
            steps=500,
            **case,
        )
        np.testing.assert_array_equal(scaled.x, np.ldexp(run.x, of_b - of_a))
        np.testing.assert_array_equal(scaled.history["loss"], np.ldexp(run.history["loss"], 2 * of_b))
        np.testing.assert_array_equal(scaled.history["error"], np.ldexp(run.history["error"], of_b - of_a))
        assert scaled.steps == run.steps and scaled.magnification == run.magnification


@pytest.mark.parametrize("size", [1e-50, 1e50])
@pytest.mark.parametrize("normalised", [False, True])
def test_any_size(size, normalised):
    A, b, x = system()
    run = train_diagonal(A, b, steps=20_000, weight_normalisation=normalised)
    scale = dict(init_scale=0.1 * np.sqrt(size), lr_ratio=0.1 * size)
    large = train_diagonal(A / size, b, steps=20_000, weight_normalisation=normalised, **scale)
    np.testing.assert_allclose(large.x / size, run.x, atol=2e-3)
    np.testing.assert_allclose(basis_pursuit(A / size, b) / size, x, atol=1e-12)


def test_nothing_to_fit():
    A = system()[0]
    run = train_diagonal(A, np.zeros(12), steps=3_000)
    assert run.status == "finished" and run.history["loss"][-1] < 1e-2 * run.history["loss"][0]
    assert not basis_pursuit(A, np.zeros(12)).any()


@pytest.mark.parametrize(
    "change, match",
    [
        (dict(A=np.zeros((0, 3))), "A has 0 rows"),
        (dict(A=[[1.0, np.nan]] * 12), "A contains NaN at row 0, column 1"),
        (dict(b=np.zeros(3)), r"b has shape \(3,\); pass shape \(12,\)"),
        (dict(b=np.full(12, np.inf)), "b has entries that are NaN or infinite"),
        (dict(b=["a"] * 12), "b cannot be read as numbers"),
        (dict(depth=1), "depth is 1, which is linear regression"),
        (dict(depth=2.5), "depth is 2.5; pass a whole number"),
        (dict(init_scale=0), "init_scale has an entry that is not a positive finite number"),
        (dict(init_scale=[0.1] * 19), r"init_scale has shape \(19,\); pass a number, shape \(20,\)"),
        (dict(init_scale=np.full((2, 20), 0.1)), r"init_scale has shape \(2, 20\)"),
        (dict(init_scale=1e200), "init_scale to the power of depth is of another order than x"),
        (dict(lr=-1.0), "lr is -1.0; pass a positive finite number"),
        (dict(lr_ratio=0.0), "lr_ratio is 0.0"),
        (dict(steps=0), "steps is 0"),
        (dict(tol=-1), "tol is -1"),
        (dict(target=np.zeros(3)), r"target has shape \(3,\)"),
        (dict(A=np.full((12, 20), 1e100)), "size at which the loss may leave the floats"),
    ],
)
def test_bad_arguments(change, match):
    A, b, _ = system()
    with pytest.raises(ValueError, match=match):
        train_diagonal(**(dict(A=A, b=b) | change))


def test_first_weights():
    A, b, _ = system()
    u = np.random.default_rng(0).uniform(0.1, 0.2, 20)
    one = train_diagonal(A, b, init_scale=u, signed=True, steps=100)
    two = train_diagonal(A, b, init_scale=np.array([u, u]), signed=True, steps=100)
    np.testing.assert_array_equal(one.x, two.x)
    twice = train_diagonal(np.column_stack([A, -A]), b, init_scale=np.append(u, u), steps=100, lr=0.01)
    once = train_diagonal(A, b, init_scale=u, signed=True, steps=100, lr=0.01)
    np.testing.assert_allclose(once.x, twice.x[:20] - twice.x[20:], rtol=1e-12)


@pytest.mark.parametrize("normalised", [False, True])
def test_ctrl_c(normalised):
    A, b, _ = system(30, 60, 3)
    train_diagonal(A, b, steps=10, weight_normalisation=normalised)  # compiles
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        run = train_diagonal(A, b, steps=10**12, tol=0, weight_normalisation=normalised)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert run.status == "interrupted" and 100 < run.steps == run.history["step"][-1] < 10**12
    np.testing.assert_allclose(run.history["l1"][-1], np.abs(run.x).sum(), rtol=1e-12)


def test_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from cellsolve.training import DiagonalRun, basis_pursuit, train_diagonal\n"
        "assert train_diagonal([[1.0, 2.0]], [1.0], steps=10).steps == 10\n"
        "assert abs(basis_pursuit([[1.0, 2.0]], [1.0]) - [0, 0.5]).max() < 1e-12\n"
        "import cellsolve\n"
        "cellsolve.training.train_network\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: training.train_network needs torch" in done.stderr


# -- basis pursuit ------------------------------------------------------------------------------------------


def by_cvxpy(A, b, nonnegative):
    x = cp.Variable(A.shape[1], nonneg=nonnegative)
    return cp.Problem(cp.Minimize(cp.norm1(x)), [A @ x == b]).solve(solver="CLARABEL")


@pytest.mark.parametrize("nonnegative", [False, True])
def test_basis_pursuit_is_the_program_in_cvxpy(nonnegative):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        M, N = rng.integers(1, 15), rng.integers(15, 40)
        A, x = rng.standard_normal((M, N)), rng.standard_normal(N)
        b = A @ (np.abs(x) if nonnegative else x)
        found = basis_pursuit(A, b, nonnegative=nonnegative)
        np.testing.assert_allclose(A @ found, b, atol=1e-12)
        np.testing.assert_allclose(np.abs(found).sum(), by_cvxpy(A, b, nonnegative), rtol=1e-7)
        assert np.count_nonzero(found) <= M and (not nonnegative or found.min() >= 0)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_basis_pursuit_is_the_best_of_all_supports(nonnegative, rank):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = rng.integers(-2, 3, (3, rank)) @ rng.integers(-2, 3, (rank, 7)).astype(float)
        b = A @ (np.abs(rng.standard_normal(7)) if nonnegative else rng.standard_normal(7))
        values = [0.0 if not b.any() else np.inf]
        for size in (1, 2, 3):
            for support in itertools.combinations(range(7), size):
                part = np.linalg.lstsq(A[:, support], b)[0]
                if np.linalg.norm(A[:, support] @ part - b) < 1e-9 and (not nonnegative or part.min() >= -1e-12):
                    values.append(np.abs(part).sum())
        found = basis_pursuit(A, b, nonnegative=nonnegative)
        np.testing.assert_allclose(A @ found, b, atol=1e-12)
        np.testing.assert_allclose(np.abs(found).sum(), min(values), rtol=1e-9, atol=1e-12)


def test_basis_pursuit_of_rows_of_any_size():
    A, b, x = system(30, 60, 3, signed=True)
    size = 10.0 ** np.random.default_rng(0).integers(-80, 80, 30)
    np.testing.assert_allclose(basis_pursuit(size[:, None] * A, size * b), x, atol=1e-12)
    np.testing.assert_allclose(basis_pursuit(A, 1e-200 * b), 1e-200 * x, atol=1e-212)


@pytest.mark.parametrize(
    "A, b, nonnegative, match",
    [
        ([[1.0, 1], [2, 2]], [1.0, 3], False, "b is not in the range of A"),
        ([[1.0, 1], [0, 0]], [1.0, 1], False, "b is not in the range of A"),
        ([[1.0, 2]], [-1.0], True, "no combination of columns of A with weights >= 0"),
        ([[1.0, 2]], [1.0, 2], False, r"b has shape \(2,\); pass shape \(1,\)"),
        ([[1.0, np.inf]], [1.0], False, "A contains infinity at row 0, column 1"),
        ([[1.0, 2]], [np.nan], False, "b has entries that are NaN"),
        ([[1e-300, 1e-300]], [1e300], False, "so much larger than A"),
    ],
)
def test_basis_pursuit_refuses(A, b, nonnegative, match):
    with pytest.raises(ValueError, match=match):
        basis_pursuit(A, b, nonnegative=nonnegative)
