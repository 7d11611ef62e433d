"""Several objects that a decoder finds by their boxes, for tests of tracking many at once. No model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streamseg.masks.boxes import box_iou
from streamseg.masks.roi import focus_region, to_frame
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import fit, prepare
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.query import Answer, EncodedView, Queries, Query, build_queries
from streamseg.tracking.regions import next_regions
from streamseg.tracking.state import TrackerState, from_bytes, to_bytes
from streamseg.tracking.update import Update, update_tracks
from streamseg.types import Box, Region

WIDTH, HEIGHT = 640, 480
OPTIONS = TrackingOptions(margins=(0.0,), motion=1.0)
BACKGROUND = np.array([0, 0, 1.0], np.float32)


class Things:
    """Boxes on a plain ground, later ones before earlier ones; the decoder finds the one it is asked about best."""

    def __init__(
        self, boxes: Sequence[Box], colors: Sequence[tuple[int, int, int]], side: int = 16, *, written: bool = True
    ) -> None:
        self._written = written
        self.options = OPTIONS
        self.boxes = list(boxes)
        self.colors = colors
        self.hidden: set[int] = set()
        self.state = TrackerState()
        self.index = 0
        self._side = side
        prompts = [msgspec.convert({"id": k + 1, "box": list(box)}, ObjectPrompt) for k, box in enumerate(boxes)]
        self._pointers = prepare(prompts)

    def build_queries(self) -> Queries:
        """What is asked of the next frame."""
        regions = next_regions(self.state, self._pointers, self.index, self.options)
        views = [self._encode(region) for region in regions]
        due = self._pointers if self.index == 0 else []
        prompts = [fit(pending, WIDTH, HEIGHT) for pending in due]
        return build_queries(self.state, prompts, views, self._image(), self.options)

    def step(self) -> Update:
        """Track one frame further."""
        queries = self.build_queries()
        answers = [self._answer(each) for each in queries.queries]
        update = update_tracks(self.state, queries, answers, self._image(), self.options)
        self.state = from_bytes(to_bytes(update.state)) if self._written else update.state
        self.index += 1
        return update

    def states(self) -> str:
        """Of all objects after the next frame, by first letters."""
        return "".join(track.state[0] for track in self.step().state.tracks)

    def _visible(self) -> list[int]:
        return [k for k in range(len(self.boxes)) if k not in self.hidden]

    def _meeting(self, box: Box) -> list[int]:
        low, high = np.array(self.boxes)[:, :2], np.array(self.boxes)[:, 2:]
        meets = ((low < box[2:]) & (high > box[:2])).all(1)
        return [int(k) for k in np.flatnonzero(meets) if k not in self.hidden]

    def _image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for k in self._visible():
            x0, y0, x1, y1 = map(int, self.boxes[k])
            image[y0:y1, x0:x1] = self.colors[k]
        return image

    def _encode(self, wanted: Region) -> EncodedView:
        whole = bool(wanted.scales)
        region = (0.0, 0.0, float(WIDTH), float(HEIGHT)) if whole else focus_region(wanted.box_xyxy, 1.4)
        size = (8 * self._side * 3 // 4, 8 * self._side) if whole else (8 * self._side, 8 * self._side)
        empty = EncodedView(region, size, np.zeros((3, self._side, self._side), np.float32), None)
        features = np.repeat(np.repeat(BACKGROUND[:, None, None], self._side, 1), self._side, 2)
        for k in self._meeting(region):
            features[:, self._inside(empty, self._side, self.boxes[k])] = np.array([[1.0], [0], [0]])
        return EncodedView(region, size, features, None if whole else wanted.object_id)

    def _answer(self, query: Query) -> Answer:
        assert query.prompt.box_xyxy is not None
        wanted = to_frame(np.array(query.prompt.box_xyxy) + 0.5, query.view.region, query.view.image_size)
        x0, y0, x1, y1 = wanted.tolist()
        near = self._meeting((x0, y0, x1, y1))
        best = max(near, key=lambda k: (box_iou(self.boxes[k], (x0, y0, x1, y1)), k), default=None)
        side = 4 * self._side
        inside = np.zeros((side, side), bool) if best is None else self._inside(query.view, side, self.boxes[best])
        return Answer(query, np.where(inside, np.float32(6), np.float32(-6))[None], np.array([0.9], np.float32))

    @staticmethod
    def _inside(view: EncodedView, side: int, box: Box) -> np.ndarray:
        centers = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), 2)
        points = to_frame(centers, view.square, side)
        x, y = points[..., 0], points[..., 1]
        return np.asarray((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


class Merging(Things):
    """As long as the first two touch, the decoder draws one mask round both."""

    def _answer(self, query: Query) -> Answer:
        answer = super()._answer(query)
        if box_iou(*self.boxes[:2]) == 0:
            return answer
        side = 4 * self._side
        both = [self._inside(query.view, side, box) for box in self.boxes[:2]]
        return Answer(query, np.where(both[0] | both[1], np.float32(6), np.float32(-6))[None], answer.scores)
