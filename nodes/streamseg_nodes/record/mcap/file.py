"""``results.mcap``: masks, detections, overlay, states and prompts on topics of their own, at the source's times."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from streamseg.messages import Gap, Segmented, Stamp
from streamseg.robotics import ros_results
from streamseg_nodes.drawn_masks import drawn_masks
from streamseg_nodes.record.mcap.foxglove import FoxgloveEncoder
from streamseg_nodes.record.mcap.growing import GrowingMcap, McapMark, Piece
from streamseg_nodes.record.mcap.messages import Encoder, Result
from streamseg_nodes.record.mcap.ros2 import Ros2Encoder
from streamseg_nodes.source_times import taken_ns

Schemas = Literal["foxglove", "ros2"]

_JPEG_QUALITY = 85


class McapFile:
    """The MCAP file of a recording.

    Times are those of the source: when a live picture was taken, what a bag has as stamps, and for a file, which does
    not know when it was taken, the time since its beginning. Pictures are gathered in pieces; the file holds those that
    were appended.

    Args:
        path: of the file.
        schemas: whose messages to write.
        alpha: how much of an object's color covers the picture in the overlay; None leaves the overlay out.
        keep: how much of an earlier run's file to keep; None begins a new one.
        root: a folder from which on no part of the path may be a link; None for its own.

    Raises:
        OutputError: the file of an earlier run is not as it was.
        UsageError: a package that is needed is missing.
    """

    def __init__(
        self,
        path: Path,
        schemas: Schemas,
        alpha: float | None,
        keep: McapMark | None = None,
        root: Path | None = None,
    ) -> None:
        self._encoder = encoder(schemas)
        self._numbers = {channel.topic: number for number, channel in enumerate(self._encoder.channels, 1)}
        self._alpha = alpha
        self._file = GrowingMcap(path, self._encoder.profile, self._encoder.channels, keep, root)
        self._piece: Piece | None = None

    def add(self, message: Segmented) -> None:
        """One frame with its objects."""
        masks = ros_results.label_image({}, message.labels, [found.id for found in message.objects])
        result = Result(
            taken_ns(message.stamp), message.stamp, message.objects, masks, self._overlay(message), message.prompts
        )
        self._gather(message.stamp, self._encoder.frame(result))

    def add_gap(self, gap: Gap) -> None:
        """A frame of which no masks are known."""
        reason = f"{gap.kind} at {gap.node}: {gap.reason}"
        self._gather(gap.stamp, self._encoder.gap(taken_ns(gap.stamp), gap.stamp, reason))

    def cut(self) -> Piece | None:
        """The messages since the last cut, to be given to `append`."""
        piece, self._piece = self._piece, None
        return piece

    def append(self, piece: Piece, *, sync: bool) -> McapMark:
        """Put a piece at the end of the file, all or nothing. May be called from another thread than the rest.

        Raises:
            OutputError: the disk is full or gone; the file keeps what it has.
        """
        return self._file.append(piece, sync=sync)

    def close(self) -> None:
        """Finish the file, once every piece is in it.

        Raises:
            OutputError: its summary cannot be written; it can be read without it.
        """
        self._file.close()

    def _gather(self, stamp: Stamp, made: list[tuple[str, bytes]]) -> None:
        if self._piece is None:
            self._piece = Piece()
        for topic, data in made:
            self._piece.add(self._numbers[topic], taken_ns(stamp), stamp.index & 0xFFFFFFFF, data)

    def _overlay(self, message: Segmented) -> ros_results.Fields | None:
        if self._alpha is None:
            return None
        return ros_results.jpeg_image({}, drawn_masks(message, self._alpha), _JPEG_QUALITY)


def encoder(schemas: Schemas) -> Encoder:
    """What makes the messages.

    Raises:
        UsageError: a package that is needed is missing.
    """
    return Ros2Encoder() if schemas == "ros2" else FoxgloveEncoder()
