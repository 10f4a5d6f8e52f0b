"""Draw the pictures of docs/cells.md: python docs/images/make_cell_images.py (needs cellsolve[plot])."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Circle, Rectangle, Wedge

import cellsolve
from cellsolve.plotting import new_figure, style

HERE = Path(__file__).parent

LINE = np.array([-2.0, -0.7, 0.4, 1.8])
PLANE = np.array([[0.0, 0.0], [-2.0, 3.0], [1.0, 1.0], [4.0, -1.0], [-3.0, -1.0]])  # points 2, 3 and 4 on a line
ROW_COLOURS = {1: style.BLACK, 2: style.BLUE, 3: style.GREEN, 4: style.ORANGE, 5: style.VERMILLION}
WINDOW = (-3.5, 4.0, -3.2, 2.0)  # of the chart b = 1: a_1, then a_2
FAR = 1e3


class Stop(NamedTuple):
    """A stop of the search: the chosen rows, the point of the chart, the rows passed there, the cell below or None."""

    rows: tuple[int, ...]
    point: np.ndarray
    passed: tuple[int, ...] = ()
    cell: int | None = None


def text_of(pattern):
    return "".join(str(int(active)) for active in pattern)


def name_of(rows):
    return "".join(map(str, rows)) or "∅"


# one feature


def on_a_line():
    """Four points on a line: a neuron of each cell beside them, and the circle of neurons cut into cells."""
    cells = cellsolve.enumerate_cells(LINE)
    neurons = cells.interior_points()
    around = np.argsort((2 - np.arctan2(neurons[:, 1], neurons[:, 0])) % (2 * np.pi))  # clockwise, from 1111
    colours = _antipodal_colours(cells, around)
    figure = new_figure(10.6, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.12, 1])
    _neurons_of_a_line(left, cells, neurons, around, colours)
    _circle(right, cells, neurons, colours)
    figure.savefig(HERE / "cells_line.png", dpi=110)


def _antipodal_colours(cells, around):
    """Return a colour and an opacity for each cell; an antipode has the colour of its cell and is paler."""
    half = len(cells) // 2
    hues = [style.BLUE, style.GREEN, style.ORANGE, style.VERMILLION]
    colours = {}
    for k, cell in enumerate(around):
        colours[cell] = hues[k % half], 0.85 if k < half else 0.4
    for cell in around[:half]:
        opposite = cells.index(-cells.interior_points()[cell])
        assert colours[opposite][0] == colours[cell][0]
    return colours


def _neurons_of_a_line(ax, cells, neurons, around, colours):
    ends = np.array([-2.9, 2.7])
    for height, cell in enumerate(around[::-1]):
        (a, b), pattern, (colour, opacity) = neurons[cell], cells.unpack(cell, cell + 1)[0], colours[cell]
        ax.plot(ends, [height, height], color=style.PALE, linewidth=1, zorder=0)
        kink = np.clip(-b / a, *ends)
        active = (kink, ends[1]) if a > 0 else (ends[0], kink)
        ax.plot(active, [height, height], color=colour, alpha=opacity, linewidth=7, solid_capstyle="butt", zorder=1)
        if ends[0] < kink < ends[1]:
            ax.plot([kink, kink], [height - 0.3, height + 0.3], color=style.DARK, linewidth=1.6, zorder=2)
        for place, on in zip(LINE, pattern, strict=True):
            face = style.BLACK if on else "white"
            ax.plot(place, height, "o", color=style.BLACK, markerfacecolor=face, markersize=6.5, zorder=3)
        ax.text(3.0, height, text_of(pattern), va="center", family="monospace", fontsize=11)
    for k, place in enumerate(LINE):
        ax.text(place, len(cells) - 0.35, f"$x_{k + 1}$", ha="center", va="bottom", fontsize=11)
    ax.set(xlim=(-3.0, 3.9), ylim=(-0.7, len(cells) + 0.1), xlabel="x", yticks=[])
    ax.set_xticks([-2, -1, 0, 1, 2])
    style.bare(ax)
    ax.spines["left"].set_visible(False)
    ax.set_title("data: where a neuron of each cell is active", loc="left", fontsize="small")


def _circle(ax, cells, neurons, colours):
    borders = np.sort(np.degrees(np.concatenate([np.arctan2(-LINE, 1.0), np.arctan2(LINE, -1.0)])) % 360)
    for start, end in zip(borders, [*borders[1:], borders[0] + 360], strict=True):
        middle = np.radians((start + end) / 2)
        cell = cells.index([np.cos(middle), np.sin(middle)])
        colour, opacity = colours[cell]
        ax.add_patch(Wedge((0, 0), 1, start, end, width=0.2, color=colour, alpha=opacity, linewidth=0))
        place = 0.6 * np.array([np.cos(middle), np.sin(middle)])
        pattern = text_of(cells.unpack(cell, cell + 1)[0])
        ax.text(*place, pattern, ha="center", va="center", family="monospace", fontsize=11)
    ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=style.DARK, linewidth=1))
    for k, place in enumerate(LINE):
        end = np.array([1.0, -place]) / np.hypot(1, place)
        ax.plot([-1.06 * end[0], 1.06 * end[0]], [-1.06 * end[1], 1.06 * end[1]], color=style.BLACK, linewidth=0.9)
        ax.text(*(1.17 * end), f"$x_{k + 1}$", ha="center", va="center", fontsize=11)
        ax.text(*(-1.17 * end), f"$x_{k + 1}$", ha="center", va="center", fontsize=11, color=style.GREY)
    inside = neurons / np.linalg.norm(neurons, axis=1, keepdims=True)
    ax.plot(*(0.9 * inside).T, "o", color="white", markeredgecolor=style.BLACK, markersize=4)
    ax.set(xlim=(-1.35, 1.35), ylim=(-1.3, 1.3), xlabel="a", ylabel="b", aspect="equal")
    ax.set_xticks([-1, 0, 1])
    ax.set_yticks([-1, 0, 1])
    style.bare(ax)
    ax.set_title("neurons: directions (a, b), cut by a line for each point", loc="left", fontsize="small")


# two features


def in_the_plane():
    """Five points and four lines that part them; the neurons with b > 0, and where these lines are among them."""
    cells = cellsolve.enumerate_cells(PLANE)
    neurons = cells.interior_points()
    chosen = {"10110": style.VERMILLION, "11001": style.BLUE, "11110": style.GREEN, "10011": style.ORANGE}
    places = {text: k for k, text in enumerate(map(text_of, cells)) if text in chosen}
    figure = new_figure(11.4, 5.6)
    left, right = figure.subplots(1, 2)
    _lines_and_points(left, neurons, places, chosen)
    _disc(right, cells, neurons, chosen)
    figure.savefig(HERE / "cells_plane.png", dpi=105)


def _lines_and_points(ax, neurons, places, chosen):
    left, right, bottom, top = -4.3, 5.0, -3.7, 5.6
    box = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    labels = {"10110": (0.95, 4.9), "11001": (-2.5, 4.9), "11110": (-3.35, 1.15), "10011": (3.9, 0.4)}
    for text, colour in chosen.items():
        *a, b = neurons[places[text]]
        a = np.array(a)
        border = _clip(box, -a, -b)
        on = border[np.abs(border @ a + b) < 1e-9]
        ax.plot(*on.T, color=colour, linewidth=2, zorder=2)
        step = 0.3 * a / np.linalg.norm(a)
        for share in np.linspace(0.04, 0.96, 24):
            foot = (1 - share) * on[0] + share * on[1]
            ax.plot(*np.array([foot, foot + step]).T, color=colour, linewidth=0.9, zorder=1)
        ax.text(
            *labels[text], text, color=colour, family="monospace", fontsize=12, weight="bold", ha="center", zorder=5
        )
    for k, point in enumerate(PLANE):
        ax.plot(*point, "o", color=style.BLACK, markersize=8, zorder=4)
        ax.text(point[0] + 0.2, point[1] + (0.2 if k else -0.5), f"$x_{k + 1}$", fontsize=13, zorder=5)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_title("data: four neurons as lines, bristles on the active side", loc="left", fontsize="small")


def _disc(ax, cells, neurons, chosen):
    for k, pattern in enumerate(cells):
        if not pattern[0]:  # b < 0: an antipode
            continue
        text = text_of(pattern)
        outline = _to_disc(_along_edges(_polygon(pattern, FAR * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))))
        ax.fill(*outline.T, color=chosen.get(text, style.PALE), alpha=0.45 if text in chosen else 0.28, linewidth=0)
        place = _to_disc((neurons[k, :2] / neurons[k, 2])[None])[0]
        if text in chosen:
            ax.plot(*place, "o", color=chosen[text], markeredgecolor="white", markersize=9, zorder=4)
        at = place - [0, 0.085] if text in chosen else _centroid(outline)
        ax.text(*at, text, ha="center", va="center", family="monospace", fontsize=11, zorder=5)
    for k, point in enumerate(PLANE[1:], start=2):
        along = np.array([-point[1], point[0]]) / np.linalg.norm(point)
        foot = -point / (point @ point)
        arc = _to_disc(foot + np.tan(np.linspace(-1.5707, 1.5707, 400))[:, None] * along)
        ax.plot(*arc.T, color=style.BLACK, linewidth=1.2, zorder=3)
        for end in arc[[0, -1]]:
            ax.text(*(1.09 * end), f"$x_{k}$", ha="center", va="center", fontsize=13)
    ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=style.BLACK, linewidth=2.2, zorder=3))
    ax.text(-1.09, 0.05, "$x_1$", ha="center", va="center", fontsize=13)
    ax.set(xlim=(-1.16, 1.16), ylim=(-1.16, 1.16), aspect="equal")
    ax.set_axis_off()
    ax.set_title("neurons with b > 0 (a hemisphere): a great circle for each point", loc="left", fontsize="small")


def _to_disc(chart):
    """Take neurons (a, 1) by Lambert's projection, which keeps areas, to the unit disc."""
    unit = np.column_stack([chart, np.ones(len(chart))])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit[:, :2] / np.sqrt(1 + unit[:, 2:])


