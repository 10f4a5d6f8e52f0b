"""The space of neurons: cells, the dual function and the atoms of a solution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array
from cellsolve.plotting import style
from cellsolve.problem import Problem
from cellsolve.solution import Solution

#: samples of the circle, and pixels across a hemisphere
CIRCLE, PIXELS = 20_000, 420


def plot_neuron_space(solution: Solution, X: ArrayLike, y: ArrayLike, ax: Any = None) -> Any:
    r"""Draw the dual function over all neurons, the borders of the cells, one a data point, and the solution's neurons.

    The dual function is drawn as :math:`\varphi_\alpha(\theta) / (\lambda w(\theta))` (without :math:`\lambda` for
    interpolation), for the dual vector scaled as the certificate scales it: a proof is that it stays within -1 and 1,
    and a neuron of an optimal network can only be where it touches them. With several outputs it is the norm.

    Parameters
    ----------
    solution : Solution
    X : array-like
        The data of the solution: with biases one feature (neurons form a circle, drawn as their angle) or two (a
        sphere, drawn as its two hemispheres); one more of either without biases.
    y : array-like
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    certificate = solution.certificate
    problem = certificate.problem(X, y)
    D = problem.lifted.shape[1]
    if D not in (2, 3):
        raise ValueError(f"neurons have {D} entries here; the picture draws 2 or 3: one or two features, and the bias.")
    bound = certificate.supremum if problem.interpolates else max(problem.level, certificate.supremum)
    dual = _Dual(problem, certificate.alpha.reshape(problem.targets.shape) / (bound or 1.0))
    theta = solution.measure.neurons
    theta = theta / np.linalg.norm(theta, axis=1, keepdims=True)
    weights = solution.measure.weights.reshape(len(theta), problem.n_outputs)
    sizes = np.linalg.norm(weights, axis=1) * problem.neuron_costs(solution.measure.neurons)
    signs = np.sign(weights[:, 0]) if problem.n_outputs == 1 else np.ones(len(theta))
    ax = (_circle if D == 2 else _sphere)(dual, theta, sizes, signs, ax)
    style.legend_above(ax)
    style.note_unproven(ax, solution, y=1 if D == 2 else 0, pad=-10)  # above the bound, or below the hemispheres
    return ax


class _Dual:
    """phi_alpha / w of unit neurons; nan where w vanishes and phi does not."""

    def __init__(self, problem: Problem, alpha: Array) -> None:
        self.problem, self.alpha = problem, alpha

    def __call__(self, theta: Array) -> Array:
        phi = np.concatenate([self.problem.responses(part).T @ self.alpha for part in _parts(theta)])
        w = np.concatenate([self.problem.neuron_costs(part) for part in _parts(theta)])
        value = phi[:, 0] if phi.shape[1] == 1 else np.linalg.norm(phi, axis=1)
        return np.divide(value, w, out=np.full(len(w), np.nan), where=w > 1e-9 * np.nanmax(w))

    @property
    def label(self) -> str:
        below = "w(\\theta)" if self.problem.interpolates else "\\lambda\\, w(\\theta)"
        above = "\\varphi_\\alpha(\\theta)" if self.problem.n_outputs == 1 else "\\|\\varphi_\\alpha(\\theta)\\|"
        return f"${above}\\;/\\;{below}$"


def _parts(theta: Array) -> list[Array]:
    return np.array_split(theta, max(1, len(theta) // 4096))


def _circle(dual: _Dual, atoms: Array, sizes: Array, signs: Array, ax: Any) -> Any:
    from matplotlib.ticker import MaxNLocator

    problem = dual.problem
    ax = style.axes_or_new(ax, (7.2, 3.9))
    style.bare(ax)
    borders = _angles(np.column_stack([-problem.lifted[:, 1], problem.lifted[:, 0]]))
    borders = np.unique(np.concatenate([borders, np.where(borders > 0, borders - 180, borders + 180)]).round(9))
    angle = np.unique(np.concatenate([np.linspace(-180, 180, CIRCLE + 1), borders]))
    values = dual(np.column_stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))]))
    floor = 0.0 if problem.n_outputs > 1 else -1.0

    width = np.clip(60 / len(borders), 0.2, 0.8)
    ax.vlines(borders, 1.22 * floor, 1.22, color=style.PALE, linewidth=width, zorder=0)
    ax.plot([], color=style.PALE, linewidth=1.5, label="cell border")
    for bound in {floor, 1.0} - {0.0}:
        ax.axhline(bound, color=style.DARK, linewidth=1, dashes=(5, 3), label="bound" if bound == 1 else None)
    ax.plot(angle, values, color=style.DARK, linewidth=1.5, label="dual function")
    for sign, colour, name in ((1, style.VERMILLION, "neuron, c > 0"), (-1, style.BLUE, "neuron, c < 0")):
        chosen = signs == sign
        if chosen.any():
            ax.scatter(
                _angles(atoms[chosen]),
                dual(atoms[chosen]),
                s=style.areas(sizes, 8)[chosen],
                color=colour,
                edgecolor="white",
                linewidths=0.8,
                zorder=3,
                clip_on=False,
                label=name if problem.n_outputs == 1 else "neuron",
            )
    names = "(a, b)" if problem.fit_bias else "(a_1, a_2)"
    ax.set(xlim=(-180, 180), ylim=(1.22 * floor, 1.22))
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1.8, 4.5, 9, 10]))  # 45 degrees, or 90 where it is narrow
    ax.set(xlabel=f"angle of the neuron ${names}$, degrees", ylabel=dual.label)
    return ax


