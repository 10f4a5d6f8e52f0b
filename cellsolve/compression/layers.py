"""compress_layer: a smaller copy of a torch network, without the neurons that the next layer can do without."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import lstsq
from torch import nn

from cellsolve.checks import count, positive, seed
from cellsolve.compression.blocks import rows
from cellsolve.compression.compressed import Compression, compress, lam_max
from cellsolve.compression.exact import Triangle
from cellsolve.compression.moments import Moments
from cellsolve.compression.surgery import group_size, keep_only, source_of
from cellsolve.data import Array

#: rows of an array that are passed through the network at once
BATCH = 256
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
        The convex program's solution: its weights, its gap, which neurons are kept.
    error : float
        Relative error of what the layer gives, its bias aside, with the weights that it has now.
    removed : bool
        Whether the neurons are gone from the layer that makes them. Where that layer was not found, the weights of the
        dropped neurons are zero instead.
    """

    module: Any
    compression: Compression
    error: float
    removed: bool

    @property
    def kept(self) -> np.ndarray:
        """The neurons, or channels, that are kept."""
        return self.compression.kept

    @property
    def n_kept(self) -> int:
        """How many neurons, or channels, are kept."""
        return self.compression.n_kept

    def __repr__(self) -> str:
        gone = "the others removed" if self.removed else "the weights of the others zero"
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
        The network; it is run in evaluation mode and stays as it is.
    layer : str
        Name of the nn.Linear or nn.Conv2d that reads the neurons, as in ``module.named_modules()``: the last layer, to
        compress the last hidden one.
    data : tensor, array, or iterable of batches
        Inputs of the network. A batch may be a tuple that begins with them, as a DataLoader gives it. One batch is in
        memory at a time.
    lam : float, optional
        Weight of the norms, see `compress`; None keeps what the layer gives exactly, which drops neurons where there
        are fewer samples than neurons or the activations are dependent.
    max_error : float, optional
        In place of lam: the largest lam whose relative error, after refitting if asked for, is at most this.
    tol : float
        Proven relative gap of the convex program.
    refit : bool
        Fit the weights of the kept neurons anew, without a penalty: closer to what the layer gave, no more neurons. The
        gap and the objective are those before.
    fit_intercept : bool
        Let the bias of the layer change too.
    positions : int, optional
        For convolutions: look at so many random places of each image only, in place of all.
    random_state : int, numpy.random.Generator or None
        Which places.

    Returns
    -------
    CompressedLayer

    Raises
    ------
    ValueError
        A layer that is not there or cannot be compressed, data without samples or with NaN, or both of lam and
        max_error.

    Notes
    -----
    What makes the neurons is found by tracing the network backwards through activations, dropout, batch normalisation,
    pooling and flattening; where something else reads them too (a skip connection), or the network cannot be traced,
    they stay and their weights in this layer are zero.

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
    reader = _reader(module, layer)
    if lam is not None and max_error is not None:
        raise ValueError("lam and max_error are both given; pass one of them.")
    max_error = None if max_error is None else positive(max_error, "max_error", None)
    places = None if positions is None else count(positions, "positions")
    source = source_of(module, layer, reader)
    size = group_size(reader, source)
    exact = lam is None and max_error is None
    weight = reader.weight.detach().double().cpu().numpy().reshape(len(reader.weight), -1)
    sums = Triangle(fit_intercept=fit_intercept) if exact else Moments(fit_intercept=fit_intercept)
    rng = np.random.default_rng(seed(random_state))
    for features in _features(module, reader, data, places, rng):
        sums.update(features, features.astype(float) @ weight.T)
    if not sums.n_samples:
        raise ValueError("data has no samples; pass at least one batch.")
    if isinstance(sums, Triangle):
        sums.precision = max(sums.precision, torch.finfo(reader.weight.dtype).eps)
        compression = compress(sums, tol=tol, group_size=size)
        weights, offset, error = compression.weights, compression.intercept, compression.error
    else:
        compression, fit = _least(sums, lam, max_error, tol, size, refit)
        weights, offset, error = fit
    small = copy.deepcopy(module)
    _write(small.get_submodule(layer), weights, offset)
    removed = source is not None and compression.n_kept > 0
    if source is not None and removed:
        keep_only(small, layer, source, compression.kept, size)
    return CompressedLayer(small, compression, error, removed)


Fit = tuple[Array, Array | None, float]


