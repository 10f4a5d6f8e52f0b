"""The fitted function over one or two features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.plotting import style
from cellsolve.solution import Solution

#: points of the grid in each direction, and what the picture shows beyond the data, relative to their range
GRID, MARGIN = 240, 0.04
#: a kink this close to a data point, relative to the range of the data, counts as lying on it
ON_POINT = 1e-7


def plot_fit(
    network: SparseMeasure | Solution,
    X: ArrayLike,
    y: ArrayLike,
    ax: Any = None,
    *,
    labels: Sequence[str] | None = None,
    others: Mapping[str, SparseMeasure | Solution | Callable[[Array], Array]] | None = None,
) -> Any:
    """Draw the data, the fit and its kinks, for one feature; two features are handed to `plot_surface`.

    Parameters
    ----------
    network : SparseMeasure or Solution
    X : array-like, shape (n,), (n, 1) or (n, 2)
    y : array-like, shape (n,)
    ax : matplotlib.axes.Axes, optional
    labels : sequence of str, optional
        Names of the features and the target, by default those of a DataFrame and a Series.
    others : dict, optional
        Label -> measure, solution or callable: more curves to compare with.

    Returns
    -------
    matplotlib.axes.Axes
        Kinks are dots whose area grows with the jump of the slope, filled on data points and open between them.
    """
    measure = style.measure_of(network)
    if measure.n_features == 2 and not others:
        return plot_surface(network, X, y, ax, labels=labels)
    points, targets = style.flat_data(measure, X, y, 1)
    ax = style.axes_or_new(ax)
    style.bare(ax)
    low, high = _view(points[:, 0])

    crowd = np.clip(6 / np.sqrt(len(points)), 0.35, 1.0)
    ax.scatter(points[:, 0], targets, s=8 + 22 * crowd, color=style.GREY, alpha=crowd, linewidths=0, label="data")
    dense = np.linspace(low, high, 1000)
    colours = (style.ORANGE, style.GREEN, style.PURPLE, style.SKY)
    for k, (label, other) in enumerate((others or {}).items()):
        curve = other if callable(other) else style.measure_of(other).predict
        values = np.asarray(curve(dense[:, None])).reshape(-1)
        ax.plot(dense, values, color=colours[k % len(colours)], linewidth=1.2, dashes=(4, 2), label=label)

    where, jumps = measure.kinks()
    inside = (where > low) & (where < high) & (jumps != 0)
    where, jumps = where[inside], np.abs(jumps[inside])
    corners = np.unique(np.concatenate([[low], where, [high]]))
    neurons = f"{measure.n_neurons} neuron{'s' * (measure.n_neurons != 1)}"
    ax.plot(corners, measure.predict(corners), color=style.BLUE, linewidth=2, label=f"fit, {neurons}")

    near = np.abs(where[:, None] - points[:, 0]).min(axis=1, initial=np.inf) <= ON_POINT * np.ptp(points)
    sizes = style.areas(jumps)
    for on_point, label in ((True, "kink on a data point"), (False, "kink between data points")):
        chosen = near == on_point
        if chosen.any():
            face = style.VERMILLION if on_point else "white"
            ax.scatter(
                where[chosen],
                measure.predict(where[chosen]),
                s=sizes[chosen],
                facecolor=face,
                edgecolor=style.VERMILLION,
                linewidths=1.4,
                zorder=3,
                label=label,
            )
    name, target = style.column_names(X, y, labels)
    ax.set(xlim=(low, high), xlabel=name, ylabel=target)
    style.plain_legend(ax)
    style.note_unproven(ax, network)
    return ax


def plot_surface(
    network: SparseMeasure | Solution,
    X: ArrayLike,
    y: ArrayLike,
    ax: Any = None,
    *,
    labels: Sequence[str] | None = None,
) -> Any:
    """Draw the fit over two features as filled contours, with its folds and the data on the same colour scale.

    Parameters
    ----------
    network : SparseMeasure or Solution
    X : array-like, shape (n, 2)
    y : array-like, shape (n,)
    ax : matplotlib.axes.Axes, optional
    labels : sequence of str, optional
        Names of the features and the target, by default those of a DataFrame and a Series.

    Returns
    -------
    matplotlib.axes.Axes
        White lines are the folds, where a neuron switches on; they are wider where the slope jumps more.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    measure = style.measure_of(network)
    points, targets = style.flat_data(measure, X, y, 2)
    ax = style.axes_or_new(ax, (6.4, 5.0))
    view = [_view(points[:, k]) for k in range(2)]
    grid = np.meshgrid(*(np.linspace(*side, GRID) for side in view))
    surface = measure.predict(np.column_stack([g.ravel() for g in grid])).reshape(GRID, GRID)
    both = np.concatenate([surface.ravel(), targets])
    levels = MaxNLocator(14).tick_values(both.min(), both.max() + 1e-12 * (1 + np.abs(both).max()))

    filled = ax.contourf(*grid, surface, levels=levels, cmap="viridis")
    folds, jumps = _folds(measure, view)
    widths = 0.7 + 2.3 * jumps / jumps.max(initial=np.finfo(float).tiny)
    lines = LineCollection(folds, linewidths=widths, colors="white", alpha=0.85, label="folds")
    ax.add_collection(lines, autolim=False)
    size = np.clip(1800 / len(points), 9, 40)
    style_of_points = {"cmap": filled.cmap, "norm": filled.norm, "edgecolors": "black", "linewidths": 0.5}
    ax.scatter(*points.T, c=targets, s=size, zorder=3, label="data", **style_of_points)
    *names, target = style.column_names(X, y, labels)
    ax.set(xlim=view[0], ylim=view[1], xlabel=names[0], ylabel=names[1])
    ax.set_title(f"{measure.n_neurons} neurons (white: their folds)", loc="left", fontsize="small")
    ax.figure.colorbar(filled, ax=ax, label=f"{target}: fit, data (dots)")
    style.note_unproven(ax, network)
    return ax


def _view(column: Array) -> tuple[float, float]:
    span = np.ptp(column) or 2 * max(1.0, abs(column[0]))
    return column.min() - MARGIN * span, column.max() + MARGIN * span


def _folds(measure: SparseMeasure, view: list[tuple[float, float]]) -> tuple[list[Array], Array]:
    """Return the parts of the zero lines <a, x> + b = 0 inside the view as segments, and |c| ||a|| of each."""
    segments, jumps = [], []
    for theta, weight in zip(measure.neurons, measure.weights):
        a, b = theta[:2], theta[2] if measure.fit_bias else 0.0
        length = np.linalg.norm(a)
        if length == 0:
            continue
        foot, along = -a * (b / length**2), np.array([-a[1], a[0]]) / length
        low, high = -np.inf, np.inf
        for k, side in enumerate(view):
            if along[k] == 0:
                missed = not side[0] <= foot[k] <= side[1]
                low, high = (np.inf, -np.inf) if missed else (low, high)
            else:
                first, last = sorted((edge - foot[k]) / along[k] for edge in side)
                low, high = max(low, first), min(high, last)
        if low < high:
            segments.append(np.array([foot + low * along, foot + high * along]))
            jumps.append(abs(weight) * length)
    return segments, np.array(jumps)