def _along_edges(polygon):
    """Return points of the edges of a polygon of the chart that are near each other on the sphere."""
    lifted = np.column_stack([polygon, np.ones(len(polygon))])
    unit = lifted / np.linalg.norm(lifted, axis=1, keepdims=True)
    share = np.linspace(0, 1, 80, endpoint=False)[:, None]
    points = np.concatenate([(1 - share) * p + share * q for p, q in zip(unit, np.roll(unit, -1, axis=0))])
    return points[:, :2] / points[:, 2:]


def _polygon(pattern, box):
    """Return the part of a box of the chart b = 1 that lies in a cell."""
    for on, point in zip(pattern, PLANE, strict=True):
        box = _clip(box, point, 1.0) if on else _clip(box, -point, -1.0)
    return box


def _clip(polygon, normal, offset):
    """Return the part of a convex polygon where <normal, .> + offset >= 0."""
    height = polygon @ normal + offset
    kept = []
    for p, q, at_p, at_q in zip(polygon, np.roll(polygon, -1, axis=0), height, np.roll(height, -1)):
        if at_p >= 0:
            kept.append(p)
        if at_p * at_q < 0:
            kept.append((p * at_q - q * at_p) / (at_q - at_p))
    return np.array(kept).reshape(-1, 2)


def _centroid(polygon):
    x, y = (polygon - polygon[0]).T
    twice = x * np.roll(y, -1) - np.roll(x, -1) * y
    return polygon[0] + [(twice @ (z + np.roll(z, -1))) / (3 * twice.sum()) for z in (x, y)]


