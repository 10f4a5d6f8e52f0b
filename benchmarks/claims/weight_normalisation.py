"""Chou, Rauhut and Ward, Robust implicit regularization via weight normalization (2023)."""

import warnings

import numpy as np

from cellsolve.training import basis_pursuit, train_diagonal
from claims import Claim, Measured

M, N = 30, 60
#: of the rates: of the radius over the direction
RATIO = 0.05
DRAWS = 12
SCALES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)


def system(seed, signed=False):
    """30 Gaussian equations for 60 unknowns, of which three are 1, 2 and 3: the solution of least l1 norm."""
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((M, N)) / np.sqrt(M), np.zeros(N)
    x[rng.choice(N, 3, replace=False)] = np.array([1, 2, 3]) * (rng.choice([-1, 1], 3) if signed else 1)
    assert np.linalg.norm(basis_pursuit(A, A @ x, nonnegative=not signed) - x) < 1e-10
    return A, A @ x, x


def descent(problem, ratio=None, *, steps=100_000, **options):
    """The run, plain or with a ratio of the rates."""
    if ratio is not None:
        options |= {"weight_normalisation": True, "lr_ratio": ratio}
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # that it collapses
        return train_diagonal(*problem[:2], steps=steps, tol=1e-16, **options)


def error(problem, ratio=None, **options):
    """The relative error in x."""
    x = problem[2]
    return float(np.linalg.norm(descent(problem, ratio, **options).x - x) / np.linalg.norm(x))


def improvements(signed, depth=2, ratio=RATIO):
    """Plain and normalised errors from first weights of mean 0.1, by draw."""
    rows = []
    for seed in range(DRAWS):
        u = 0.1 * np.random.default_rng(seed).uniform(0.5, 1.5, N)
        options = {"init_scale": u, "signed": signed, "depth": depth}
        problem = system(seed, signed)
        rows.append((error(problem, **options), error(problem, ratio, **options)))
    return np.array(rows)


def improvement(signed):
    errors = improvements(signed)
    ratios = errors[:, 0] / errors[:, 1]
    text = (
        f"{DRAWS} systems of {M} equations for {N} unknowns, three of them not zero, from random weights of mean 0.1 "
        f"with a ratio of {RATIO} of the rates: median error {np.median(errors[:, 0]):.1e} plain and "
        f"{np.median(errors[:, 1]):.0e} normalised; the ratio has median {np.median(ratios):.0e}, at least "
        f"{ratios.min():.0f}, at most {ratios.max():.0e}."
    )
    return Measured(text, "yes" if np.median(ratios) > 1e5 and ratios.min() > 100 else "partly")


def wider_range():
    problem = system(0)
    plain, normalised = ([error(problem, ratio, init_scale=scale) for scale in SCALES] for ratio in (None, RATIO))
    good = [[scale for scale, e in zip(SCALES, errors) if e < 1e-3] for errors in (plain, normalised)]
    largest = [max(scales, default=0.0) for scales in good]
    text = (
        f"Error below 1e-3 up to a scale of {largest[0]:g} plain and {largest[1]:g} normalised. At 0.5 it is "
        f"{plain[-2]:.1f} and {normalised[-2]:.1f}, at 1 {plain[-1]:.1f} and {normalised[-1]:.1f}: weights of a radius "
        f"above that of the solution, here from a scale of {np.sqrt(6 / N):.2f}, gain nothing, and large ones lose."
    )
    wider = largest[1] >= 10 * largest[0]
    return Measured(text, "no" if not wider else "partly" if normalised[-1] > plain[-1] else "yes")


