"""Draw the pictures of README.md and docs/: python docs/images/make_images.py (needs cellsolve[plot])."""

from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from sklearn.datasets import load_wine
from sklearn.model_selection import RepeatedKFold

import cellsolve
from cellsolve.plotting import new_figure, plot_fit, plot_neuron_space, style

HERE = Path(__file__).parent


def tutorial_data():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, 40))
    return x, np.sin(x) + 0.1 * rng.standard_normal(40)


def fit_and_proof():
    """The fit of the tutorial, and the dual function that proves that no network is better."""
    x, y = tutorial_data()
    solution = cellsolve.solve(x, y, lam=0.003)
    figure = new_figure(8.0, 7.2)
    above, below = figure.subplots(2, 1)
    plot_fit(solution, x, y, above)
    plot_neuron_space(solution, x, y, below)
    figure.savefig(HERE / "demo_fit.png", dpi=110)


def visited_cones():
    """The cones that a proof in the plane ends with, over the dual function, for phi and for -phi."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(40)
    solution = cellsolve.solve(X, y, lam=3e-3, max_cells=10)
    figure = new_figure(8.4, 8.6)
    cones = list(_proven(solution.certificate))
    for ax, sign, name in zip(figure.subplots(2, 1), (0, 1), ("\\varphi_\\alpha", "-\\varphi_\\alpha"), strict=True):
        plot_neuron_space(solution, X, y, ax)
        for borders in (lines for lines in ax.collections if isinstance(lines, LineCollection)):
            borders.set_visible(False)
        mine = [V for which, V in cones if which == sign]
        edges = [_edge(V[i], V[j]) for V in mine for i, j in ((0, 1), (1, 2), (2, 0))]
        ax.add_collection(LineCollection(edges, colors="black", linewidths=0.35, zorder=2))
        ax.get_legend().remove()
        ax.set_title(f"${name} \\leq \\lambda w$: {len(mine)} cones", loc="left", fontsize="small")
    figure.savefig(HERE / "cones.png", dpi=80, bbox_inches="tight")


def _proven(certificate):
    """Yield 0 or 1, for phi or -phi, and the generators of every cone that the tree of a certificate leaves whole."""
    pairs = [(i, j) for i in range(len(certificate.scales)) for j in range(i)]
    tree = iter(certificate.tree)
    for sign, signs in product((0, 1), product((1.0, -1.0), repeat=len(certificate.scales))):
        stack = [np.diag(np.ldexp(signs, certificate.scales))]
        while stack:
            V = stack.pop()
            if edge := next(tree):
                for k in pairs[edge - 1]:
                    half = V.copy()
                    half[k] = V[list(pairs[edge - 1])].mean(axis=0)
                    stack.append(half)
            else:
                yield sign, V
    assert next(tree, None) is None


def _edge(one, two):
    """The great circle from one neuron to another, as plot_neuron_space draws hemispheres."""
    share = np.linspace(0, 1, 12)[:, None]
    arc = (1 - share) * one / np.linalg.norm(one) + share * two / np.linalg.norm(two)
    arc /= np.linalg.norm(arc, axis=1, keepdims=True)
    side = -1.06 if (one + two)[2] > 0 else 1.06
    return arc[:, :2] / np.sqrt(1 + np.abs(arc[:, 2:])) + [side, 0.0]


def sparsity_interpolants():
    """Interpolants of least norm with and without a penalty on biases, and what proves each of them."""
    x = np.array([-2.4, -2.0, -1.3, -0.8, -0.4, 0.2, 0.5, 0.8, 1.3, 1.8, 2.4])
    y = np.array([0.75, 0.19, 0.26, 0.71, 1.51, 1.63, 1.45, 1.57, 1.47, 1.02, 0.0])
    shown = {
        "slope": cellsolve.interpolate(x, y, free="affine", penalty="slope"),
        "slope, sparsest": cellsolve.interpolate(x, y, free="affine", penalty="slope", sparsest=True),
        "variation": cellsolve.interpolate(x, y, free="affine", penalty="variation"),
    }
    looks = {
        "slope": (style.ORANGE, "-", 10.0),
        "slope, sparsest": (style.GREEN, (0, (4, 2)), 7.5),
        "variation": (style.BLUE, "-", 5.0),
    }
    _print_gaps("sparsity_interpolants.png", shown)
    figure = new_figure(8.4, 9.4)
    above, *below = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    grid = np.linspace(-2.6, 2.6, 2001)
    for label, solution in shown.items():
        _draw_kinked(above, solution.measure, solution.predict, grid, label, *looks[label])
    above.scatter(x, y, color=style.BLACK, s=14, zorder=6, label="data")
    above.set_ylabel("y")
    above.legend(fontsize="small", framealpha=1, edgecolor="none", loc="lower center")
    costs = {"variation": np.hypot(1, grid), "slope": np.ones_like(grid)}
    for ax, (penalty, cost), bound in zip(below, costs.items(), ("\\sqrt{1+\\tau^2}", "1"), strict=True):
        for sign in (1, -1):
            ax.plot(grid, sign * cost, color=style.GREY, linestyle="--", linewidth=1.2)
        solution = shown[penalty]
        ax.plot(grid, _dual(solution, x, grid), color=style.DARK, linewidth=1.8)
        for label in (label for label in shown if label.startswith(penalty)):
            where, jumps = shown[label].measure.kinks()
            colour, _, size = looks[label]
            ax.plot(where, np.sign(jumps) * np.interp(where, grid, cost), **_rings(colour, size))
        title = f"{penalty}: $\\varphi_\\alpha(\\tau)$ between $\\pm{bound}$ (dashed), gap {solution.gap:.0e}"
        ax.set_title(title, loc="left", fontsize="small")
    _finish_line([above, *below], x, grid)
    figure.savefig(HERE / "sparsity_interpolants.png", dpi=100)


def sparsity_six_points():
    """Six points in convex position: the least norm has three kinks, two would do."""
    x = np.array([0, 0.5487959217, 0.7695369072, 1.4092668895, 1.9575248036, 2.4938190452])
    y = np.array([0, -0.5487959217, -0.6227071975, -0.4515847194, 0.1389587984, 1.0651145778])
    least = cellsolve.interpolate(x, y, free="affine")
    slopes = np.diff(y)[::2] / np.diff(x)[::2]  # of the lines through points 1 and 2, 3 and 4, 5 and 6
    heights = y[::2] - slopes * x[::2]
    places = -np.diff(heights) / np.diff(slopes)
    neurons = np.column_stack([np.ones(2), -places])
    two = cellsolve.SparseMeasure(neurons, np.diff(slopes), linear=slopes[:1], offset=heights[0])
    _print_gaps("sparsity_six_points.png", {"variation": least})

    def slack(places):
        return np.hypot(1, places) - _dual(least, x, places)

    figure = new_figure(8.4, 9.0)
    above, middle, below = axes = figure.subplots(3, 1, sharex=True, height_ratios=[1.5, 1, 1])
    grid = np.linspace(-0.1, 2.6, 4001)
    seen = grid[(grid >= x[0]) & (grid <= x[-1])]
    for measure, label, *look in (
        (two, f"lines through 1 and 2, 3 and 4, 5 and 6: norm {two.norm():.6f}", style.GREEN, "-", 8.0),
        (least.measure, f"least norm: {least.objective:.6f}, gap {least.gap:.0e}", style.BLUE, "-", 5.0),
    ):
        _draw_kinked(above, measure, measure.predict, grid, label, *look)
        _draw_kinked(middle, measure, lambda t, f=measure: f.predict(t) - np.interp(t, x, y), seen, label, *look)
        where, _ = measure.kinks()
        below.plot(where, slack(where), **_rings(look[0], look[2]))
    below.plot(grid, slack(grid), color=style.DARK, linewidth=1.6)
    above.scatter(x, y, color=style.BLACK, s=14, zorder=6, label="data")
    above.set_ylabel("y")
    above.legend(fontsize="small", framealpha=1, edgecolor="none", loc="upper left")
    middle.set_title("$f$ less the line that connects the dots", loc="left", fontsize="small")
    extra = np.diff(slopes) @ slack(places)
    title = f"$\\sqrt{{1+\\tau^2}}-\\varphi_\\alpha(\\tau)$; at the green kinks times their jumps, summed: {extra:.6f}"
    below.set_title(title, loc="left", fontsize="small")
    below.set_ylim(-0.003, 0.04)
    _finish_line(axes, x, grid)
    figure.savefig(HERE / "sparsity_six_points.png", dpi=100)


def wine():
    """Flavanoids and colour of 178 wines, standardised."""
    table = load_wine().data[:, [6, 9]]  # flavanoids, color_intensity
    return ((table - table.mean(axis=0)) / table.std(axis=0)).T


def sparsity_wine_fits():
    """Four fits along the path, without and with a penalty on biases."""
    x, y = wine()
    figure = new_figure(11.0, 5.6)
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for row, penalty, colour in zip(axes, ("variation", "slope"), (style.BLUE, style.ORANGE), strict=True):
        path = cellsolve.path(x, y, lams=[0.03, 0.01, 0.002, 0.0001], penalty=penalty, free="affine")
        _print_gaps("sparsity_wine_fits.png", {f"{penalty}, lam={solution.lam:g}": solution for solution in path})
        for ax, solution in zip(row, path, strict=True):
            style.bare(ax)
            ax.scatter(x, y, s=9, color=style.GREY, alpha=0.6, linewidths=0)
            grid = np.linspace(x.min() - 0.15, x.max() + 0.15, 1001)
            _draw_kinked(ax, solution.measure, solution.predict, grid, None, colour, "-", 4.0)
            kinks = len(solution.measure.kinks()[0])
            title = f"$\\lambda$={solution.lam:g}: {kinks} kink{'s' * (kinks > 1)}, gap {solution.gap:.0e}"
            ax.set_title(title, loc="left", fontsize="small")
        row[0].set_ylabel(f"{penalty}\ncolour intensity")
    for ax in axes[1]:
        ax.set_xlabel("flavanoids, standardised")
    figure.savefig(HERE / "sparsity_wine_fits.png", dpi=100)


def sparsity_wine_path():
    """Kinks and errors along the path."""
    x, y = wine()
    lams = np.geomspace(1e-1, 1e-4, 31)
    folds = RepeatedKFold(n_splits=10, n_repeats=5, random_state=0)
    figure = new_figure(9.6, 4.2)
    left, right = figure.subplots(1, 2)
    for penalty, colour in (("variation", style.BLUE), ("slope", style.ORANGE)):
        options = {"penalty": penalty, "free": "affine"}
        path = cellsolve.path(x, y, lams=lams, **options)
        model = cellsolve.CellRegressorCV(lams=lams, cv=folds, scoring="neg_mean_squared_error", **options)
        model.fit(x[:, None], y)
        errors = -model.cv_scores_.reshape(len(lams), 5, 10).mean(axis=2)  # one of each repeat
        left.fill_between(lams, errors.min(axis=1), errors.max(axis=1), color=colour, alpha=0.2, linewidth=0)
        left.plot(lams, errors.mean(axis=1), color=colour, linewidth=1.8, label=f"{penalty}, cross-validated")
        training = [np.mean((solution.predict(x) - y) ** 2) for solution in path]
        left.plot(lams, training, color=colour, linewidth=1.2, linestyle="--", label=f"{penalty}, training")
        kinks = [len(solution.measure.kinks()[0]) for solution in path]
        gap = max(solution.gap for solution in path)
        right.step(lams, kinks, where="mid", color=colour, linewidth=1.8, label=f"{penalty}, largest gap {gap:.0e}")
        best = model.best_index_
        left.plot(lams[best], errors.mean(axis=1)[best], **_rings(colour, 7.0))
        right.plot(lams[best], kinks[best], **_rings(colour, 7.0))
        print(f"sparsity_wine_path.png, {penalty}: lam {lams[best]:.2g}, {kinks[best]} kinks, largest gap {gap:.1e}")
    left.set(ylabel="mean squared error", ylim=(0.35, 1.05))
    right.set(yscale="log", ylabel="kinks")
    right.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    right.yaxis.minorticks_off()
    for ax in (left, right):
        ax.set(xscale="log", xlabel="$\\lambda$")
        style.bare(ax)
        style.plain_legend(ax)
    figure.savefig(HERE / "sparsity_wine_path.png", dpi=100)


def _dual(solution, x, places):
    """The dual function of an interpolant at kinks: the sum of alpha_i (x_i - tau)_+."""
    return np.maximum(x - np.asarray(places)[:, None], 0) @ solution.certificate.alpha


def _draw_kinked(ax, measure, curve, grid, label, colour, dashes, size):
    """Draw a function, and rings where the measure has its kinks."""
    where, _ = measure.kinks()
    where = where[(where > grid[0]) & (where < grid[-1])]
    rings = _rings(colour, size)
    corners = np.unique(np.concatenate([grid, where]))
    ax.plot(corners, curve(corners), color=colour, linestyle=dashes, linewidth=1.8)
    ax.plot(where, curve(where), **rings)
    if label:
        ax.plot([], [], **(rings | {"linestyle": dashes}), linewidth=1.8, label=f"{label}, {len(where)} kinks")


def _rings(colour, size):
    ring = {"marker": "o", "markerfacecolor": "white", "markeredgewidth": 1.5, "markersize": size}
    return ring | {"color": colour, "linestyle": "none", "zorder": 5}


def _finish_line(axes, x, grid):
    for ax in axes:
        style.bare(ax)
        for place in x:
            ax.axvline(place, color=style.PALE, linewidth=0.7, zorder=0)
    axes[-1].set(xlabel="x; place $\\tau$ of a kink", xlim=(grid[0], grid[-1]))


def _print_gaps(name, solutions):
    for label, solution in solutions.items():
        print(f"{name}, {label}: {len(solution.measure.kinks()[0])} kinks, gap {solution.gap:.1e}")


if __name__ == "__main__":
    fit_and_proof()
    visited_cones()
    sparsity_interpolants()
    sparsity_six_points()
    sparsity_wine_fits()
    sparsity_wine_path()