# the search


def search(cells):
    """Yield the stops of the search, from geometry in the chart b = 1 where a_2 is the height."""
    corner = np.array([FAR**2, FAR])
    yield Stop((), corner, (), cells.index([*corner, 1]))
    for row in range(2, len(PLANE) + 1):
        yield from walk(cells, row, corner)


def walk(cells, row, corner):
    """Yield the stops on the way down a line of the chart: its start, and where it meets lines of other rows."""
    point = PLANE[row - 1]
    down = np.array([-point[1], point[0]]) * np.sign(-point[0])
    start = _on_line(row, FAR)
    yield Stop((row,), start, (), _beside(cells, row, start, corner, down))
    met = {}
    for other in range(2, len(PLANE) + 1):
        if other != row:
            place = np.linalg.solve([point, PLANE[other - 1]], [-1.0, -1.0])
            met.setdefault(tuple(place.round(9)), []).append(other)
    for place, rows in sorted(met.items(), key=lambda item: -item[0][1]):
        first, place = min(rows), np.array(place)
        cell = _beside(cells, row, place, _on_line(first, FAR), down) if first < row else None
        yield Stop((row, first), place, tuple(rows), cell)


def _on_line(row, height):
    point = PLANE[row - 1]
    return np.array([-(1 + point[1] * height) / point[0], height])


