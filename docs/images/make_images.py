"""Draw the pictures of README.md and docs/: python docs/images/make_images.py (needs cellsolve[plot])."""

from itertools import combinations, product
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection

import cellsolve
from cellsolve.plotting import new_figure, plot_fit, plot_neuron_space

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


def cells():
    """Three points on a line and the six cells of their neurons; four points in the plane and what a line separates."""
    figure = new_figure(11.5, 4.4)
    left, right = figure.subplots(1, 2)
    _cones(left, np.array([-1.0, 0.2, 1.0]))
    _separations(right, np.array([[-1.0, -0.6], [0.9, -0.8], [0.3, 1.0], [-0.1, -0.1]]))
    figure.savefig(HERE / "cells.png", dpi=110)


def _cones(ax, x):
    arrangement = cellsolve.enumerate_cells(x)
    for k, (inside, pattern) in enumerate(zip(arrangement.interior_points(), arrangement)):
        rays = [side * np.array([-1.0, place]) for place in x for side in (1, -1)]
        rays = [ray / np.linalg.norm(ray) for ray in rays]
        signs = np.where(pattern, 1, -1)
        bounds = [ray for ray in rays if np.all(signs * (ray[0] * x + ray[1]) > -1e-9)]
        ax.fill(*np.array([[0.0, 0.0], *(4 * ray for ray in bounds)]).T, color=f"C{k}", alpha=0.25, linewidth=0)
        text = "".join(str(int(active)) for active in pattern)
        ax.text(*(0.85 * inside / np.linalg.norm(inside)), text, ha="center", va="center", fontsize=11)
    for k, place in enumerate(x):
        end = 4 * np.array([-1.0, place]) / np.hypot(1, place)
        ax.plot([-end[0], end[0]], [-end[1], end[1]], color="black", linewidth=1)
        ax.text(*(0.33 * end), f"$x_{k + 1}$", ha="center", va="center", backgroundcolor="white")
    ax.set(xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), xlabel="a", ylabel="b", aspect="equal")
    ax.set_title("d = 1: x = (-1, 0.2, 1); neurons (a, b), 6 cells", loc="left", fontsize="small")


def _separations(ax, X):
    for i, j in combinations(range(len(X)), 2):
        direction = (X[j] - X[i]) / np.linalg.norm(X[j] - X[i])
        ends = np.array([X[i] - 4 * direction, X[i] + 4 * direction])
        ax.plot(*ends.T, color="0.75", linewidth=1, zorder=0)
    theta = np.array([0.7, 0.8, -0.1])
    active = X @ theta[:2] + theta[2] > 0
    line = np.array([-2.0, 2.0])
    ax.plot(line, (-theta[2] - theta[0] * line) / theta[1], color="C3", linewidth=2)
    ax.scatter(*X[active].T, color="C3", s=60, zorder=3)
    ax.scatter(*X[~active].T, facecolor="white", edgecolor="black", s=60, zorder=3)
    for k, point in enumerate(X):
        ax.text(*(point + 0.1), f"$x_{k + 1}$")
    count = cellsolve.count_cells(X)
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.4, 1.5), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.set_title(f"d = 2: a neuron (red) splits the points; 4 points, {count} cells", loc="left", fontsize="small")


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


if __name__ == "__main__":
    fit_and_proof()
    cells()
    visited_cones()
