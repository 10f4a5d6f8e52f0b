"""compress_layer: a smaller copy of a torch network, without the neurons that the next layer can do without."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from scipy.linalg import lstsq

from cellsolve.checks import count, positive, seed
from cellsolve.compression.compressed import Compression, compress
from cellsolve.compression.exact import Triangle
from cellsolve.compression.features import batches, copied, features_of, reader_of, weights_of
from cellsolve.compression.groups import rows
from cellsolve.compression.moments import Moments
from cellsolve.compression.surgery import Source, columns, keep_only, source_of, write
from cellsolve.data import Array
from cellsolve.solution import Status

#: a given error: lam is halved until it is met, to 2 ** SMALLEST of the largest at least, then bisected, to a hundredth
SMALLEST, BISECTIONS = -40, 6
#: eigenvalues of Phi' Phi below this share of the largest are rounding of float32 features
PRECISION = 1e-12


@dataclass(frozen=True, eq=False)
class CompressedLayer:
    """What `compress_layer` returns.

    Attributes
    ----------
    module : torch.nn.Module
        A copy of the network with fewer neurons; the one passed is as it was.
    compression : Compression
        The convex program's solution: its weights, its gap, which neurons are kept. Its error is that of these weights,
        in float64 and before they are fitted anew.
    error : float
        Relative error, on the data passed, of what the layer gives, its bias aside, with the weights that the module
        has now, in its precision; of what is left after the means with `fit_intercept`. Below 1e-8 it is not known
        better than that where it comes of sums of products, so unless outputs are exact: neurons that make up for
        others cancel in them.
    hindrance : str or None
        Why the neurons are not gone from the layer that makes them, None if they are. Otherwise the weights of the
        dropped ones are zero, and the module is as wide as before.
    """

    module: Any
    compression: Compression
    error: float
    hindrance: str | None

    @property
    def removed(self) -> bool:
        """Whether the neurons are gone from the layer that makes them."""
        return self.hindrance is None

    @property
    def kept(self) -> np.ndarray:
        """The neurons, or channels, that are kept; columns of the layer if it is linear and they stay (`removed`)."""
        return self.compression.kept

    @property
    def n_kept(self) -> int:
        """How many are in `kept`."""
        return self.compression.n_kept

    def __repr__(self) -> str:
        gone = "the others removed" if self.removed else f"the weights of the others zero ({self.hindrance})"
        gap = f"gap={self.compression.gap:.2g}"
        return f"CompressedLayer({self.n_kept} neurons kept, {gone}, error={self.error:.2g}, {gap})"


def compress_layer(
    module: Any,
    layer: str,
    data: Any,
    *,
    lam: float | None = None,
    max_error: float | None = None,
    tol: float = 1e-6,
    refit: bool = True,
    fit_intercept: bool = False,
    positions: int | None = None,
    random_state: Any = None,
) -> CompressedLayer:
    r"""Drop neurons of a torch network that the layer reading them can do without.

    The layer gives :math:`V\varphi(x)+b` for the activations :math:`\varphi(x)` that reach it; `compress` looks for
    other weights V on few of them that give nearly the same on the data, or exactly the same. For a convolution a
    neuron is an input channel, and its weights in all outputs and places of the kernel are one group.

    Parameters
    ----------
    module : torch.nn.Module
        The network; a copy of it is run in evaluation mode, and it stays as it is.
    layer : str
        Name of the nn.Linear or nn.Conv2d that reads the neurons, as in ``module.named_modules()``: the last layer, to
        compress the last hidden one.
    data : tensor, array, or iterable of batches
        Inputs of the network. A batch may be a tuple that begins with them, as a DataLoader gives it; a tuple or list
        itself is taken as batches. Floats are turned
        into the precision of the network's first parameters, integers are passed as they are. One batch, besides the
        first, is in memory at a time.
    lam : float, optional
        Weight of the norms, see `compress`; None keeps what the layer gives exactly, which drops neurons where there
        are fewer samples than neurons or the activations are dependent.
    max_error : float, optional
        In place of lam: the largest lam whose `error`, after refitting if asked for, is at most this. Ctrl-C ends the
        search: the largest lam so far that will do is returned, with the status ``interrupted``; if there is none yet,
        KeyboardInterrupt goes on.
    tol : float
        Proven relative gap of the convex program.
    refit : bool
        Fit the weights of the kept neurons anew, without a penalty, if that lowers the error: closer to what the layer
        gave, no more neurons. The gap and the objective are those before. Exact outputs need no refit.
    fit_intercept : bool
        Let the bias of the layer change too.
    positions : int, optional
        For convolutions: look at so many random places of each image only, others in each, in place of all.
    random_state : int, numpy.random.Generator or None
        Which places.

    Returns
    -------
    CompressedLayer

    Raises
    ------
    ValueError
        A layer that is not there, not called, or not a plain Linear or Conv2d (pruned, or with a parametrisation of its
        weights); data without samples, with NaN or on which the network fails; or both of lam and max_error.

    Warns
    -----
    UserWarning
        No lam down to 1e-12 of the largest has an error of at most max_error; the one of least error is returned.

    Notes
    -----
    What makes the neurons is found by tracing the network, in evaluation mode, backwards through activations, dropout,
    batch normalisation, pooling and flattening. They stay, and their weights in this layer are zero, where something
    else reads them too (a skip connection), where a module on the way has hooks, shares its parameters or is called
    twice, where they are not apart from each other there (positions of a sequence that is flattened), or where the
    network cannot be traced. Weights that the layer shared with another are its own afterwards; the other keeps its.

    Examples
    --------
    >>> import torch
    >>> from cellsolve import compress_layer
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Linear(5, 200), torch.nn.ReLU(), torch.nn.Linear(200, 3))
    >>> small = compress_layer(network, "2", torch.randn(1000, 5), max_error=0.02)
    >>> small.module[0].out_features == small.n_kept < 200
    True
    """
    reader = reader_of(module, layer)
    if lam is not None and max_error is not None:
        raise ValueError("lam and max_error are both given; pass one of them.")
    max_error = None if max_error is None else positive(max_error, "max_error", None)
    places = None if positions is None else count(positions, "positions")
    rng = np.random.default_rng(seed(random_state))
    probe = copied(module).eval()
    inputs = batches(probe, data)
    first = next(inputs, None)
    if first is None:
        raise ValueError("data has no samples; pass at least one batch.")
    source = source_of(probe, layer, first)
    size = source.size if isinstance(source, Source) else columns(reader)
    exact = lam is None and max_error is None
    sums = Triangle(fit_intercept=fit_intercept) if exact else Moments(fit_intercept=fit_intercept)
    weights = weights_of(reader)
    for batch in chain([first], inputs):
        for features in features_of(probe, probe.get_submodule(layer), batch, places, rng):
            sums.update(features, features.astype(float) @ weights.T)
    if not sums.n_samples:
        raise ValueError(
            f"layer {layer!r} is not called when module runs; pass one that is. (Attention takes the weights of its "
            "out_proj without calling it.)"
        )
    if isinstance(sums, Triangle):
        compression = compress(sums, tol=tol, group_size=size)
        fit = _written(reader, sums, compression.weights)
    else:
        compression, fit = _penalised(reader, sums, lam, max_error, tol, size, refit)
    del probe
    small = copied(module)
    write(small.get_submodule(layer), fit.weights, fit.bias)
    hindrance = None
    if not compression.n_kept:
        hindrance = "no layer has zero neurons"
    elif isinstance(source, Source):
        keep_only(small, layer, source, compression.kept)
    else:
        hindrance = source
    return CompressedLayer(small, compression, fit.error, hindrance)


@dataclass(frozen=True)
class Fit:
    """Weights (m, K) and bias in the precision of the layer, None where that stays, and their relative error."""

    weights: Array
    bias: Array | None
    error: float


def _written(reader: Any, sums: Moments | Triangle, weights: Array) -> Fit:
    """Return what a layer has of these weights.

    As it gave outputs by weights V, what it misses is Phi (W - V)', in which nothing cancels that is near V.
    """
    features, outputs = sums.units
    weights = _rounded(weights, reader.weight)
    if not np.isfinite(weights).all():  # too large for half precision
        return Fit(weights, None, np.inf)
    change = np.ldexp((weights - weights_of(reader)).T, features - outputs)
    if isinstance(sums, Triangle):
        total, number = float(np.sum(sums.parts[1] ** 2)), sums.n_samples
        missed = float(np.sum((sums.parts[0] @ change) ** 2))
    else:
        total, number = sums.square, 1
        missed = max(float(np.vdot(change, sums.gram @ change)), 0.0)
    if not weights.any():
        missed = total  # to the last digit
    bias = None
    if sums.fit_intercept:
        before = 0.0 if reader.bias is None else reader.bias.detach().double().cpu().numpy()
        best = before - np.ldexp(sums.means[0] @ change, outputs)
        bias = _rounded(best, reader.weight if reader.bias is None else reader.bias)
        missed += number * float(np.sum(np.ldexp(bias - best, -outputs) ** 2))
    return Fit(weights, bias, float(np.sqrt(missed / total)) if total else 0.0)


def _penalised(
    reader: Any, moments: Moments, lam: float | None, max_error: float | None, tol: float, size: int, refit: bool
) -> tuple[Compression, Fit]:
    """Return the compression and what the layer has of it, for the lam given or the largest whose error is allowed."""

    def attempt(lam: float, start: Compression | None = None) -> tuple[Compression, Fit]:
        found = compress(moments, lam=lam, tol=tol, group_size=size, start=start)
        fits, at = [found.weights], rows(found.kept, size)
        if refit and found.n_kept:  # as they were, nothing is rounded
            for values in (_least_squares(moments, at), weights_of(reader)[:, at]):
                fits.append(np.zeros_like(found.weights))
                fits[-1][:, at] = values
        return found, min((_written(reader, moments, weights) for weights in fits), key=lambda fit: fit.error)

    if lam is not None:
        return attempt(lam)
    assert max_error is not None
    return _largest(attempt, moments.lam_max(size) or 1.0, max_error)


def _largest(attempt: Callable[..., tuple[Compression, Fit]], most: float, max_error: float) -> tuple[Compression, Fit]:
    """Return the attempt at the largest lam, up to a hundredth, whose error is small enough; at Ctrl-C the best yet."""
    met, power = None, 0.0

    def tried(power: float, start: Compression | None) -> tuple[Compression, Fit]:
        found = attempt(most * 2.0**power, start)
        if found[0].status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return found

    try:
        last = best = tried(power, None)
        while last[1].error > max_error and power > SMALLEST:
            power -= 1
            last = tried(power, last[0])
            best = min(best, last, key=lambda found: found[1].error)
        if last[1].error > max_error:
            reached = f"the least error is {best[1].error:.3g}, at lam={best[0].lam:.3g}"
            warnings.warn(f"max_error={max_error:g} is not met: {reached}.", stacklevel=4)
            return best
        met, high = last, power + 1
        for _ in range(BISECTIONS if power else 0):
            middle = (power + high) / 2
            found = tried(middle, met[0])
            if found[1].error <= max_error:
                met, power = found, middle
            else:
                high = middle
    except KeyboardInterrupt:
        if met is None:
            raise
        return replace(met[0], status=Status.INTERRUPTED), met[1]
    return met


def _least_squares(moments: Moments, at: np.ndarray) -> Array:
    """Return the weights (m, columns) of these columns that are best without a penalty."""
    gram, cross = moments.gram[np.ix_(at, at)], moments.cross[at]
    scales = np.sqrt(gram.diagonal())
    scales = np.where(scales > 0, scales, 1.0)[:, None]  # so that small ones count as much
    weights: Array = lstsq(gram / (scales * scales.T), cross / scales, cond=PRECISION)[0] / scales
    return np.ldexp(weights.T, moments.units[1] - moments.units[0])


def _rounded(values: Array, like: Any) -> Array:
    rounded: Array = torch.as_tensor(values).to(like.dtype).double().numpy()
    return rounded
