"""From prompts as a user gives them to prompts in their frame: ids given, masks read, all checked."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from streamseg.errors import PromptError
from streamseg.masks.boxes import validate_box, validate_points
from streamseg.masks.image_files import FILE_MAX_BYTES, decode_image
from streamseg.prompts.mask_picture import pixels_of
from streamseg.prompts.model import FramePrompt, ObjectPrompt, PendingPrompt
from streamseg.prompts.rules import check_alone, check_mask, check_planned, check_together, free_id
from streamseg.regular_files import read_regular
from streamseg.types import MASK_URL

_log = logging.getLogger("streamseg.prompts")


def prepare(prompts: Sequence[ObjectPrompt], streams: Sequence[str] = ()) -> list[PendingPrompt]:
    """Give every prompt an id and a place, read the masks, and check all that needs no frame.

    Args:
        prompts: as the user gave them.
        streams: names of the streams there are; not checked if empty.

    Returns:
        In order of frame or time, and as given within a frame.

    Raises:
        PromptError: nothing in a prompt, numbers that cannot be meant, prompts that contradict each other.
    """
    taken = {prompt.id for prompt in prompts if prompt.id is not None}
    pending = []
    for prompt in prompts:
        check_planned(prompt)
        identity = prompt.id
        if identity is None and not prompt.remove:
            identity = free_id(taken)
            taken.add(identity)
        frame = 0 if prompt.time_s is None and prompt.frame is None else prompt.frame
        prompt = msgspec.structs.replace(prompt, id=identity, frame=frame)
        pending.append(prepare_one(prompt, streams))
    pending.sort(key=lambda each: each.prompt.time_s or each.prompt.frame or 0)
    check_together([each.prompt for each in pending], streams)
    return pending


def prepare_one(prompt: ObjectPrompt, streams: Sequence[str]) -> PendingPrompt:
    """One prompt, checked by itself.

    Args:
        prompt: has an id, unless it is about everything.
        streams: names of the streams there are; not checked if empty.

    Raises:
        PromptError: it cannot be meant.
    """
    check_alone(prompt, streams)
    found = _read_mask(prompt)
    mask, note = (None, None) if found is None else found
    check_mask(prompt, mask)
    return PendingPrompt(prompt=prompt, id=prompt.id or 0, mask=mask, note=note)


def fit(pending: PendingPrompt, width: int, height: int) -> FramePrompt:
    """The prompt in a frame of `width` x `height` pixels.

    Raises:
        PromptError: a box or click outside the frame, a mask of another size.
    """
    prompt = pending.prompt
    clicks = [*prompt.points, *prompt.negative]
    labels = [1] * len(prompt.points) + [0] * len(prompt.negative)
    try:
        box = None if prompt.box is None else validate_box(prompt.box, width, height)
        points, point_labels = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
        if clicks:
            points, point_labels = validate_points(clicks, labels, width, height)
    except PromptError as error:
        raise PromptError(f"{prompt.name}: {error}") from error
    mask = pending.mask
    if pending.note is not None:
        _log.warning("%s", pending.note)
    if mask is not None and mask.shape != (height, width):
        raise PromptError(
            f"{prompt.name}: expected a mask of the frame's size, {width}x{height}, got "
            f"{mask.shape[1]}x{mask.shape[0]} from {prompt.mask_name}; draw it on a frame of this video"
        )
    return FramePrompt(
        id=pending.id,
        label=prompt.label,
        box=box,
        points_xy=points,
        point_labels=point_labels,
        mask=mask,
        choice=prompt.choice,
        remove=prompt.remove,
    )


def decode_mask(data: bytes, prompt: ObjectPrompt) -> tuple[np.ndarray, str | None]:
    """The picture of a mask as (H, W) bool, and what had to be taken for it (`streamseg.prompts.mask_picture`).

    Args:
        data: a PNG, or another kind that `streamseg.masks.image_files` reads.
        prompt: it belongs to, for errors.

    Raises:
        PromptError: it is not a picture, or black all over.
    """
    what = f"{prompt.name}: the mask {prompt.mask_name}"
    try:
        picture = decode_image(data, cv2.IMREAD_UNCHANGED)
    except ValueError as error:
        raise PromptError(f"{what}: {error}; expected a PNG that is 0 where the object is not") from error
    mask, note = pixels_of(picture, data, prompt.id, what)
    if not mask.any():
        raise PromptError(f"{what} is empty; expected pixels other than 0 where the object is")
    return mask, note


def _read_mask(prompt: ObjectPrompt) -> tuple[np.ndarray, str | None] | None:
    if prompt.mask is None:
        return None
    if prompt.mask.startswith(MASK_URL):
        try:
            return decode_mask(base64.b64decode(prompt.mask.removeprefix(MASK_URL), validate=True), prompt)
        except binascii.Error as error:
            raise PromptError(f"{prompt.name}: the mask in {MASK_URL}… is damaged: {error}") from error
    try:
        data = read_regular(prompt.mask, FILE_MAX_BYTES)
    except OSError as error:
        raise PromptError(f"{prompt.name}: the mask {prompt.mask} cannot be read: {error.strerror}") from error
    return decode_mask(data, prompt)
