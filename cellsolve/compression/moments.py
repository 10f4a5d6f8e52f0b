"""What compression has to know of features and outputs: their products, summed over samples a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from cellsolve.checks import count
from cellsolve.compression.groups import lengths
from cellsolve.data import Array

#: rows that are turned into float64 and multiplied at once: a fast product, no copy of all data, and so few that what
#: the sums round stays small
ROWS = 1024
#: half the distance from 1 to the next float, the largest relative rounding
UNIT = float(np.finfo(float).eps) / 2
#: what varies by less than this share of its mean counts as constant: 1e-13, what means and products round
FLAT = ROWS * UNIT


@dataclass(frozen=True)
class Sums:
    """Sums of products over samples, less the means where they are centred; the means are those less an origin."""

    count: int
    means: tuple[Array, Array]
    gram: Array
    cross: Array
    squares: Array
    blocks: int = 1

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over both sets of samples, without cancellation (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        first, second = (theirs - ours for ours, theirs in zip(self.means, other.means))
        part = other.count / count
        weight = part * self.count
        return Sums(
            count,
            (self.means[0] + part * first, self.means[1] + part * second),
            self.gram + other.gram + weight * np.outer(first, first),
            self.cross + other.cross + weight * np.outer(first, second),
            self.squares + other.squares + weight * second**2,
            self.blocks + other.blocks,
        )


class Moments:
    r"""The sums :math:`\Phi^\top\Phi`, :math:`\Phi^\top\Psi` and :math:`\|\Psi\|_F^2` over samples, batch by batch.

    All that `compress` needs of the data for a given `lam`: after one pass, of which only these K x K and K x m numbers
    are kept, no sample is looked at again, and many values of `lam` can share it.

    Parameters
    ----------
    fit_intercept : bool
        Take the means off features and outputs, so that an offset costs nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from cellsolve.compression import Moments, compress
    >>> rng = np.random.default_rng(0)
    >>> moments = Moments()
    >>> for _ in range(10):  # batches that need not be there together
    ...     features = np.maximum(rng.standard_normal((100, 50)), 0)
    ...     _ = moments.update(features, features[:, :3] @ rng.standard_normal((3, 5)))
    >>> compress(moments, lam=0.1 * moments.lam_max()).n_kept <= 50
    True
    """

    def __init__(self, *, fit_intercept: bool = False) -> None:
        self.fit_intercept = bool(fit_intercept)
        #: the powers of two by which features and outputs are divided
        self.units = (0, 0)
        self._origin: tuple[Array, Array] | None = None
        self._sums: Sums | None = None

    def update(self, features: ArrayLike, outputs: ArrayLike) -> Moments:
        """Add a batch of samples: features (N, K), outputs (N, m) or (N,); return self.

        Raises
        ------
        ValueError
            For anything that is not finite and real, or does not fit to the batches before. Nothing is added then, nor
            at Ctrl-C.
        """
        first, second = as_batch(features, outputs)
        total = self._sums
        if total is None:
            self.units = unit_of(first), unit_of(second)
            self._origin = None
        else:
            refuse_widths((first, second), total.cross.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            for phi, psi in in_units(first, second, self.units):
                part = self._of(phi, psi)
                total = part if total is None else total + part
        assert total is not None
        if not (np.isfinite(total.gram).all() and np.isfinite(total.cross).all() and np.isfinite(total.squares).all()):
            raise ValueError("features or outputs of this batch are too large beside those of the first for float64.")
        self.__dict__.pop("_flat", None)
        self._sums = total
        return self

    @property
    def n_samples(self) -> int:
        """Number of samples so far."""
        return 0 if self._sums is None else self._sums.count

    @property
    def n_neurons(self) -> int:
        """Number of features K."""
        return len(self._total.gram)

    def lam_max(self, group_size: int = 1) -> float:
        """Return the least `lam` for which no neuron is kept, where a path of values begins."""
        refuse_size(group_size, self.n_neurons)
        with np.errstate(over="ignore"):
            return float(np.ldexp(lengths(self.cross, group_size).max(), sum(self.units)))

    @property
    def gram(self) -> Array:
        """Phi' Phi / N in units, of features less their means where an intercept is fitted."""
        gram = self._total.gram / self.n_samples
        gram[self._flat[0]], gram[:, self._flat[0]] = 0.0, 0.0
        return gram

    @property
    def cross(self) -> Array:
        """Phi' Psi / N in units."""
        cross = self._total.cross / self.n_samples
        cross[self._flat[0]], cross[:, self._flat[1]] = 0.0, 0.0
        return cross

    @property
    def square(self) -> float:
        """|Psi|^2 / N in units."""
        return float(self._total.squares[~self._flat[1]].sum()) / self.n_samples

    @property
    def unseen(self) -> Array:
        """The lengths, over root N, of features that count as constant, zero for the others, in units."""
        spreads: Array = np.sqrt(self._total.gram.diagonal() / self.n_samples) * self._flat[0]
        return spreads

    @property
    def means(self) -> tuple[Array, Array]:
        """What features and outputs are less of, in units: zero without an intercept."""
        assert self._origin is not None
        first, second = (origin + mean for origin, mean in zip(self._origin, self._total.means))
        return first, second

    @property
    def rounding(self) -> float:
        """What an entry of `gram` may be wrong by, as a share of the roots of the diagonal's entries, or of `square`.

        A sum of n products is wrong by n u times the sum of their sizes at most, u = 2^-53, in whatever order. What is
        less a mean is known to u times that mean.
        """
        total, far = self._total, 0.0
        for mean, squares, flat in zip(total.means, (total.gram.diagonal(), total.squares), self._flat):
            if self.fit_intercept and not flat.all():
                far = max(far, float(np.max(np.abs(mean[~flat]) / np.sqrt(squares[~flat] / total.count))))
        return (ROWS + total.blocks + 8 + 2 * far) * UNIT

    @property
    def _total(self) -> Sums:
        if self._sums is None:
            raise ValueError("these Moments have no samples yet; call their update.")
        return self._sums

    @cached_property
    def _flat(self) -> tuple[np.ndarray, np.ndarray]:
        """Which features and outputs are constant but for the rounding of their means, and so nothing is left of."""
        total = self._total
        if not self.fit_intercept:
            return np.zeros(len(total.gram), dtype=bool), np.zeros(len(total.squares), dtype=bool)
        spreads = (np.sqrt(part / total.count) for part in (total.gram.diagonal(), total.squares))
        first, second = (spread <= FLAT * np.abs(mean) for spread, mean in zip(spreads, self.means))
        return first, second

    def _of(self, phi: Array, psi: Array) -> Sums:
        """Return the sums of a block, which it overwrites."""
        means = np.zeros(phi.shape[1]), np.zeros(psi.shape[1])
        if self.fit_intercept:
            if self._origin is None:
                self._origin = phi.mean(axis=0), psi.mean(axis=0)
            for part, mean, origin in zip((phi, psi), means, self._origin):
                middle = part.mean(axis=0)
                part -= middle
                rest = part.mean(axis=0)  # what the mean was rounded by
                part -= rest
                mean += (middle - origin) + rest
        elif self._origin is None:
            self._origin = means
        return Sums(len(phi), means, phi.T @ phi, phi.T @ psi, np.einsum("ij,ij->j", psi, psi))


