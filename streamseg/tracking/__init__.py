"""Following objects through a video, as functions of values: no model, no processes, no hidden state.

A frame goes through three of them. `next_regions` says which parts of it to encode, `ask` makes the questions to the
mask decoder from the state and the views, `follow` makes the new state and the masks from the answers. The state
(`TrackerState`) is one small serializable value, so following can stop after any frame and go on from there.
"""

from streamseg.tracking.ambiguity import choices, full_mask
from streamseg.tracking.candidate import Candidate, measure
from streamseg.tracking.options import NAIVE, TrackingOptions
from streamseg.tracking.predict import expected_box
from streamseg.tracking.query import again, ask
from streamseg.tracking.questions import Answer, Ask, Questions, Seen
from streamseg.tracking.regions import check_possible, due, is_seen, next_regions, seen_prompts
from streamseg.tracking.state import Track, TrackerState, from_bytes, to_bytes
from streamseg.tracking.templates import Template, together
from streamseg.tracking.update import Followed, follow

__all__ = [
    "NAIVE",
    "Answer",
    "Ask",
    "Candidate",
    "Followed",
    "Questions",
    "Seen",
    "Template",
    "Track",
    "TrackerState",
    "TrackingOptions",
    "again",
    "ask",
    "check_possible",
    "choices",
    "due",
    "expected_box",
    "follow",
    "from_bytes",
    "full_mask",
    "is_seen",
    "measure",
    "next_regions",
    "seen_prompts",
    "to_bytes",
    "together",
]
