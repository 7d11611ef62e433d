"""A closer look at one object of a picture: from a prompt to a mask, with all the looks that a still picture is worth.

What is round the object is seen as it is and mirrored, at two sizes each, and the mean of the masks is taken. A click
does not say how large the object is: what it may mean is found first, in the whole picture and in two parts of it, and
the things that are likeliest are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.masks import roi
from streamseg.masks.boxes import box_of_mask, clip
from streamseg.masks.measures import mask_iou
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.prompts.model import FramePrompt
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.types import Box

_CROP = 1.4
"""Side of what is seen, in longer sides of the object's box: as the model was trained."""
_CLICK_SCALES = (0.5, 0.25)
"""Of the picture's longer side: squares in which a click is asked after, beside the whole."""
_MEANINGS, _SAME_IOU = 3, 0.8
"""So many things that a click may mean are looked at closely; masks with a larger IoU mean the same."""
_SIZE_WEIGHT, _LEAST_SHARE = 0.05, 1e-6
"""What the logarithm of a mask's share of the picture counts for, beside the scores at both looks: a click means the
whole rather than a part."""
_LOGIT_LIMIT = 10.0


@dataclass(frozen=True, eq=False)
class Found:
    """A mask of one object."""

    logits: np.ndarray
    """(H, W) float32 of the picture."""
    score: float
    """The model's own estimate of its IoU."""

    @property
    def area_share(self) -> float:
        """How much of the picture it covers, 0 to 1."""
        return np.count_nonzero(self.logits > 0) / self.logits.size


class CloserLook:
    """Asks a model that has a `ModelInfo.closer_size`.

    Args:
        encoder: with focus views.
        decoder: the same.
    """

    def __init__(self, encoder: ImageEncoder, decoder: MaskDecoder) -> None:
        self._encoder, self._decoder = encoder, decoder

    def look(self, image_rgb: np.ndarray, prompt: FramePrompt) -> Found:
        """The mask of what is pointed at, an empty one if there is nothing.

        Args:
            image_rgb: (H, W, 3) uint8 RGB.
            prompt: a box, a box with clicks, or clicks; in pixels of the picture.

        Raises:
            DeviceError: out of memory.
        """
        if prompt.box is not None:
            return self._look_at(image_rgb, prompt.box, prompt)
        best, likeliest = _nothing(image_rgb), -math.inf
        for meaning in self._meanings(image_rgb, prompt):
            found = self._look_at(image_rgb, box_of_mask(meaning.logits > 0), prompt)
            likelihood = meaning.score + found.score + _SIZE_WEIGHT * math.log(max(found.area_share, _LEAST_SHARE))
            if likelihood > likeliest and found.area_share:
                best, likeliest = found, likelihood
        return best

    def _look_at(self, image_rgb: np.ndarray, box: Box | None, prompt: FramePrompt) -> Found:
        """The mean of four looks at a box, with the clicks that there are."""
        inside = None if box is None else clip(box, image_rgb.shape[1], image_rgb.shape[0])
        if inside is None:
            return _nothing(image_rgb)
        region = roi.focus_region(inside, _CROP)
        info = self._encoder.info
        looks = [
            self._ask(image_rgb, region, side_px, prompt, box, mirrored=mirrored)[0]
            for side_px in (info.focus_size, info.closer_size or info.focus_size)
            for mirrored in (False, True)
        ]
        logits = np.mean([look.logits for look in looks], axis=0, dtype=np.float32)
        return Found(np.asarray(logits), float(np.mean([look.score for look in looks])))

    def _meanings(self, image_rgb: np.ndarray, prompt: FramePrompt) -> list[Found]:
        """What clicks may mean, the best first: of one each view has three masks, of several one.

        What is chosen by size is one of the three of the whole picture.
        """
        height, width = image_rgb.shape[:2]
        size = roi.fit(width, height, self._encoder.info.whole_size)
        found = self._ask(image_rgb, roi.whole(width, height), size, prompt)
        if prompt.choice is not None:
            chosen = sorted(found, key=lambda each: -each.area_share)[prompt.choice]
            return [chosen] if chosen.area_share else []
        for scale in _CLICK_SCALES:
            square = _square_round(prompt.points_xy, round(scale * max(width, height)), width, height)
            if square is not None:
                found += self._ask(image_rgb, square, self._encoder.info.focus_size, prompt)
        different: list[Found] = []
        for each in sorted(found, key=lambda each: -each.score):
            alike = any(mask_iou(each.logits > 0, other.logits > 0) >= _SAME_IOU for other in different)
            if each.area_share and not alike and len(different) < _MEANINGS:
                different.append(each)
        return different

    def _ask(
        self,
        image_rgb: np.ndarray,
        region: Box,
        size: roi.Size,
        prompt: FramePrompt,
        box: Box | None = None,
        *,
        mirrored: bool = False,
    ) -> list[Found]:
        """What the model says of a region, seen in a size."""
        picture = roi.sample(image_rgb, region, size)
        side = (picture.shape[0], picture.shape[1])
        (features,) = self._encoder.encode([np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture])
        several = box is None and (len(prompt.points_xy) == 1 or prompt.choice is not None)
        asked = _in_picture(prompt, box, region, side, mirrored=mirrored)
        decoded = self._decoder.decode(features, side, [asked], multimask=several)
        longer = max(side)
        scale_x, scale_y = (region[2] - region[0]) / side[1], (region[3] - region[1]) / side[0]
        square = (region[0], region[1], region[0] + longer * scale_x, region[1] + longer * scale_y)
        masks = decoded.logits[0][..., ::-1] if mirrored else decoded.logits[0]
        return [
            Found(_placed(mask, square, image_rgb.shape[:2]), float(score))
            for mask, score in zip(masks, decoded.scores[0], strict=True)
        ]


