"""SparseMeasure: a shallow ReLU network as a signed sum of point masses over neurons."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array, as_points, lengths, lift, sorting
from cellsolve.potentials import Potential, as_potential
from cellsolve.replacing import replacing

#: columns of the response matrix whose smallest singular value, relative to the largest after scaling them to unit
#: length, is below this are treated as dependent: a null direction moves the fit by about this much, a few
#: hundred roundings, and no more
RANK_TOLERANCE = 1e-12

#: kinks are one where they are at most this share of their size apart, some 250 roundings: a kink is -b / a, and the
#: solvers leave neurons that face each other at one some ten roundings apart, or a hundred where no data point holds
#: them; points of real data are farther from each other
SAME_KINK = 2.0**-44

#: points times neurons above which a network of one input is walked through in order
LARGE = 2**18
#: how many times the largest value of a network the sum of its terms may be before their rounding shows
CANCELS = 2.0**10

FORMAT = "cellsolve-measure-1"


@dataclass(frozen=True, eq=False)
class SparseMeasure:
    """The network f(x) = sum_k c_k relu(<theta_k, x~>) + offset + x @ linear, x~ = (x, 1) or x without biases.

    Parameters
    ----------
    neurons : array-like, shape (K, D)
        Rows theta_k = (a_k, b_k) at any positive scale; D = d + 1, or d with ``fit_bias=False``.
    weights : array-like, shape (K,) or (K, m)
        Outer weights c_k; with two dimensions the network has m outputs.
    offset : float or array-like (m,), optional
        Constant of the free part.
    linear : array-like, shape (d,) or (d, m), optional
        Linear map of the free part (skip connection).
    fit_bias : bool
        Whether the last entry of a neuron is its bias.

    Raises
    ------
    ValueError
        Shapes that do not fit, or entries that are not finite.
    """

    neurons: Array
    weights: Array
    offset: Any = field(default=None, kw_only=True)
    linear: Any = field(default=None, kw_only=True)
    fit_bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        neurons = np.array(self.neurons, dtype=np.float64)
        weights = np.array(self.weights, dtype=np.float64)
        if neurons.ndim != 2:
            raise ValueError(f"neurons has {neurons.ndim} dimensions; pass one row theta_k per neuron, shape (K, D).")
        if neurons.shape[1] < (2 if self.fit_bias else 1):
            raise ValueError("neurons needs one column per feature and, with fit_bias=True, one for the bias.")
        if weights.ndim not in (1, 2) or len(weights) != len(neurons):
            raise ValueError(f"weights has shape {weights.shape}; pass (K,) or (K, m) for the {len(neurons)} neurons.")
        outputs = weights.shape[1:]
        offset = None if self.offset is None else np.array(self.offset, dtype=np.float64)
        linear = None if self.linear is None else np.array(self.linear, dtype=np.float64)
        d = neurons.shape[1] - self.fit_bias
        if offset is not None and offset.shape != outputs:
            raise ValueError(f"offset has shape {offset.shape}; it has to match the outputs, {outputs}.")
        if linear is not None and linear.shape != (d, *outputs):
            raise ValueError(f"linear has shape {linear.shape}; pass {(d, *outputs)}: features, then outputs.")
        for name, part in (("neurons", neurons), ("weights", weights), ("offset", offset), ("linear", linear)):
            if part is not None and not np.isfinite(part).all():
                raise ValueError(f"{name} has an entry that is not finite.")
            if part is not None:
                part.setflags(write=False)
        object.__setattr__(self, "neurons", neurons)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "linear", linear)

    # -- what it is -----------------------------------------------------------------------------------------

    @property
    def n_neurons(self) -> int:
        """Number of neurons K."""
        return len(self.neurons)

    @property
    def n_features(self) -> int:
        """Number of inputs d."""
        return self.neurons.shape[1] - self.fit_bias

    @property
    def n_outputs(self) -> int:
        """Number of outputs m (1 where `weights` is flat)."""
        return self.weights.shape[1] if self.weights.ndim == 2 else 1

    def predict(self, X: ArrayLike) -> Array:
        """Return f(X), shape (n,) or (n, m)."""
        return self.values(self._points(X))

    def values(self, points: Array, order: tuple[np.ndarray, Array] | None = None) -> Array:
        """Return f at `points` (n, d), for callers that know them; of one input, `order` and the points in order.

        Of one input sums are of two floats each where there are many neurons, or digits cancel.
        """
        on_line = self.n_features == 1 and self.fit_bias
        if not on_line or points.size * self.n_neurons <= LARGE:
            lifted = lift(points, self.fit_bias)
            result = np.maximum(lifted @ self.neurons.T, 0.0) @ self.weights
            if self.offset is not None:
                result = result + self.offset
            if self.linear is not None:
                result = result + points @ self.linear
            if not on_line or self._terms(lifted) <= CANCELS * np.abs(result).max(initial=0.0):
                return result
        from cellsolve.kinks import network_on_line  # numba is not light

        weights = self.weights.reshape(self.n_neurons, self.n_outputs)
        if order is None:
            order = sorting(points[:, 0])
        offset = None if self.offset is None else np.atleast_1d(self.offset)
        result = network_on_line(self.neurons, weights, *order, self.linear, offset)
        return result.reshape(len(points), *self.weights.shape[1:])

    def norm(self, penalty: str | Potential = "variation", X: ArrayLike | None = None) -> float:
        """Return sum_k ||c_k|| w(theta_k); `X` is needed by potentials that depend on the data."""
        return float(np.sum(self._sizes() * self._w(penalty, X)))

    def kinks(self) -> tuple[Array, Array]:
        """Return the places where f' jumps and by how much, for one input; sorted, equal places summed.

        Places are equal where they differ by rounding: by at most `SAME_KINK` of their own size or, for those nearer
        to 0, of the median size of all.

        Returns
        -------
        locations : (J,)
        jumps : (J,) or (J, m)
        """
        if self.n_features != 1:
            raise ValueError(f"kinks needs a measure on one feature; this one has {self.n_features}.")
        slope = self.neurons[:, 0]
        steep = slope != 0
        bias = self.neurons[steep, 1] if self.fit_bias else np.zeros(int(steep.sum()))
        where = -bias / slope[steep] + 0.0
        jumps = (self.weights[steep].T * np.abs(slope[steep])).T
        if not len(where):
            return where, jumps
        order = np.argsort(where, kind="stable")
        where, jumps = where[order], jumps[order]
        # not the largest size: a neuron that is all but constant has its kink far out, where no data are
        size = np.maximum(np.abs(where), np.median(np.abs(where)))
        apart = np.diff(where) > SAME_KINK * np.maximum(size[1:], size[:-1])
        first = np.flatnonzero(np.concatenate([[True], apart]))
        return where[first], np.add.reduceat(jumps, first)

    def balanced(self) -> tuple[Array, Array]:
        """Return inner (K, D) and outer (K, m) weights of the same network with ||inner_k|| = ||outer_k||.

        This is the scale that weight decay settles on: (||inner||^2 + ||outer||^2) / 2 summed over neurons is
        then the variation norm.
        """
        sizes, inner = self._sizes(), lengths(self.neurons)
        live = (sizes > 0) & (inner > 0)
        scale = np.sqrt(sizes[live]) / np.sqrt(inner[live])
        outer = self.weights[live].reshape(int(live.sum()), self.n_outputs)
        return self.neurons[live] * scale[:, None], outer / scale[:, None]

    # -- the same function, written differently -------------------------------------------------------------

    def normalized(self, penalty: str | Potential = "variation", X: ArrayLike | None = None) -> SparseMeasure:
        """Return the same function with w(theta_k) = 1; neurons without weight, or with w = 0, are dropped.

        A neuron with w = 0 contributes nothing on `X` under ``label_noise``; under ``slope`` it is a constant and
        moves into the offset.
        """
        w = self._w(penalty, X)
        with np.errstate(over="ignore"):  # w so small that theta / w is no float is 0 beside theta
            w = np.where(np.isfinite(np.abs(self.neurons).max(axis=1, initial=0.0) / np.where(w > 0, w, 1.0)), w, 0.0)
        sizes = self._sizes()
        offset = self.offset
        if as_potential(penalty).free_constant(self.fit_bias):
            flat = (w == 0) & (sizes > 0) & (self.neurons[:, -1] > 0)
            if flat.any():
                offset = (0.0 if offset is None else offset) + self.neurons[flat, -1] @ self.weights[flat]
        keep = (w > 0) & (sizes > 0)
        weights = (self.weights[keep].T * w[keep]).T
        return self._like(self.neurons[keep] / w[keep, None], weights, offset=offset)

    def merge(self, tol: float = 1e-12) -> SparseMeasure:
        """Return the same function with parallel neurons summed.

        With a linear free part theta and -theta are one neuron too: relu(-t) = relu(t) - t.

        Parameters
        ----------
        tol : float
            Two neurons are parallel where the distance of their directions is at most `tol`; above rounding the
            function changes by that much, relative to the neuron's own size. A group takes the mean direction.
        """
        size = lengths(self.neurons)
        live = (size > 0) & (self._sizes() > 0)
        directions = self.neurons[live] / size[live, None]
        weights = (self.weights[live].T * size[live]).T
        offset, linear = self.offset, self.linear
        if linear is not None and (offset is not None or not self.fit_bias):
            directions, weights, offset, linear = self._one_facing(directions, weights, offset, linear, tol)
        labels = _clusters(directions, tol)
        count = labels.max(initial=-1) + 1
        totals = np.zeros((count, *weights.shape[1:]))
        np.add.at(totals, labels, weights)
        means = np.zeros((count, directions.shape[1]))
        sizes = np.abs(weights).reshape(len(weights), self.n_outputs).max(axis=1)  # no squares: they may underflow
        np.add.at(means, labels, directions * (sizes / sizes.max(initial=0.0))[:, None])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        keep = np.any(totals != 0, axis=tuple(range(1, totals.ndim))) if totals.ndim > 1 else totals != 0
        return self._like(means[keep], totals[keep], offset=offset, linear=linear)

    def prune(self, X: ArrayLike, penalty: str | Potential = "variation") -> SparseMeasure:
        """Return a measure with the same values on `X`, no larger norm, and at most n m - rank(B) neurons.

        Moves the masses along null directions of the response matrix until none is left (Carathéodory): a basic
        solution of the l1 program over the same neurons. B is the free part that this measure has. The fit moves
        by rounding only (`RANK_TOLERANCE`).
        """
        points = self._points(X)
        measure = self.normalized(penalty, X)
        lifted = lift(points, self.fit_bias)
        basis = measure._free_basis(points)
        outputs = measure.n_outputs
        sizes = measure._sizes()
        directions = (measure.weights.T / sizes).T.reshape(len(sizes), outputs)
        responses = np.maximum(lifted @ measure.neurons.T, 0.0)
        if basis.shape[1]:
            left, spectrum, _ = np.linalg.svd(basis, full_matrices=False)
            q = left[:, spectrum > RANK_TOLERANCE * spectrum.max(initial=0.0)]
            responses = responses - q @ (q.T @ responses)
        columns = np.einsum("ik,km->imk", responses, directions).reshape(len(points) * outputs, -1)
        masses = _basic(columns, sizes)
        keep = masses > 0
        weights = (measure.weights[keep].T * (masses[keep] / sizes[keep])).T
        pruned = measure._like(measure.neurons[keep], weights)
        if not basis.shape[1]:
            return pruned
        change = np.linalg.lstsq(basis, measure.predict(points) - pruned.predict(points), rcond=None)[0]
        return pruned._add_free(np.asarray(change, dtype=np.float64))

    # -- files and other libraries --------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write a JSON file, which appears when it is whole; floats are read back bit for bit."""
        content = {
            "format": FORMAT,
            "fit_bias": self.fit_bias,
            "neurons": self.neurons.tolist(),
            "shape": list(self.neurons.shape),
            "weights": self.weights.tolist(),
            "outputs": list(self.weights.shape[1:]),
            "offset": None if self.offset is None else self.offset.tolist(),
            "linear": None if self.linear is None else self.linear.tolist(),
        }
        with replacing(path) as draft:
            draft.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> SparseMeasure:
        """Read a file written by `save`.

        Raises
        ------
        ValueError
            The file is not such a file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r} is not {FORMAT!r}")
            shape = content["shape"]
            return cls(
                np.array(content["neurons"], dtype=np.float64).reshape(shape),
                np.array(content["weights"], dtype=np.float64).reshape(shape[0], *content["outputs"]),
                offset=content["offset"],
                linear=content["linear"],
                fit_bias=bool(content["fit_bias"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a measure saved by cellsolve ({error}).") from error

    def to_torch(self) -> Any:
        """Return a torch module that computes the same function in float64 (needs torch)."""
        from cellsolve.converters import to_torch

        return to_torch(self)

    @classmethod
    def from_torch(cls, module: Any) -> SparseMeasure:
        """Read a torch network with one hidden ReLU layer (needs torch)."""
        from cellsolve.converters import from_torch

        return from_torch(module)

    def to_onnx(self, path: str | Path) -> None:
        """Write an ONNX graph of the same function in float64 (needs onnx)."""
        from cellsolve.converters import to_onnx

        to_onnx(self, path)

    def __repr__(self) -> str:
        free = [name for name in ("offset", "linear") if getattr(self, name) is not None]
        shape = f"{self.n_features} -> {self.n_outputs}"
        return f"SparseMeasure({self.n_neurons} neurons, {shape}{', free: ' + ' and '.join(free) if free else ''})"

    # -- inside ---------------------------------------------------------------------------------------------

    def _points(self, X: ArrayLike) -> Array:
        points = as_points(X)
        if points.shape[1] != self.n_features:
            raise ValueError(f"X has {points.shape[1]} features; this measure was made for {self.n_features}.")
        return points

    def _terms(self, lifted: Array) -> float:
        """Return how large the terms are, at most, that the values of the network are sums of."""
        largest = np.abs(lifted).max(axis=0, initial=0.0)
        free = 0.0 if self.offset is None else np.abs(self.offset).max(initial=0.0)
        if self.linear is not None:
            free += (largest[: self.n_features] @ np.abs(self.linear)).max(initial=0.0)
        return float(np.abs(self.neurons) @ largest @ self._sizes() + free)

    def _sizes(self) -> Array:
        return np.abs(self.weights) if self.weights.ndim == 1 else lengths(self.weights)

    def _w(self, penalty: str | Potential, X: ArrayLike | None) -> Array:
        potential = as_potential(penalty)
        if potential.depends_on_data and X is None:
            raise ValueError(f"penalty {potential.name} depends on the data; pass X.")
        lifted = np.zeros((0, self.neurons.shape[1])) if X is None else lift(self._points(X), self.fit_bias)
        return potential.value(self.neurons, lifted, self.fit_bias)

    def _free_basis(self, points: Array) -> Array:
        parts = [] if self.linear is None else [points]
        parts += [] if self.offset is None else [np.ones((len(points), 1))]
        return np.column_stack(parts) if parts else np.zeros((len(points), 0))

    def _add_free(self, change: Array) -> SparseMeasure:
        d = self.n_features if self.linear is not None else 0
        linear = None if self.linear is None else self.linear + change[:d]
        offset = None if self.offset is None else self.offset + change[d]
        return self._like(self.neurons, self.weights, offset=offset, linear=linear)

    def _like(self, neurons: Array, weights: Array, **free: Any) -> SparseMeasure:
        free = {"offset": self.offset, "linear": self.linear} | free
        return SparseMeasure(neurons, weights, fit_bias=self.fit_bias, **free)

    def _one_facing(self, directions, weights, offset, linear, tol):
        """Turn -theta into theta where both are there: c relu(-t) = c relu(t) - c t."""
        d = self.n_features
        for k in range(len(directions)):
            near = np.abs(directions[:k] + directions[k]).max(axis=1, initial=0.0) <= max(tol, 1e-15)
            if near.any():
                c, theta = weights[k], directions[k]
                linear = linear + np.multiply.outer(theta[:d], c)
                offset = offset + theta[d] * c if self.fit_bias else offset
                directions = directions.copy()
                directions[k] = -theta
        return directions, weights, offset, linear


def _clusters(directions: Array, tol: float) -> np.ndarray:
    """Label rows so that rows within `tol` of a cluster's first row share its label; first come, first named."""
    labels = np.full(len(directions), -1)
    count = 0
    for k in range(len(directions)):
        if labels[k] < 0:
            near = np.linalg.norm(directions - directions[k], axis=1) <= max(tol, 0.0)
            labels[near & (labels < 0)] = count
            count += 1
    return labels


