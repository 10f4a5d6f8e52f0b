"""Solves over time and over lam, and gradient training beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.plotting import style
from cellsolve.solution import Solution, Status

#: what is below is drawn at it: rounding, or a gap of nothing
FLOOR = 1e-12


def plot_path(
    solutions: Sequence[Solution],
    X: ArrayLike,
    y: ArrayLike,
    axes: Any = None,
    *,
    held_out: tuple[ArrayLike, ArrayLike] | None = None,
) -> Any:
    """Draw the norm, the number of neurons and the mean loss along a path of solutions.

    Parameters
    ----------
    solutions : sequence of Solution
        What `path` returns.
    X, y : array-like
        The data of the path.
    axes : three matplotlib.axes.Axes, optional
    held_out : tuple (X, y), optional
        Rows that were not used, for a second curve of the mean loss.

    Returns
    -------
    array of three matplotlib.axes.Axes
        Open dots are solutions whose optimality is not proven.
    """
    if not len(solutions) or any(solution.lam is None for solution in solutions):
        raise ValueError("solutions has to hold solutions with a lam, at least one.")
    axes = style.stack_or_new(axes, 3, 1.9)
    lams = np.array([solution.lam for solution in solutions])
    first = solutions[0].certificate.problem(X, y)
    norms = [solution.measure.norm(first.penalty, first.X) for solution in solutions]
    neurons = [solution.measure.n_neurons for solution in solutions]
    proven = np.array([solution.status == Status.OPTIMAL for solution in solutions])

    def draw(ax: Any, values: Any, colour: str, label: str | None = None) -> None:
        ax.plot(lams, values, color=colour, linewidth=1.5, label=label)
        faces = np.where(proven, colour, "white")
        ax.scatter(lams, values, s=16, color=faces, edgecolor=colour, linewidths=1, zorder=3)

    def losses(problem: Any) -> list[float]:
        fits = (solution.predict(problem.X).reshape(problem.targets.shape) for solution in solutions)
        return [float(np.sum(problem.loss.value(fit, problem.targets)) / problem.n) for fit in fits]

    draw(axes[0], norms, style.BLUE)
    draw(axes[1], neurons, style.BLUE)
    draw(axes[2], losses(first), style.BLUE, f"the {first.n} rows of the fit")
    if held_out is not None:
        other = solutions[0].certificate.problem(*held_out)
        draw(axes[2], losses(other), style.VERMILLION, f"{other.n} held-out rows")
    for ax, label in zip(axes, ("norm of the network", "neurons", f"mean {first.loss.name} loss".replace("_", " "))):
        style.bare(ax)
        ax.set(xscale="log", ylabel=label)
    for ax in axes[:2]:
        ax.set_ylim(bottom=0)
    axes[2].legend(frameon=False, fontsize="small")
    axes[2].set_xlabel(r"weight $\lambda$ of the norm")
    if not proven.all():
        text = f"open: not proven optimal ({np.sum(~proven)} of {len(proven)})"
        axes[0].set_title(text, loc="right", fontsize="small", color=style.VERMILLION)
    return axes


def plot_convergence(solution: Solution, axes: Any = None) -> Any:
    """Draw the objective and the proven lower bound against time, and below them the gap.

    Parameters
    ----------
    solution : Solution
    axes : two matplotlib.axes.Axes, optional

    Returns
    -------
    array of two matplotlib.axes.Axes
    """
    axes = style.stack_or_new(axes, 2, 2.3)
    time, objective, bound = _rounds(solution)
    gap = np.maximum(np.array(objective) - bound, 0) / np.maximum(np.abs(objective), np.finfo(float).tiny)
    finite = np.isfinite(bound)
    line = {"drawstyle": "steps-post", "marker": "o", "markersize": 3.5, "linewidth": 1.5}
    axes[0].plot(time, objective, color=style.BLUE, label="objective", **line)
    axes[0].plot(time[finite], bound[finite], color=style.VERMILLION, label="proven lower bound", **line)
    between = (time[finite], bound[finite], objective[finite])
    axes[0].fill_between(*between, step="post", color=style.PALE, alpha=0.5, linewidth=0)
    axes[0].set_ylabel("objective")
    axes[0].legend(frameon=False, fontsize="small")
    axes[1].plot(time[finite], np.maximum(gap[finite], FLOOR), color=style.DARK, **line)
    axes[1].set(yscale="log", xlabel="time, seconds", ylabel="relative gap")
    axes[1].set_xlim(left=0)
    for ax in axes:
        style.bare(ax)
    style.note_unproven(axes[0], solution)
    return axes


def plot_comparison(solution: Solution, runs: Mapping[str, Sequence[Any]], ax: Any = None) -> Any:
    """Draw how far gradient training and the convex program are above the proven lower bound, against time.

    Parameters
    ----------
    solution : Solution
    runs : dict
        Label -> trained networks (`cellsolve.training.TrainedNetwork`) on the same problem, one a seed.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        One thin line a run, ending in a dot at the network that it returned.
    """
    ax = style.axes_or_new(ax, (6.8, 4.4))
    style.bare(ax)
    bound = solution.lower_bound
    if not bound > 0:
        raise ValueError(f"the lower bound is {bound:.3g}; the excess over it needs a positive one.")

    def excess(objective: Any) -> np.ndarray:
        return np.maximum(np.asarray(objective) / bound - 1, FLOOR)

    colours = (style.ORANGE, style.BLUE, style.PURPLE, style.GREEN, style.SKY)
    for (label, trained), colour in zip(runs.items(), colours * (1 + len(runs) // len(colours))):
        for k, run in enumerate(trained):
            time, best = run.history["time"], np.minimum.accumulate(run.history["objective"])
            name = f"{label}, {len(trained)} seed{'s' * (len(trained) > 1)}" if k == 0 else None
            ax.plot(time[1:], excess(best[1:]), color=colour, linewidth=1, alpha=0.75, label=name)
            ax.plot(time[-1], excess(run.objective), "o", color=colour, markersize=5, markeredgecolor="white")
    time, objective, _ = _rounds(solution)
    neurons = solution.measure.n_neurons
    last = max((run.history["time"][-1] for trained in runs.values() for run in trained), default=0.0)
    below = f", below {FLOOR:g}" if objective[-1] / bound - 1 < FLOOR else ""
    room = last > 2 * time[-1]  # on the right; to the left the curve is at the same height or above
    ax.plot(time, excess(objective), color=style.BLACK, linewidth=1.8, drawstyle="steps-post", label="convex program")
    ax.plot(time[-1], excess(objective[-1]), "*", color=style.BLACK, markersize=13, markeredgecolor="white", zorder=4)
    ax.annotate(
        f"{neurons} neuron{'s' * (neurons != 1)}, {solution.status.replace('_', ' ')}{below}",
        (time[-1], excess(objective[-1])),
        xytext=(10, 0) if room else (-9, -2),
        textcoords="offset points",
        ha="left" if room else "right",
        va="center" if room else "top",
        fontsize="small",
    )
    ax.set(xscale="log", yscale="log", xlabel="time, seconds")
    ax.set_ylabel("objective above the proven lower bound, relative")
    ax.legend(frameon=False, fontsize="small")
    style.note_unproven(ax, solution)
    return ax


def _rounds(solution: Solution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time, objective and bound of every round and of what was returned."""
    rounds = [(r.time, r.objective, r.lower_bound) for r in solution.history]
    rounds.append((solution.time, solution.objective, solution.lower_bound))
    time, objective, bound = (np.array(column) for column in zip(*rounds))
    return time, objective, bound
