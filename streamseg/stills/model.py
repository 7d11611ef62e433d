"""A model for still pictures: its two halves, loaded when they are first needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streamseg import extras
from streamseg.errors import UsageError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import checkpoints, engines
from streamseg.sam.decoder import Decoded, MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import find
from streamseg.stills.closer import CloserLook
from streamseg.stills.prompts import make_prompts

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EncoderFacts:
    """What scripts ask of ``sam.image_encoder``."""

    img_size: int
    """Long side of the picture that the network sees, pixels."""


@dataclass(frozen=True)
class PromptEncoderFacts:
    """What scripts ask of ``sam.prompt_encoder``."""

    embed_dim: int
    """Channels of the features of a picture."""
    image_embedding_size: tuple[int, int]
    """Their height and width."""


class StillModel:
    """A model as `Predictor` and `AutomaticMaskGenerator` take it; also what ``sam_model_registry`` gives.

    Args:
        name: one that ``streamseg models`` lists; what is neither bundled nor in the cache is downloaded once and
            verified, if that is usual for the model.
        checkpoint: the user's own weights for that model.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        engine: see `streamseg.sam.engines`.

    Raises:
        UsageError: no such engine.
        ModelError: no such model, or the engine cannot run it.
        CheckpointError: the weights cannot be had or are damaged. That they fit the model is seen at their first use.
        DeviceError: no such device.
    """

    mask_threshold = 0.0
    """Logits above this are on the object."""
    image_format = "RGB"

    def __init__(
        self, name: str = "tiny", checkpoint: str | Path | None = None, device: str = "auto", engine: str = "auto"
    ) -> None:
        info = find(name)
        self.name = name
        self.checkpoint = None if checkpoint is None else Path(checkpoint).expanduser()
        """The user's own weights; None if it has its own."""
        self._wanted_engine = engine
        self._halves: dict[str, Any] = {}
        self._engine, self._device = engines.choose(info, engine, device)
        checkpoints.locate(info, self.checkpoint)
        self.image_encoder = EncoderFacts(info.whole_size)
        self.stretches = info.stretches
        """Whether it sees pictures stretched to a square."""
        grid = info.whole_size // info.stride
        self.prompt_encoder = PromptEncoderFacts(info.width, (grid, grid))

    @property
    def device(self) -> torch.device:
        """Where it computes, as torch says it.

        Raises:
            ModelError: torch is not installed.
        """
        extras.check_torch("the device of a model")
        import torch

        return torch.device(self._device)

    def to(self, device: str | torch.device) -> StillModel:
        """Let it compute elsewhere from now on; returns itself.

        Raises:
            DeviceError: no such device, or not one that the engine can use.
        """
        self._engine, self._device = engines.choose(find(self.name), self._wanted_engine, str(device))
        self._halves.clear()
        return self

    def eval(self) -> StillModel:
        """Itself: it is always ready to predict, and never to be trained."""
        return self

    def load(self) -> None:
        """Load both halves now.

        Raises:
            CheckpointError: the weights do not fit.
            DeviceError: out of memory.
        """
        self.encoder, self.decoder  # noqa: B018 (asking for them loads them)

    @property
    def encoder(self) -> ImageEncoder:
        """Its first half; no picture is a focus view.

        Raises:
            CheckpointError: the weights do not fit.
            DeviceError: out of memory.
        """
        found: ImageEncoder = self._half("encoder", load_encoder)
        return found

    @property
    def decoder(self) -> MaskDecoder:
        """Its second half, with the errors of the first."""
        found: MaskDecoder = self._half("decoder", load_decoder)
        return found

    @property
    def closer_look(self) -> CloserLook | None:
        """Looks at one object of a picture closely; None if the model sees pictures in one size only.

        Raises:
            CheckpointError: the weights do not fit.
            DeviceError: out of memory.
        """
        self.load()
        (encoder, _), (decoder, _) = self._halves["encoder"], self._halves["decoder"]
        return None if encoder.info.closer_size is None else CloserLook(encoder, decoder)

    def ask(
        self, features: np.ndarray, input_size: tuple[int, int], prompts: Sequence[DecoderPrompt], *, multimask: bool
    ) -> Decoded:
        """Masks for prompts in pixels of the resized picture; see `MaskDecoder.decode`."""
        return self.decoder.decode(features, input_size, prompts, multimask=multimask)

    def upscale(
        self, logits: np.ndarray, input_size: tuple[int, int], original_size: tuple[int, int], *, as_logits: bool
    ) -> np.ndarray:
        """Masks at the size of the picture as it was before resizing.

        Args:
            logits: (B, C, 4h, 4w) of the model's square.
            input_size: (height, width) of the resized picture.
            original_size: (H, W) of the picture before.
            as_logits: give them as they are.

        Returns:
            (B, C, H, W) bool, or float32 with `as_logits`.
        """
        masks = np.empty((*logits.shape[:2], *original_size), np.float32 if as_logits else bool)
        for place in np.ndindex(logits.shape[:2]):
            # What was stretched is masks of any size at once, and nothing is padding.
            stretched = self.decoder.info.stretches
            fine = self.decoder.upscale(logits[place], original_size if stretched else input_size)
            if fine.shape != original_size:
                fine = cv2.resize(fine, original_size[::-1])
            masks[place] = fine if as_logits else fine > self.mask_threshold
        return masks

    def __call__(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, torch.Tensor]]:
        """Pictures and their prompts at once, as segment-anything's ``Sam.forward``.

        Args:
            batched_input: for each picture ``image``, a (3, h, w) tensor already resized (`ResizeLongestSide`),
                ``original_size`` (H, W), and, in pixels of the resized picture, any of ``point_coords`` (B, N, 2) with
                ``point_labels`` (B, N), ``boxes`` (B, 4) and ``mask_inputs`` (B, 1, 4h, 4w).
            multimask_output: three masks a prompt, or one.

        Returns:
            For each picture ``masks`` (B, C, H, W) bool, ``iou_predictions`` (B, C) and ``low_res_logits``
            (B, C, 4h, 4w) float32.

        Raises:
            UsageError: a picture of another shape or size.
            PromptError: a prompt cannot be meant.
        """
        import torch

        pictures = [picture_of_tensor(record["image"][None], self.image_encoder.img_size) for record in batched_input]
        answers = []
        for record, picture, features in zip(batched_input, pictures, self.encoder.encode(pictures), strict=True):
            size = (picture.shape[0], picture.shape[1])
            names = ("point_coords", "point_labels", "boxes", "mask_inputs")
            prompts = make_prompts(*(array_of_tensor(record.get(name)) for name in names))
            found = self.ask(features, size, prompts, multimask=multimask_output)
            height, width = record["original_size"]
            masks = self.upscale(found.logits, size, (int(height), int(width)), as_logits=False)
            arrays = {"masks": masks, "iou_predictions": found.scores, "low_res_logits": found.logits}
            answers.append({name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()})
        return answers

    def _half(self, kind: str, load: Any) -> Any:
        # The loaded half itself is kept too: it is shared as long as somebody has it.
        if kind not in self._halves:
            half = load(self.name, checkpoint=self.checkpoint, device=self._device, engine=self._engine)
            self._halves[kind] = (half, half.without_focus())
        return self._halves[kind][1]


def array_of_tensor(tensor: torch.Tensor | None) -> np.ndarray | None:
    """A tensor of any device as an array."""
    if tensor is None:
        return None
    found: np.ndarray = tensor.detach().cpu().numpy()
    return found


def picture_of_tensor(image: torch.Tensor, long_side: int) -> np.ndarray:
    """(1, 3, h, w) of values from 0 to 255, resized already -> (h, w, 3) uint8.

    Raises:
        UsageError: another shape, or the longer side has not `long_side` pixels.
    """
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != long_side:
        raise UsageError(
            f"expected a picture (1, 3, h, w) whose long side has {long_side} pixels, got {shape}; "
            f"resize it with ResizeLongestSide({long_side})"
        )
    pixels: np.ndarray = image[0].permute(1, 2, 0).detach().cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)
