"""What Rerun is told of a frame: picture, masks as a label image, boxes, scores and states, at the source's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from streamseg.masks.overlay import color_of
from streamseg.messages import Gap, ObjectResult, Segmented, Stamp
from streamseg_nodes.source_times import taken_ns

_LEVELS = {"TRACKED": "INFO", "REACQUIRED": "INFO", "UNCERTAIN": "WARN", "LOST": "ERROR"}


class Shown(NamedTuple):
    """A frame on its way to Rerun."""

    stamp: Stamp
    image_rgb: np.ndarray | None
    """(H, W, 3) uint8; None if pictures are not shown."""
    labels: np.ndarray
    """(H, W) uint16: the object's id, 0 elsewhere."""
    objects: Sequence[ObjectResult]


def shown(message: Segmented, *, image: bool) -> Shown:
    """A frame, copied: it may be shown after its buffers have been given back."""
    table = np.array([0, *(found.id for found in message.objects)], np.uint16)
    picture = message.frame.image_rgb.copy() if image else None
    return Shown(message.stamp, picture, np.take(table, message.labels), message.objects)


class Drawing:
    """Tells one recording of the frames of all streams.

    Args:
        rerun: the module.
        recording: a ``RecordingStream`` of it.
        jpeg_quality: of the pictures, 1 to 100.
    """

    def __init__(self, rerun: Any, recording: Any, jpeg_quality: int) -> None:
        self._rr = rerun
        self._recording = recording
        self._jpeg_quality = jpeg_quality
        self._classes: dict[str, dict[int, str]] = {}
        self._states: dict[tuple[str, int], tuple[str, str]] = {}

    def add(self, frame: Shown) -> None:
        """One frame with its objects."""
        stream, objects = frame.stamp.stream, frame.objects
        self._set_time(frame.stamp)
        self._name(stream, objects)
        if frame.image_rgb is not None:
            self._picture(stream, frame.image_rgb)
        small = frame.labels.max(initial=0) < 256
        labels = frame.labels.astype(np.uint8) if small else frame.labels
        self._log(f"{stream}/image/masks", self._rr.SegmentationImage(labels))
        with_box = [(found, found.box_xyxy) for found in objects if found.box_xyxy is not None]
        self._log(
            f"{stream}/image/boxes",
            self._rr.Boxes2D(
                mins=[(x0, y0) for _, (x0, y0, _, _) in with_box],
                sizes=[(x1 - x0, y1 - y0) for _, (x0, y0, x1, y1) in with_box],
                class_ids=[found.id for found, _ in with_box],
                labels=[f"{found.id} {found.label} {found.score:.2f}".replace("  ", " ") for found, _ in with_box],
            ),
        )
        for found in objects:
            self._log(f"{stream}/scores/{found.id}", self._rr.Scalars([found.score]))
            self._state(stream, found)

    def add_gap(self, gap: Gap) -> None:
        """A frame of which no masks are known: those of the one before do not stay on the screen."""
        stream = gap.stamp.stream
        self._set_time(gap.stamp)
        for name in ("masks", "boxes"):
            self._log(f"{stream}/image/{name}", self._rr.Clear(recursive=False))
        text = f"frame {gap.stamp.index} {gap.kind} at {gap.node}: {gap.reason}"
        self._log(f"{stream}/states", self._rr.TextLog(text, level="WARN"))

    def _set_time(self, stamp: Stamp) -> None:
        self._recording.set_time("frame", sequence=stamp.index)
        if stamp.captured_clock == "reading":
            self._recording.set_time("video_time", duration=np.timedelta64(taken_ns(stamp), "ns"))
        else:
            self._recording.set_time("capture_time", timestamp=np.datetime64(taken_ns(stamp), "ns"))

    def _name(self, stream: str, objects: Sequence[ObjectResult]) -> None:
        """Tell which object has which label and color, if that is new."""
        known = self._classes.setdefault(stream, {})
        new = {found.id: found.label for found in objects}
        if new.items() <= known.items():
            return
        known |= new
        nothing = self._rr.AnnotationInfo(id=0, color=(0, 0, 0, 0))
        infos = [self._rr.AnnotationInfo(id=k, label=f"{k} {v}".rstrip(), color=color_of(k)) for k, v in known.items()]
        self._recording.log(stream, self._rr.AnnotationContext([nothing, *infos]), static=True)

    def _picture(self, stream: str, image_rgb: np.ndarray) -> None:
        image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
        done, jpeg = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, self._jpeg_quality])
        if done:
            contents = self._rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg")
            self._log(f"{stream}/image", contents)

    def _state(self, stream: str, found: ObjectResult) -> None:
        """Tell of a state that is another than in the frame before."""
        now = (found.state, found.reason)
        if self._states.get((stream, found.id)) == now:
            return
        self._states[stream, found.id] = now
        name = f"object {found.id} {found.label}".rstrip()
        text = f"{name}: {found.state}, {found.reason}" if found.reason else f"{name}: {found.state}"
        self._log(f"{stream}/states", self._rr.TextLog(text, level=_LEVELS[found.state]))

    def _log(self, path: str, what: Any) -> None:
        self._recording.log(path, what)
