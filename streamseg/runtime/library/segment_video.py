"""The front door for scripts and notebooks: a video goes in, results come out of a loop."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Unpack

from streamseg.commands import Applied
from streamseg.errors import PromptError, RunError, StreamsegError, UsageError
from streamseg.graph.options import OF_A_LOOP, check_names, named_options
from streamseg.graph.plan import Plan
from streamseg.graph.standard import PlainPrompt, make_prompts, standard_graph
from streamseg.messages import Gap, Segmented
from streamseg.runtime.library import given
from streamseg.runtime.library.feeder import Feeder, frames_in
from streamseg.runtime.library.frame_result import FrameResult, frame_result
from streamseg.runtime.library.keywords import Keywords
from streamseg.runtime.library.prompting import submit
from streamseg.runtime.library.result_iterator import ResultIterator
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.supervisor import Supervisor

_RESULTS_FROM = "cleanup"

_unfinished: weakref.WeakSet[Generator[FrameResult, None, None]] = weakref.WeakSet()


@atexit.register
def _close_unfinished() -> None:
    """End runs whose loop was left without closing them, while Python still has the threads that this needs.

    A process that was forked from this one has no runs of its own, though it has this list.
    """
    for results in list(_unfinished):
        # One that another thread is working on cannot be closed from here; its workers end when this process does.
        with contextlib.suppress(ValueError):
            results.close()


os.register_at_fork(after_in_child=_unfinished.clear)


class Results(Iterator[FrameResult]):
    """The results of a video, frame by frame, and the way to tell the run about further objects meanwhile.

    Closes itself at the end of the video and when it is let go of; `close`, or a ``with`` block, does it at once.
    """

    def __init__(self, plan: Plan, feeder: Feeder | None = None) -> None:
        self._pid = os.getpid()
        self._command_queue = CommandQueue(plan)
        self._frames = _results(plan, self._command_queue, feeder)
        _unfinished.add(self._frames)

    def __next__(self) -> FrameResult:
        if os.getpid() != self._pid:
            raise RunError(
                f"expected process {self._pid}, which began the run, to ask for results, not process {os.getpid()}; "
                f"begin a run in this process, or pass the results on to it"
            )
        return next(self._frames)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run; there are no further results. Does nothing in a process that was forked from its own."""
        if os.getpid() != self._pid:
            return
        self._frames.close()
        self._command_queue.close()

    def prompt(self, prompt: PlainPrompt) -> Future[Applied]:
        """Add, correct or remove an object from a frame on that is still to come. May be called from any thread.

            results.prompt({"id": 3, "label": "cup", "box": [10, 20, 30, 40]})
            results.prompt({"id": 3, "negative": [[5, 6]]})
            results.prompt({"id": 3, "remove": True})

        Args:
            prompt: an entry as in `segment_video`. Without a frame and a time it holds as soon as possible, which is
                some frames after the last result, since those in between are under way.

        Returns:
            What it says once it is done: which object, and from which frame on; or the error, if that is not possible,
            which is in the log too. It comes while the loop goes on, so do not wait for it inside the loop.

        Raises:
            PromptError: at once, if the mask cannot be read or a value is of a wrong kind.
        """
        return submit(self._command_queue, prompt)