def _beside(cells, row, place, other, down):
    """Return the cell just below a place on the line of a row, on the side of it where `other` is not."""
    point = PLANE[row - 1]
    side = -np.sign(point @ other + 1)
    return cells.index([*(place + 1e-3 * down + 1e-6 * side * point), 1])


def whole_search():
    """Draw the search on the five points: one line after the other, and the cells that a walk down it finds."""
    cells = cellsolve.enumerate_cells(PLANE)
    found = [stop for stop in search(cells) if stop.cell is not None]
    assert sorted(stop.cell for stop in found) == [k for k, pattern in enumerate(cells) if pattern[0]]
    print("rows  active at")
    for stop in found:
        print(f"{name_of(stop.rows):5} {text_of(cells.unpack(stop.cell, stop.cell + 1)[0])}")
    figure = new_figure(11.4, 7.4)
    for row, ax in enumerate(figure.subplots(2, 3).flat, start=1):
        last = row == len(PLANE) + 1
        for stop in found:
            first = stop.rows[0] if stop.rows else 1
            if first > row:
                continue
            new = first == row or last
            outline = _outline(cells, stop)
            colour = ROW_COLOURS[first] if first > 1 else style.GREY
            ax.fill(*outline.T, color=colour, alpha=0.5 if new else 0.13, linewidth=0)
            if new:
                face = "white" if last else colour
                look = {"color": face, "markeredgecolor": style.BLACK, "markersize": 7, "clip_on": False}
                ax.plot(*_shown(stop), "o", **look, zorder=5)
                ax.text(*_centroid(outline), name_of(stop.rows), ha="center", va="center", fontsize=12, zorder=6)
        _draw_lines(ax, row, ROW_COLOURS)
        title = "all cells with $x_1$ active" if last else f"down line {row}" if row > 1 else "no row"
        ax.set_title(title, loc="left", fontsize="medium")
    figure.savefig(HERE / "cells_search.png", dpi=105)


def _outline(cells, stop):
    left, right, bottom, top = WINDOW
    window = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    return _polygon(cells.unpack(stop.cell, stop.cell + 1)[0], window)


def _shown(stop):
    """Return the point of a stop, or where the edge of the window stands for one far off."""
    if not stop.rows:
        return np.array([WINDOW[1], WINDOW[3]])
    return stop.point if stop.passed else _on_line(stop.rows[0], WINDOW[3])