def _in_picture(
    prompt: FramePrompt, box: Box | None, region: Box, size: tuple[int, int], *, mirrored: bool
) -> DecoderPrompt:
    """A prompt in pixels of a region's picture, (0, 0) being the middle of the first."""
    points = roi.to_view(prompt.points_xy, region, size) - 0.5
    corners = None if box is None else roi.to_view(np.array(box), region, size) - 0.5
    if mirrored:
        last = size[1] - 1
        points = np.column_stack([last - points[:, 0], points[:, 1]])
        corners = None if corners is None else np.array([last - corners[2], corners[1], last - corners[0], corners[3]])
    clicks = len(points) > 0
    return DecoderPrompt(
        box_xyxy=None if corners is None else (corners[0], corners[1], corners[2], corners[3]),
        points_xy=points if clicks else None,
        point_labels=prompt.point_labels if clicks else None,
    )


def _placed(logits: np.ndarray, square: Box, frame_size: Sequence[int]) -> np.ndarray:
    """(H, W) logits of the whole picture."""
    height, width = frame_size
    placed = np.full((height, width), -_LOGIT_LIMIT, np.float32)
    pasted, (x0, y0, x1, y1) = roi.paste_logits(logits, square, (height, width))
    placed[y0:y1, x0:x1] = np.clip(pasted, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    return placed


def _nothing(image_rgb: np.ndarray) -> Found:
    return Found(np.full(image_rgb.shape[:2], -_LOGIT_LIMIT, np.float32), 0.0)


def _square_round(points_xy: np.ndarray, side: int, width: int, height: int) -> Box | None:
    """A square of that side in the picture with all of the points in it; None if they are too far apart."""
    (low_x, low_y), (high_x, high_y) = points_xy.min(axis=0), points_xy.max(axis=0)
    if side < 1 or max(high_x - low_x, high_y - low_y) >= side:
        return None
    x0 = round(float(np.clip((low_x + high_x - side) / 2, 0, max(width - side, 0))))
    y0 = round(float(np.clip((low_y + high_y - side) / 2, 0, max(height - side, 0))))
    return (float(x0), float(y0), float(x0 + side), float(y0 + side))
