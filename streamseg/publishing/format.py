"""What `publish` sends, version 1: for listeners outside of the graph, in any language with ZeroMQ and msgpack.

A message has a topic, a header in msgpack, and parts that the header refers to by their number: masks, and a picture.
``docs/wire-format.md`` has every field, for those who write a listener; a test compares it with the structs below.

More keys and kinds of messages may be added under the same version, to be passed over by who does not know them; a
change that breaks listeners makes another version.
"""

from __future__ import annotations

import io
import math
import typing
from collections.abc import Sequence
from typing import Literal

import cv2
import msgspec
import numpy as np
from PIL import Image

from streamseg.errors import UsageError, WireError
from streamseg.masks import rle
from streamseg.messages import Gap, Segmented, SourceStatus
from streamseg.types import Box, ObjectState, SourceState

VERSION = 1
PIXELS_MAX = 1 << 26
"""A larger frame is not believed: 8192 x 8192."""
PART_MAX_BYTES = 3 * PIXELS_MAX
"""A listener need take no larger part: a raw picture of so many pixels."""
_LATEST_S = 1e12
"""No stream is at a later time: thirty thousand years."""
_MASKS_MAX_BYTES = 1 << 33
"""More is not taken at once: a header can name one part for any number of objects."""

MaskKind = Literal["rle", "raw", "none"]
ImageKind = Literal["none", "jpeg", "raw"]
Part = bytes | memoryview
Parts = Sequence[Part]


class Attachment(msgspec.Struct, frozen=True):
    """Where the bytes of a mask or image are."""

    encoding: str
    part: int
    """Number of the message part, from 2 on."""


class PublishedObject(msgspec.Struct, frozen=True):
    """One object of a frame."""

    id: int
    """Stable for life; used again at most for a detector's objects, once all 65,535 have been."""
    label: str
    state: ObjectState
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    box_xyxy: Box | None
    area_px: int
    mask: Attachment | None = None


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="frame"):
    """One frame with its objects. Times ending in ``_ns`` are nanoseconds since the epoch."""

    stream: str
    frame: int
    """Number of the frame in the source; those of dropped frames are missing."""
    pts_s: float | None
    captured_ns: int
    """When the picture was taken, as far as that is known, by `captured_clock`."""
    published_ns: int
    width: int
    height: int
    objects: list[PublishedObject]
    image: Attachment | None = None
    damaged: bool = False
    """Whether parts of the picture were lost and made up; only from sources that are told to keep such."""
    pixel_aspect: tuple[int, int] = (1, 1)
    """Width of a pixel by its height, as (numerator, denominator): how a player would stretch the picture."""
    scaled_from: tuple[int, int] | None = None
    """(width, height) in the source, if that changed and the picture was scaled to the size of the first one."""
    captured_clock: str = "arrival"
    """Which clock `captured_ns` is by: ``arrival`` (the publisher's, when the picture came), ``sender`` (that of the
    camera or whoever sent the picture, which may be wrong), ``recording`` (that of the stamps in a recording) or
    ``reading`` (the publisher's, when it was read from a file). There may be more."""
    arrived_ns: int | None = None
    """When the picture came, by the publisher's clock, whatever the sender says; None from publishers of before."""
    v: int = VERSION


class GapHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """A frame that could not be finished."""

    stream: str
    frame: int
    reason: str
    v: int = VERSION


class EndHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """The stream is over."""

    stream: str
    v: int = VERSION


class StatusHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="status"):
    """A live source is away, is tried again, or is back."""

    stream: str
    state: SourceState
    reason: str
    """Why it was lost, or why the last attempt failed; empty when it is back."""
    since_ns: int
    """When it was lost."""
    attempts: int
    """How often it has been tried again since."""
    published_ns: int
    v: int = VERSION


class HeartbeatHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="heartbeat"):
    """The publisher lives, but has nothing to send."""

    stream: str
    state: SourceState | None
    """What the last status said; None if there was none."""
    published_ns: int
    v: int = VERSION


