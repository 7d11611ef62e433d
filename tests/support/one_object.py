"""One object on a plain ground, and a decoder that finds it, for tests of the tracker's states. No model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from streamseg.masks.roi import focus_region, to_frame
from streamseg.prompts.model import FramePrompt, ObjectPrompt
from streamseg.prompts.prepare import fit, prepare
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.query import Answer, EncodedView, Query, build_queries
from streamseg.tracking.regions import next_regions, usable_prompts
from streamseg.tracking.state import TrackerState
from streamseg.tracking.update import Update, update_tracks
from streamseg.types import Region

WIDTH, HEIGHT = 320, 240
OPTIONS = TrackingOptions(
    margins=(0.0,),
    motion=0.0,
    lost_score=0.3,
    uncertain_score=0.6,
    uncertain_area=1.7,
    lost_area=4.0,
    uncertain_similarity=0.95,
    lost_similarity=0.7,
    lost_color=0.4,
)
OBJECT, GROUND = np.array([1.0, 0, 0], np.float32), np.array([0, 1.0, 0], np.float32)


class World:
    """One object on a plain ground, and a decoder that always finds just it, with the score it is told."""

    def __init__(self, box: tuple[float, ...] = (100, 80, 160, 140), color: tuple[int, ...] = (200, 40, 40)) -> None:
        self.box = box
        self.color = color
        self.ground = (40, 90, 60)
        self.visible = True
        self.feature = OBJECT
        self.mask_box: tuple[float, ...] | None = None
        self.score = 0.9
        self.compares = False

    @property
    def image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), self.ground, np.uint8)
        if self.visible:
            x0, y0, x1, y1 = map(int, self.box)
            image[y0:y1, x0:x1] = self.color
        return image

    def encode(self, wanted: Region) -> EncodedView:
        """What embed would make of a region."""
        whole = bool(wanted.scales)
        region = (0.0, 0.0, float(WIDTH), float(HEIGHT)) if whole else focus_region(wanted.box_xyxy)
        size = (192, 256) if whole else (256, 256)
        empty = EncodedView(region, size, np.zeros((3, 32, 32), np.float32), None if whole else wanted.object_id)
        inside = self._inside(empty, 32, self.box) & self.visible
        features = np.where(inside, self.feature[:, None, None], GROUND[:, None, None]).astype(np.float32)
        return EncodedView(region, size, features, empty.object_id, features if self.compares else None)

    def answer(self, query: Query) -> Answer:
        inside = self._inside(query.view, 128, self.mask_box or self.box) & self.visible
        logits = np.where(inside, np.float32(6), np.float32(-6))
        return Answer(query, logits[None], np.array([self.score], np.float32))

    @staticmethod
    def _inside(view: EncodedView, side: int, box: tuple[float, ...]) -> np.ndarray:
        centers = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), 2)
        points = to_frame(centers, view.square, side)
        x, y = points[..., 0], points[..., 1]
        return np.asarray((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


class Run:
    """Frames one after the other."""

    def __init__(self, world: World, options: TrackingOptions = OPTIONS, **prompt: Any) -> None:
        self.world = world
        self.options = options
        entry = msgspec.convert(prompt or {"box": list(world.box)}, ObjectPrompt)
        self.pending = prepare([entry])
        self.state = TrackerState()
        self.index = 0
        self.regions: list[Region] = []

    def step(self) -> Update:
        self.regions = next_regions(self.state, self.pending, self.index, self.options)
        views = [self.world.encode(region) for region in self.regions]
        due = [p for p in self.pending[self.state.prompts_done :] if p.prompt.frame <= self.index]
        prompts: list[FramePrompt] = [fit(p, WIDTH, HEIGHT) for p in usable_prompts(due, views)]
        queries = build_queries(self.state, prompts, views, self.world.image, self.options)
        answers = [self.world.answer(query) for query in queries.queries]
        update = update_tracks(self.state, queries, answers, self.world.image, self.options)
        self.state = update.state
        self.index += 1
        return update

    def steps(self, count: int) -> str:
        """The object's state in each frame, by its first letter."""
        return "".join(self.step().state.tracks[0].state[0] for _ in range(count))
