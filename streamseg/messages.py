"""What travels along the edges of a graph.

Every message is a frozen msgspec struct with its class name as tag, and carries what came before it by
reference, so no node ever has to join two streams. Arrays inside a message are read-only to its receiver and
are valid until the frame is finished (`streamseg.node`); a node that wants to keep one copies it.

Coordinates: pixels of the frame, x to the right, y down, the top left corner of the top left pixel is (0, 0).
Boxes are ``(x0, y0, x1, y1)`` with exclusive right and bottom edges: a box round the single pixel (3, 5) is
``(3, 5, 4, 6)``.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from streamseg.types import Box, CaptureClock, ObjectState, Region, SourceState


class Stamp(msgspec.Struct, frozen=True):
    """Which frame this is. Made by the source, copied unchanged by everyone."""

    stream: str
    """Name of the source node."""
    seq: int
    """Position among the frames that entered the graph: 0, 1, 2, … without gaps."""
    index: int
    """Position among all frames the source saw, the dropped ones included."""
    pts: int | None
    """Presentation time in units of `time_base`; None if the source has none."""
    time_base: tuple[int, int]
    """Seconds per pts unit as (numerator, denominator)."""
    captured_ns: int
    """When the picture was taken, as far as that is known, nanoseconds since the epoch by `captured_clock`."""
    ticket: int
    """The frame's slot in every node's output buffer."""
    generation: int
    """How often that slot has been handed out; a reader that finds another one discards what it read."""
    damaged: bool = False
    """Whether parts of the picture were lost and made up; only from sources that are told to keep such."""
    pixel_aspect: tuple[int, int] = (1, 1)
    """Width of a pixel of the source by its height, as (numerator, denominator). Pictures are not stretched by it."""
    scaled_from: tuple[int, int] | None = None
    """(width, height) of the picture in the source, where it was scaled to the size of the first one; else None."""
    captured_clock: CaptureClock = "arrival"
    """Which clock `captured_ns` is by."""
    arrived_ns: int | None = None
    """When the picture came, nanoseconds since the epoch by this machine's clock; None if `captured_ns` says so."""
    frame_id: str = ""
    """Name of the coordinate frame that the picture was taken in, as robots have it; empty where nobody says."""

    @property
    def came_ns(self) -> int:
        """When the picture came, nanoseconds since the epoch by this machine's clock."""
        return self.captured_ns if self.arrived_ns is None else self.arrived_ns

    @property
    def pts_s(self) -> float | None:
        """Presentation time in seconds."""
        return None if self.pts is None else self.pts * self.time_base[0] / self.time_base[1]


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of everything that travels along a data edge; `stamp` says which frame it is about."""

    @property
    def stamp(self) -> Stamp:
        """The frame this message is about."""
        raise AttributeError(f"{type(self).__name__} has no stamp; give it a field or a property of that name")


class Frame(Message, frozen=True):
    """One decoded picture."""

    stamp: Stamp
    image_rgb: np.ndarray
    """(H, W, 3) uint8, RGB, upright (rotation metadata applied)."""


class Detection(msgspec.Struct, frozen=True):
    """Something a detector found in a frame."""

    box_xyxy: Box
    label: str = ""
    score: float = 1.0
    """How certain it is, 0 to 1."""


class Detected(Frame, frozen=True):
    """A frame, and what a detector found in it. Whoever takes frames takes it too."""

    detections: list[Detection] | None
    """None if nobody looked."""


class View(msgspec.Struct, frozen=True):
    """A rectangle of the frame as the image encoder saw it."""

    region: Box
    """In frame pixels; may reach beyond the frame. The whole frame is (0, 0, W, H)."""
    image_size: tuple[int, int]
    """(height, width) of the picture made of the region and handed to the encoder."""
    features: np.ndarray
    """(C, h, w) float32 or float16: the model's image embedding."""
    object_id: int | None = None
    """The object this view was made for; None if it serves every prompt."""
    detection: int | None = None
    """Position in the frame's detections of the one that this view was made for, and which alone it serves."""
    crop_layer: int = 0
    """Of a crop that was made to look for everything, and serves nothing else, how small it is (`Crops`); else 0."""