def _basic(columns: Array, masses: Array) -> Array:
    """Return masses >= 0 on independent columns with columns @ masses unchanged and a sum that is no larger."""
    masses = masses.copy()
    scale = np.linalg.norm(columns, axis=0)
    masses[scale <= RANK_TOLERANCE * scale.max(initial=0.0)] = 0.0  # these respond nowhere, up to the free part
    columns = np.asarray(
        np.linalg.qr(columns, mode="r"), dtype=np.float64
    )  # as many rows as matter to what is dependent
    rows = len(columns)
    while True:
        active = np.flatnonzero(masses)[: rows + 1]
        if not len(active):
            return masses
        unit = columns[:, active] / scale[active]
        left = np.linalg.svd(unit)
        spectrum = np.concatenate([left[1], np.zeros(len(active) - len(left[1]))])
        if spectrum[-1] > RANK_TOLERANCE * spectrum[0]:
            if len(active) == np.count_nonzero(masses):
                return masses
            raise AssertionError("more independent columns than rows")
        direction = left[2][-1] / scale[active]
        if direction.sum() < 0:
            direction = -direction
        positive = np.flatnonzero(direction > 0)
        ratios = masses[active[positive]] / direction[positive]
        first = positive[np.argmin(ratios)]
        masses[active] = np.maximum(masses[active] - ratios.min() * direction, 0.0)
        masses[active[first]] = 0.0
