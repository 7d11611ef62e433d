"""What is answered: masks of the things in a picture, tracks of those in a video."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamseg import __version__
from streamseg.errors import MediaError, PromptError, UsageError
from streamseg.formats.annotation.label_studio import brush_region
from streamseg.label_studio.following import follow
from streamseg.label_studio.interface import Interface, read_interface
from streamseg.label_studio.media import Media
from streamseg.label_studio.regions import Drawn, Regions, drawn_in, tracks_in
from streamseg.masks.image_files import read_image
from streamseg.stills.predictor import Predictor

_MOST_TASKS = 1000


class Backend:
    """Answers Label Studio, one question at a time.

    Args:
        media: gets the files of tasks.
        model: for pictures and videos.
        checkpoint: the user's own weights for it.
        device: where it runs.
        engine: what computes it.
        most_frames: to follow in a video for one answer.

    Raises:
        StreamsegError: the model cannot be had.
    """

    def __init__(
        self,
        media: Media,
        *,
        model: str = "tiny",
        checkpoint: str | None = None,
        device: str = "auto",
        engine: str = "auto",
        most_frames: int = 300,
    ) -> None:
        self._media = media
        self._options = {"model": model, "device": device, "engine": engine}
        if checkpoint is not None:
            self._options["checkpoint"] = checkpoint
        self._most_frames = most_frames
        self._predictor = Predictor(model, checkpoint, device, engine)
        self._predictor.model.load()
        self._set: Path | None = None
        self._lock = threading.Lock()
        self.version = f"streamseg {__version__} {model}"

    def set_up(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """A project is connected: whether there is something to answer in its interface.

        Raises:
            UsageError: there is not.
        """
        read_interface(str(said.get("schema", "")))
        if isinstance(key := said.get("access_token"), str) and key:
            self._media.allow(key)
        return {"model_version": self.version}

    def predict(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Answers for tasks: to what was drawn just now (the context), or has been drawn in a video.

        Raises:
            UsageError: what was asked is not what Label Studio asks.
            StreamsegError: the files cannot be had, or what was drawn cannot be meant.
        """
        tasks = said.get("tasks")
        if not isinstance(tasks, list) or len(tasks) > _MOST_TASKS or not all(isinstance(each, dict) for each in tasks):
            raise UsageError(f"expected a list of at most {_MOST_TASKS} tasks, got {type(tasks).__name__}")
        interface = read_interface(str(said.get("label_config", "")))
        params = said.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        drawn = _regions(context) if isinstance(context, dict) else None
        with self._lock:
            return {"results": [self._answer(task, interface, drawn) for task in tasks], "model_version": self.version}

    def _answer(self, task: Mapping[str, Any], interface: Interface, drawn: Regions | None) -> dict[str, Any]:
        if interface.kind == "video":
            regions, score = self._video(task, interface, drawn if drawn is not None else _drawn_before(task))
        else:
            regions, score = self._picture(task, interface, drawn or [])
        return {"result": regions, "score": score, "model_version": self.version}

    def _video(
        self, task: Mapping[str, Any], interface: Interface, drawn: Regions
    ) -> tuple[list[dict[str, Any]], float]:
        tracks = tracks_in(drawn)
        if not tracks:
            return [], 0.0
        path = self._media.get(_data(task).get(interface.key))
        tags = (interface.control, interface.medium)
        return follow(path, tracks, interface.frame_rate, self._most_frames, tags, self._options)

    def _picture(
        self, task: Mapping[str, Any], interface: Interface, drawn: Regions
    ) -> tuple[list[dict[str, Any]], float]:
        if not drawn:
            return [], 0.0
        path = self._media.get(_data(task).get(interface.key))
        if path != self._set:
            # Somebody who clicks in a picture clicks in it again.
            self._set = None
            self._predictor.set_image(_read(path))
            self._set = path
        size = self._predictor.original_size
        assert size is not None
        regions, scores = [], []
        for each in drawn_in(drawn, size):
            mask, score = self._mask(each)
            region = brush_region(f"{each.name}-mask", each.label, mask, (interface.control, interface.medium))
            regions.append({**region, "score": score, "readonly": False})
            scores.append(score)
        return regions, float(np.mean(scores)) if scores else 0.0

    def _mask(self, drawn: Drawn) -> tuple[np.ndarray, float]:
        size = self._predictor.original_size
        assert size is not None
        for x, y in drawn.points_xy:
            if not (0 <= x <= size[1] and 0 <= y <= size[0]):
                raise PromptError(f"expected a click in the picture of {size[1]}x{size[0]}, got {x:g}, {y:g}")
        clicks = len(drawn.points_xy) > 0
        # One click may mean several things, of which the likeliest is taken.
        masks, scores, _ = self._predictor.predict(
            point_coords=drawn.points_xy if clicks else None,
            point_labels=drawn.point_labels if clicks else None,
            box=None if drawn.box_xyxy is None else np.array(drawn.box_xyxy),
            multimask_output=drawn.box_xyxy is None and len(drawn.points_xy) == 1,
        )
        best = int(scores.argmax())
        return masks[best], float(scores[best])


def _read(path: Path) -> np.ndarray:
    try:
        return cv2.cvtColor(read_image(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    except (OSError, ValueError) as error:
        raise MediaError(f"the picture of the task cannot be read: {error}") from error


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    found = task.get("data")
    if not isinstance(found, dict):
        raise UsageError(f"expected data in the task, got {type(found).__name__}")
    return found


def _drawn_before(task: Mapping[str, Any]) -> Regions:
    """What is in the newest draft of a task, or else in its newest annotation."""
    for kind in ("drafts", "annotations"):
        given = task.get(kind)
        kept: Sequence[Any] = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
        for each in sorted(kept, key=lambda each: str(each.get("updated_at", "")), reverse=True):
            if regions := _regions(each):
                return regions
    return []


def _regions(given: Mapping[str, Any]) -> Regions:
    found = given.get("result")
    return [each for each in found if isinstance(each, dict) and "value" in each] if isinstance(found, list) else []