class Embedded(Message, frozen=True):
    """A frame and what the image encoder made of it, one entry per view."""

    frame: Frame | Detected
    views: list[View]
    model: str
    """Name of the model whose encoder made the features; only its own decoder understands them."""

    @property
    def stamp(self) -> Stamp:
        """The frame this message is about."""
        return self.frame.stamp


class ObjectResult(msgspec.Struct, frozen=True):
    """What is known of one object in one frame."""

    id: int
    """Stable for life; used again at most for a detector's objects, once all 65,535 have been."""
    state: ObjectState
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    box_xyxy: Box | None
    """Tight box round the mask; None if the mask is empty."""
    area_px: int
    label: str = ""
    reason: str = ""
    """Why the state is what it is."""


class GivenPrompt(msgspec.Struct, frozen=True):
    """What somebody has pointed at, where it came into force."""

    id: int
    """Of the object."""
    label: str = ""
    box_xyxy: Box | None = None
    points_xy: list[tuple[float, float]] = []
    """Clicks on the object."""
    negative_xy: list[tuple[float, float]] = []
    """Clicks on what is not the object."""
    has_mask: bool = False
    """Whether a mask came along."""
    remove: bool = False
    """The object is followed no longer."""


class Segmented(Message, frozen=True):
    """A frame and the masks of the objects in it."""

    frame: Frame | Detected
    objects: list[ObjectResult]
    labels: np.ndarray
    """(H, W) uint16: 0 is background, k is the mask of ``objects[k - 1]``. Masks do not overlap."""
    tracker: msgspec.Raw = msgspec.Raw(b"\xc0")
    """The tracker's state after this frame, as msgpack (nil if there is none): all it needs to go on from here."""
    prompts: list[GivenPrompt] = []
    """What came into force in this frame of what people have pointed at."""

    @property
    def stamp(self) -> Stamp:
        """The frame this message is about."""
        return self.frame.stamp

    def mask(self, position: int) -> np.ndarray:
        """(H, W) bool mask of ``objects[position]``."""
        return np.asarray(self.labels == position + 1)


class Gap(Message, frozen=True):
    """A frame that some node could not or did not want to finish; it goes on to every sink in the frame's place.

    So sequences stay without holes: order can be restored, every frame is accounted for.
    """

    stamp: Stamp
    node: str
    kind: Literal["dropped", "failed"]
    reason: str


class End(Message, frozen=True):
    """A stream is over. Comes after its last frame."""

    stream: str
    seq: int
    """How many frames the stream had."""
    reason: Literal["finished", "stopped", "failed"]


class SourceStatus(Message, frozen=True):
    """A live source is away, is tried again, or is back. It goes on to every sink, past the frames that wait."""

    stream: str
    state: SourceState
    reason: str
    """Why it was lost, or why the last attempt failed; empty when it is back."""
    since_ns: int
    """When it was lost, nanoseconds since the epoch."""
    attempts: int = 0
    """How often it has been tried again since."""


class Crops(msgspec.Struct, frozen=True):
    """All of the frame, in pieces (`streamseg.sam.automatic_masks.generate_crops`)."""

    layers: int
    overlap_ratio: float
    from_s: float | None = None
    """As of a `Region`."""


class Wanted(msgspec.Struct, frozen=True):
    """Which detections of the next frame will become objects (`streamseg.tracking.initialize.new_detections`)."""

    known: list[Box]
    """Where there are objects already."""
    min_score: float
    same_iou: float
    inside: float
    room: int
    """How many more objects there may be."""


class Regions(Message, frozen=True):
    """The back-edge of *focus*: where the objects were in frame `seq`, so where to look in the next one.

    ``seq == -1`` comes before the first frame and is made from the prompts. No regions: look at the whole frame.
    """

    stream: str
    seq: int
    regions: list[Region]
    wanted: Wanted | None = None
    """Which detections to look at, too; None for none."""
    crops: Crops | None = None
    """Which crops to look at, too; None for none."""
    ahead: list[Region] = []
    """Where to look in the frame after the next one, if all goes on as it does: it may be encoded there while propagate
    is busy with the next one, for nothing if something else is wanted then."""