def _least(
    moments: Moments, lam: float | None, max_error: float | None, tol: float, size: int, refit: bool
) -> tuple[Compression, Fit]:
    """Return the compression and the weights of the given lam, or of the largest lam with an error small enough."""

    def attempt(lam: float, start: Compression | None = None) -> tuple[Compression, Fit]:
        found = compress(moments, lam=lam, tol=tol, group_size=size, start=start)
        return found, _refitted(moments, found, size) if refit else (found.weights, found.intercept, found.error)

    if lam is not None:
        return attempt(lam)
    assert max_error is not None
    most, power = lam_max(moments, size), 0.0
    best = attempt(most)
    while best[1][2] > max_error and power > SMALLEST:
        power -= 1
        best = attempt(most * 2.0**power, best[0])
    high = power + 1
    for _ in range(BISECTIONS if power else 0):
        middle = (power + high) / 2
        tried = attempt(most * 2.0**middle, best[0])
        if tried[1][2] <= max_error:
            best, power = tried, middle
        else:
            high = middle
    return best


def _refitted(moments: Moments, found: Compression, size: int) -> Fit:
    """Return the least-squares weights of the neurons that are kept, the intercept and the relative error."""
    if not found.n_kept:
        return found.weights, found.intercept, found.error
    gram, cross, square = moments.gram, moments.cross, moments.square
    at = rows(found.kept, size)
    weights = np.zeros_like(cross)
    weights[at] = lstsq(gram[np.ix_(at, at)], cross[at], cond=PRECISION)[0]
    missed = square + float(np.vdot(weights, gram @ weights - 2 * cross))
    features, outputs = moments.units
    offset = None
    if moments.fit_intercept:
        first, second = moments.means
        offset = np.ldexp(second - first @ weights, outputs)
    error = float(np.sqrt(max(missed, 0.0) / square)) if square else 0.0
    return np.ldexp(weights.T, outputs - features), offset, error


def _reader(module: Any, layer: str) -> Any:
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is a {type(module).__name__}; pass a torch.nn.Module.")
    named = dict(module.named_modules())
    fitting = [name for name, part in named.items() if isinstance(part, (nn.Linear, nn.Conv2d)) and name]
    reader = named.get(layer) if layer else None
    if not isinstance(reader, (nn.Linear, nn.Conv2d)):
        known = ", ".join(fitting) or "there is none"
        raise ValueError(f"layer is {layer!r}; pass the name of a Linear or Conv2d: {known}.")
    if isinstance(reader, nn.Conv2d) and reader.groups != 1:
        raise ValueError(f"layer {layer!r} has {reader.groups} groups of channels; pass a convolution without groups.")
    return reader


def _features(
    module: Any, reader: Any, data: Any, positions: int | None, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield what reaches the layer, a batch at a time: samples, or places of images, first."""
    caught: list[Any] = []
    hook = reader.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        for batch in _batches(data):
            caught.clear()
            with torch.no_grad():
                module(batch.to(reader.weight.device, reader.weight.dtype if batch.is_floating_point() else None))
            for inputs in caught:
                yield _as_rows(reader, inputs, positions, rng).cpu().numpy()
    finally:
        hook.remove()
        for part in training:
            part.training = True


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, (np.ndarray, torch.Tensor)):
        data = torch.as_tensor(data).split(BATCH)
    elif not isinstance(data, Iterable):
        raise ValueError(f"data is a {type(data).__name__}; pass a tensor, an array, or an iterable of batches.")
    for batch in data:
        first = batch[0] if isinstance(batch, (tuple, list)) else batch
        if not isinstance(first, (np.ndarray, torch.Tensor)):
            kind = type(batch).__name__
            raise ValueError(f"data has a batch that is a {kind}; pass tensors, or tuples that begin with one.")
        yield torch.as_tensor(first)


def _as_rows(reader: Any, inputs: Any, positions: int | None, rng: np.random.Generator) -> Any:
    if isinstance(reader, nn.Linear):
        return inputs.reshape(-1, reader.in_features)
    mode = "constant" if reader.padding_mode == "zeros" else reader.padding_mode
    padded = nn.functional.pad(inputs, reader._reversed_padding_repeated_twice, mode=mode)
    patches = nn.functional.unfold(padded, reader.kernel_size, dilation=reader.dilation, stride=reader.stride)
    places = patches.shape[-1]
    if positions is not None and positions < places:
        patches = patches[..., torch.as_tensor(np.sort(rng.choice(places, positions, replace=False)))]
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _write(reader: Any, weights: Array, offset: Array | None) -> None:
    with torch.no_grad():
        reader.weight.copy_(torch.as_tensor(weights).reshape(reader.weight.shape))
        if offset is not None:
            shift = torch.as_tensor(offset).to(reader.weight)
            reader.bias = nn.Parameter(shift if reader.bias is None else reader.bias + shift)