class UnknownHeader(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of message that a later streamseg sends under this version; to be passed over."""

    kind: str
    v: int
    stream: str = ""


_Known = FrameHeader | GapHeader | EndHeader | StatusHeader | HeartbeatHeader
Header = _Known | UnknownHeader


class Published(msgspec.Struct, frozen=True):
    """A received message: its header, and access to what is attached."""

    header: Header
    parts: Parts

    @property
    def kind(self) -> str:
        """``"frame"``, ``"gap"``, ``"end"``, ``"status"`` or ``"heartbeat"``; others may come."""
        tag = self.header.__struct_config__.tag
        return self.header.kind if isinstance(self.header, UnknownHeader) else str(tag)

    def mask(self, found: PublishedObject) -> np.ndarray | None:
        """(H, W) bool mask of an object of this frame; None if masks were not sent.

        Raises:
            WireError: the bytes are not such a mask.
        """
        return None if found.mask is None else self._read(found, found.mask, np.zeros(self._shape(), bool))

    def masks(self) -> np.ndarray | None:
        """(N, H, W) bool masks of all objects of this frame, in their order; None if masks were not sent.

        Quicker than one after the other, since the memory for all of them is taken at once.

        Raises:
            WireError: the bytes are not such masks, there are too many for one array, or this is no frame.
        """
        header = self._frame()
        attached = [(found, found.mask) for found in header.objects if found.mask is not None]
        if len(attached) < len(header.objects):
            return None
        shape = (len(attached), header.height, header.width)
        if math.prod(shape) > _MASKS_MAX_BYTES:
            raise WireError(f"expected masks of {_MASKS_MAX_BYTES} pixels at most, got {shape}; take them one by one")
        masks = np.zeros(shape, bool)
        for mask, (found, where) in zip(masks, attached, strict=True):
            self._read(found, where, mask)
        return masks

    def _read(self, found: PublishedObject, where: Attachment, out: np.ndarray) -> np.ndarray:
        data = self.part(where)
        height, width = out.shape
        if where.encoding == "uint8":
            if len(data) != height * width:
                raise WireError(f"expected a mask of {height} x {width} bytes, got {len(data)}; compare versions")
            np.not_equal(np.frombuffer(data, np.uint8).reshape(height, width), 0, out=out)
            return out
        if where.encoding == "coco-rle":
            try:
                return rle.decode_compressed(bytes(data), height, width, out)
            except UsageError as error:
                raise WireError(f"the mask of object {found.id} cannot be read: {error}") from error
        raise WireError(f"expected a mask as 'coco-rle' or 'uint8', got {where.encoding!r}; update streamseg")

    def image_rgb(self) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB picture of this frame; None if images were not sent.

        Raises:
            WireError: the bytes are not such a picture.
        """
        if not isinstance(self.header, FrameHeader) or self.header.image is None:
            return None
        attached = self.header.image
        data = np.frombuffer(self.part(attached), np.uint8)
        shape = (*self._shape(), 3)
        if attached.encoding == "rgb8" and data.size == shape[0] * shape[1] * 3:
            return data.reshape(shape)
        # The size comes first: a small file can hold a picture that fills all memory.
        if attached.encoding != "jpeg" or _jpeg_size(data) != shape[:2]:
            raise WireError(f"expected a picture of {shape} as 'rgb8' or 'jpeg', got {attached.encoding!r}")
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if decoded is None or decoded.shape != shape:
            raise WireError(f"expected a picture of {shape}, got a damaged one")
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)

    def _shape(self) -> tuple[int, int]:
        header = self._frame()
        return header.height, header.width

    def _frame(self) -> FrameHeader:
        header = self.header
        if not isinstance(header, FrameHeader):
            raise WireError(f"expected a frame, got {type(header).__name__}, which has no pictures")
        if min(header.height, header.width) < 1 or header.height * header.width > PIXELS_MAX:
            raise WireError(f"expected a frame of 1 to {PIXELS_MAX} pixels, got {header.width} x {header.height}")
        return header

    def part(self, attached: Attachment) -> bytes | memoryview:
        """The bytes of a mask or picture, encoded as they came.

        Raises:
            WireError: the message has no such part.
        """
        if not 2 <= attached.part < len(self.parts):
            raise WireError(f"expected part {attached.part} of the message, it has {len(self.parts)} parts")
        return self.parts[attached.part]


class _Version(msgspec.Struct):
    v: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Known)
_version_decoder = msgspec.msgpack.Decoder(_Version)
_unknown_decoder = msgspec.msgpack.Decoder(UnknownHeader)
_KINDS = {kind.__struct_config__.tag for kind in typing.get_args(_Known)}


def topic(stream: str, kind: str) -> bytes:
    """What listeners subscribe to; ``topic(stream, "")`` for frames, gaps and the end of a stream, none of others."""
    return f"{stream}/{kind}".encode()


