"""Read weights from a file nobody vouches for, and put one part of them into a network."""

from __future__ import annotations

import difflib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from streamseg.errors import CheckpointError
from streamseg.sam.architectures import ARCHITECTURES, describe
from streamseg.sam.checkpoints import check_largest
from streamseg.sam.models import ModelInfo


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
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    prefix = part + "."
    weights, shapes = _read(path, prefix)
    _compare(info, path, expected, shapes)
    module: nn.Module = network.get_submodule(part)
    _check_numbers(path, weights)
    module.load_state_dict({name.removeprefix(prefix): _as_float32(w) for name, w in weights.items()}, assign=True)
    return module.to(device).requires_grad_(False)


def read_arrays(info: ModelInfo, path: Path) -> dict[str, np.ndarray]:
    """All weights of a checkpoint by name, floating-point ones as float32.

    Args:
        info: the model.
        path: a ``.safetensors`` file, or one written by ``torch.save``.

    Raises:
        CheckpointError: the file is damaged, holds code, belongs to another network, or has numbers in it that no
            training gives.
    """
    network = ARCHITECTURES[info.name].skeleton()
    weights, shapes = _read(path, "")
    _compare(info, path, {name: tuple(value.shape) for name, value in network.state_dict().items()}, shapes)
    _check_numbers(path, weights)
    return {name: _as_float32(weight).numpy() for name, weight in weights.items()}


def _as_float32(weight: torch.Tensor) -> torch.Tensor:
    return weight.float() if weight.is_floating_point() else weight


def _check_numbers(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise if a weight is not finite, or so large that what is computed with it would not be."""
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.numel():
            check_largest(path, name, float(weight.abs().amax().float()))


def _read(path: Path, prefix: str) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    """The tensors whose names start with `prefix`, and the shapes of all."""
    if path.suffix == ".safetensors":
        return _read_safetensors(path, prefix)
    weights = _read_pickle(path)
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    return {name: value for name, value in weights.items() if name.startswith(prefix)}, shapes


def _read_safetensors(path: Path, prefix: str) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            return {name: file.get_tensor(name) for name in names if name.startswith(prefix)}, shapes
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
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        # A cut or scrambled file can fail anywhere in torch's reader.
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
        known = looks_like in ARCHITECTURES
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
