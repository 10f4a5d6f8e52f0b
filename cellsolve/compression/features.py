"""The layer of a torch network that reads neurons, and what reaches it, a batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from cellsolve.data import Array

#: what holds a network and runs it on several devices
PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
#: rows of an array that are passed through the network at once
BATCH = 256
#: bytes of the patches of images that are laid out at once
ROOM = 2**26


def reader_of(module: Any, layer: str) -> Any:
    """Return the layer of that name, or refuse it."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is a {type(module).__name__}; pass a torch.nn.Module.")
    for inner, wraps in (("_orig_mod", hasattr(module, "_orig_mod")), ("module", isinstance(module, PARALLEL))):
        if wraps:  # compiled, or one of many
            raise ValueError(f"module is a {type(module).__name__}; pass the network in it, module.{inner}.")
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError("module is scripted or traced; pass the network that it was made from.")
    if any(values.is_meta for values in module.parameters()):
        raise ValueError("module has parameters on the meta device, without values; load them first.")
    if any(nn.parameter.is_lazy(values) for values in module.parameters()):
        raise ValueError("module has lazy parameters, which have no values yet; run it once on data.")
    named = dict(module.named_modules())
    fitting = [name for name, part in named.items() if isinstance(part, (nn.Linear, nn.Conv2d)) and name]
    reader = named.get(layer) if layer else None
    if not isinstance(reader, (nn.Linear, nn.Conv2d)):
        kind = "" if reader is None else f", a {type(reader).__name__}"
        known = ", ".join(fitting) or "there is none"
        raise ValueError(f"layer is {layer!r}{kind}; pass the name of a Linear or Conv2d: {known}.")
    if not {"weight", "bias"} <= reader._parameters.keys():
        raise ValueError(
            f"layer {layer!r} makes its weights of other parameters (pruning, or weight or spectral normalisation); "
            "make them plain first: torch.nn.utils.parametrize.remove_parametrizations, torch.nn.utils.prune.remove, "
            "torch.nn.utils.remove_weight_norm or torch.nn.utils.remove_spectral_norm."
        )
    if getattr(reader.forward, "__func__", None) not in (nn.Linear.forward, nn.Conv2d.forward):
        raise ValueError(f"layer {layer!r} has a forward of its own; pass a layer that is linear as torch has it.")
    if not reader.weight.is_floating_point():
        raise ValueError(f"layer {layer!r} has weights of dtype {reader.weight.dtype}; pass one with real weights.")
    if isinstance(reader, nn.Conv2d) and reader.groups != 1:
        raise ValueError(f"layer {layer!r} has {reader.groups} groups of channels; pass a convolution without groups.")
    return reader


def weights_of(reader: Any) -> Array:
    """Return the weights (m, K) of a layer."""
    weights: Array = reader.weight.detach().double().cpu().numpy().reshape(len(reader.weight), -1)
    return weights


def copied(module: Any) -> Any:
    """Return a copy of a network, the tensors that it has computed and kept among it."""
    kept = (values for part in module.modules() for values in vars(part).values() if torch.is_tensor(values))
    computed = {id(values): values.detach().clone() for values in kept if not values.is_leaf}
    try:
        return copy.deepcopy(module, computed)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"module cannot be copied; pass one that copy.deepcopy takes. It said: {error}") from error


def batches(module: Any, data: Any) -> Iterator[Any]:
    """Yield inputs of the network, none empty, on its device; floats as its first parameters are, integers as given."""
    like = next(values for values in module.parameters() if values.is_floating_point())
    for batch in _split(data):
        first = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
        if not isinstance(first, (np.ndarray, torch.Tensor)):
            kind = type(batch).__name__
            raise ValueError(
                f"data has a batch that is a {kind}; pass tensors, or tuples that begin with one: of a dict batch, "
                "what the network is called with."
            )
        inputs = _as_tensor(first)
        if inputs.numel():
            yield inputs.to(like.device, like.dtype if inputs.is_floating_point() else None)


def features_of(
    module: Any, reader: Any, inputs: Any, positions: int | None, rng: np.random.Generator
) -> Iterator[Array]:
    """Yield what the layer multiplies its weights by in this batch: samples, or places of images, first."""
    caught: list[Any] = []

    def catch(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append((args[0] if args else named["input"]).detach().clone())  # the network may overwrite it

    hook = reader.register_forward_pre_hook(catch, with_kwargs=True)  # the last one, so that it sees what others change
    try:
        with torch.no_grad():
            module(inputs.clone())  # which it may overwrite
    except (RuntimeError, TypeError, IndexError) as error:
        raise ValueError(
            f"module cannot be run on a batch of data with shape {tuple(inputs.shape)} and dtype {inputs.dtype}; pass "
            "what it takes: one tensor, or batches of them (which a tuple or list is taken for), floats unless it "
            f"looks indices up; wrap a module that takes more. It said: {error}"
        ) from error
    finally:
        hook.remove()
    for values in caught:
        for rows in _as_rows(reader, values, positions, rng):
            yield (rows.float() if rows.element_size() < 4 else rows).cpu().numpy()  # NumPy has no bfloat16


def _split(data: Any) -> Iterable[Any]:
    if isinstance(data, (np.ndarray, torch.Tensor)):
        if not data.ndim:
            raise ValueError("data is a single number; pass inputs of the network, samples first.")
        return (data[start : start + BATCH] for start in range(0, len(data), BATCH))
    if not isinstance(data, Iterable):
        raise ValueError(
            f"data is a {type(data).__name__}; pass a tensor, an array, or an iterable of batches such as a DataLoader."
        )
    return data


def _as_tensor(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.detach()
    try:  # a copy, as arrays may be read-only, or backwards
        return torch.from_numpy(np.array(batch, dtype=batch.dtype.newbyteorder("=")))
    except TypeError as error:
        raise ValueError(f"data has dtype {batch.dtype}, which torch does not know; pass numbers.") from error


def _as_rows(reader: Any, inputs: Any, positions: int | None, rng: np.random.Generator) -> Iterator[Any]:
    if isinstance(reader, nn.Linear):
        yield inputs.reshape(-1, reader.in_features)
        return
    patches = _patches(reader, inputs if inputs.ndim == 4 else inputs[None])
    images, height, width = patches.shape[:3]
    if positions is None or positions >= height * width:
        places = np.arange(images * height * width)
    else:  # others in each image
        drawn = [rng.choice(height * width, positions, replace=False) for _ in range(images)]
        places = (np.arange(images)[:, None] * height * width + np.sort(drawn, axis=1)).ravel()
    step = max(1, ROOM // (patches.element_size() * patches[0, 0, 0].numel()))
    for start in range(0, len(places), step):
        at = np.unravel_index(places[start : start + step], (images, height, width))
        yield patches[tuple(map(torch.as_tensor, at))].flatten(1)


def _patches(reader: Any, images: Any) -> Any:
    """Return a view (n, height, width, channels, kernel height, kernel width): what the weights see at each place."""
    mode = "constant" if reader.padding_mode == "zeros" else reader.padding_mode
    view = nn.functional.pad(images, reader._reversed_padding_repeated_twice, mode=mode)
    for axis, (kernel, stride, dilation) in enumerate(zip(reader.kernel_size, reader.stride, reader.dilation), 2):
        view = view.unfold(axis, dilation * (kernel - 1) + 1, stride)
    return view[..., :: reader.dilation[0], :: reader.dilation[1]].permute(0, 2, 3, 1, 4, 5)