def word(stream: str, kind: str = "") -> bytes:
    """As `topic`, for what is said of the source of a stream and of the publisher."""
    return f"{stream}.{kind}".encode()


def encode_frame(message: Segmented, published_ns: int, masks: MaskKind, image: ImageKind) -> list[Part]:
    """The parts of a frame's message; they own their bytes."""
    parts: list[Part] = [topic(message.stamp.stream, "frame"), b""]
    objects = []
    for position, found in enumerate(message.objects):
        mask = _attach_mask(parts, message.mask(position), masks)
        objects.append(
            PublishedObject(found.id, found.label, found.state, found.score, found.box_xyxy, found.area_px, mask)
        )
    height, width = message.labels.shape
    header = FrameHeader(
        stream=message.stamp.stream,
        frame=message.stamp.index,
        pts_s=message.stamp.pts_s,
        captured_ns=message.stamp.captured_ns,
        published_ns=published_ns,
        width=width,
        height=height,
        objects=objects,
        image=_attach_image(parts, message.frame.image_rgb, image),
        damaged=message.stamp.damaged,
        pixel_aspect=message.stamp.pixel_aspect,
        scaled_from=message.stamp.scaled_from,
        captured_clock=message.stamp.captured_clock,
        arrived_ns=message.stamp.came_ns,
    )
    parts[1] = _encoder.encode(header)
    return parts


def encode_gap(gap: Gap) -> list[bytes]:
    """The parts of the message about a missing frame."""
    header = GapHeader(stream=gap.stamp.stream, frame=gap.stamp.index, reason=gap.reason)
    return [topic(gap.stamp.stream, "gap"), _encoder.encode(header)]


def encode_end(stream: str) -> list[bytes]:
    """The parts of the message that ends a stream."""
    return [topic(stream, "end"), _encoder.encode(EndHeader(stream=stream))]


def encode_status(status: SourceStatus, published_ns: int) -> list[bytes]:
    """The parts of the message about a source that is away or back."""
    header = StatusHeader(
        stream=status.stream,
        state=status.state,
        reason=status.reason,
        since_ns=status.since_ns,
        attempts=status.attempts,
        published_ns=published_ns,
    )
    return [word(status.stream, "status"), _encoder.encode(header)]


def encode_heartbeat(stream: str, state: SourceState | None, published_ns: int) -> list[bytes]:
    """The parts of the message that says that there is nothing to say."""
    header = HeartbeatHeader(stream=stream, state=state, published_ns=published_ns)
    return [word(stream, "heartbeat"), _encoder.encode(header)]


def decode(parts: Parts) -> Published:
    """What a listener makes of a received multipart message.

    Raises:
        WireError: it is not such a message, or of another version.
    """
    if len(parts) < 2:
        raise WireError(f"expected a topic and a header at least, got {len(parts)} parts; receive with recv_multipart")
    try:
        version = _version_decoder.decode(parts[1]).v
        if version != VERSION:
            raise WireError(f"expected version {VERSION} of published results, got {version}; use the same streamseg")
        unknown = _unknown_decoder.decode(parts[1])
        header = _decoder.decode(parts[1]) if unknown.kind in _KINDS else unknown
    except WireError:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"expected a header as publish sends it, got: {error}") from error
    # Also of what is no number nothing is less.
    if isinstance(header, FrameHeader) and header.pts_s is not None and not abs(header.pts_s) < _LATEST_S:
        raise WireError(f"expected the time of a frame in seconds, got pts_s {header.pts_s}; check who publishes it")
    return Published(header, parts)


def _jpeg_size(data: np.ndarray) -> tuple[int, int] | None:
    """(height, width) that a JPEG file says it has; None if it is none."""
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=("JPEG",)) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _attach_mask(parts: list[Part], mask: np.ndarray, kind: MaskKind) -> Attachment | None:
    if kind == "none":
        return None
    if kind == "raw":
        parts.append(mask.view(np.uint8).ravel().data)
        return Attachment("uint8", len(parts) - 1)
    parts.append(rle.compress(rle.encode(mask)).encode("ascii"))
    return Attachment("coco-rle", len(parts) - 1)


def _attach_image(parts: list[Part], image_rgb: np.ndarray, kind: ImageKind) -> Attachment | None:
    if kind == "none":
        return None
    if kind == "raw":
        parts.append(image_rgb.tobytes())
        return Attachment("rgb8", len(parts) - 1)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    parts.append(data.tobytes())
    return Attachment("jpeg", len(parts) - 1)
