"""Masks without crumbs and pinholes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from streamseg.masks.cleanup import CleanupRules, clean
from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import ObjectResult, Segmented
from streamseg.node import Node, NodeConfig, Option
from streamseg.types import Box

NOTHING_LEFT = "nothing left after cleanup"


class Cleanup(Node[Segmented, Segmented]):
    """Drops specks and fills holes; areas and boxes are measured anew, everything else is passed on.

    An object of which nothing is left keeps its state, since what becomes of it is for the tracker to say, and has
    `NOTHING_LEFT` added to its reason.
    """

    replicable = True

    class Config(NodeConfig, CleanupRules, frozen=True):
        """Options of cleanup: the rules, and whether they are used.

        Raises:
            UsageError: a rule is out of range.
        """

        enabled: Annotated[bool, Option("clean the masks", flag="--no-cleanup", rare=True)] = True

    config: Config

    def describe(self) -> dict[str, Any]:
        """The rules, None if switched off."""
        rules = {name: getattr(self.config, name) for name in CleanupRules.__struct_fields__}
        return {"rules": rules if self.config.enabled else None}

    def process(self, message: Segmented) -> Segmented:
        """The same objects with cleaner masks."""
        if not self.config.enabled:
            return message
        count = len(message.objects)
        labels = self.context.empty(message.stamp, message.labels.shape, np.uint16)
        np.copyto(labels, clean(message.labels, count, self.config))
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
