"""Masks, tracks and an overlay video on disk.

A folder holds ``overlay.mp4``, ``masks/00000.png`` (pixel value = object id) and ``tracks.jsonl``; whoever started the
graph adds ``run.json``. Masks are named by the frame's number in the source, and so are the lines of the tracks: for a
file that is every number, for a live source those of frames that were dropped before they entered are missing. With
several streams each has a folder of its own in there, under its name.

In a job that can be gone on with there is a ``commits.log`` too (`streamseg.commits`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streamseg.errors import GraphError, OutputError
from streamseg.jobs import Left
from streamseg.messages import Gap, Segmented
from streamseg.node import Node, NodeConfig
from streamseg_nodes.record import output_folder
from streamseg_nodes.record.commits import left
from streamseg_nodes.record.recording import Recording


class Record(Node[Segmented, None]):
    """Writes the results of each stream to files, which are whole up to the last frame whenever the run ends."""

    class Config(NodeConfig, frozen=True):
        """Options of record."""

        output: str | None = None
        """The folder; None takes the one that the caller gave to the whole run."""
        overwrite: bool = False
        """Whether to replace earlier results; other files in the folder are left alone."""
        overlay: bool = True
        masks: bool = True
        tracks: bool = True
        alpha: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
        """How much of an object's color covers the picture in the overlay."""

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
        """See whether the folder may be written to; it is made when the first frame comes.

        Raises:
            GraphError: there is no folder to write to, or nothing to write.
            OutputError: it may not be written to, or has something in it.
        """
        output = self.config.output or self.context.output_dir
        if not output:
            raise GraphError("record: expected a folder to write to, got none; set its option 'output'")
        if not (self.config.overlay or self.config.masks or self.config.tracks):
            raise GraphError("record: overlay, masks and tracks are all off; switch one on or remove the node")
        self._folder = Path(output).expanduser()
        self._recordings: dict[str, Recording] = {}
        job = self.context.job
        self._begun = job is not None and job.begun
        output_folder.check(self._folder, overwrite=self.config.overwrite or self._begun)
        several = len(self.context.streams) > 1
        for stream in self.context.streams:
            own = output_folder.stream_folder(self._folder, stream)
            output_folder.check_files(own if several else self._folder, begun=self._begun)
        for stream, position in job.positions.items() if job is not None and job.begun else ():
            if position.seq and stream in self.context.streams:
                self._recording(stream)

    def describe(self) -> dict[str, Any]:
        """Where the files are, and how many frames of each stream are in them."""
        return {
            "folder": str(self._folder),
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

    def _recording(self, stream: str) -> Recording:
        if stream not in self._recordings:
            if not self._recordings and self.config.overwrite and not self._begun:
                output_folder.clear(self._folder)
            self._recordings[stream] = Recording(
                self._folder_of(stream),
                overlay=self.config.overlay,
                masks=self.config.masks,
                tracks=self.config.tracks,
                alpha=self.config.alpha,
                job=self.context.job,
            )
        return self._recordings[stream]

    def _folder_of(self, stream: str) -> Path:
        if len(self.context.streams) > 1:
            folder = output_folder.stream_folder(self._folder, stream)
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
def _saying_what_is_saved(recording: Recording) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error} ({recording.saved})") from error
