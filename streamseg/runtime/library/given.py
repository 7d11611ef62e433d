"""What callers in Python give, as plain values: arrays of numpy and tensors of torch, paths, masks as pictures."""

from __future__ import annotations

import base64
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from streamseg.errors import PromptError, UsageError
from streamseg.redaction import utf8
from streamseg.regular_files import inherited_fd
from streamseg.types import MASK_URL

_LONGEST_PATH_BYTES = 4096
_MOST_VALUES = 100_000
"""Of what has no length, and may have no end."""
_LONGEST_S = 9e9
"""What fits into 64 bits of nanoseconds: longer than the seconds since 1970."""


def plain(value: Any) -> Any:
    """Numbers, arrays and tensors as Python's own numbers and lists, also inside of lists and mappings.

    Raises:
        PromptError: an array cannot say its values, or what is gone through does not end.
    """
    if hasattr(value, "tolist") or hasattr(value, "__array__"):
        return _values(value)
    if isinstance(value, (Decimal, Fraction)):
        return float(value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Iterator):
        found = list(itertools.islice(value, _MOST_VALUES + 1))
        if len(found) > _MOST_VALUES:
            raise PromptError(f"expected at most {_MOST_VALUES} values, got more from {_named(value)}; give fewer")
        return list(map(plain, found))
    return list(map(plain, value)) if isinstance(value, (list, tuple, range)) else value


def option(value: Any) -> Any:
    """An option as plain data: a path as text, the rest as `plain`."""
    return os.fspath(value) if isinstance(value, os.PathLike) else plain(value)


def _values(array: Any) -> Any:
    try:
        dense = array.to_dense() if getattr(array, "is_sparse", False) else array
        return (dense if hasattr(dense, "tolist") else np.asarray(dense)).tolist()
    except (TypeError, ValueError, RuntimeError) as error:
        # NotImplementedError, such as torch says it of tensors that are elsewhere, is one of these.
        raise PromptError(
            f"expected numbers, got {_named(array)} that does not give them ({type(error).__name__}); "
            f"make it an array of numpy"
        ) from error


def rows(values: Any, count: int, what: str) -> list[list[float]]:
    """Boxes or points as lists of numbers; a single one may come without a list round it.

    Args:
        values: a sequence, iterator or array of them, an array also as (N, 1, count); None for none.
        count: how many numbers each has.
        what: what they are, for errors, say ``boxes=[(x0, y0, x1, y1)]``.

    Raises:
        PromptError: it is something else.
    """
    shape: Sequence[int] = getattr(values, "shape", ())
    found = plain(() if values is None else values)
    if not isinstance(found, (list, tuple)):
        raise PromptError(f"expected {what}, got {_named(values)}")
    if len(shape) == 3 and shape[1] == 1:
        found = [each for (each,) in found]
    if len(found) == count and all(_is_number(each) for each in found):
        found = [found]
    for each in found:
        if not isinstance(each, (list, tuple)):
            raise PromptError(f"expected {what}, got {_named(each)} among them")
        wrong = next((number for number in each if not _is_number(number)), 0)
        if not _is_number(wrong):
            raise PromptError(f"expected {what}, got {_named(wrong)} where a number should be")
    return [list(each) for each in found]


def prompt(given: Any) -> dict[str, Any]:
    """A prompt as plain data; a mask that is an array comes along as a picture.

    Raises:
        PromptError: it is no mapping, or its mask is neither a path nor an array of a frame.
    """
    if not isinstance(given, Mapping):
        raise PromptError(f"expected a prompt such as {{'id': 1, 'box': [10, 20, 30, 40]}}, got {_named(given)}")
    mask = given.get("mask")
    found: dict[str, Any] = plain({key: value for key, value in given.items() if key != "mask"})
    if isinstance(mask, (str, os.PathLike)):
        found["mask"] = os.fspath(mask)
    elif mask is not None:
        found["mask"] = MASK_URL + base64.b64encode(mask_png(mask)).decode()
    return found


def mask_png(mask: Any) -> bytes:
    """The PNG of a mask: (H, W) of bool, of whole numbers (0, or ids), or of shares from 0 to 1, of which half counts.

    Raises:
        PromptError: it has another shape or type.
    """
    array = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask)
    array = array.squeeze() if array.ndim > 2 else array
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise PromptError(
            f"expected a mask as a path or as an array (height, width) of the frame's size, got {_named(mask)}"
        )
    if array.dtype.kind == "f":
        if not (array >= 0).all():
            raise PromptError(
                "expected a mask of shares from 0 to 1, got negative ones or NaN, as a model's logits have; "
                "give what is the object, say logits > 0"
            )
        array = array >= 0.5
    if array.dtype.kind != "b" and not 0 <= array.min() <= array.max() <= 65535:
        raise PromptError(f"expected a mask of values from 0 to 65535, got {array.min()} to {array.max()}")
    small = array.astype(np.uint8) * 255 if array.dtype.kind == "b" else array
    buffer = io.BytesIO()
    Image.fromarray(small.astype(np.uint16 if small.max() > 255 else np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def nanoseconds(time_s: Any) -> int:
    """A time in seconds, as a number of any kind, in nanoseconds.

    Raises:
        UsageError: it is no finite number, or too large.
    """
    number = plain(time_s)
    if not _is_number(number) or not abs(number) < _LONGEST_S:
        raise UsageError(f"expected the time of a frame in seconds, got {_named(time_s)}; None if it has none")
    found: int = round(number * 1_000_000_000)
    return found


def source(given: Any) -> str:
    """A source as text: a path (as text, bytes or `os.PathLike`), the number of a camera, or a URL.

    A file that this process has open, such as ``-`` for standard input, becomes a path that the run's processes reach.

    Raises:
        UsageError: it is something else, or its name is not UTF-8.
    """
    number = plain(given) if np.ndim(given) == 0 and hasattr(given, "tolist") else given
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return str(number)
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if isinstance(path, bytes) and len(path) <= _LONGEST_PATH_BYTES and b"\0" not in path and os.path.exists(path):  # noqa: PTH110
        path = os.fsdecode(path)
    if not isinstance(path, str):
        todo = "give the folder that they are in" if isinstance(given, (list, tuple)) else "write it to a file"
        raise UsageError(
            f"expected a source as a path, the number of a camera or a URL, got {_named(given)}; "
            f"{todo if given is not None else 'say what to read'}"
        )
    if not path:
        raise UsageError("expected a source as a path, the number of a camera or a URL, got an empty text; name one")
    if utf8(path) != path:
        raise UsageError(f"expected a name in UTF-8, got {utf8(path)}; rename it, or make a link to it")
    return _reachable(path)


def _reachable(path: str) -> str:
    """A path under which the processes of a run have the same file; they inherit no open files."""
    number = inherited_fd(path)
    if number is None:
        return path
    try:
        os.fstat(number)
    except OSError:
        raise UsageError(f"expected a video on {path}, but that is closed; pipe it in, or name a file") from None
    if os.isatty(number):
        raise UsageError(f"expected a video on {path}, but that is a terminal; pipe it in, or name a file")
    if not Path("/proc/self/fd").is_dir():
        raise UsageError(f"expected the path of a file, got {path}: without /proc a run cannot read it; name a file")
    return f"/proc/{os.getpid()}/fd/{number}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _named(value: Any) -> str:
    """What a value is, in few words: never what is in it."""
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return f"an array of {tuple(shape)} {value.dtype}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"
