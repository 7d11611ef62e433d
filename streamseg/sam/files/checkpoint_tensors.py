"""Weights as torch reads them: from a file nobody vouches for, checked against the network they are for."""

from __future__ import annotations

import difflib
import pickle
import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from streamseg.errors import CheckpointError
from streamseg.sam.checkpoints import check_largest
from streamseg.sam.models import MODELS, ModelInfo
from streamseg.sam.networks.architectures import ARCHITECTURES, describe

_SCRAMBLED = (
    *(RuntimeError, EOFError, OSError, AssertionError, struct.error),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)
"""What torch's reader raises: a file that is cut off or scrambled can fail anywhere in it."""


def load_part(info: ModelInfo, path: Path, part: str, device: str) -> nn.Module:
    """Build one submodule of the model's network with its weights as float32; the rest is never in memory.

    Args:
        info: the model.
        path: a ``.safetensors`` file, or one written by ``torch.save``.
        part: the submodule's name, which is its prefix in the file.
        device: resolved, see `streamseg.sam.devices`.

    Raises:
        CheckpointError: the file is damaged, holds code, belongs to another network, or has numbers in it that no
            training gives.
    """
    network = ARCHITECTURES[info.name].skeleton()
    weights = _read_for(network, info, path, (part,))
    module: nn.Module = network.get_submodule(part)
    module.load_state_dict({name.removeprefix(part + "."): weight for name, weight in weights.items()}, assign=True)
    return module.to(device).requires_grad_(False)


def load_half(network: nn.Module, info: ModelInfo, path: Path, device: str) -> nn.Module:
    """Give a network whose weights are some of a checkpoint's, under the same names, these weights as float32.

    For a model whose halves are built without the rest of it.

    Raises:
        CheckpointError: as `load_part`.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights, shapes = _read(path, tuple(wanted))
    found = {name: shape for name, shape in shapes.items() if name in wanted}
    if found != wanted and (looks_like := describe(shapes)) != info.name:
        raise CheckpointError(f"checkpoint {path} is not of model {info.name!r}: it looks like {looks_like}")
    _compare(info, path, wanted, found)
    network.load_state_dict(_checked(path, {name: weights[name] for name in wanted}), assign=True)
    return network.to(device).eval().requires_grad_(False)


def read_tensors(info: ModelInfo, path: Path, parts: Sequence[str] | None = None) -> dict[str, torch.Tensor]:
    """Weights of a checkpoint by name, on the CPU, floating-point ones as float32.

    Args:
        info: the model.
        path: a ``.safetensors`` file, or one written by ``torch.save``.
        parts: names of submodules, the only ones to be read; None for the whole network.

    Raises:
        CheckpointError: the file is damaged, holds code, belongs to another network, or has numbers in it that no
            training gives.
    """
    return _read_for(ARCHITECTURES[info.name].skeleton(), info, path, parts)


def _read_for(network: nn.Module, info: ModelInfo, path: Path, parts: Sequence[str] | None) -> dict[str, torch.Tensor]:
    prefixes = ("",) if parts is None else tuple(f"{part}." for part in parts)
    weights, shapes = _read(path, prefixes)
    _compare(info, path, {name: tuple(value.shape) for name, value in network.state_dict().items()}, shapes)
    return _checked(path, weights)


def _checked(path: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.numel():
            check_largest(path, name, float(weight.abs().amax().float()))
    return {name: weight.float() if weight.is_floating_point() else weight for name, weight in weights.items()}


def _read(path: Path, prefixes: tuple[str, ...]) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    """The tensors whose names start with one of the prefixes, and the shapes of all."""
    if path.suffix == ".safetensors":
        return _read_safetensors(path, prefixes)
    weights = _read_pickle(path)
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    return {name: value for name, value in weights.items() if name.startswith(prefixes)}, shapes


def _read_safetensors(
    path: Path, prefixes: tuple[str, ...]
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            return {name: file.get_tensor(name) for name in names if name.startswith(prefixes)}, shapes
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged or no safetensors file: {error}") from error


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """What ``torch.save`` wrote, with nothing in it executed."""
    try:
        # Only the zip format can be mapped into memory, so that unused halves are never read.
        with warnings.catch_warnings():
            # torch warns of what it does not expect in a file, and then refuses it or not.
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # Bytes that are no pickle at all, such as a web page saved under the name, fail at their first byte.
        if "Unsupported operand" in str(error):
            raise CheckpointError(f"{path} is damaged or no checkpoint at all; download it again") from error
        raise CheckpointError(
            f"checkpoint {path} holds more than weights (code, or objects that run code when they are opened) and was "
            "not opened; get it from a source you trust, or save its state_dict alone"
        ) from error
    except _SCRAMBLED as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"checkpoint {path} is truncated or damaged: {first}") from error
    # Training scripts like to wrap the weights with optimizer state.
    if isinstance(found, dict):
        for key in ("model", "state_dict", "model_state_dict"):
            if isinstance(found.get(key), dict):
                found = found[key]
                break
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise CheckpointError(
            f"checkpoint {path} has no weights by name (a state_dict) in it; save the model's state_dict"
        )
    return found


def _compare(
    info: ModelInfo, path: Path, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]
) -> None:
    """Raise unless names and shapes are the network's own."""
    if expected == found:
        return
    looks_like = describe(found)
    if looks_like != describe(expected):
        known = looks_like in MODELS
        advice = f"use --model {looks_like}" if known else f"give a checkpoint of {info.name}"
        raise CheckpointError(f"checkpoint {path} is not of model {info.name!r}: it looks like {looks_like}; {advice}")
    problem = f"checkpoint {path} does not fit model {info.name!r}"
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        name = (missing or extra)[0]
        near = difflib.get_close_matches(name, extra if missing else missing, n=1)
        hint = f" (it has {near[0]!r})" if near and missing else ""
        raise CheckpointError(
            f"{problem}: {len(missing)} weights missing, {len(extra)} unknown, the first {name!r}{hint}"
        )
    name = next(name for name in expected if expected[name] != found[name])
    raise CheckpointError(f"{problem}: {name!r} has shape {found[name]} instead of {expected[name]}")
