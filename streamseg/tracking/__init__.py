"""Tracking objects through a video, as functions of values: no model, no processes, no hidden state.

A frame goes through three steps. `next_regions` says which parts of it to encode, `build_queries` makes the queries to
the mask decoder from the state and the encoded views, `update_tracks` makes the new state and the masks from the
answers. The state (`TrackerState`) is one small serializable value, so tracking can stop after any frame and go on
from there.

- `regions`: step 1, search regions round the predicted boxes, and the prompts that come into force there
- `query`: step 2, prompts to the decoder: mask propagation, re-detection, prompts of people and their refinement
- `update`: step 3, the new state of every track: tracked, uncertain, lost, re-acquired
- `predict`: Kalman prediction, update and coasting; the predicted box, point and mask
- `candidate`: a mask of the decoder, cleaned and measured
- `gating`: whether to believe a candidate
- `association`: which candidate belongs to which track, and who owns shared pixels
- `occlusion`: depth order of objects that meet, and identity switches after it
- `redetection`: where lost objects may be, by similarity of features and back-projection of colors
- `appearance`: feature and color model of an object, templates of earlier views, scene cuts
- `initialize`: new tracks from prompts and detections; what an ambiguous click may mean
- `correction`: refinement of a mask by clicks
- `carry`: what was pointed at in an earlier frame, carried along with what moved since
- `undo`: prompts that are taken back, other names
- `state`: what is known of every track between two frames
- `options`: every threshold
- `records`: the file ``tracks.jsonl``
"""

from streamseg.tracking.appearance import Template, stack_templates
from streamseg.tracking.candidate import Candidate, full_mask, measure
from streamseg.tracking.carry import FrameHistory
from streamseg.tracking.initialize import choices, likeliest
from streamseg.tracking.options import NAIVE, DetectionOptions, TrackingOptions
from streamseg.tracking.predict import predict_box
from streamseg.tracking.query import Answer, EncodedView, Queries, Query, build_queries, refine_query
from streamseg.tracking.regions import check_possible, due, has_view, next_regions, regions_ahead, usable_prompts
from streamseg.tracking.state import Track, TrackerState, from_bytes, to_bytes
from streamseg.tracking.undo import amend, remember
from streamseg.tracking.update import Update, update_tracks

__all__ = [
    "NAIVE",
    "Answer",
    "Candidate",
    "DetectionOptions",
    "EncodedView",
    "FrameHistory",
    "Queries",
    "Query",
    "Template",
    "Track",
    "TrackerState",
    "TrackingOptions",
    "Update",
    "amend",
    "build_queries",
    "check_possible",
    "choices",
    "due",
    "from_bytes",
    "full_mask",
    "has_view",
    "likeliest",
    "measure",
    "next_regions",
    "predict_box",
    "refine_query",
    "regions_ahead",
    "remember",
    "stack_templates",
    "to_bytes",
    "update_tracks",
    "usable_prompts",
]
