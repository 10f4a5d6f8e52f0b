"""Boursier and Flammarion (2023): what weight decay on the biases does to the kinks of a network on one input."""

from collections.abc import Iterator
from functools import cache

import numpy as np

import cellsolve as cs
from cellsolve.training import TrainedNetwork, train_network
from claims import Claim, Measured

Data = tuple[np.ndarray, np.ndarray]

#: five points of the size of the paper's picture, the mean of (f - y)^2 and lam 1e-3; half of that here
X = np.array([-1.5, -1, 0, 0.25, 2])
Y = np.array([0.7, -0.3, -0.3, 0.4, 0.2])
STATEMENTS = {
    "variation": {"lam": 5e-4, "penalty": "variation", "free": "none"},
    "slope": {"lam": 5e-4, "penalty": "slope", "free": "constant"},
}
#: width 100; the falling rate needs that many steps to bring every seed below 1e-5
TRAINING = {"width": 100, "steps": 10_000, "lr": 0.01}
SEEDS = {"variation": range(6), "slope": range(3)}
NEAR = 1e-5

#: six points in convex position of which the interpolant of least norm has a kink more than the sparsest
SIX: Data = (
    np.array([0, 0.5487959217, 0.7695369072, 1.4092668895, 1.9575248036, 2.4938190452]),
    np.array([0, -0.5487959217, -0.6227071975, -0.4515847194, 0.1389587984, 1.0651145778]),
)


@cache
def best(penalty: str) -> cs.Solution:
    """The proven optimum on the five points."""
    return cs.solve(X, Y, **STATEMENTS[penalty])


@cache
def runs(penalty: str, optimizer: str = "adam") -> list[TrainedNetwork]:
    """Networks trained on the five points, with the settings above or the defaults of another optimiser."""
    options = TRAINING if optimizer == "adam" else {"width": TRAINING["width"], "optimizer": optimizer}
    return [train_network(X, Y, **STATEMENTS[penalty], **options, random_state=seed) for seed in SEEDS[penalty]]


def excess(measure: cs.SparseMeasure, penalty: str) -> float:
    """How far above the proven bound a network for the five points is, as a share of it."""
    return cs.certify(measure, X, Y, **STATEMENTS[penalty], certificate=best(penalty)).excess


