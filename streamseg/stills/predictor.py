"""One picture, asked many times: segment-anything's ``SamPredictor`` on the models of streamseg."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamseg import extras
from streamseg.errors import PromptError, UsageError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.decoder import Decoded
from streamseg.stills.model import StillModel, array_of_tensor, picture_of_tensor
from streamseg.stills.prompts import make_prompts
from streamseg.stills.transform import ResizeLongestSide, StretchToSquare

if TYPE_CHECKING:
    import torch


class Predictor:
    """Masks of one picture: `set_image` encodes it once, `predict` asks as often as one likes.

        predictor = streamseg.Predictor()
        predictor.set_image(image_rgb)
        masks, scores, logits = predictor.predict(box=np.array([60, 240, 130, 300]), multimask_output=False)

    Args:
        model: one that ``streamseg models`` lists; or what ``sam_model_registry`` of `streamseg.segment_anything`
            gives, which has the rest already.
        checkpoint: the user's own weights for that model.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        engine: see `streamseg.sam.engines`.

    Raises:
        UsageError: no such engine.
        ModelError: no such model, or the engine cannot run it.
        CheckpointError: the weights cannot be had or are damaged.
        DeviceError: no such device.
    """

    def __init__(
        self,
        model: str | StillModel = "tiny",
        checkpoint: str | Path | None = None,
        device: str = "auto",
        engine: str = "auto",
    ) -> None:
        self.model = StillModel(model, checkpoint, device, engine) if isinstance(model, str) else model
        fitting = StretchToSquare if self.model.stretches else ResizeLongestSide
        self.transform = fitting(self.model.image_encoder.img_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Where it computes, and where the tensors are that it gives.

        Raises:
            ModelError: torch is not installed.
        """
        return self.model.device

    @property
    def features(self) -> torch.Tensor | None:
        """(1, C, h, w) float32, those of the picture; None if there is none.

        Raises:
            ModelError: torch is not installed.
        """
        if self._features is None:
            return None
        extras.check_torch("a tensor")
        import torch

        return torch.from_numpy(self._features)[None].to(self.device)

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Encode a picture; what is asked from here on is asked about it.

        Args:
            image: (H, W, 3) uint8.
            image_format: ``RGB`` or ``BGR``.

        Raises:
            UsageError: it is no such picture, or the format is another.
            CheckpointError: the weights do not fit the model.
            DeviceError: out of memory.
        """
        if image_format not in ("RGB", "BGR"):
            raise UsageError(f"expected the image_format RGB or BGR, got {image_format!r}")
        image = np.asarray(image)
        resized = self.transform.apply_image(image[..., ::-1] if image_format == "BGR" else image)
        self._set(resized, (image.shape[0], image.shape[1]))

    def set_torch_image(self, transformed_image: torch.Tensor, original_image_size: tuple[int, ...]) -> None:
        """Encode a picture that has been resized already.

        Args:
            transformed_image: (1, 3, h, w) RGB, values from 0 to 255; those with fractions are rounded.
            original_image_size: (H, W) of the picture before.

        Raises:
            UsageError: another shape, or its long side is not that of `transform`.
            DeviceError: out of memory.
        """
        height, width = original_image_size
        self._set(picture_of_tensor(transformed_image, self.transform.target_length), (int(height), int(width)))

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of one object. At least one of points, box and mask must be given.

        Args:
            point_coords: (N, 2) x, y in pixels of the picture.
            point_labels: (N,): 1 is on the object, 0 is not.
            box: (4,) or (1, 4) x0, y0, x1, y1 in pixels of the picture.
            mask_input: (1, 4h, 4w) float32, logits of an earlier answer.
            multimask_output: three masks, for what may mean several things, such as one click; or one.
            return_logits: logits in the place of masks.

        Returns:
            masks (C, H, W) bool, or float32 logits; scores (C,) float32, the model's own estimate of each mask's IoU;
            low-resolution logits (C, 4h, 4w) float32, (C, 256, 256) in all models so far. C is 3 or 1.

        Raises:
            UsageError: no picture is set.
            PromptError: the prompt cannot be meant.
            DeviceError: out of memory.
        """
        if box is not None and np.size(box) != 4:
            raise PromptError(
                f"expected one box of four numbers x0, y0, x1, y1, got {np.shape(box)}; predict_torch takes several"
            )
        size = self._whole_size()
        coords = None if point_coords is None else self.transform.apply_coords(point_coords, size)[None]
        labels = None if point_labels is None else np.asarray(point_labels)[None]
        boxes = None if box is None else self.transform.apply_boxes(box, size)
        masks_in = None if mask_input is None else np.asarray(mask_input)[None]
        found = self._ask(make_prompts(coords, labels, boxes, masks_in), multimask_output)
        return self._masks(found, return_logits)[0], found.scores[0], found.logits[0]

    def predict_torch(
        self,
        point_coords: torch.Tensor | None,
        point_labels: torch.Tensor | None,
        boxes: torch.Tensor | None = None,
        mask_input: torch.Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Masks of B objects at once; places are in pixels of the resized picture (`transform`).

        Args:
            point_coords: (B, N, 2) x, y.
            point_labels: (B, N): 1 is on the object, 0 is not.
            boxes: (B, 4) x0, y0, x1, y1.
            mask_input: (B, 1, 4h, 4w), logits of an earlier answer.
            multimask_output: three masks for each, or one.
            return_logits: logits in the place of masks.

        Returns:
            Tensors on `device`: masks (B, C, H, W) bool, or float32 logits; scores (B, C) float32; low-resolution
            logits (B, C, 4h, 4w) float32. C is 3 or 1.

        Raises:
            UsageError: no picture is set.
            PromptError: a prompt cannot be meant, or there are not as many of each.
            DeviceError: out of memory.
        """
        import torch

        self._whole_size()
        given = (array_of_tensor(tensor) for tensor in (point_coords, point_labels, boxes, mask_input))
        found = self._ask(make_prompts(*given), multimask_output)
        arrays = (self._masks(found, return_logits), found.scores, found.logits)
        masks, scores, logits = (torch.from_numpy(array).to(self.device) for array in arrays)
        return masks, scores, logits

    def get_image_embedding(self) -> torch.Tensor:
        """(1, C, h, w) float32: the features of the picture.

        Raises:
            UsageError: no picture is set.
        """
        self._whole_size()
        features = self.features
        assert features is not None
        return features

    def reset_image(self) -> None:
        """Forget the picture."""
        self.is_image_set = False
        self.original_size: tuple[int, int] | None = None
        """(H, W) of the picture."""
        self.input_size: tuple[int, int] | None = None
        """(height, width) of the resized picture."""
        self._features: np.ndarray | None = None

    def _set(self, resized_rgb: np.ndarray, original_size: tuple[int, int]) -> None:
        self.reset_image()
        (self._features,) = self.model.encoder.encode([resized_rgb])
        self.original_size, self.input_size = original_size, (resized_rgb.shape[0], resized_rgb.shape[1])
        self.is_image_set = True

    def _whole_size(self) -> tuple[int, int]:
        if self.original_size is None:
            raise UsageError("no picture is set: expected set_image(image) before anything is asked about it")
        return self.original_size

    def _ask(self, prompts: list[DecoderPrompt], multimask: bool) -> Decoded:
        assert self._features is not None
        assert self.input_size is not None
        return self.model.ask(self._features, self.input_size, prompts, multimask=multimask)

    def _masks(self, found: Decoded, as_logits: bool) -> np.ndarray:
        assert self.input_size is not None
        return self.model.upscale(found.logits, self.input_size, self._whole_size(), as_logits=as_logits)
