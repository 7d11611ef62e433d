"""Masks, tracks and an overlay video on disk.

A folder holds ``overlay.mp4``, ``masks/00000.png`` (pixel value = object id) and ``tracks.jsonl``; whoever started the
graph adds ``run.json``. Masks are named by the frame's number in the source, and so are the lines of the tracks: for a
file that is every number, for a live source those of frames that were dropped before they entered are missing. With
several streams each has a folder of its own in there, under its name.

With `segment_frames` or `keep_s` the files are in folders ``segment-000000000``, … (`streamseg_nodes.record.segments`).

In a job that can be gone on with there is a ``commits.log`` too (`streamseg.commits`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from streamseg.errors import GraphError, OutputError
from streamseg.jobs import Left
from streamseg.messages import Gap, Segmented
from streamseg.node import Node, NodeConfig, Option
from streamseg_nodes.record import output_folder
from streamseg_nodes.record.mcap.file import Schemas, encoder
from streamseg_nodes.record.recording import Progress, Recording
from streamseg_nodes.record.segments import USUAL_FRAMES, SegmentedRecording, left

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Record(Node[Segmented, None]):
    """Writes the results of each stream to files, which are whole up to the last frame whenever the run ends."""

    class Config(NodeConfig, frozen=True):
        """Options of record."""

        output: Annotated[
            str | None,
            Option(
                "folder for the results; by default out/NAME OF THE SOURCE", flag="--output", short="-o", metavar="DIR"
            ),
        ] = None
        overwrite: Annotated[
            bool, Option("replace earlier results in the folder; other files are left alone", flag="--overwrite")
        ] = False
        overlay: Annotated[bool, Option("write overlay.mp4", flag="--no-overlay")] = True
        masks: Annotated[bool, Option("write masks/", flag="--no-masks", rare=True)] = True
        tracks: Annotated[bool, Option("write tracks.jsonl", flag="--no-tracks", rare=True)] = True
        alpha: Annotated[
            float,
            msgspec.Meta(ge=0, le=1),
            Option(
                "how much of an object's color covers the picture in the overlay",
                flag="--alpha",
                metavar="F",
                rare=True,
            ),
        ] = 0.5
        mask_format: Annotated[
            Literal["png", "rle"],
            Option(
                "png: a picture a frame; rle: COCO's run lengths, in the lines of the tracks",
                flag="--mask-format",
                rare=True,
            ),
        ] = "png"
        mcap: Annotated[
            Schemas | None,
            Option(
                "write results.mcap too, for Foxglove and ROS: with Foxglove's messages (foxglove) or ROS 2's (ros2)",
                flag="--mcap",
            ),
        ] = None
        also: Annotated[
            str | list[str],
            Option(
                "at the end of 'streamseg run', write the results in these formats too, each into a folder of its name "
                "in there: say coco,yolo ('streamseg convert --list' has all)",
                flag="--also",
                metavar="FORMAT,…",
            ),
        ] = []
        segment_frames: Annotated[
            AtLeastOne | None,
            Option(
                "begin a folder segment-… with files of its own after N frames of the source",
                flag="--segment-frames",
                metavar="N",
                rare=True,
            ),
        ] = None
        keep_s: Annotated[
            Seconds | None,
            Option(
                "remove segments that were last written to S seconds ago; for live runs of days",
                flag="--keep-s",
                metavar="S",
                rare=True,
            ),
        ] = None

    resumable = True

    config: Config
    _folder = Path()

    @classmethod
    def left(cls, config: Config, streams: Sequence[str], output_dir: str | None) -> Left | None:
        """How far the files of each stream are durable, by the commit logs in the folder.

        Raises:
            OutputError: a log cannot be read.
        """
        output = config.output or output_dir
        if not output:
            return None
        folder = Path(output).expanduser()
        folders = {s: output_folder.stream_folder(folder, s) if len(streams) > 1 else folder for s in streams}
        found = {stream: there for stream, place in folders.items() if (there := left(place)) is not None}
        if not found:
            return None
        facts = next(iter(found.values()))[0]
        return Left(facts, max(each[1] for each in found.values()), {s: each[2] for s, each in found.items()})

    def setup(self) -> None:
        """See whether the folder may be written to, and take it if it is there; else it is made with the first frame.

        Raises:
            GraphError: there is no folder to write to, or nothing to write.
            OutputError: it may not be written to, has something in it, or another run records into it.
        """
        output = self.config.output or self.context.output_dir
        if not output:
            raise GraphError("record: expected a folder to write to, got none; set its option 'output'")
        config = self.config
        if not (config.overlay or config.masks or config.tracks or config.mcap):
            raise GraphError("record: overlay, masks, tracks and mcap are all off; switch one on or remove the node")
        if self.config.masks and self.config.mask_format == "rle" and not self.config.tracks:
            raise GraphError("record: mask_format: rle writes masks into the tracks, which are off; switch them on")
        self._folder = Path(output).expanduser()
        self._recordings: dict[str, Recording | SegmentedRecording] = {}
        self._locks: dict[Path, int | None] = {}
        job = self.context.job
        self._begun = job is not None and job.begun
        if config.mcap is not None:
            encoder(config.mcap)  # says now, not at the first frame, what is not installed
        several = len(self.context.streams) > 1
        for stream in self.context.streams:
            own = output_folder.stream_folder(self._folder, stream)
            output_folder.check_files(own if several else self._folder, begun=self._begun)
        if self._folder.is_dir():
            self._own(self._folder)
        else:
            output_folder.check(self._folder, overwrite=True)
        for stream, position in job.positions.items() if job is not None and job.begun else ():
            if position.seq and stream in self.context.streams:
                self._recording(stream)

    def describe(self) -> dict[str, Any]:
        """Where the files are, once the folder is ours, and how many frames of each stream are in them."""
        return {
            "folder": str(self._folder) if self._locks else None,
            "frames": {stream: recording.frames for stream, recording in self._recordings.items()},
            "gaps": {stream: recording.gaps for stream, recording in self._recordings.items()},
        }

    def process(self, message: Segmented) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full or gone; says what is saved.
        """
        recording = self._recording(message.stamp.stream)
        with _saying_what_is_saved(recording):
            recording.add(message)

    def gap(self, gap: Gap) -> None:
        """Write what stands for a missing frame."""
        recording = self._recording(gap.stamp.stream)
        with _saying_what_is_saved(recording):
            recording.add_gap(gap)

    def finish(self, stream: str) -> None:
        """Finish the files of a stream."""
        recording = self._recordings.get(stream)
        if recording is not None:
            with _saying_what_is_saved(recording):
                recording.close()

    def close(self) -> None:
        """Finish what no end of a stream has finished."""
        for stream, recording in self._recordings.items():
            try:
                recording.close()
            except OutputError as error:
                self.context.log.warning("the files of %s could not be finished: %s", stream, error)
        for folder in list(self._locks):
            self._let_go(folder)

    def _own(self, folder: Path) -> None:
        """Keep others out of a folder, and see then whether it may be written to."""
        if folder in self._locks:
            return
        self._locks[folder] = output_folder.lock(folder, patient=self._begun)
        if folder == self._folder:
            try:
                output_folder.check(folder, overwrite=self.config.overwrite or self._begun)
            except OutputError:
                self._let_go(folder)
                raise

    def _let_go(self, folder: Path) -> None:
        fd = self._locks.pop(folder)
        if fd is not None:
            os.close(fd)

    def _recording(self, stream: str) -> Recording | SegmentedRecording:
        if stream not in self._recordings:
            self._own(self._folder)
            if not self._recordings and self.config.overwrite and not self._begun:
                output_folder.clear(self._folder)
            self._recordings[stream] = self._begin_recording(self._folder_of(stream))
        return self._recordings[stream]

    def _begin_recording(self, folder: Path) -> Recording | SegmentedRecording:
        config = self.config

        def begin(folder: Path, before: Progress | None) -> Recording:
            return Recording(
                folder,
                overlay=config.overlay,
                masks=config.masks,
                tracks=config.tracks,
                alpha=config.alpha,
                rle=config.mask_format == "rle",
                mcap=config.mcap,
                job=self.context.job,
                before=before,
                root=self._folder,
            )

        if config.segment_frames is None and config.keep_s is None:
            return begin(folder, None)
        frames = config.segment_frames or USUAL_FRAMES
        return SegmentedRecording(folder, frames, config.keep_s, begin, begun=self._begun)

    def _folder_of(self, stream: str) -> Path:
        if len(self.context.streams) > 1:
            folder = output_folder.stream_folder(self._folder, stream)
            self._own(folder)
            if self.config.overwrite and not self._begun:
                output_folder.clear(folder)
            return folder
        if self._recordings:
            raise GraphError(
                f"record: expected the one stream {next(iter(self._recordings))!r}, got {stream!r} too; "
                f"name both in the context's streams"
            )
        return self._folder


@contextlib.contextmanager
def _saying_what_is_saved(recording: Recording | SegmentedRecording) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error} ({recording.saved})") from error
