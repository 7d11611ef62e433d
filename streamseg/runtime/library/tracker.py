"""Following objects in one's own loop: the nodes of the standard graph, called one after the other in this process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Unpack

import msgspec

from streamseg import structs
from streamseg.errors import PromptError, RunError, StreamsegError, UsageError
from streamseg.graph import config
from streamseg.graph.options import FRAME_BY_FRAME, check_names, frame_by_frame_options
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.jobs import NO_TRACKER, Job, Position
from streamseg.messages import Frame, Gap, Message, Stamp
from streamseg.node import NodeContext
from streamseg.runtime.library import given, saved_tracker
from streamseg.runtime.library.frame_result import FrameResult, frame_result
from streamseg.runtime.library.given_images import GivenImage, GivenImages
from streamseg.runtime.library.keywords import TrackerKeywords
from streamseg.runtime.library.prompting import command_of
from streamseg.runtime.library.saved_tracker import SavedTracker
from streamseg.runtime.node_faults import reason_of

log = logging.getLogger("streamseg.tracker")

_STREAM = "decode"
"""As the source of the standard graph is called, in whose place the caller is."""
_LAST = FRAME_BY_FRAME[-1]
_NS = 1_000_000_000


class Tracker:
    """Follow objects through frames that you have in hand: no processes, no files, no threads that outlive it.

        tracker = streamseg.Tracker(model="tiny")
        tracker.prompt(box=(62, 238, 128, 304), label="cup")
        for image_rgb in camera:
            result = tracker.track(image_rgb)

    It is the same code as in `segment_video`, so the masks of the same frames are the same bit for bit, if the model is
    computed by ONNX Runtime or OpenVINO, as the bundled one is on a CPU. (Torch's rounding may depend on how many
    threads it has.)

    All methods may be called from any thread; one that comes while another works waits for it. Trackers with the same
    model share what is loaded of it, as long as one of them is there. Each follows one stream: use one for each camera.
    """

    def __init__(self, **options: Unpack[TrackerKeywords]) -> None:
        """Load the model.

        Args:
            options: ``model`` (the bundled ``tiny`` without it), ``checkpoint``, ``device``, ``engine``, ``focus``,
                those of cleanup and others, as `segment_video` has them;
                `streamseg.runtime.library.keywords` explains each.

        Raises:
            UsageError: an option cannot be meant.
            ModelError: there is no such model, or it cannot be loaded.
            DeviceError: there is no such device, or it has no memory left.
        """
        check_names(options, frame_by_frame_options())
        plain = {name: given.option(value) for name, value in options.items()}
        # The place of its source is the caller's.
        self._plan = Plan(standard_graph("frames of the caller", [], **plain), results_from=_LAST)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._embed = self._node("embed")
        self._propagate = self._node("propagate")
        self._cleanup = self._node(_LAST)
        facts = self._propagate.describe()
        self._model, self._sha256 = facts["model"], facts["sha256"]
        self._images = GivenImages()
        self._seq = 0
        self._state = NO_TRACKER
        self._everything: dict[str, Any] | None = None
        self._said_size = False
        self._told = True

    def prompt(
        self,
        *,
        box: Sequence[float] | None = None,
        points: Sequence[Sequence[float]] = (),
        negative: Sequence[Sequence[float]] = (),
        mask: Any = None,
        label: str = "",
        object_id: int | None = None,
        choice: int | None = None,
        frame: int | None = None,
    ) -> int:
        """Point at an object in the frame that is tracked next. At any time; of a known id, it is pointed at anew.

        Args:
            box: x0, y0, x1, y1 in pixels of the frame, right and bottom edges exclusive.
            points: clicks (x, y) on the object, in pixels of the frame.
            negative: clicks (x, y) on what is not the object.
            mask: (H, W) array of the frame's size, not 0 on the object; or the path of such a picture.
            label: what to call it.
            object_id: from 1 to 65535; the next free one if None.
            choice: of a click alone, which of the things that it may mean, 0 to 2, the largest first.
            frame: in which frame to come, counted from 0, if not in the next.

        Returns:
            The object's id, which its results have.

        Raises:
            PromptError: that cannot be meant, or is not possible; nothing is changed. Whether the first prompts fit
                their frame is seen when it comes: then `track` raises it.
        """
        boxes = given.rows(box, 4, "box=(x0, y0, x1, y1)")
        if len(boxes) > 1:
            raise PromptError(f"expected one box for one object, got {len(boxes)}; call prompt for each")
        plain = {
            "box": boxes[0] if boxes else None,
            "points": given.rows(points, 2, "points=[(x, y)]"),
            "negative": given.rows(negative, 2, "negative=[(x, y)]"),
            "mask": mask,
            "label": label,
            "id": object_id,
            "choice": choice,
            "frame": frame,
        }
        return self._plan_prompt({name: value for name, value in plain.items() if value is not None})

    def correct(
        self,
        object_id: int,
        *,
        points: Sequence[Sequence[float]] = (),
        negative: Sequence[Sequence[float]] = (),
        frame: int | None = None,
    ) -> None:
        """Refine the mask of an object by clicks, in the frame that is tracked next.

        Args:
            object_id: of an object that there is.
            points: clicks (x, y) on the object, in pixels of the frame.
            negative: clicks (x, y) on what is not the object.
            frame: in which frame, counted from 0, if not in the next.

        Raises:
            PromptError: there is no such object, or the clicks cannot be meant; nothing is changed.
        """
        with self._lock:
            known = self._propagate.stream(_STREAM).known_ids
        if object_id not in known:
            there = f"known: {', '.join(map(str, sorted(known)))}" if known else "there are none"
            raise PromptError(f"expected an object to correct, there is no object {object_id}; {there}")
        self.prompt(object_id=object_id, points=points, negative=negative, frame=frame)

    def remove(self, object_id: int, *, frame: int | None = None) -> None:
        """Follow an object no longer, from the frame that is tracked next. Its id is never used again.

        Args:
            object_id: of an object that there is.
            frame: from which frame on, counted from 0, if not from the next.

        Raises:
            PromptError: there is no such object.
        """
        when = {} if frame is None else {"frame": frame}
        self._plan_prompt({"id": object_id, "remove": True, **when})

    def everything(self, **options: Any) -> None:
        """Follow also all objects of the frame that is tracked next, found without being pointed at.

        Args:
            options: as in `segment_video`'s ``everything``, say ``max_objects=5``, but for those that say when.

        Raises:
            UsageError: an option cannot be meant.
        """
        taken = [name for name in ("frame", "time_s", "stream") if name in options]
        if taken:
            raise UsageError(f"expected everything() without {taken[0]}: it is about the frame that is tracked next")
        with self._lock:
            found = {**given.plain(options), "frame": self._seq}
            self._find_everything(found)

    def track(self, image: Any, time_s: float | None = None, *, bgr: bool = False, gray: bool = False) -> FrameResult:
        """Find the objects in the next frame.

        Before anything was pointed at there are none, and the result says so. A frame of another size than the first is
        scaled to that one's, which the log says once; so are then its masks, and the picture of the result.

        Args:
            image: (H, W, 3) uint8, RGB: an array of numpy, a tensor of torch, or a picture of PIL. It is copied.
            time_s: its time in seconds, which the result hands on as `pts_s`.
            bgr: the colors are blue, green, red, as OpenCV reads them.
            gray: the picture is (H, W), without colors.

        Returns:
            As `segment_video` gives it; `index` counts the frames from 0.

        Raises:
            UsageError: it is no such picture; or PromptError, a prompt does not fit the first frame, and is dropped.
                The frame does not count then, and may be given again.
            DeviceError: out of memory. The frame counts, and the next one is gone on with.
            RunError: this process was forked from the one that made the tracker.
        """
        if os.getpid() != self._pid:
            # Where it would wait for ever for threads that did not come along.
            raise RunError(
                f"expected process {self._pid}, which made the tracker, to give frames, not process {os.getpid()}; "
                f"make one in this process, and restore() what save() gave there"
            )
        pts = None if time_s is None else given.nanoseconds(time_s)
        with self._lock:
            first = self._images.size is None
            taken = self._images.take(image, bgr=bgr, gray=gray, own=True)
            if first:
                self._fit_prompts()
            self._say_size(taken)
            stream = self._propagate.stream(_STREAM)
            if not self._told:
                self._propagate.look(stream)
                self._told = True
            stamp = Stamp(
                *(_STREAM, self._seq, self._seq, pts, (1, _NS), time.time_ns(), 0, self._seq + 1),
                scaled_from=taken.scaled_from,
            )
            self._seq += 1
            try:
                message = self._propagate.process(self._embed.process(Frame(stamp, taken.image_rgb)))
            except Exception as error:
                # As in a graph: the frame is lost, and the next is looked at where the objects were.
                self._propagate.gap(Gap(stamp, "tracker", "failed", reason_of(error)))
                raise
            self._everything = None
            self._state = bytes(message.tracker)
            return frame_result(self._cleanup.process(message), copy=False)

    def save(self) -> bytes:
        """All that it takes to go on from here, in another tracker of the same model, or after a restart.

        Returns:
            What `restore` takes; some tens of kilobytes for each object. Prompts that wait for their frame are in it.
        """
        with self._lock:
            return saved_tracker.to_bytes(self._saved())

    def restore(self, state: bytes) -> None:
        """Go on where `save` was called: the next frames get the masks that they would have got there.

        What was followed here before is forgotten. The options are this tracker's: give it those of the other one.

        Args:
            state: that `save` gave, here or elsewhere.

        Raises:
            UsageError: it is damaged, something else, or of another version or model; nothing is changed.
        """
        saved = saved_tracker.from_bytes(state)
        saved_tracker.check_fits(saved, self._model, self._sha256)
        with self._lock:
            before = self._saved()
            try:
                self._go_on(saved)
            except (StreamsegError, msgspec.MsgspecError, ValueError) as error:
                self._go_on(before)
                raise UsageError(f"{saved_tracker.WANTED}, got one that cannot be gone on with: {error}") from error

    def _node(self, name: str) -> Any:
        worker = self._plan.worker(name, 0)
        context = NodeContext(
            name,
            streams=worker.streams,
            threads=worker.threads,
            feedback=self._feed_back,
            has_feedback=bool(worker.feedback_inputs or worker.feedback_outbox),
        )
        node: Any = self._plan.kinds[name](self._plan.options[name], context)
        node.setup()
        return node

    def _feed_back(self, message: Message) -> None:
        self._embed.on_feedback(message)

    def _plan_prompt(self, plain: dict[str, Any]) -> int:
        body = msgspec.msgpack.decode(command_of(plain))
        with self._lock:
            prompt = structs.convert(body, self._propagate.takes_commands, "the prompt", PromptError)
            pending = self._propagate.stream(_STREAM).plan(prompt)
            self._told = False
        return int(pending.id)

    def _fit_prompts(self) -> None:
        try:
            self._propagate.stream(_STREAM).fit_waiting(self._images.size)
        except PromptError:
            self._images.size = None
            self._told = False
            raise

    def _find_everything(self, options: dict[str, Any] | None) -> None:
        plan = config.options_of(self._propagate.Config, {"prompts": [], "everything": options}, "everything()")
        self._propagate.find_everything(self._propagate.stream(_STREAM), plan.everything)
        self._everything = options
        self._told = False

    def _say_size(self, taken: GivenImage) -> None:
        if taken.scaled_from is None or self._said_size or self._images.size is None:
            return
        (was_w, was_h), (width, height) = taken.scaled_from, self._images.size
        log.warning(
            "frame %d is %dx%d, the first one was %dx%d: frames of another size are scaled to that",
            *(self._seq, was_w, was_h, width, height),
        )
        self._said_size = True

    def _saved(self) -> SavedTracker:
        waiting = self._propagate.stream(_STREAM).waiting
        return SavedTracker(
            model=self._model,
            sha256=self._sha256,
            frames=self._seq,
            frame_size=self._images.size,
            state=self._state,
            prompts=[msgspec.to_builtins(pending.prompt) for pending in waiting],
            everything=self._everything,
        )

    def _go_on(self, saved: SavedTracker) -> None:
        position = Position(seq=saved.frames, next_index=saved.frames, tracker=saved.state)
        self._propagate.context.job = Job(facts={}, positions={_STREAM: position})
        self._propagate.begin([])
        stream = self._propagate.stream(_STREAM)
        kind = self._propagate.takes_commands
        stream.plan_again([structs.convert(prompt, kind, "a prompt", PromptError) for prompt in saved.prompts])
        self._find_everything(saved.everything)
        if saved.frame_size is not None:
            stream.fit_waiting(saved.frame_size)
        self._images = GivenImages(saved.frame_size)
        self._seq, self._state = saved.frames, saved.state
        self._told = False
