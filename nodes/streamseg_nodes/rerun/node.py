"""Results in Rerun: in a viewer while they come, or in an ``.rrd`` file for later."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from streamseg import extras
from streamseg.errors import GraphError, OutputError
from streamseg.messages import Gap, Segmented
from streamseg.node import Node, NodeConfig, Option
from streamseg_nodes.rerun.drawing import Drawing, shown
from streamseg_nodes.rerun.viewer import Viewer

Rate = Annotated[float, msgspec.Meta(gt=0)]

_SUFFIX = ".rrd"
_VIEWER_FPS = 10.0
_FLUSH_S = 10.0


class Rerun(Node[Segmented, None]):
    """Shows each frame with its masks, boxes, scores and states, on the timeline of the source.

    A viewer is never waited for: while it is away or still at an earlier frame, frames are not shown to it. A file gets
    every frame. A run that is gone on with writes another file beside the first, of the same recording: opened
    together they are one.
    """

    class Config(NodeConfig, frozen=True):
        """Options of rerun."""

        to: Annotated[
            str,
            Option(
                "show results in Rerun: in a file (NAME.rrd), or in the viewer at HOST:PORT (127.0.0.1:9876 is usual)",
                flag="--rerun",
                metavar="FILE|ADDR",
            ),
        ] = "127.0.0.1:9876"
        fps: Annotated[
            Rate | None,
            Option(
                "at most so many frames a second; without it 10 for a viewer, all for a file",
                flag="--rerun-fps",
                metavar="N",
                rare=True,
            ),
        ] = None
        image: Annotated[bool, Option("show the picture too, as JPEG", flag="--no-rerun-image", rare=True)] = True
        jpeg_quality: Annotated[int, msgspec.Meta(ge=1, le=100), Option("of the pictures")] = 80

    resumable = True

    config: Config
    _viewer: Viewer | None = None
    _recording: Any = None
    _drawing: Drawing | None = None
    _path: Path | None = None
    _frames = 0
    _skipped = 0
    _due_s = 0.0

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse what is neither a file of Rerun nor an address.

        Raises:
            GraphError: it is neither.
        """
        if not _is_file(config.to):
            _address(config.to)

    def setup(self) -> None:
        """Begin the file, or look for the viewer in the background.

        Raises:
            GraphError: neither a file nor an address.
            OutputError: the file is there already, or cannot be written.
            UsageError: Rerun is not installed.
        """
        # What it says by itself, over and over, is said here once.
        os.environ.setdefault("RUST_LOG", "off")
        self._rr = extras.load("rerun", "rerun", "to show results in Rerun")
        if _is_file(self.config.to):
            self._begin_file(Path(self.config.to).expanduser())
        else:
            self._viewer = Viewer(*_address(self.config.to), self._connect)

    def describe(self) -> dict[str, Any]:
        """Where it is shown, how many frames were, and how many not."""
        frames = self._frames if self._viewer is None else self._viewer.sent
        return {"to": str(self._path or self.config.to), "frames": frames, "skipped": self._skipped}

    def process(self, message: Segmented) -> None:
        """Show one frame, if it is time and somebody looks."""
        if not self._is_due() or (self._viewer is not None and not self._viewer.is_free):
            self._skipped += 1
            return
        frame = shown(message, image=self.config.image)
        if self._viewer is not None:
            self._viewer.offer(frame)
        elif self._drawing is not None:
            self._drawing.add(frame)
            self._frames += 1

    def gap(self, gap: Gap) -> None:
        """Say that a frame is missing, and take the masks of the one before off the screen."""
        if self._viewer is not None and self._viewer.is_free:
            self._viewer.offer(gap)
        elif self._drawing is not None:
            self._drawing.add_gap(gap)

    def finish(self, stream: str) -> None:
        """Have in the file what came so far.

        Raises:
            OutputError: the disk is full or gone.
        """
        if self._recording is not None:
            try:
                self._recording.flush(timeout_sec=_FLUSH_S)
            except RuntimeError as error:
                raise OutputError(f"expected to write {self._path}, got: {error}; free space") from error

    def close(self) -> None:
        """Finish the file, or take leave of the viewer."""
        if self._viewer is not None:
            self._viewer.close()
        if self._recording is not None:
            self._recording.disconnect()

    def _is_due(self) -> bool:
        fps = self.config.fps or (None if self._viewer is None else _VIEWER_FPS)
        now_s = time.monotonic()
        if fps is None:
            return True
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + 1 / fps, now_s)
        return True

    def _begin_file(self, path: Path) -> None:
        job = self.context.job
        identity = uuid.uuid5(uuid.NAMESPACE_URL, path.absolute().as_uri())
        if job is not None and job.begun:
            path = _free(path)
        elif path.exists():
            raise OutputError(f"expected a new file, but {path} is there already; remove it or choose another name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Rerun would say what is wrong to its log alone.
            path.touch()
        except OSError as error:
            raise OutputError(f"expected to write {path}, got: {error.strerror}; choose another output") from error
        self._path = path
        self._recording = self._rr.RecordingStream("streamseg", recording_id=identity)
        self._recording.save(path)
        self._drawing = Drawing(self._rr, self._recording, self.config.jpeg_quality)

    def _connect(self) -> tuple[Any, Drawing]:
        host, port = _address(self.config.to)
        recording = self._rr.RecordingStream("streamseg")
        recording.connect_grpc(f"rerun+http://{f'[{host}]' if ':' in host else host}:{port}/proxy")
        return recording, Drawing(self._rr, recording, self.config.jpeg_quality)


def _is_file(to: str) -> bool:
    return to.lower().endswith(_SUFFIX) and "://" not in to


def _address(to: str) -> tuple[str, int]:
    """(host, port) of a viewer.

    Raises:
        GraphError: it is no address.
    """
    plain = to.removeprefix("rerun+http://").removesuffix("/proxy")
    try:
        found = urlsplit(f"//{plain}")
        if found.hostname and found.port and not found.path and not found.username:
            return found.hostname, found.port
    except ValueError:
        pass  # a port that is no number is said below
    raise GraphError(
        f"expected a file (NAME{_SUFFIX}) or the address of a Rerun viewer (HOST:PORT), got {to!r}; "
        f"a viewer on this machine is at 127.0.0.1:9876"
    )


def _free(path: Path) -> Path:
    """A name beside that of a file which an earlier run of the same job has begun."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
