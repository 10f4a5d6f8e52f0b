"""Draw the pictures of README.md and docs/: python docs/images/make_images.py (needs cellsolve[plot])."""

from itertools import combinations
from pathlib import Path

import numpy as np

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


if __name__ == "__main__":
    fit_and_proof()
    cells()