def _angles(theta: Array) -> Array:
    return np.degrees(np.arctan2(theta[:, 1], theta[:, 0]))


def _sphere(dual: _Dual, atoms: Array, sizes: Array, signs: Array, ax: Any) -> Any:
    """Two hemispheres in Lambert's projection, which keeps areas, parted by the sign of the last coordinate."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Circle

    ax = style.axes_or_new(ax, (8.4, 4.4))
    side = np.linspace(-1, 1, PIXELS)
    disc = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    radius = np.linalg.norm(disc, axis=1)
    last = "b" if dual.problem.fit_bias else "a_3"
    for centre, pole in ((-1.06, 1.0), (1.06, -1.0)):
        inside = radius <= 1
        values = np.full(len(disc), np.nan)
        values[inside] = dual(_lift_from_disc(disc[inside], pole))
        pixels, extent = values.reshape(PIXELS, PIXELS), (centre - 1, centre + 1, -1, 1)
        frame = Circle((centre, 0), 1, facecolor="none", edgecolor=style.DARK, linewidth=1, zorder=2)
        ax.add_patch(frame)
        image = ax.imshow(pixels, extent=extent, origin="lower", cmap="RdBu_r", vmin=-1, vmax=1)
        image.set_clip_path(frame)
        shift = np.array([centre, 0.0])
        arcs = [_great_circle(row, pole) + shift for row in dual.problem.lifted if np.any(row != 0)]
        width = np.clip(30 / len(arcs), 0.12, 0.7)
        lines = LineCollection(arcs, colors=style.BLACK, linewidths=width, alpha=0.45, zorder=1)
        lines.set_clip_path(frame)
        ax.add_collection(lines)
        ax.text(centre, -1.07, f"${last} {'>' if pole > 0 else '<'} 0$", ha="center", va="top")
    for theta, area in zip(atoms, style.areas(sizes, 24)):
        pole = 1.0 if theta[2] >= 0 else -1.0
        place = theta[:2] / np.sqrt(1 + abs(theta[2])) + [-1.06 * pole, 0]
        ax.scatter(*place, s=area, color=style.BLACK, edgecolor="white", linewidths=1.2, zorder=3, clip_on=False)
    corner, arrow = np.array([-2.06, -1.16]), {"arrowstyle": "->", "color": style.DARK}
    for name, way in (("a_1", (0.34, 0)), ("a_2", (0, 0.34))):
        ax.annotate("", corner + way, corner, arrowprops=arrow)
        ax.text(*(corner + np.multiply(1.2, way)), f"${name}$", ha="center", va="center", fontsize="small")
    ax.scatter([], [], color=style.BLACK, label="neuron of the solution")
    ax.plot([], color=style.GREY, linewidth=0.8, label="cell border")
    ax.set(xlim=(-2.1, 2.1), ylim=(-1.22, 1.04))
    ax.set_axis_off()
    bar = ax.inset_axes([1.02, 0.12, 0.03, 0.8])  # which keeps the height of the hemispheres, however narrow they are
    ax.figure.colorbar(image, cax=bar, label=dual.label, ticks=[-1, -0.5, 0, 0.5, 1])
    return ax


def _lift_from_disc(disc: Array, pole: float) -> Array:
    """Return the unit vectors that Lambert's projection, scaled to the unit disc, takes to these points."""
    square = np.sum(disc**2, axis=1)
    return np.column_stack([disc * np.sqrt(2 - square)[:, None], pole * (1 - square)])


def _great_circle(normal: Array, pole: float) -> Array:
    """Return the half of the great circle orthogonal to `normal` on one hemisphere, as points of the disc."""
    level = np.array([-normal[1], normal[0], 0.0])
    if not level.any():
        level = np.array([1.0, 0.0, 0.0])
    level /= np.linalg.norm(level)
    up = np.cross(normal / np.linalg.norm(normal), level)
    up *= pole if up[2] >= 0 else -pole
    angle = np.linspace(0, np.pi, 90)[:, None]
    arc = np.cos(angle) * level + np.sin(angle) * up
    return arc[:, :2] / np.sqrt(1 + np.abs(arc[:, 2:]))
