"""Which pixels of a picture are the object: pictures of masks are drawn and saved in many ways."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from streamseg.errors import PromptError
from streamseg.masks.image_files import PILLOW_ERRORS

_LARGEST_ID_DRAWN = 64
"""Gray values up to this one, and nothing brighter, are numbers of objects; other pictures have soft edges."""
_VOID = 255
"""In pictures with a palette: not to be judged (DAVIS)."""
_MOST_COLORS = 64
_LISTED = 8


def pixels_of(picture: np.ndarray, data: bytes, object_id: int | None, what: str) -> tuple[np.ndarray, str | None]:
    """The mask in a picture, and what had to be taken for it; None where there is only one way to see it.

    - One value beside 0: the object is there.
    - Several small values, or a palette: numbers of objects; the pixels of the prompt's own id are taken.
    - Many values: soft edges; the object is where they are at least half of the brightest.
    - Transparent pixels are not the object.

    Args:
        picture: (H, W) or (H, W, 3 or 4), as OpenCV decodes it.
        data: the file it was decoded from.
        object_id: of the prompt.
        what: the mask, for errors.

    Returns:
        (H, W) bool, maybe without any pixel, and a sentence.

    Raises:
        PromptError: it has several objects, and none of them is the prompt's.
    """
    numbers = _palette_numbers(data)
    if numbers is not None and numbers.shape == picture.shape[:2]:
        return _one_of(numbers, object_id, what)
    opaque, values = None, picture
    if picture.ndim == 3 and picture.shape[2] == 4:
        half = np.iinfo(picture.dtype).max // 2 + 1
        opaque, values = picture[..., 3] >= half, picture[..., :3]
        if not opaque.all() and not values[opaque].any():
            return opaque, f"{what} is black where it is not transparent: all that is not transparent is taken"
    if values.ndim == 3:
        if (values == values[..., :1]).all():
            values = values[..., 0]
        else:
            _check_one_color(values, what)
            values = values.max(axis=2)
    mask, note = _of_levels(values, object_id, what)
    if opaque is None or opaque.all():
        return mask, note
    return mask & opaque, note or f"{what} is transparent in places: those are not taken"


def _palette_numbers(data: bytes) -> np.ndarray | None:
    """(H, W): the numbers of the colors, of a picture whose palette has them for objects; None otherwise.

    That is one that begins with black. Programs that make files small use palettes too, in any order, also of grays.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode != "P":
                return None
            colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
            numbers = np.array(image)
    except PILLOW_ERRORS:
        return None
    used = colors[np.unique(numbers[numbers < len(colors)])]
    is_gray = len(used) > 2 and bool((used == used[:, :1]).all())
    return None if colors[0].any() or is_gray else numbers


def _of_levels(values: np.ndarray, object_id: int | None, what: str) -> tuple[np.ndarray, str | None]:
    levels = np.unique(values)
    levels = levels[levels > 0]
    if len(levels) < 2:
        return values > 0, None
    if levels[-1] <= _LARGEST_ID_DRAWN:
        return _one_of(values, object_id, what)
    half = int(levels[-1]) // 2 + 1
    return (
        values >= half,
        f"{what} has {len(levels)} levels of gray: the object is taken to be where it is {half} or more",
    )


def _one_of(numbers: np.ndarray, object_id: int | None, what: str) -> tuple[np.ndarray, str | None]:
    found = np.unique(numbers)
    ids = [int(value) for value in found if value not in (0, _VOID)] or [int(value) for value in found if value]
    if len(ids) < 2:
        return np.isin(numbers, ids), None
    listed = ", ".join(map(str, ids[:_LISTED])) + (", …" if len(ids) > _LISTED else "")
    if object_id not in ids:
        raise PromptError(
            f"{what} has {len(ids)} objects ({listed}), and none of them is object {object_id}; "
            f"give a prompt with the id of each, or a mask of one object"
        )
    return numbers == object_id, f"{what} has {len(ids)} objects ({listed}): of it object {object_id} is taken"


def _check_one_color(values: np.ndarray, what: str) -> None:
    """Few colors that differ are objects; many are the soft edges of one, or a photo."""
    colors = np.unique(values.reshape(-1, 3), axis=0)
    colors = colors[colors.any(axis=1)]
    if 2 <= len(colors) <= _MOST_COLORS:
        raise PromptError(
            f"{what} has {len(colors)} colors, so maybe several objects; expected one color on black: "
            f"make a mask of each object"
        )
