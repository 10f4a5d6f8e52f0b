"""The cells of a data set as an object: packed patterns, facets, interior neurons and look-up."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsolve.cells.interior import exact_interior, interior_points
from cellsolve.cells.predicates import integer_rows, parallel_classes, signs
from cellsolve.data import as_floats

if TYPE_CHECKING:
    from cellsolve.cells.lookup import Lookup

Facets = tuple[NDArray[np.int64], NDArray[np.int32]]

_LARGEST_UNPACKED = 2**31
_CHUNK = 2**24


class CellArrangement:
    """Cells of the lifted points, all of them or some, each once.

    A cell is the set of neurons active on the same points: a pattern s in {0, 1}^n whose closed cone
    {theta : (2 s_i - 1) <theta, x~_i> >= 0 for all i} has interior. Points x~ = 0 are inactive in every pattern.
    Users get arrangements from `enumerate_cells`, `iter_cells` and `sample_cells`.

    Parameters
    ----------
    lifted : array, shape (n, D)
        Lifted points x~_i.
    packed : array of uint8, shape (S, ceil(n / 8))
        Distinct patterns of cells in numpy.packbits order.
    facets : tuple (indptr, indices), optional
        Rows that describe every cell, where some are known to be enough.
    interior : array, shape (S, D), optional
        Neurons strictly inside the cells, where they are known.
    complete : bool
        Whether these are all cells of the points.
    total : int, optional
        How many cells the points have, where some of them were sampled and all were counted.
    draws : int, optional
        How many neurons were drawn to find these.
    """

    def __init__(
        self,
        lifted: NDArray[np.float64],
        packed: NDArray[np.uint8],
        *,
        facets: Facets | None = None,
        interior: NDArray[np.float64] | None = None,
        complete: bool = False,
        total: int | None = None,
        draws: int | None = None,
    ) -> None:
        width = (len(lifted) + 7) // 8
        if packed.ndim != 2 or packed.shape[1] != width or packed.dtype != np.uint8:
            raise ValueError(
                f"packed is {packed.dtype} of shape {packed.shape}; pass numpy.packbits(patterns, axis=1), "
                f"uint8 of shape (S, {width}) for {len(lifted)} points."
            )
        self.lifted = lifted
        self.packed = np.ascontiguousarray(packed)
        self.complete = complete
        self.total = len(packed) if complete else total
        self.draws = draws
        self._facets = facets
        self._neighbours: NDArray[np.int64] | None = None
        self._interior = interior

    @property
    def n_points(self) -> int:
        """Number of points n."""
        return len(self.lifted)

    def __len__(self) -> int:
        return len(self.packed)

    def __repr__(self) -> str:
        n, dimension = self.lifted.shape
        if self.complete or self.total is None:
            cells = f"{len(self)} cells, {'all' if self.complete else 'some'} of those"
        else:
            cells = f"{len(self)} of the {self.total} cells"
        return f"CellArrangement({cells} of {n} points, D = {dimension})"

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        step = max(1, _CHUNK // self.n_points)
        for start in range(0, len(self), step):
            yield from self.unpack(start, start + step)

    def unpack(self, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Return the patterns of cells `start` to `stop` (as a slice), bool of shape (., n)."""
        return np.unpackbits(self.packed[start:stop], axis=1, count=self.n_points).view(bool)

    @property
    def patterns(self) -> NDArray[np.bool_]:
        """All patterns, bool of shape (S, n); a ValueError where they would take more than 2 GiB."""
        size = len(self) * self.n_points
        if size > _LARGEST_UNPACKED:
            raise ValueError(
                f"patterns of {len(self)} cells on {self.n_points} points take {size / 2**30:.1f} GiB as booleans; "
                "read them in parts with unpack(start, stop), or iterate over the arrangement."
            )
        return self.unpack()

    @property
    def facets(self) -> Facets:
        """Rows that bound each cell, as (indptr, indices): cell i has ``indices[indptr[i]:indptr[i + 1]]``.

        Of parallel rows the first stands for all. A row bounds a cell if flipping it with its parallels gives a cell.
        Where only some cells are known, every nonzero row is listed, which describes the same cones.
        """
        if self._facets is None:
            if not self.complete:
                self._facets = self._all_lines()
                return self._facets
            self._facets, self._neighbours = self._cross()
        return self._facets

    @property
    def neighbours(self) -> NDArray[np.int64]:
        """The cell on the other side of each facet, in the order of the indices of `facets`.

        Across row ``facets[1][k]`` from its cell is cell ``neighbours[k]``; only where all cells are listed.

        Raises
        ------
        ValueError
            Where only some cells are.
        """
        if not self.complete:
            raise ValueError(
                f"these are {len(self)} cells, not all of the points': facets and neighbours need every cell; "
                "list them with enumerate_cells."
            )
        if self._neighbours is None:
            self._facets, self._neighbours = self._cross()
        return self._neighbours

    def interior_points(self, *, strict: bool = True) -> NDArray[np.float64]:
        """Return one neuron strictly inside each cell, shape (S, D), computed once.

        The neuron farthest from the facets after whitening the points, a least-distance program (Lawson and Hanson,
        Solving Least Squares Problems, chapter 23), checked exactly; where floats fail, the sum of the extreme rays of
        the cell, computed in integers. Lengths are about 1.

        Parameters
        ----------
        strict : bool
            Whether a cell without a float64 neuron is an error; if not its row is NaN, see `exact_interior`.

        Raises
        ------
        ValueError
            Where a cell is so thin that no float64 neuron was found in it.
        """
        if self._interior is None:
            self._interior = interior_points(self.lifted, self.packed, self.facets)
        thin = np.flatnonzero(np.isnan(self._interior).any(axis=1))
        if strict and len(thin):
            raise ValueError(
                f"X has a cell ({thin[0]}) thinner than float64 resolves: no neuron was found strictly inside; "
                "centre and rescale X, drop points that are nearly repeated or nearly collinear, or use exact_interior."
            )
        return self._interior

    def exact_interior(self, cell: int) -> list[int]:
        """Return a neuron strictly inside the cell in exact integers: the sum of its extreme rays."""
        indptr, indices = self.facets
        return exact_interior(self.lifted, self.packed[cell], indices[indptr[cell] : indptr[cell + 1]])

    def index(self, theta: ArrayLike) -> int | NDArray[np.int64]:
        """Return the place of the closed cell that contains a neuron, decided exactly.

        A neuron on a boundary belongs to several closed cells. The one taken is entered by the step
        theta + eps e_1 + eps^2 e_2 + ... for infinitesimal eps > 0: a row orthogonal to theta takes the sign of its
        first nonzero entry.

        Parameters
        ----------
        theta : array-like, shape (D,) or (K, D)

        Returns
        -------
        int, or array of int64, shape (K,)

        Raises
        ------
        ValueError
            For a neuron of another dimension, or whose cell is not listed here.
        """
        theta = as_floats(theta, "theta")
        thetas = np.atleast_2d(theta)
        if thetas.ndim != 2 or thetas.shape[1] != self.lifted.shape[1]:
            dimension = self.lifted.shape[1]
            raise ValueError(
                f"theta has shape {theta.shape}; pass a neuron of D = {dimension} numbers, or rows of them."
            )
        if not np.isfinite(thetas).all():
            raise ValueError("theta contains NaN or infinity; rescale the neurons, any positive scale will do.")
        orientation = signs(self.lifted, thetas)
        first_entry = np.take_along_axis(self.lifted, (self.lifted != 0).argmax(axis=1)[:, None], axis=1)[:, 0]
        packed = np.packbits(np.where(orientation == 0, first_entry > 0, orientation > 0), axis=1)
        place = self._lookup.find(packed)
        if (place < 0).any():
            k = int(np.argmax(place < 0))
            raise ValueError(
                f"theta{f' (row {k})' if theta.ndim == 2 else ''} lies in a cell that is not among the {len(self)} "
                "listed here; enumerate_cells lists all cells of the points."
            )
        return place if theta.ndim == 2 else int(place[0])

    def take(self, places: ArrayLike) -> CellArrangement:
        """Return the arrangement of some of these cells, with what is known of them.

        Parameters
        ----------
        places : array-like of int or bool
            Places of distinct cells, in the order in which they are taken, or a mask.
        """
        places = np.atleast_1d(np.asarray(places))
        if places.dtype == bool:
            if places.shape != (len(self),):
                raise ValueError(f"places is a mask of shape {places.shape}; pass one of shape ({len(self)},).")
            places = np.flatnonzero(places)
        if not places.size:
            places = np.zeros(0, dtype=np.int64)
        if places.ndim != 1 or not np.issubdtype(places.dtype, np.integer):
            raise ValueError(f"places is {places.dtype} of shape {places.shape}; pass whole numbers, or a mask.")
        if places.min(initial=0) < 0 or places.max(initial=-1) >= len(self) or len(np.unique(places)) < len(places):
            raise ValueError(
                f"places has a negative or a repeated entry, or one that is not below {len(self)}; pass places of "
                "distinct cells, numpy.unique(places) for instance."
            )
        facets = None if self._facets is None else _take_rows(self._facets, places)
        interior = None if self._interior is None else self._interior[places]
        return CellArrangement(
            self.lifted,
            self.packed[places],
            facets=facets,
            interior=interior,
            complete=self.complete and len(places) == len(self),
            total=self.total,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lookup"}  # made again where needed

    @cached_property
    def _lookup(self) -> Lookup:
        from cellsolve.cells.lookup import Lookup  # numba is not light

        return Lookup(self.packed)

    def _cross(self) -> tuple[Facets, NDArray[np.int64]]:
        """Return facets and neighbours: turn the bits of each line of parallel rows, and look where that leads."""
        representative, _ = parallel_classes(integer_rows(self.lifted))
        lines = np.unique(representative[representative >= 0])
        flips = np.packbits(representative == lines[:, None], axis=1)
        indptr, across, neighbours = self._lookup.across(flips)
        return (indptr, lines.astype(np.int32)[across]), neighbours

    def _all_lines(self) -> Facets:
        representative, _ = parallel_classes(integer_rows(self.lifted))
        lines = np.unique(representative[representative >= 0]).astype(np.int32)
        return np.arange(len(self) + 1, dtype=np.int64) * len(lines), np.tile(lines, len(self))


def _take_rows(facets: Facets, places: NDArray[np.int64]) -> Facets:
    indptr, indices = facets
    counts = indptr[places + 1] - indptr[places]
    new_indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    within = np.arange(new_indptr[-1]) - np.repeat(new_indptr[:-1], counts)
    return new_indptr, indices[np.repeat(indptr[places], counts) + within]
