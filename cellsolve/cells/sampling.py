"""Some of the cells: those that random neurons fall into."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.arrangement import CellArrangement
from cellsolve.cells.counting import count_if_affordable, general_position
from cellsolve.cells.interior import unit, whiten
from cellsolve.cells.predicates import integer_rows, parallel_classes, signs
from cellsolve.checks import count, seed
from cellsolve.data import as_floats, as_points, lift

Batches = Iterator[NDArray[np.float64]]
#: neurons without end, from rows of distinct hyperplanes, the start or None, the size of a batch and a generator
Way = Callable[[NDArray, NDArray | None, int, np.random.Generator], Batches]

_BATCH_NUMBERS = 2**24
_SMALLEST_BATCH = 64
_DRAWS_PER_CELL = 100
_FEWEST_DRAWS = 10**4
_COUNTED = 5 * 10**5  # cells that are counted in less than a second
_ROUNDING = 16 * np.finfo(np.float64).eps  # of responses of unit neurons on unit rows


def sample_cells(
    X: ArrayLike,
    n_cells: int,
    *,
    how: str = "uniform",
    start: ArrayLike | None = None,
    fit_bias: bool = True,
    random_state: int | np.random.Generator | None = None,
) -> CellArrangement:
    """Take the first `n_cells` distinct cells that random neurons fall into.

    After max(10000, 100 n_cells) neurons the search ends, so the result may have fewer cells than asked for, although
    more exist. Patterns are decided exactly. A neuron on a hyperplane <theta, x~_i> = 0 is in no cell and not counted.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
    n_cells : int
        Number of cells to take, at least 1.
    how : {"uniform", "boundary", "local"}
        "uniform" draws directions uniformly from the sphere: wide cells are found before narrow ones. "boundary" draws
        neurons beside the extreme rays of cells, where D - 1 hyperplanes meet: a cell is found as often as it has
        extreme rays, however narrow it is. "local" draws neurons on rays from `start`, behind few hyperplanes first,
        then behind more.
    start : array-like, shape (D,), optional
        For "local": a neuron strictly inside a cell, the first to be taken; random by default.
    fit_bias : bool
        Whether neurons have a bias, x~ = (x, 1), or not, x~ = x.
    random_state : int, numpy.random.Generator or None
        Seed.

    Returns
    -------
    CellArrangement
        Its interior points are the neurons that fell into the cells. `draws` is how many neurons were drawn, `total`
        how many cells there are, None where they are too many to count, and `complete` is True if all are here.

    Raises
    ------
    ValueError
        For X that is not a finite real matrix, `n_cells` below 1, an unknown `how`, a `start` that is not a neuron
        strictly inside a cell, or that is not used.

    Notes
    -----
    Distinct cells that 10,000 neurons find for n = 40 points, normal or in 4 clusters, normal noise of the given width
    about normal centres:

    ============================ ====== ======= ========
    points                       cells  uniform boundary
    ============================ ====== ======= ========
    normal, d = 2                 1,562   1,024    1,557
    normal, d = 3                19,840   3,934    7,577
    clusters, width 1e-2, d = 2   1,562     169    1,558
    clusters, width 1e-4, d = 2   1,562      17    1,556
    clusters, width 1e-4, d = 3  19,840      17    7,668
    clusters, width 1e-8, d = 2   1,562      12    1,558
    ============================ ====== ======= ========

    If all cells were equally likely, they would find 1,559 of 1,562 and 7,855 of 19,840. Cells about as narrow as the
    rounding of a neuron, 1e-16, are out of reach of all three; `enumerate_cells` lists them.
    """
    n_cells = count(n_cells, "n_cells")
    if not isinstance(how, str) or how not in WAYS:
        raise ValueError(f"how is {how!r}; pass one of {', '.join(map(repr, WAYS))}.")
    lifted = lift(as_points(X), fit_bias)
    rng = np.random.default_rng(None if random_state is None else seed(random_state))
    neuron = None if start is None else _as_start(start, how, lifted)
    lines = _lines(lifted)
    n, dimension = lifted.shape
    total, exact = general_position(len(lines), dimension), False
    if total <= _COUNTED:
        total, exact = count_if_affordable(lifted)
    wanted = min(n_cells, total)
    batch = min(max(2 * wanted, _SMALLEST_BATCH), max(1, _BATCH_NUMBERS // max(n, dimension**2)))
    packed, neurons, draws = _first_cells(lifted, WAYS[how](lines, neuron, batch, rng), wanted)
    if len(packed) < wanted and not exact:
        total, exact = count_if_affordable(lifted)
    order = np.argsort(_keys(packed))
    return CellArrangement(
        lifted,
        packed[order],
        interior=neurons[order],
        complete=len(packed) == total,
        total=total if exact else None,
        draws=draws,
    )


def _first_cells(lifted: NDArray, batches: Batches, wanted: int) -> tuple[NDArray[np.uint8], NDArray[np.float64], int]:
    """Distinct patterns in the order in which neurons fall into them, these neurons, and how many it took."""
    n, dimension = lifted.shape
    nonzero = lifted.any(axis=1)
    packed = np.zeros((0, (n + 7) // 8), dtype=np.uint8)
    neurons = np.zeros((0, dimension))
    draws, most = 0, max(_FEWEST_DRAWS, _DRAWS_PER_CELL * wanted)
    while draws < most:
        with np.errstate(all="ignore"):
            thetas = next(batches)[: most - draws]
        thetas[~np.isfinite(thetas).all(axis=1)] = 0.0  # beyond what floats hold: in no cell
        orientation = signs(lifted, thetas)
        inside = np.flatnonzero((orientation[:, nonzero] != 0).all(axis=1))
        known = len(packed)
        packed = np.concatenate([packed, np.packbits(orientation[inside] > 0, axis=1)])
        first = np.sort(np.unique(_keys(packed), return_index=True)[1])[:wanted]
        packed, neurons = packed[first], np.concatenate([neurons, thetas[inside]])[first]
        if len(packed) == wanted:
            return packed, neurons, draws + int(inside[first[-1] - known]) + 1
        draws += len(thetas)
    return packed, neurons, draws


def _uniform(lines: NDArray, start: NDArray | None, batch: int, rng: np.random.Generator) -> Batches:
    """Directions uniform on the sphere."""
    while True:
        yield unit(rng.standard_normal((batch, lines.shape[1])))


def _boundary(lines: NDArray, start: NDArray | None, batch: int, rng: np.random.Generator) -> Batches:
    """Neurons beside the flats where rank - 1 random hyperplanes meet, half-way to the next hyperplane.

    In coordinates where the rows are white, so that the scale of the data plays no part. The step off the flat has
    random responses on the rows that vanish there, because a random direction would miss the cell between two
    hyperplanes that are nearly parallel.
    """
    rows, to_neuron = _white(lines)
    n, rank = rows.shape
    while True:
        chosen = rows[rng.integers(n, size=(batch, rank - 1))]
        inverse = np.linalg.pinv(chosen)
        flat = rng.standard_normal((batch, rank, 1))
        for _ in range(2):  # what rounding leaves of the first projection matters beside narrow cells
            flat -= inverse @ (chosen @ flat)
        flat = unit(flat[:, :, 0])
        step = (inverse @ rng.standard_normal((batch, rank - 1, 1)))[:, :, 0]
        responses = flat @ rows.T
        responses[np.abs(responses) <= _ROUNDING * rank] = 0.0
        reach = _crossings(responses, step @ rows.T).min(axis=1) / 2
        yield unit((flat + np.where(np.isfinite(reach), reach, 1.0)[:, None] * step) @ to_neuron)


def _local(lines: NDArray, start: NDArray | None, batch: int, rng: np.random.Generator) -> Batches:
    """The start, then neurons on random rays from it, in the middle between two hyperplanes.

    A straight way to a cell crosses exactly the hyperplanes that separate it from the start. So the number of crossings
    is a distance between cells, and every cell at some distance is reached after as many crossings.
    """
    to_neuron = _white(lines)[1]
    rank = len(to_neuron)
    neuron = unit(rng.standard_normal((1, rank)) @ to_neuron)[0] if start is None else start
    yield neuron[None]
    neuron = unit(neuron[None])[0]
    normals = unit(lines)
    responses = normals @ neuron
    most = 1.0
    while True:
        rays = rng.standard_normal((batch, rank)) @ to_neuron
        crossings = _crossings(responses, rays @ normals.T)
        nearest = min(int(most), len(lines) - 1)
        crossings = np.sort(np.partition(crossings, nearest, axis=1)[:, : nearest + 1], axis=1)
        crossings = np.pad(crossings, ((0, 0), (1, 1)), constant_values=((0.0, 0.0), (0.0, np.inf)))
        crossed = rng.integers(1, int(most), size=batch, endpoint=True)
        crossed = np.minimum(crossed, np.isfinite(crossings).sum(axis=1) - 1)
        before, after = np.take_along_axis(crossings, crossed[:, None] + [0, 1], axis=1).T
        reach = np.where(np.isfinite(after), before + (after - before) / 2, 2 * before)
        yield unit(neuron + reach[:, None] * rays)
        most = min(1.2 * most, len(lines))  # slowly, for near cells first; 50 batches get to 9000


#: name -> random neurons
WAYS: dict[str, Way] = {"uniform": _uniform, "boundary": _boundary, "local": _local}


def _white(lines: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of unit length with white directions, (n, r), and the map (r, D) that takes their neurons back.

    First the usual size of entries of a column is made 1 and then each row a unit, so that no outlier sets the scale.
    """
    usual = [np.median(column[column != 0]) if column.any() else 1.0 for column in np.abs(lines.T)]
    power = np.frexp(usual)[1]
    rows, to_neuron = whiten(unit(np.nan_to_num(np.ldexp(lines, -power))))
    return rows, np.ldexp(to_neuron, power.min() - power)