def kinks(measure: cs.SparseMeasure, near: float = 0.01, least: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Places and jumps of the kinks amid the five points; those nearer than `near` are one, small ones left out."""
    places, jumps = measure.kinks()
    inside = (places > X[0]) & (places < X[-1])
    places, jumps = places[inside], jumps[inside]
    groups = np.cumsum(np.diff(places, prepend=places[:1]) > near)
    sizes = np.bincount(groups, np.abs(jumps))
    means, sums = np.bincount(groups, np.abs(jumps) * places) / sizes, np.bincount(groups, jumps)
    kept = np.abs(sums) > least * np.abs(sums).sum()
    return means[kept], sums[kept]


def interpolant(x: np.ndarray, y: np.ndarray, penalty: str = "variation", **options) -> cs.Solution:
    """An interpolant of least norm, the affine part free, proven to 1e-9."""
    solution = cs.interpolate(x, y, penalty=penalty, free="affine", **options)
    assert solution.gap < 1e-9, solution
    return solution


def count(solution: cs.Solution) -> int:
    """How many kinks a solution has."""
    return len(solution.measure.kinks()[0])


def random_data(draws: int, seed: int = 0) -> Iterator[Data]:
    """Small data sets of every size and scale of x: Gaussian y, noisy parabolas, and walks of the slope."""
    rng = np.random.default_rng(seed)
    for k in range(draws):
        n = int(rng.integers(3, 13))
        x = np.sort(rng.standard_normal(n) * rng.choice([0.5, 1.0, 2.0]))
        walk = np.append(0, np.cumsum(np.cumsum(rng.standard_normal(n - 1)) * np.diff(x)))
        yield x, (rng.standard_normal(n), x**2 + 0.3 * rng.standard_normal(n), walk)[k % 3]


# -- what the biases cost -----------------------------------------------------------------------------------


def weighted_variation() -> Measured:
    """The norm of given broken lines, from data at and on both sides of their kinks, against the integral."""
    rng = np.random.default_rng(0)
    worst, draws, step = 0.0, 60, 1e-5
    for _ in range(draws):
        places = np.sort(rng.uniform(-3, 3, rng.integers(1, 6)))
        jumps = rng.standard_normal(len(places))
        x = np.unique(np.concatenate([places - step, places, places + step, [-4, 4]]))
        y = rng.standard_normal() * x + np.maximum(x[:, None] - places, 0) @ jumps
        integral = np.sum(np.abs(jumps) * np.sqrt(1 + places**2))
        worst = max(worst, abs(interpolant(x, y).objective / integral - 1))
    text = (
        f"{draws} random broken lines, given by three points at each kink, {step:g} apart: the proven least norm of a "
        f"network is the integral up to {worst:.0e} of it."
    )
    return Measured(text, "yes" if worst < 1e-4 else "no")


def shifts() -> Measured:
    """The norms of interpolants of shifted data."""
    norms = {}
    for penalty in ("variation", "slope"):
        norms[penalty] = np.array([interpolant(X + shift, Y, penalty).objective for shift in (0.0, 1.0, 5.0)])
    text = (
        f"The five points, x shifted by 0, 1 and 5: least norm {', '.join(f'{v:.3f}' for v in norms['variation'])} "
        f"with the biases and {', '.join(f'{v:.3f}' for v in norms['slope'])} without."
    )
    moves, stays = np.ptp(norms["variation"]) > 0.1, np.ptp(norms["slope"]) < 1e-9
    return Measured(text, "yes" if moves and stays else "no")


# -- uniqueness ---------------------------------------------------------------------------------------------


def is_unique(x: np.ndarray, y: np.ndarray, penalty: str) -> bool:
    """Whether another value at one of three places a segment, or outside, is proven to cost an interpolant more.

    The least norm is convex in that value, so it is enough to ask on both sides of the minimiser.
    """
    solution = interpolant(x, y, penalty)
    places = np.concatenate([x[:-1] + share * np.diff(x) for share in (0.25, 0.5, 0.75)] + [[x[0] - 1, x[-1] + 1]])
    step = 0.01 * np.ptp(y)
    return all(
        interpolant(np.append(x, place), np.append(y, value + side), penalty).lower_bound
        > solution.objective * (1 + 1e-11)
        for place, value in zip(places, solution.predict(places))
        for side in (-step, step)
    )


def unique_with_biases() -> Measured:
    draws = 60
    found = {p: sum(is_unique(x, y, p) for x, y in random_data(draws, seed=1)) for p in ("variation", "slope")}
    text = (
        f"{draws} random data sets of 3 to 12 points, three places in each segment and one on both sides: "
        f"to have another value at any of them is proven to cost more on {found['variation']} sets with the biases "
        f"penalised, and on {found['slope']} without."
    )
    return Measured(text, "yes" if found["variation"] == draws > found["slope"] else "no")


def many_without() -> Measured:
    """The optimum of the five points with its kinks between -1 and 0 gathered, and spread."""
    solution = best("slope")
    theta, weight = solution.measure.neurons, solution.measure.weights
    facing, place = np.sign(theta[:, 0]), -theta[:, 1] / theta[:, 0]
    amid = (place > -1) & (place < 0)
    gathered = np.where(amid, np.average(place[amid], weights=weight[amid]), place)
    found = []
    for places in (gathered[:, None], place[:, None], gathered[:, None] + np.outer(amid, np.linspace(-0.4, 0.4, 15))):
        parts = places.shape[1]
        neurons = np.repeat(facing, parts)[:, None] * np.column_stack([np.ones(places.size), -places.ravel()])
        jumps = np.repeat(weight / parts, parts)
        offset = np.mean(solution.predict(X) - cs.SparseMeasure(neurons, jumps).predict(X))
        network = cs.SparseMeasure(neurons, jumps, offset=offset)
        found.append((len(kinks(network)[0]), excess(network, "slope"), network.norm("variation")))
    counts, above, norms = zip(*found)
    text = (
        f"Five points, slope, lam 5e-4: networks with {', '.join(map(str, counts))} kinks, all of them proven within "
        f"{max(above):.0e} of the least objective; their norms with the biases are "
        f"{', '.join(f'{norm:.4f}' for norm in norms)}."
    )
    return Measured(text, "yes" if max(above) < 1e-9 and max(counts) > 2 * min(counts) else "no")


# -- sparsity -----------------------------------------------------------------------------------------------


def fewer_than_points() -> Measured:
    """The number of kinks of interpolants of random data."""
    draws, spare = 600, []
    for x, y in random_data(draws, seed=2):
        spare.append(len(x) - 1 - count(interpolant(x, y)))
    most, mean = 1 + min(spare), 1 + np.mean(spare)
    text = f"{draws} random data sets: never more than n - {most} kinks, on average n - {mean:.1f}."
    return Measured(text, "yes" if min(spare) >= 0 else "no")


@cache
def among_sparsest() -> dict[tuple[bool, bool], tuple[int, int]]:
    """Random data by (Assumption 1, plain ends): how many, and how many whose least norm has the fewest kinks."""
    found: dict[tuple[bool, bool], tuple[int, int]] = {}
    rng = np.random.default_rng(4)
    convex = []
    for _ in range(300):
        n = int(rng.integers(4, 10))
        x = np.sort(rng.uniform(-1, 1, n) * rng.choice([1.0, 3.0]))
        convex.append((x, np.append(0, np.cumsum(np.cumsum(rng.exponential(size=n - 1)) * np.diff(x)))))
    for x, y in [*random_data(1500, seed=3), *convex]:
        shape = cs.convex_runs(x, y)
        fewest = count(interpolant(x, y, "slope", sparsest=True))
        assert fewest == shape.fewest_kinks
        key = (not len(shape.violations), shape.inner_ends)
        total, sparse = found.get(key, (0, 0))
        found[key] = total + 1, sparse + (count(interpolant(x, y)) == fewest)
    return found


def theorem_3() -> Measured:
    found = among_sparsest()
    (plain, sparse), (rest, rest_sparse) = found[True, True], found[True, False]
    x = np.array([-3.4, -2.4, -1.1, 4.1])
    least, one = interpolant(x, x**2), interpolant(x, x**2, "slope", sparsest=True)
    text = (
        f"Random data under Assumption 1: on {sparse} of {plain} sets with 1 + x_1 x_2 ≥ 0 and 1 + x_(n-1) x_n ≥ 0, on "
        f"{rest_sparse} of the other {rest}. There a kink may move out onto the first segment or the last: of x² at "
        f"{', '.join(f'{v:g}' for v in x)} the least norm is {least.objective:.4f} (gap {least.gap:.0e}) with "
        f"{count(least)} kinks, and with {count(one)} it is {one.measure.norm('variation'):.4f}."
    )
    return Measured(text, "no" if sparse < plain else "yes" if rest_sparse == rest else "partly")


def without_assumption() -> Measured:
    found = among_sparsest()
    total, sparse = found[False, True]
    least = interpolant(*SIX)
    x, y = SIX
    slopes = np.diff(y)[::2] / np.diff(x)[::2]
    heights = y[::2] - slopes * x[::2]
    neurons = np.column_stack([np.ones(2), np.diff(heights) / np.diff(slopes)])
    two = cs.SparseMeasure(neurons, np.diff(slopes), linear=slopes[:1], offset=heights[0])
    off = np.abs(two.predict(x) - y).max()
    text = (
        f"Six points in convex position: the least norm is {least.objective:.9f} (gap {least.gap:.0e}) with "
        f"{count(least)} kinks; the interpolant with {len(two.kinks()[0])} costs {two.norm():.9f} (off the data by "
        f"{off:.0e}). On random data with such runs and plain ends it is among the sparsest on {sparse} of {total}."
    )
    counterexample = count(least) > len(two.kinks()[0]) and least.lower_bound < two.norm() - 1e-6 and off < 1e-12
    return Measured(text, "yes" if counterexample and sparse < total else "no")


def long_runs() -> Measured:
    """Convex runs of 35 points with random, and with equal, spacing."""
    rng = np.random.default_rng(0)
    n, draws = 35, 100
    random, even = [], []
    for _ in range(draws):
        x, line = np.sort(rng.uniform(-1, 1, n)), np.linspace(-1, 1, n)
        bends = rng.exponential(size=n - 1), rng.uniform(0.9, 1.1, n - 1)
        for counts, places, bend in zip((random, even), (x, line), bends):
            y = np.append(0, np.cumsum(np.cumsum(bend) * np.diff(places)))
            counts.append(count(interpolant(places, y)))
    fewest = (n - 1) // 2
    sparsest = int(np.sum(np.array(random) == fewest))
    text = (
        f"{draws} convex runs of {n} points: with random spacing and bends {np.mean(random):.1f} kinks on average and "
        f"{sparsest} times the fewest, {fewest}; with equal spacing and bends equal to a tenth {np.mean(even):.1f}, "
        f"up to {max(even)}, where connected dots have {n - 2}."
    )
    return Measured(text, "yes" if sparsest <= draws // 10 and max(even) >= 0.9 * (n - 2) else "no")


# -- training -----------------------------------------------------------------------------------------------


def trained_at_optimum() -> Measured:
    above = {penalty: [excess(run.measure, penalty) for run in runs(penalty)] for penalty in STATEMENTS}
    stuck = [excess(run.measure, "variation") for run in runs("variation", "lbfgs")]
    values = {penalty: 2 * best(penalty).objective for penalty in STATEMENTS}
    text = (
        f"Five points, optimum {values['variation']:.11f} with the biases (mean square plus twice lam times norm; gap "
        f"{best('variation').gap:.0e}): Adam with {TRAINING['width']} neurons and {TRAINING['steps']} steps ends at "
        f"most {max(above['variation']):.0e} above, over {len(above['variation'])} seeds; without them, optimum "
        f"{values['slope']:.11f}, {max(above['slope']):.0e} over {len(above['slope'])}. L-BFGS from the same networks "
        f"stops {min(stuck):.0e} to {max(stuck):.0e} above."
    )
    worst = max(max(values) for values in above.values())
    return Measured(text, "yes" if worst <= NEAR else "no")


def trained_kinks() -> Measured:
    counts = {penalty: [len(kinks(run.measure)[0]) for run in runs(penalty)] for penalty in STATEMENTS}
    target = kinks(best("variation").measure)[0]
    places = [kinks(run.measure)[0] for run in runs("variation")]
    same = [len(found) == len(target) for found in places]
    off = max((np.abs(found - target).max() for found, fits in zip(places, same) if fits), default=np.inf)
    text = (
        f"The same runs, kinks nearer than 0.01 taken as one: {', '.join(map(str, counts['variation']))} with the "
        f"biases penalised, where the proven optimum has {len(target)}, at most {off:.0e} from its places; "
        f"{', '.join(map(str, counts['slope']))} without."
    )
    sparse = all(same) and off < 0.01
    return Measured(text, "yes" if sparse and min(counts["slope"]) > len(target) else "partly" if sparse else "no")


def strength() -> Measured:
    """Kinks along a path, for both penalties."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-2, 2, 40))
    y = np.sin(3 * x) + 0.2 * rng.standard_normal(40)
    lams = np.geomspace(0.1, 1e-5, 41)
    paths = {penalty: cs.path(x, y, lams=lams, penalty=penalty, free="affine") for penalty in STATEMENTS}
    counts = {penalty: np.array([count(point) for point in path]) for penalty, path in paths.items()}
    dots = np.array([count(interpolant(x, point.predict(x), "slope")) for point in paths["slope"]])
    gap = max(point.gap for path in paths.values() for point in path)
    shown = [int(np.argmin(np.abs(np.log(lams / lam)))) for lam in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]
    rises = {penalty: int(np.sum(np.diff(found) < 0)) for penalty, found in counts.items()}
    fewer = int(np.sum(counts["variation"] < counts["slope"])), int(np.sum(counts["variation"] > counts["slope"]))
    at = {name: ", ".join(map(str, found[shown])) for name, found in (*counts.items(), ("dots", dots))}
    text = (
        f"40 noisy points, {len(lams)} lams, gaps at most {gap:.0e}: at lam 1e-1, 1e-2, 1e-3, 1e-4, 1e-5 kinks with "
        f"the biases {at['variation']}, without {at['slope']} (the sparsest minimiser) to {at['dots']} (the one that "
        f"connects its values). More lam gives more kinks at {rises['variation']} and {rises['slope']} steps of the "
        f"path. The sparsest without has more kinks than with at {fewer[0]} lams, and fewer at {fewer[1]}."
    )
    falls = all(found[0] < found[-1] for found in counts.values())
    monotone = not any(rises.values())
    return Measured(text, "yes" if falls and monotone else "partly" if falls else "no")


CLAIMS = [
    Claim(
        "With the biases penalised the least norm of a network that is f (affine part free) is ∫ √(1 + x²) |f''|",
        "Theorem 1",
        weighted_variation,
    ),
    Claim("So the norm changes with a shift of x, as it does not without them", "after Theorem 1", shifts),
    Claim("The interpolant of least norm is unique", "Theorem 2", unique_with_biases),
    Claim("Without the biases there are many minimisers, and some are not sparse", "section 5", many_without),
    Claim("The interpolant of least norm has at most n - 1 kinks", "Lemma 1", fewer_than_points),
    Claim(
        "It is among the sparsest interpolants if no six points in a row are in convex or concave position",
        "Theorem 3, Assumption 1",
        theorem_3,
    ),
    Claim("With six points it may not be", "the counterexample to Theorem 3 without Assumption 1", without_assumption),
    Claim(
        "With 35 points in convex position it rarely is, and it can have nearly as many kinks as connected dots",
        "after Theorem 3",
        long_runs,
    ),
    Claim(
        "Gradient training of a wide network reaches the least objective, to 1e-5",
        "experiments; the paper assumes it",
        trained_at_optimum,
    ),
    Claim(
        "Trained with its biases penalised a network is sparse; without, it has many kinks",
        "experiments",
        trained_kinks,
    ),
    Claim("The stronger the regularisation, the sparser", "a question the paper raises", strength),
]
