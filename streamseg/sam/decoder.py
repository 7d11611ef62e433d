"""The second half of SAM: features and prompts in, masks out. No torch here: an engine computes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.prompts.decoder import DecoderPrompt, as_points, check
from streamseg.sam.engines import DecoderEngine
from streamseg.sam.geometry import Geometry, features_shape, fit
from streamseg.sam.models import ModelInfo


@dataclass(frozen=True, eq=False)
class Decoded:
    """Answers in the order of the prompts; M is 3 with `multimask`, else 1."""

    logits: np.ndarray
    """(N, M, 4h, 4w) float32 in the model's square, padding included; above 0 is the object."""
    scores: np.ndarray
    """(N, M) float32: the model's own estimate of each mask's IoU."""


class MaskDecoder:
    """A model's prompt encoder and mask decoder with their weights, on a device. See `loading.load_decoder`."""

    def __init__(self, info: ModelInfo, engine: DecoderEngine, sha256: str) -> None:
        self.info = info
        self.sha256 = sha256
        """Of the checkpoint file."""
        self._engine = engine

    @property
    def device(self) -> str:
        """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""
        return self._engine.device

    @property
    def engine(self) -> str:
        """What computes: ``torch``, ``onnxruntime`` or ``openvino``."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """What it computes in: ``f32`` or ``bf16``."""
        return self._engine.precision

    def without_focus(self) -> MaskDecoder:
        """The same half with the same weights, for which no picture is a focus view."""
        return MaskDecoder(self.info.without_focus(), self._engine, self.sha256)

    def decode(
        self,
        features: np.ndarray | Sequence[np.ndarray],
        image_size: tuple[int, int],
        prompts: Sequence[DecoderPrompt],
        *,
        multimask: bool,
    ) -> Decoded:
        """Masks for prompts; those of one signature share a decoder call.

        Args:
            features: (C, h, w) from the encoder for all prompts, or one such array for each prompt.
            image_size: (height, width) of the picture that was handed to the encoder (all of one size).
            prompts: at least one.
            multimask: three masks a prompt (whole, part, part of it: for one click), or one (for anything clearer).

        Raises:
            PromptError: a prompt cannot be meant.
            UsageError: the features are not this model's, or not one for each prompt.
            DeviceError: out of memory.
        """
        geometry = fit(self.info, image_size)
        shared = isinstance(features, np.ndarray)
        self._check(features, image_size, prompts)
        side, count = 4 * geometry.grid, 3 if multimask else 1
        logits = np.empty((len(prompts), count, side, side), np.float32)
        scores = np.empty((len(prompts), count), np.float32)
        advice = f"ask fewer than {len(prompts)} prompts at once, use a smaller model, or --device cpu"
        wanted = slice(1, None) if multimask else slice(0, 1)
        with self._engine.guard(advice):
            for members in _batches(prompts, self._engine.prompts_per_call(geometry.grid)):
                chosen = [features] if shared else [features[i] for i in members]
                if all(each is chosen[0] for each in chosen):
                    chosen = chosen[:1]
                # One array of features, as is usual, is not copied.
                pixels = np.expand_dims(chosen[0], 0) if len(chosen) == 1 else np.stack(chosen)
                pixels = pixels.astype(np.float32, copy=False)
                asked = _batch([prompts[i] for i in members], geometry)
                logits[members], scores[members] = self._engine.decode(pixels, *asked, wanted)
        return Decoded(logits, scores)

    def upscale(self, logits: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """(..., 4h, 4w) logits in the model's square -> (..., H, W) float32 at the picture's size.

        Twice bilinear with the padding cut off in between, as ``Sam.postprocess_masks`` does it; for a model that
        stretches pictures there is no padding, and once is enough.

        Raises:
            UsageError: the logits are not those of a picture of that size.
        """
        geometry = fit(self.info, image_size)
        side = 4 * geometry.grid
        if logits.ndim < 2 or logits.shape[-2:] != (side, side):
            raise UsageError(f"expected logits (..., {side}, {side}) for a picture of {image_size}, got {logits.shape}")
        height, width = geometry.input_size
        found = np.empty((*logits.shape[:-2], *image_size), np.float32)
        if self.info.stretches:
            for place in np.ndindex(logits.shape[:-2]):
                found[place] = cv2.resize(np.asarray(logits[place], np.float32), (image_size[1], image_size[0]))
            return found
        for place in np.ndindex(logits.shape[:-2]):
            square = cv2.resize(np.asarray(logits[place], np.float32), (geometry.square, geometry.square))
            inside = square[:height, :width]
            found[place] = inside if geometry.is_identity else cv2.resize(inside, (image_size[1], image_size[0]))
        return found

    def _check(
        self, features: np.ndarray | Sequence[np.ndarray], image_size: tuple[int, int], prompts: Sequence[DecoderPrompt]
    ) -> None:
        expected = features_shape(self.info, image_size)
        if not prompts:
            raise UsageError("expected at least one prompt, got none")
        each = [features] if isinstance(features, np.ndarray) else list(features)
        if not isinstance(features, np.ndarray) and len(each) != len(prompts):
            raise UsageError(f"expected one array of features for each of {len(prompts)} prompts, got {len(each)}")
        for array in each:
            if array.shape != expected:
                raise UsageError(
                    f"expected features {expected} of {self.info.name} for a picture of {image_size}, got {array.shape}"
                )
        for prompt in prompts:
            check(prompt, mask_side=4 * expected[1])


def _batch(prompts: Sequence[DecoderPrompt], geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """N prompts of one signature as points (N, K, 2), labels (N, K), and masks (N, 1, 4h, 4w) or None."""
    pairs = [as_points(prompt) for prompt in prompts]
    points_xy = geometry.to_input(np.stack([points for points, _ in pairs])).astype(np.float32)
    masks = [prompt.mask_logits for prompt in prompts if prompt.mask_logits is not None]
    mask_input = np.stack(masks)[:, None].astype(np.float32, copy=False) if masks else None
    return points_xy, np.stack([labels for _, labels in pairs]), mask_input


def _batches(prompts: Sequence[DecoderPrompt], at_most: int) -> Iterator[list[int]]:
    """Positions of prompts that can go through the decoder together."""
    groups: dict[tuple[bool, int, bool], list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        groups[prompt.signature].append(i)
    for members in groups.values():
        for start in range(0, len(members), at_most):
            yield members[start : start + at_most]