def small_scales():
    problem, scales = system(0), (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    plain, low, high = (
        [error(problem, ratio, init_scale=scale, steps=300_000) for scale in scales] for ratio in (None, RATIO, 1.0)
    )
    away = [(A, b, x) for A, b, x in map(system, range(100)) if A.sum(axis=1) @ b < 0]
    lost = sum(descent(one, RATIO, init_scale=0.001, steps=150_000).status == "collapsed" for one in away)
    kept = sum(error(one, init_scale=0.001) < 0.1 for one in away)
    falls = all(np.diff(plain) < 0) and plain[-1] < 1e-3
    text = (
        f"From scales 0.3 to 0.001 the plain error falls from {plain[0]:.1e} to {plain[-1]:.1e}, at ratio {RATIO} from "
        f"{low[0]:.1e} to {low[-1]:.0e}. But at a fixed ratio the normalised flow has a floor, which the ratio sets: "
        f"at 1 the error stays at {high[-2]:.1e} and {high[-1]:.1e}. And of the {len(away)} of 100 systems with "
        f"⟨A x₀, b⟩ < 0, {lost} run into x = 0 from a scale of 0.001 at ratio {RATIO}; plain descent comes near x in "
        f"{kept}."
    )
    partly = high[-1] > high[-2] / 2 or lost > 0
    return Measured(text, "no" if not falls or low[-1] > 1e-6 else "partly" if partly else "yes")


def apart(lr):
    """How far normalised descent ends from plain descent from weights over rho, at worst, and all rho."""
    worst, magnifications = 0.0, []
    for depth in (2, 3):
        for seed in range(5):
            rng = np.random.default_rng(seed)
            A, u = rng.standard_normal((4, 10)) / 2, rng.uniform(0.2, 0.5, 10)
            b, options = A @ rng.uniform(0.2, 2, 10), {"depth": depth, "lr": lr, "steps": 2_000_000}
            for ratio in (0.7, 1.0, 8.0):
                run = train_diagonal(A, b, init_scale=u, weight_normalisation=True, lr_ratio=ratio, **options)
                plain = train_diagonal(A, b, init_scale=u / run.magnification, **options)
                worst = max(worst, float(np.linalg.norm(plain.x - run.x) / np.linalg.norm(run.x)))
                magnifications.append(run.magnification)
    return worst, magnifications


def magnified():
    (coarse, _), (fine, magnifications) = apart(1e-3), apart(1e-4)
    text = (
        "The invariants say that the normalised flow ends where the plain one does from first weights over "
        f"rho = (r0 / r) exp((r² - r0²) / (2 ratio)). In {len(magnifications)} runs of depth 2 and 3, with rho from "
        f"{min(magnifications):.1f} to {max(magnifications):.1f}, both end within {coarse:.0e} of their length at a "
        f"rate of 1e-3, and within {fine:.0e} at 1e-4."
    )
    return Measured(text, "yes" if fine < 1e-3 and fine < coarse / 5 else "no")


def converges():
    A, b, _ = system(0)
    run = train_diagonal(A, b, lr=0.02, lr_ratio=RATIO, weight_normalisation=True, tol=1e-24)
    step, loss = (run.history[name] for name in ("step", "loss"))
    late = loss < 1e-6 * loss[0]
    slope, offset = np.polyfit(step[late], np.log(loss[late]), 1)
    off = np.abs(np.log(loss[late]) - slope * step[late] - offset).max()
    text = (
        f"Depth 2, normalised, constant rates: the loss falls from {loss[0]:.1f} to {loss[-1]:.0e} in {run.steps} "
        f"steps; over the last {np.log10(loss[late][0] / loss[-1]):.0f} orders of magnitude it is proportional to "
        f"exp({slope:.4f} steps) up to a factor of {np.exp(off):.2f}."
    )
    return Measured(text, "yes" if run.status == "converged" and off < 0.5 else "no")


def faster():
    A, b, x = system(0)
    runs = [
        train_diagonal(A, b, lr=0.1, tol=1e-16, target=x),
        train_diagonal(A, b, lr=0.025, lr_ratio=RATIO, weight_normalisation=True, tol=1e-16, target=x),
    ]
    steps, errors, to_percent = (
        [run.steps for run in runs],
        [run.history["error"][-1] / np.linalg.norm(x) for run in runs],
        [run.history["step"][np.argmax(run.history["loss"] < 1e-2 * run.history["loss"][0])] for run in runs],
    )
    text = (
        "Constant rates, about half of the largest stable ones, until the loss is 1e-16 of that of x = 0: plain "
        f"{steps[0]} steps with an error of {errors[0]:.1e}, normalised {steps[1]} with {errors[1]:.0e}. A hundredth "
        f"of the first loss comes sooner without, after {to_percent[0]} steps and {to_percent[1]}."
    )
    converged = all(run.status == "converged" for run in runs)
    return Measured(text, "yes" if converged and errors[1] < errors[0] / 100 and steps[1] < steps[0] else "no")


def rate_ratio():
    problem, ratios = system(0), (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
    errors = [error(problem, ratio, init_scale=0.1, steps=300_000) for ratio in ratios]
    plain = error(problem, init_scale=0.1, steps=300_000)
    rows = ", ".join(f"{e:.1e} at {ratio:g}" for ratio, e in zip(ratios, errors))
    first, last = 0.01 * N, 6.0
    mean = (last - first) / np.log(last / first)
    text = (
        f"Errors {rows}; plain {plain:.1e}. By the formula for rho the ratio has to be below the logarithmic mean of "
        f"both squared radii, {mean:.1f}."
    )
    falling = bool(np.all(np.diff(np.log(errors)) < 0.1))  # the last may both be at the tolerance
    return Measured(text, "yes" if falling and errors[0] > plain else "no")


def depths():
    plain2, two = np.median(improvements(False, 2, 0.5), axis=0)
    plain3, three = np.median(improvements(False, 3, 0.5), axis=0)
    problem = system(0)
    largest = [
        max(
            scale
            for scale in SCALES
            if error(problem, 0.5, init_scale=scale, depth=depth) < error(problem, init_scale=scale, depth=depth)
        )
        for depth in (2, 3)
    ]
    smaller = largest[1] < largest[0]
    text = (
        f"From 0.1, ratio 0.5: median errors for L = 2 {plain2:.0e} plain, {two:.0e} normalised, for L = 3 "
        f"{plain3:.0e} and {three:.0e}. Normalisation helps up to a scale of {largest[0]:g} for L = 2 and "
        f"{largest[1]:g} for L = 3, so three layers need {'' if smaller else 'no '}smaller weights here."
    )
    better = two < plain2 / 10 and three < plain3 / 10
    return Measured(text, "no" if not better else "yes" if smaller else "partly")


CLAIMS = [
    Claim(
        "At an initial scale of 0.1 the error of plain descent is more than 1e5 times that with normalisation",
        "Figure 1",
        lambda: improvement(False),
    ),
    Claim(
        "Normalised descent finds the least l1 norm from a wider range of initial scales, and is not sensitive to it",
        "Figure 1",
        wider_range,
    ),
    Claim("Both tend to the solution of least l1 norm as the initial scale goes to zero", "Theorem 2.1", small_scales),
    Claim("Weight normalisation magnifies the implicit regularization, by a factor rho", "Theorem 2.2", magnified),
    Claim("The flow converges, for L = 2 linearly", "Theorem 2.3", converges),
    Claim("The training loss goes to zero for both, and the error to a much smaller value", "Figure 2", faster),
    Claim("The error falls with the ratio of the rates; at a ratio of 10 there is no gain", "Figure 3", rate_ratio),
    Claim("Normalisation is better for L = 2 and 3, but L = 3 needs a smaller initialization", "Figure 4", depths),
    Claim("The same holds for vectors of both signs, u² - v²", "Figure 5", lambda: improvement(True)),
]