def _crossings(responses: NDArray, slopes: NDArray) -> NDArray[np.float64]:
    """Where responses + t slopes = 0 for some t > 0, else infinity."""
    t = -responses / slopes
    return np.where(t > 0, t, np.inf)


def _keys(packed: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """One string for each packed pattern, in the same order."""
    return packed.view(f"S{packed.shape[1]}")[:, 0]


def _lines(lifted: NDArray) -> NDArray[np.float64]:
    """The first row of each hyperplane."""
    representative, _ = parallel_classes(integer_rows(lifted))
    first = np.unique(representative[representative >= 0])
    # Without any hyperplane all neurons are in one cell, and one hyperplane more does no harm.
    return lifted[first] if len(first) else np.eye(1, lifted.shape[1])


def _as_start(start: ArrayLike, how: str, lifted: NDArray) -> NDArray[np.float64]:
    if how != "local":
        raise ValueError(f"start is not used for how={how!r}; pass how='local' for cells near it, or leave it out.")
    neuron = as_floats(start, "start")
    if neuron.shape != lifted.shape[1:]:
        raise ValueError(
            f"start has shape {neuron.shape}; pass a neuron of D = {lifted.shape[1]} numbers, a bias last."
        )
    if not np.isfinite(neuron).all():
        raise ValueError("start contains NaN or infinity; rescale the neuron, any positive scale will do.")
    on_hyperplane = np.flatnonzero((signs(lifted, neuron[None])[0] == 0) & lifted.any(axis=1))
    if len(on_hyperplane):
        raise ValueError(
            f"start lies on the hyperplane of row {on_hyperplane[0]} of X, between cells; "
            "move it a little, to a neuron strictly inside a cell."
        )
    return neuron
