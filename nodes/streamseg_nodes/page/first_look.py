"""What a frame shows while somebody who has just pointed at something waits for the answer."""

from __future__ import annotations

import msgspec
import numpy as np

from streamseg.messages import ObjectResult, Segmented
from streamseg.tracking import Candidate, full_mask

REASON = "a first look"


def with_first_look(result: Segmented, identity: int, label: str, seen: Candidate) -> Segmented:
    """The result with one object more, half believed; others keep their masks where it is not.

    Args:
        result: what is known of the frame.
        identity: of the new object.
        label: of it.
        seen: its mask.
    """
    mask = full_mask(seen, (result.labels.shape[0], result.labels.shape[1]))
    labels = np.where(mask, np.uint16(len(result.objects) + 1), result.labels)
    new = ObjectResult(identity, "UNCERTAIN", seen.score, seen.box, int(seen.area_px), label, REASON)
    return msgspec.structs.replace(result, objects=[*result.objects, new], labels=labels)