def _draw_lines(ax, bold, colours):
    left, _, bottom, top = WINDOW
    for row in range(2, len(PLANE) + 1):
        ends = np.array([_on_line(row, bottom), _on_line(row, top)])
        colour, width = (colours[row], 2.6) if row == bold else (style.DARK, 0.8)
        ax.plot(*ends.T, color=colour, linewidth=width, zorder=3 if row == bold else 2)
        a, b = PLANE[row - 1]
        place = (left - 0.25, -(1 + a * left) / b) if ends[0, 0] < left else (ends[0, 0], bottom - 0.25)
        look = {"color": colours[row], "weight": "bold", "fontsize": 11, "ha": "center", "va": "center"}
        ax.text(*place, str(row), **look)
    ax.set(xlim=WINDOW[:2], ylim=WINDOW[2:], xticks=[], yticks=[])


def two_walks():
    """Draw the walks down two lines, and which bits change on the way."""
    cells = cellsolve.enumerate_cells(PLANE)
    figure = new_figure(10.6, 8.0)
    for row, (left, right) in zip((5, 3), figure.subplots(2, 2, width_ratios=[1.2, 1]), strict=True):
        stops = list(walk(cells, row, np.array([FAR**2, FAR])))
        shades = [style.SKY, style.ORANGE, style.PURPLE, style.GREEN]
        for k, (stop, shade) in enumerate(zip(stops, shades)):
            if stop.cell is not None:
                left.fill(*_outline(cells, stop).T, color=shade, alpha=0.5, linewidth=0)
            _number(left, _shown(stop), k, shade, stop)
        _draw_lines(left, row, dict.fromkeys(ROW_COLOURS, style.BLACK))
        left.set_title(f"down line {row}", loc="right", fontsize="medium")
        _bits(right, cells, stops, shades)
    figure.savefig(HERE / "cells_walk.png", dpi=105)


def _number(ax, place, k, shade, stop):
    face = "white" if stop.cell is None else shade
    ax.plot(*place, "o", color=face, markeredgecolor=style.BLACK, markersize=15, zorder=5, clip_on=False)
    ax.text(*place, str(k), ha="center", va="center", fontsize=9.5, zorder=6, clip_on=False)


def _bits(ax, cells, stops, shades):
    """Draw the patterns of the cells of a walk, one below the other, and mark what changes."""
    before = None
    for k, (stop, shade) in enumerate(zip(stops, shades)):
        _number(ax, (-2.6, -k), k, shade, stop)
        ax.text(-1.4, -k, ", ".join(map(str, stop.passed)), ha="center", va="center", fontsize=11)
        if stop.cell is None:
            ax.text(-0.36, -k, f"no cell: {min(stop.passed)} comes after {stop.rows[0]}", va="center", fontsize=10)
            continue
        pattern = cells.unpack(stop.cell, stop.cell + 1)[0]
        for place, on in enumerate(pattern):
            turned = before is not None and before[place] != on
            look = {"edgecolor": style.VERMILLION if turned else style.GREY, "linewidth": 3 if turned else 0.8}
            ax.add_patch(
                Rectangle((place - 0.36, -k - 0.36), 0.72, 0.72, facecolor=style.DARK if on else "white", **look)
            )
        ax.text(5.2, -k, name_of(stop.rows), ha="center", va="center", fontsize=12)
        before = pattern
    for place in range(len(PLANE)):
        ax.text(place, 0.75, f"$x_{place + 1}$", ha="center", va="center", fontsize=12)
    for place, text in ((-2.6, "stop"), (-1.4, "passed"), (5.2, "rows")):
        ax.text(place, 0.75, text, ha="center", va="center", fontsize=10)
    ax.set(xlim=(-3.2, 5.8), ylim=(-3.6, 1.1), aspect="equal")
    ax.set_axis_off()


if __name__ == "__main__":
    on_a_line()
    in_the_plane()
    whole_search()
    two_walks()
