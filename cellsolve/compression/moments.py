"""What compression has to know of features and outputs: their products, summed over samples a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array

#: rows that are turned into float64 and multiplied at once: a fast product, and no copy of all data
ROWS = 8192


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
    ...     moments.update(features, features[:, :3] @ rng.standard_normal((3, 5)))
    >>> compress(moments, lam=0.05).n_kept <= 50
    True
    """

    def __init__(self, *, fit_intercept: bool = False) -> None:
        self.fit_intercept = bool(fit_intercept)
        #: samples so far
        self.n_samples = 0
        #: the powers of two by which features and outputs are divided
        self.units = (0, 0)

    def update(self, features: ArrayLike, outputs: ArrayLike) -> Moments:
        """Add a batch of samples: features (N, K), outputs (N, m) or (N,); return self.

        Raises
        ------
        ValueError
            For anything that is not finite and real, or does not fit to the batches before. Nothing is added then.
        """
        first, second = as_batch(features, outputs)
        if not self.n_samples:
            self._begin(first, second)
        refuse_widths((first, second), self._cross.shape)
        gram, cross = np.zeros_like(self._gram), np.zeros_like(self._cross)
        sums, square = [np.zeros_like(shift) for shift in self._shifts], 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            for phi, psi in blocks(first, second, self.units):
                if self.fit_intercept:
                    phi, psi = phi - self._shifts[0], psi - self._shifts[1]
                    sums[0] += phi.sum(axis=0)
                    sums[1] += psi.sum(axis=0)
                gram += phi.T @ phi
                cross += phi.T @ psi
                square += float(np.vdot(psi, psi))
        if not (np.isfinite(gram).all() and np.isfinite(cross).all() and np.isfinite(square)):
            raise ValueError("features or outputs of this batch are too large beside those of the first for float64.")
        self._gram += gram
        self._cross += cross
        self._square += square
        for total, part in zip(self._sums, sums):
            total += part
        self.n_samples += len(first)
        return self

    @property
    def n_neurons(self) -> int:
        """Number of features K."""
        return len(self._gram)

    @property
    def gram(self) -> Array:
        """Phi' Phi / N in units, of features less their means where an intercept is fitted."""
        mean = self._sums[0] / self.n_samples
        return self._gram / self.n_samples - np.outer(mean, mean)

    @property
    def cross(self) -> Array:
        """Phi' Psi / N in units."""
        return self._cross / self.n_samples - np.outer(*(total / self.n_samples for total in self._sums))

    @property
    def square(self) -> float:
        """|Psi|^2 / N in units."""
        mean = self._sums[1] / self.n_samples
        return max(self._square / self.n_samples - float(mean @ mean), 0.0)

    @property
    def means(self) -> tuple[Array, Array]:
        """What features and outputs are less of, in units: zero without an intercept."""
        first, second = (s + total / self.n_samples for s, total in zip(self._shifts, self._sums))
        return first, second

    def _begin(self, features: Any, outputs: Any) -> None:
        self.units = unit_of(features), unit_of(outputs)
        first, second = next(blocks(features, outputs, self.units))
        self._shifts = [part.mean(axis=0) * self.fit_intercept for part in (first, second)]
        self._sums = [np.zeros_like(shift) for shift in self._shifts]
        K, m = first.shape[1], second.shape[1]
        self._gram, self._cross, self._square = np.zeros((K, K)), np.zeros((K, m)), 0.0


def refuse_widths(batch: tuple[Any, Any], widths: tuple[int, int]) -> None:
    """Refuse a batch whose numbers of columns are others than those of the batches before."""
    for name, part, count in zip(("features", "outputs"), batch, widths):
        if part.shape[1] != count:
            raise ValueError(f"{name} have {part.shape[1]} columns, but those of the batches before had {count}.")


def as_batch(features: ArrayLike, outputs: ArrayLike) -> tuple[Any, Any]:
    """Return both as real arrays with two dimensions and as many rows, in the dtype that they have."""
    checked = []
    for name, part in (("features", features), ("outputs", outputs)):
        array = np.asarray(part)
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


def blocks(
    features: Any, outputs: Any, units: tuple[int, int], used: np.ndarray | slice = slice(None)
) -> Iterator[tuple[Array, Array]]:
    """Yield both in units, as float64, some rows at a time, and of the features those columns that are used."""
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        yield _divided(features[rows][:, used], units[0]), _divided(outputs[rows], units[1])


def _divided(values: Any, unit: int) -> Array:
    if abs(unit) > 1000:  # beyond, the power of two is not a float
        return np.ldexp(values, -unit, dtype=float)
    return np.multiply(values, 2.0**-unit, dtype=float)


def unit_of(values: Any) -> int:
    """Return the exponent of the power of two that is next to the largest size, 0 where all are 0."""
    size = max(float(values.max()), -float(values.min()))
    return int(np.frexp(size)[1]) if size else 0


def numerical_rank(matrix: Array) -> int:
    """Return the rank up to rounding of float64, whatever the sizes of the rows."""
    sizes = np.linalg.norm(matrix, axis=1, keepdims=True)
    return int(np.linalg.matrix_rank(matrix / np.where(sizes > 0, sizes, 1.0)))
