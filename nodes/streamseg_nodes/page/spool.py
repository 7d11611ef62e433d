"""A file, unpacked: every frame at hand at once, so that one may jump to and fro in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading

import msgspec
import numpy as np

from streamseg.errors import MediaError, StreamsegError
from streamseg.messages import Frame, Stamp
from streamseg.node import NodeContext
from streamseg_nodes.decode import Decode
from streamseg_nodes.decode_options import DecodeOptions

_MOST_BYTES = 8 << 30
_SHARE_OF_DISK = 0.5
"""Of the space that is left where temporary files are."""


class Spool:
    """Decodes a file in a thread, from the first frame to the last, into a temporary file without a name.

    Frames are raw, since following them has to give what a run gives. What does not fit is left out, and said.

    Args:
        stream: what the frames' stamps call it.
        options: of decode.
    """

    def __init__(self, stream: str, options: DecodeOptions) -> None:
        self._stream = stream
        self._decode = Decode(options, NodeContext(stream, streams=(stream,), threads=1))
        self._decode.setup()
        self.facts = self._decode.describe()
        """What decode says of the file."""
        self.fps: float = self.facts["fps"] or 25.0
        """Frames a second, as the file says."""
        self.expected: int | None = self.facts["frames"]
        """How many frames there seem to be."""
        self._file = tempfile.TemporaryFile(prefix="streamseg-")  # noqa: SIM115 (open as long as this is)
        self._most_bytes = min(_MOST_BYTES, int(shutil.disk_usage(tempfile.gettempdir()).free * _SHARE_OF_DISK))
        self._stamps: list[Stamp] = []
        self._shape = (0, 0, 3)
        self._change = threading.Condition()
        self.done = False
        """Whether no more frames come."""
        self.note = ""
        """Why there are fewer frames than there could be."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"unpack {stream}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._stamps)

    def wait(self, index: int, timeout_s: float | None = None) -> bool:
        """Whether there is such a frame; waits until that is known, for so long at most."""
        with self._change:
            self._change.wait_for(lambda: index < len(self._stamps) or self.done or self._closing, timeout_s)
            return index < len(self._stamps)

    def frame(self, index: int) -> Frame:
        """A frame that there is."""
        size = int(np.prod(self._shape))
        data = os.pread(self._file.fileno(), size, index * size)
        return Frame(self._stamps[index], np.frombuffer(data, np.uint8).reshape(self._shape))

    def close(self) -> None:
        """Let go of all of it."""
        self._closing = True
        self._decode.stop()
        self._thread.join()
        self._decode.close()
        self._file.close()

    def _run(self) -> None:
        try:
            self._unpack()
        except (StreamsegError, OSError) as error:
            self.note = str(error)
        with self._change:
            self.done = True
            self._change.notify_all()

    def _unpack(self) -> None:
        # Closed here, also where not all of it is read: reading it holds the file open.
        with contextlib.closing(iter(self._decode.produce())) as produced:  # type: ignore[type-var]
            for index, captured in enumerate(produced):
                stamp = Stamp(
                    stream=self._stream,
                    seq=index,
                    index=index,
                    pts=captured.pts,
                    time_base=captured.time_base,
                    captured_ns=captured.captured_ns,
                    ticket=0,
                    generation=index + 1,
                    pixel_aspect=captured.pixel_aspect,
                    scaled_from=captured.scaled_from,
                )
                frame = captured.make(stamp)
                if self._closing or not self._keep(frame):
                    return

    def _keep(self, frame: Frame) -> bool:
        size = frame.image_rgb.nbytes
        if not self._stamps:
            self._shape = frame.image_rgb.shape
        if (len(self._stamps) + 1) * size > self._most_bytes:
            self.note = f"only the first {len(self._stamps)} frames are shown: temporary files have no room for more"
            return False
        written = os.pwrite(self._file.fileno(), frame.image_rgb.tobytes(), len(self._stamps) * size)
        if written != size:
            raise MediaError(f"expected room for frame {len(self._stamps)} where temporary files are, got none")
        with self._change:
            self._stamps.append(msgspec.structs.replace(frame.stamp))
            self._change.notify_all()
        return True