def refuse_size(group_size: Any, columns: int) -> int:
    """Return the size of groups of columns, or refuse one that does not divide their number."""
    size = count(group_size, "group_size")
    if columns % size:
        raise ValueError(f"group_size is {size}, which does not divide the {columns} columns of features.")
    return size


def refuse_widths(batch: tuple[Any, Any], widths: tuple[int, int]) -> None:
    """Refuse a batch whose numbers of columns are others than those of the batches before."""
    for name, part, width in zip(("features", "outputs"), batch, widths):
        if part.shape[1] != width:
            raise ValueError(f"{name} have {part.shape[1]} columns, but those of the batches before had {width}.")


def as_batch(features: ArrayLike, outputs: ArrayLike) -> tuple[Any, Any]:
    """Return both as real arrays with two dimensions and as many rows, in the dtype that they have."""
    checked = []
    for name, part in (("features", features), ("outputs", outputs)):
        if issparse(part) or isinstance(part, np.ma.MaskedArray):
            raise ValueError(f"{name} are a {type(part).__name__}; pass a plain array, with a number for every entry.")
        try:
            array = np.asarray(part)
        except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors that NumPy has no word for
            raise ValueError(f"{name} cannot be read as a matrix; pass numbers that NumPy has. {error}") from error
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} have dtype {array.dtype}; pass real numbers.")
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ValueError(f"{name} have {array.ndim} dimensions; pass a matrix, samples first.")
        if not array.size:
            raise ValueError(f"{name} have shape {array.shape}; at least one row and one column are needed.")
        if not np.isfinite(array).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{name} have a NaN or an infinite value, the first at {place}; leave such samples out.")
        checked.append(array)
    if len(checked[0]) != len(checked[1]):
        raise ValueError(f"outputs have {len(checked[1])} rows but features have {len(checked[0])}; give one a sample.")
    return checked[0], checked[1]


def in_units(features: Any, outputs: Any, units: tuple[int, int]) -> Iterator[tuple[Array, Array]]:
    """Yield both in units, as float64, some rows at a time; these are the caller's to overwrite."""
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        yield _divided(features[rows], units[0]), _divided(outputs[rows], units[1])


def _divided(values: Any, unit: int) -> Array:
    if abs(unit) > 1000:  # beyond, the power of two is not a float
        return np.ldexp(values, -unit, dtype=float)
    return np.multiply(values, 2.0**-unit, dtype=float)


def unit_of(values: Any) -> int:
    """Return the exponent of the power of two that is next to the largest size, 0 where all are 0."""
    size = max(float(values.max()), -float(values.min()))
    return int(np.frexp(size)[1]) if size else 0
