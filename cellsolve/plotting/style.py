"""What all pictures share: colours, empty axes, and the note that a gap is not proven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array, as_points, as_targets
from cellsolve.measure import SparseMeasure
from cellsolve.solution import Solution, Status

# Okabe and Ito's colours, which colour-blind readers tell apart
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
BLACK, DARK, GREY, PALE = "#000000", "#444444", "#8C8C8C", "#D9D9D9"


def pyplot() -> Any:
    """Return matplotlib.pyplot, or say how to get it."""
    try:
        from matplotlib import pyplot as plt
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ImportError("plotting needs matplotlib, which is not installed: pip install cellsolve[plot]") from error
    return plt


def new_figure(width: float, height: float) -> Any:
    """Return a figure, in inches, that no window shows: for writing to a file."""
    pyplot()  # says how to get matplotlib where it is missing
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Any, size: tuple[float, float] = (6.4, 4.2)) -> Any:
    """Return `ax`, or the axes of a new figure."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def stack_or_new(axes: Any, count: int, height: float) -> np.ndarray:
    """Return `axes`, or a new column of `count` axes that share x."""
    if axes is None:
        size = (6.4, height * count)
        axes = pyplot().subplots(count, 1, figsize=size, sharex=True, layout="constrained")[1]
    axes = np.atleast_1d(axes)
    if axes.shape != (count,):
        raise ValueError(f"axes has shape {axes.shape}; pass {count} axes.")
    return axes


def bare(ax: Any) -> None:
    """Take away the frame where it says nothing."""
    ax.spines[["top", "right"]].set_visible(False)


def note_unproven(ax: Any, network: Any, **place: Any) -> None:
    """Write as a title that a solution is not proven optimal, and how far it can be from it."""
    if isinstance(network, Solution) and network.status != Status.OPTIMAL:
        text = f"not proven optimal ({network.status.replace('_', ' ')}): gap {network.gap:.1e}"
        ax.set_title(text, loc="right", fontsize="small", color=VERMILLION, **place)


def plain_legend(ax: Any, **options: Any) -> Any:
    """Add a frameless legend whose dots have one size and full colour, whatever they stand for."""
    legend = ax.legend(frameon=False, fontsize="small", **options)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([34])
    return legend


def legend_above(ax: Any) -> Any:
    """Add a plain legend above the axes, in as many columns as leave the axes beside them alone."""
    ax.apply_aspect()
    width = 1.15 * ax.get_window_extent().width  # axes have a fifth of it between them
    options = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "columnspacing": 1.4, "handlelength": 1.6}
    for columns in range(len(ax.get_legend_handles_labels()[0]), 0, -1):
        legend = plain_legend(ax, ncols=columns, **options)
        if legend.get_window_extent().width <= width:
            break
    return legend


def measure_of(network: SparseMeasure | Solution) -> SparseMeasure:
    """Return the measure of a solution, or the measure itself."""
    measure = getattr(network, "measure", network)
    if not isinstance(measure, SparseMeasure):
        raise ValueError(f"network is a {type(network).__name__}; pass a SparseMeasure or a Solution.")
    return measure


def flat_data(measure: SparseMeasure, X: ArrayLike, y: ArrayLike, d: int) -> tuple[Array, Array]:
    """Return X (n, d) and y (n,), or say why the picture cannot be drawn."""
    points = as_points(X)
    targets = as_targets(y, len(points)).reshape(len(points), -1)
    if points.shape[1] != d or measure.n_features != d:
        what = measure.n_features if measure.n_features != d else points.shape[1]
        raise ValueError(f"this picture needs {d} feature{'s' * (d > 1)}, here there are {what}.")
    if targets.shape[1] != 1 or measure.n_outputs != 1:
        raise ValueError("this picture needs one output; pass the measure and y of one of them.")
    return points, targets[:, 0]


def column_names(X: Any, y: Any, labels: Sequence[str] | None) -> list[str]:
    """Return names for the axes: `labels`, those of a DataFrame and a Series, else x or x1, x2, and y."""
    if labels is not None:
        return list(labels)
    d = 1 if np.ndim(X) == 1 else np.shape(X)[1]
    default = ["x"] if d == 1 else [f"x{k + 1}" for k in range(d)]
    names = [str(name) for name in X.columns] if hasattr(X, "columns") else default
    return [*names, str(getattr(y, "name", None) or "y")]


def areas(sizes: Array, least: float = 5.0, most: float = 130.0) -> Array:
    """Return marker areas in proportion to the sizes, but at least `least`, so that none is lost."""
    return np.maximum(least, most * sizes / np.max(sizes, initial=np.finfo(float).tiny))