def segment_video(
    source: str | os.PathLike[str] | int | Iterable[Any],
    *,
    bgr: bool = False,
    gray: bool = False,
    boxes: Sequence[Sequence[float]] = (),
    points: Sequence[Sequence[float]] = (),
    negatives: Sequence[Sequence[float]] = (),
    prompts: Sequence[PlainPrompt] | str | os.PathLike[str] | None = None,
    everything: bool | Mapping[str, Any] = False,
    detect: str | None = None,
    **options: Unpack[Keywords],
) -> Results:
    """Follow objects through a video, a folder of images, a camera, a stream, or frames in memory.

        for result in segment_video("clip.mp4", boxes=[(100, 120, 300, 400)]):
            cut_out = result.image_rgb * result.objects[0].mask[..., None]

    Decoding, encoding and following run in processes of their own while the loop works on its frame. They end when
    the loop ends: at the end of the video, or at once by ``break``, an exception, ``close()`` or garbage collection.
    Frames that failed are left out, with a warning in the log ``streamseg``.

    Args:
        source: path, camera number, or URL. Or the frames themselves: an array (T, H, W, 3) of uint8, RGB, or a list,
            an iterator or a generator of pictures (arrays of numpy, tensors of torch, PIL's), or of (picture, time in
            seconds). A thread reads them while the loop works, a few ahead of the results, and no further if the loop
            stops; all get the size of the first. An error in it ends the run.
        bgr: of such frames: their colors are blue, green, red, as OpenCV reads them.
        gray: of such frames: they are (H, W), without colors.
        boxes: (x0, y0, x1, y1) each in pixels of the first frame: one object each, ids 1, 2, … Like points, also as an
            array of numpy or torch.
        points: (x, y) each: one object without a box; with exactly one box they refine it.
        negatives: (x, y) each, on what is not the object.
        prompts: instead of the above, objects as the graph file has them, say
            ``{"id": 7, "label": "cup", "frame": 10, "box": [10, 20, 30, 40]}``; or the path of a YAML or JSON file
            with a list of them. A ``mask`` is a path, or an array (height, width). An empty list: none yet, they
            come by `Results.prompt`.
        everything: follow all objects of the first frame, found without being pointed at; or options for that, say
            ``{"frame": 10, "max_objects": 5}``.
        detect: follow what a detector finds, in every frame: its name, say ``motion``, or ``package.module:Class``.
        options: of the nodes: ``model``, ``checkpoint``, ``device``, ``engine``, ``focus``, ``live``, ``max_frames``
            and others, named like the flags of ``streamseg run``; `streamseg.runtime.library.keywords` explains each.

    Raises:
        UsageError: at once, if a prompt or an option cannot be meant.
        StreamsegError: in the loop, whatever ends the run.
    """
    boxes = given.rows(boxes, 4, "boxes=[(x0, y0, x1, y1)]")
    points = given.rows(points, 2, "points=[(x, y)]")
    negatives = given.rows(negatives, 2, "negatives=[(x, y)]")
    if prompts and (boxes or points or negatives):
        raise PromptError("expected either prompts or boxes and points, got both; write them all as prompts")
    found = (everything is not False or detect is not None) and not (boxes or points or negatives)
    # Those of sinks are not among them: the results go to the loop.
    check_names(options, (*named_options(OF_A_LOOP), *(segment_video.__kwdefaults__ or ())))
    frames = frames_in(source, bgr=bgr, gray=gray)
    if frames is None and (bgr or gray):
        raise UsageError("expected frames in memory with bgr or gray, got the name of a source, which says it itself")
    feeder = None if frames is None else Feeder(frames, bgr=bgr, gray=gray)
    graph = standard_graph(
        given.source(source) if feeder is None else feeder.source,
        _prompts(prompts) if prompts is not None else [] if found else make_prompts(boxes, points, negatives),
        everything=None if everything is False else {} if everything is True else given.plain(everything),
        detect=detect,
        **{name: given.option(value) for name, value in options.items()},
    )
    return Results(Plan(graph, results_from=_RESULTS_FROM), feeder)


def _prompts(prompts: Sequence[PlainPrompt] | str | os.PathLike[str]) -> list[PlainPrompt] | str:
    if isinstance(prompts, (str, os.PathLike)):
        return os.fspath(prompts)
    return list(map(given.prompt, [prompts] if isinstance(prompts, Mapping) else prompts))


def _results(plan: Plan, command_queue: CommandQueue, feeder: Feeder | None) -> Generator[FrameResult, None, None]:
    results = failures = 0
    reason = ""
    try:
        with feeder or contextlib.nullcontext(), Supervisor(plan, command_queue=command_queue) as supervisor:
            for message in ResultIterator(supervisor):
                if isinstance(message, Segmented):
                    results += 1
                    yield frame_result(message)
                elif isinstance(message, Gap) and message.kind == "failed":
                    failures += 1
                    reason = f"{message.node}: {message.reason}"
    except StreamsegError as error:
        command_queue.close(error)
        if feeder is not None and feeder.error is not None:
            # The same, with what was raised in this process as its cause.
            raise feeder.error from feeder.error.__cause__
        raise
    finally:
        command_queue.close()
    if failures and not results:
        raise RunError(f"all {failures} frames failed, the last one at {reason}")
