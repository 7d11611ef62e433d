"""Masks without crumbs and pinholes."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import msgspec
import numpy as np

from streamseg.masks.cleanup import DEFAULT_RULES, CleanupRules, clean
from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import ObjectResult, Segmented
from streamseg.node import Node, NodeConfig
from streamseg.types import Box

NOTHING_LEFT = "nothing left after cleanup"


class Cleanup(Node[Segmented, Segmented]):
    """Drops specks and fills holes; areas and boxes are measured anew, everything else is passed on.

    An object of which nothing is left keeps its state, since what becomes of it is for the tracker to say, and has
    `NOTHING_LEFT` added to its reason.
    """

    replicable = True

    class Config(NodeConfig, frozen=True):
        """Options of cleanup: those of `streamseg.masks.cleanup.CleanupRules`, where they are explained."""

        enabled: bool = True
        """False passes everything on as it came."""
        keep: Literal["largest", "all"] = DEFAULT_RULES.keep
        min_area_px: int | None = DEFAULT_RULES.min_area_px
        min_area_fraction: float | None = DEFAULT_RULES.min_area_fraction
        fill_holes_px: int | None = DEFAULT_RULES.fill_holes_px
        fill_holes_fraction: float | None = DEFAULT_RULES.fill_holes_fraction
        open_radius_px: int | None = DEFAULT_RULES.open_radius_px
        close_radius_px: int | None = DEFAULT_RULES.close_radius_px
        smooth_radius_px: int | None = DEFAULT_RULES.smooth_radius_px

    config: Config
    _rules = DEFAULT_RULES

    def setup(self) -> None:
        """Check the rules.

        Raises:
            UsageError: one of them is out of range.
        """
        names = [field.name for field in dataclasses.fields(CleanupRules)]
        self._rules = CleanupRules(**{name: getattr(self.config, name) for name in names})

    def describe(self) -> dict[str, Any]:
        """The rules, None if switched off."""
        return {"rules": dataclasses.asdict(self._rules) if self.config.enabled else None}

    def process(self, message: Segmented) -> Segmented:
        """The same objects with cleaner masks."""
        if not self.config.enabled:
            return message
        count = len(message.objects)
        labels = self.context.empty(message.stamp, message.labels.shape, np.uint16)
        np.copyto(labels, clean(message.labels, count, self._rules))
        objects = [
            _measured(found, area_px, box)
            for found, (area_px, box) in zip(message.objects, areas_and_boxes(labels, count), strict=True)
        ]
        return msgspec.structs.replace(message, objects=objects, labels=labels)


def _measured(found: ObjectResult, area_px: int, box: Box | None) -> ObjectResult:
    reason = found.reason
    if area_px == 0 and found.area_px > 0:
        reason = f"{reason}; {NOTHING_LEFT}" if reason else NOTHING_LEFT
    return msgspec.structs.replace(found, area_px=area_px, box_xyxy=box, reason=reason)
