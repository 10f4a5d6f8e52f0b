"""
Label noise: what stochastic gradient descent minimises
=======================================================

Blanc and co-authors (2019) add fresh noise to the label of the one row that a step of gradient descent sees, and show
that such a run ends, among the networks on the data, near a local minimum of
:math:`\\Lambda = \\frac1n \\sum_i \\|\\nabla f(x_i)\\|^2`, the gradient taken in the weights. De Dios and Bruna (2020)
conclude that it solves a convex problem over measures, which has sparse solutions. Both halves are run here: the noisy
descent, and the convex problem, with a proof of its optimum.

A neuron :math:`c\\,\\sigma(\\langle\\theta, \\tilde x\\rangle)` on the cell of data :math:`s` adds
:math:`\\frac1n \\sum_{i \\in s} \\bigl(\\langle\\theta, \\tilde x_i\\rangle^2 + c^2 \\|\\tilde x_i\\|^2\\bigr)` to
:math:`\\Lambda`. Its least over the scale of the neuron is
:math:`2 |c| \\, r_s \\bigl(\\frac1n \\sum_i \\sigma(\\langle\\theta, \\tilde x_i\\rangle)^2\\bigr)^{1/2}` with
:math:`r_s^2 = \\frac1n \\sum_{i \\in s} \\|\\tilde x_i\\|^2`. The paper's equation 13 has no factor :math:`2 r_s`. It
is constant within a cell, so all that is said about cells stays true, but not from one cell to the next. In this
package the two norms are ``LabelNoise(full=True)`` and ``"label_noise"``.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linprog

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, bare
from cellsolve.training import train_network

FULL, EQUATION_13 = cs.LabelNoise(full=True), "label_noise"

line, uneven, eight = np.linspace(-1, 1, 6), np.array([-1, -0.6, -0.3, 0.2, 0.4, 0.8, 1]), np.linspace(-1, 1, 8)
planted = np.random.default_rng(3).uniform(-1, 1, (8, 2))
square = np.random.default_rng(5).uniform(-1, 1, (12, 2))
angle = 2 * np.pi * (np.arange(8) + 0.25) / 8
circle = np.column_stack([np.cos(angle), np.sin(angle)])
data = {
    "sine": (line, np.sin(3 * line)),
    "zigzag": (uneven, np.array([0.5, -0.4, 0.3, 0.6, -0.2, -0.5, 0.4])),
    "peak": (eight, 1 / (1 + 8 * eight**2)),
    "planted": (planted, np.abs(planted[:, 0]) - np.maximum(planted[:, 1] + 0.3 * planted[:, 0], 0)),
    "bump": (square, np.exp(-3 * np.sum(square**2, axis=1))),
    "circle": (circle, 1 + 0.9 * circle[:, 0]),
}

# %%
# The noisy descent beside the optimum
# ------------------------------------
# Six small data sets, the first three with one feature and the others with two. From the same first networks of a
# hundred neurons, stochastic gradient descent takes a million steps without noise, and five million with noise of 0.3
# root mean squares of y. Both end on the data: the rate falls to zero, and the last tenth of the noisy steps sees the
# true labels.

best, runs = {}, {}
for name, (X, y) in data.items():
    best[name] = {norm: cs.interpolate(X, y, penalty=norm) for norm in (FULL, EQUATION_13)}
    size = np.sqrt(np.mean(y**2))
    for noise, steps in ((0.0, 1_000_000), (0.3, 5_000_000)):
        runs[name, noise] = [
            train_network(X, y, optimizer="sgd", penalty=FULL, label_noise=noise * size, steps=steps, random_state=seed)
            for seed in (0, 1)
        ]


def over(network, name, norm):
    """How many times the least norm an interpolating network costs."""
    return network.measure.norm(norm, data[name][0]) / best[name][norm].objective


print("norm over the least norm, LabelNoise(full=True) / label_noise")
for name, (X, y) in data.items():
    solutions = best[name].values()
    gap = max(solution.gap for solution in solutions)
    assert all(solution.status == "optimal" for solution in solutions)
    print(f"{name:8s} (both optima proven, gap at most {gap:.0e})")
    for noise in (0.0, 0.3):
        far = max(np.abs(run.predict(X) - y).max() for run in runs[name, noise])
        ends = [f"{over(run, name, FULL):.2f} / {over(run, name, EQUATION_13):.2f}" for run in runs[name, noise]]
        print(f"  {'label noise' if noise else 'plain':12s} {'   '.join(ends)}   off the data by at most {far:.0e}")

# %%
# Without noise the networks stay where they first meet the data. With it the norm soon is a few percent above the
# proven optimum. It can lie below for a while, because a noisy network is not on the data.

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained", sharey=True)
for ax, name in zip(axes, ("planted", "circle")):
    least = best[name][FULL].objective
    for noise, colour, label in ((0.0, GREY, "plain"), (0.3, BLUE, "label noise")):
        for run in runs[name, noise]:
            step, norm, gradient = (run.history[key][1:] for key in ("step", "norm", "gradient_square"))
            ax.plot(step, gradient / least, color=colour, linewidth=1, linestyle=":")
            ax.plot(step, norm / least, color=colour, label=label)
            label = None
    ax.plot([], [], color=GREY, linestyle=":", linewidth=1, label="Λ of the same runs")
    ax.axhline(1, color=BLACK, linewidth=1, linestyle="--", label="least, proven")
    ax.set(xscale="log", yscale="log", xlabel="steps", title=name, ylim=(0.8, 12))
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    ax.set_yticks([], minor=True)
    bare(ax)
axes[0].set_ylabel("LabelNoise(full=True), over the least")
axes[1].legend(frameon=False, fontsize="small", loc="center", bbox_to_anchor=(0.5, 0.42))

# %%
# With one feature the networks can be drawn. The best for the full norm here connects the points, with a kink at nearly
# every one. The noisy run comes close to it, with some kinks still between the points.

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
fine = np.linspace(-1.2, 1.2, 500)
for ax, name in zip(axes, ("sine", "peak")):
    X, y = data[name]
    for noise, colour, label in ((0.0, GREY, "plain"), (0.3, BLUE, "label noise")):
        ax.plot(fine, runs[name, noise][0].predict(fine), color=colour, label=label)
    ax.plot(fine, best[name][FULL].predict(fine), color=ORANGE, linestyle="--", label="LabelNoise(full=True)")
    ax.plot(fine, best[name][EQUATION_13].predict(fine), color=BLACK, linestyle=":", label="label_noise (eq. 13)")
    ax.plot(X, y, "o", color=BLACK, markersize=4)
    ax.set(title=name, xlabel="x")
    bare(ax)
axes[0].set_ylabel("f(x)")
axes[0].legend(frameon=False, fontsize="small")

# %%
# Which norm is it?
# -----------------
# Every run is a point here: how far it ends above the least of the paper's equation 13, and how far above the least of
# the full norm. The two optima of a data set are joined: each has the ratio 1 in its own norm (the second one of the
# circle lies outside on the right). By the full norm all noisy runs, on all data, end less than ten percent above the
# least. On five of the data sets they end as near to the least of equation 13, so these do not tell the norms apart.
# The circle, made to tell them apart, does: the runs end 6 and 7 percent above the full norm's least, and 14 and 22
# percent above that of equation 13. So it is the full norm that label noise goes down.
#
# The circle says why. By Cauchy and Schwarz the full norm of a neuron is at least
# :math:`\frac2n \sum_i |c|\,\sigma(\langle\theta, \tilde x_i\rangle) \|\tilde x_i\|`, so that of an interpolant is at
# least :math:`\frac2n \sum_i |y_i| \|\tilde x_i\|`, and it is exactly that where each point can be cut off by a line:
# the best network then has one neuron a point. Equation 13 prefers a single neuron for all eight.

markers = dict(zip(data, "osD^vP"))
colours = dict(zip(data, (ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLUE)))
fig, axes = plt.subplots(1, 2, figsize=(8.2, 3.6), layout="constrained", width_ratios=(1, 1.1))
for ax, noises in zip(axes, ((0.0, 0.3), (0.3,))):
    for name in data:
        look = {"color": colours[name], "marker": markers[name], "linestyle": "none"}
        for noise in noises:
            points = [(over(run, name, EQUATION_13), over(run, name, FULL)) for run in runs[name, noise]]
            ax.plot(*zip(*points), **look, fillstyle="full" if noise else "none", label=name if noise else None)
        ends = [(over(solution, name, EQUATION_13), over(solution, name, FULL)) for solution in best[name].values()]
        ax.plot(*zip(*ends), color=colours[name], linewidth=0.8, alpha=0.6, marker=".", markersize=3)
    ax.set_xlabel("label_noise (equation 13), over its least")
    bare(ax)
axes[0].set(
    xscale="log", yscale="log", ylabel="LabelNoise(full=True), over its least", title="all runs (hollow: plain)"
)
for axis in (axes[0].xaxis, axes[0].yaxis):
    axis.set_ticks([1, 2, 5], ["1", "2", "5"])
    axis.set_ticks([], minor=True)
axes[1].set(xlim=(0.99, 1.32), ylim=(0.99, 1.22), title="with label noise, closer")
legend = {"title": "dots: optima", "loc": "center left", "bbox_to_anchor": (1, 0.5)}
axes[1].legend(frameon=False, fontsize="small", title_fontsize="small", **legend)

full, thirteen = best["circle"][FULL].measure, best["circle"][EQUATION_13].measure
bound = 2 / len(circle) * np.sqrt(2) * np.sum(data["circle"][1])
print(f"circle: {full.n_neurons} neurons with LabelNoise(full=True), {thirteen.n_neurons} with label_noise")
print(f"least full norm {best['circle'][FULL].objective:.6f}, the bound {bound:.6f}")

# %%
# What keeps a run from the optimum are cells without a neuron: the factor :math:`r_s` jumps between cells and has no
# gradient, so neurons cross only by chance, while the noise is large. More noise helps until so few neurons are left
# near some point that it cannot be fitted any more. Eight times as many steps (not run here) still end at 1.03 to 1.07
# times the least on zigzag, planted, bump and circle.
#
# The same, exactly known: a sparse vector
# ----------------------------------------
# :math:`f(v) = \langle v^2, x\rangle`, the simplest network on which label noise chooses. Forty Gaussian samples do not
# determine a target of length 100 with five ones. Plain gradient descent from :math:`v = 1` finds some interpolant.
# With the noise on one random sample a step it comes near the target itself, which the program
# :math:`\min \|u\|_1` subject to :math:`Xu = y` finds.

rng = np.random.default_rng(0)
target = np.repeat([1.0, 0.0], [5, 95])
X = rng.standard_normal((40, 100))
y = X @ target
rate = 0.01 / 10.0 ** (np.arange(300_000) // 100_000)
rows, noise = rng.integers(40, size=300_000), rng.standard_normal(300_000)


def descend(noisy):
    """Errors of v^2 along gradient descent on a quarter of the mean square, with or without noise on one sample."""
    v, errors = np.ones(100), []
    for t in range(300_000):
        pull = (X @ v**2 - y) / 40
        if noisy:
            pull[rows[t]] -= noise[t]
        v -= rate[t] * (pull @ X) * v
        if t % 1000 == 999:
            errors.append(np.sum((v**2 - target) ** 2))
    return errors


errors = {"plain": descend(False), "label noise": descend(True)}
split = linprog(np.ones(200), A_eq=np.column_stack([X, -X]), b_eq=y, method="highs").x
by_program = np.sum((split[:100] - split[100:] - target) ** 2)
print(f"plain {errors['plain'][-1]:.3g}, label noise {errors['label noise'][-1]:.2g}, l1 program {by_program:.0e}")

fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (name, curve), colour in zip(errors.items(), (GREY, BLUE)):
    ax.plot(np.arange(1, 301), curve, color=colour, label=f"{name}, ends at {curve[-1]:.2g}")
for drop in (100, 200):
    ax.axvline(drop, color=GREY, linewidth=0.8, linestyle=":")
    ax.text(drop + 4, 2e-4, "rate / 10", color=GREY, fontsize="small")
ax.set(yscale="log", xlabel="steps (thousands)", ylabel="squared distance to the target", ylim=(1e-4, 300))
ax.legend(frameon=False, fontsize="small", loc="center right")
bare(ax)

# %%
# Moving the data
# ---------------
# The paper notes that its norm, unlike the variation norm, stays the same when all points are moved. That holds for
# equation 13. The full norm, which descent follows, changes too: :math:`\|\tilde x_i\|` is measured from the origin.

rng = np.random.default_rng(0)
points, values = rng.uniform(-1, 1, (8, 2)), rng.standard_normal(8)
moves = np.linspace(0, 4, 9)
norms = {"label_noise (eq. 13)": EQUATION_13, "slope": "slope", "variation": "variation", "LabelNoise(full=True)": FULL}
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (label, norm), colour, style in zip(norms.items(), (BLUE, GREEN, VERMILLION, ORANGE), ("-", (0, (2, 5)), "-", "-")):
    moved = [cs.interpolate(points + move, values, penalty=norm) for move in moves]
    least = np.array([solution.objective for solution in moved])
    unproven = sum(solution.status != "optimal" for solution in moved)
    note = f", {unproven} of {len(moves)} not proven" if unproven else ""
    ax.plot(moves, least / least[0], linestyle=style, color=colour, marker="o", markersize=3, label=label + note)
    print(f"{label}: least norm changes by a factor {least.max() / least.min():.10g}{note}")
ax.set(xlabel="distance that both features are moved", ylabel="least norm, over that at 0")
ax.legend(frameon=False, fontsize="small")
bare(ax)

# %%
# When is the least norm the sparsest?
# ------------------------------------
# With the neurons fixed, the problem is a linear program for their weights (equation 21). The paper says that in the
# generic case its solution is the sparsest, and leaves the conditions open, as those of compressed sensing. Here it is
# run: y comes from a network of k random neurons, so an interpolant with k neurons exists.
#
# On the left the dictionary has one neuron in the middle of each cell of eight points on a line, or of seven in the
# plane, and the k neurons are drawn among them. On the right all neurons are allowed, and twelve points: how often has
# the variation norm's optimum no more than k? With one feature and an affine part that costs nothing, almost always.
# Without that part, or with two features, often not. Where it has more and ``contact_set`` says that it is the only
# optimum, the least norm is proven not to be the sparsest; how often that is so is printed. (Near k = 12 nothing is
# left to ask: an optimum needs at most as many neurons as there are points.)

draws = 20


def lifted(X):
    return np.column_stack([X, np.ones(len(X))])


def recovered(n, d, k, seed):
    """Whether the l1 program finds k neurons of the dictionary."""
    rng = np.random.default_rng([n, d, k, seed])
    X = rng.uniform(-1, 1, (n, d))
    cells = cs.enumerate_cells(X)
    neurons = cells.interior_points()[cells.patterns.any(axis=1)]
    A = np.maximum(lifted(X) @ (neurons / np.linalg.norm(neurons, axis=1, keepdims=True)).T, 0)
    z = np.zeros(A.shape[1])
    z[rng.choice(len(z), k, replace=False)] = rng.standard_normal(k)
    split = linprog(np.ones(2 * len(z)), A_eq=np.column_stack([A, -A]), b_eq=A @ z, method="highs").x
    return np.abs(split[: len(z)] - split[len(z) :] - z).max() < 1e-6


def as_sparse(d, free, k, seed):
    """Whether the variation norm's interpolant of 12 points on k neurons has at most k, and whether it is alone.

    Both are nan if it is not proven.
    """
    rng = np.random.default_rng([d, k, seed])
    X, through = rng.uniform(-1, 1, (12, d)), rng.uniform(-1, 1, (k, d))
    slopes = rng.standard_normal((k, d))
    neurons = np.column_stack([slopes, -np.sum(slopes * through, axis=1)])
    y = np.maximum(lifted(X) @ neurons.T, 0) @ rng.choice([-1.0, 1.0], k)
    solution = cs.interpolate(X, y, free=free)
    if solution.status != "optimal":
        return np.nan, np.nan
    few = solution.measure.n_neurons <= k
    return few, not few and cs.contact_set(solution, X, y).unique


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained", sharey=True)
counts = range(1, 7)
for (n, d), colour, marker in (((8, 1), BLUE, "o"), ((7, 2), VERMILLION, "s")):
    share = [np.mean([recovered(n, d, k, seed) for seed in range(2 * draws)]) for k in counts]
    print(f"dictionary, d = {d}: recovered {np.round(share, 2)}")
    axes[0].plot(counts, share, marker=marker, color=colour, label=f"{d} feature{'s' * (d > 1)}")
settings = ((1, "affine"), GREEN, "^"), ((1, "none"), BLUE, "o"), ((2, "none"), VERMILLION, "s")
for (d, free), colour, marker in settings:
    runs = np.array([[as_sparse(d, free, k, seed) for seed in range(draws)] for k in counts], dtype=float)
    sparse, alone = runs[..., 0], runs[..., 1]
    share, unproven = np.nanmean(sparse, axis=1), np.isnan(sparse).sum()
    print(f"all neurons, d = {d}, free = {free}: no more than k {np.round(share, 2)}, {unproven} optima not proven")
    print(f"  {np.sum(sparse == 0)} with more than k, {int(np.nansum(alone))} of them the only optimum")
    label = f"{d} feature{'s' * (d > 1)}{', affine part free' if free == 'affine' else ''}"
    axes[1].plot(counts, share, marker=marker, color=colour, label=label)
axes[0].set(title="one neuron a cell: the k are found", ylabel="share of random data")
axes[1].set(title="all neurons: no more than k", ylim=(-0.05, 1.1))
for ax in axes:
    ax.set_xlabel("planted neurons k")
    ax.legend(frameon=False, fontsize="small")
    bare(ax)
