"""The sample clip and its truth belong together."""

import json
from pathlib import Path

import av
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.rle import decode, decompress

CLIP = Path(__file__).parents[2] / "samples" / "clip"


def truth_masks(truth, frame):
    return [decode(decompress(entry["counts"][frame]), *truth["size"]) for entry in truth["objects"]]


def test_the_truth_fits_the_clip():
    truth = json.loads((CLIP / "truth.json").read_text())
    with av.open(str(CLIP / "clip.mp4")) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(images) == truth["frames"]
    assert list(images[0].shape[:2]) == truth["size"]
    for frame in (0, 89):
        ball, dog, car = (images[frame][mask].astype(int) for mask in truth_masks(truth, frame))
        red, _, blue = np.median(ball, axis=0)
        assert red > blue + 60, "the ball is orange"
        red, _, blue = np.median(car, axis=0)
        assert blue > red + 30, "the car is blue"
        assert dog.mean() > 90, "the dog is mostly light"


def test_masks_do_not_overlap_and_the_boxes_are_those_of_the_first_frame():
    truth = json.loads((CLIP / "truth.json").read_text())
    assert all(len(entry["counts"]) == truth["frames"] for entry in truth["objects"])
    for frame in (0, 45, 60):
        assert np.sum(truth_masks(truth, frame), axis=0).max() == 1
    for entry, mask in zip(truth["objects"], truth_masks(truth, 0), strict=True):
        assert tuple(entry["first_box_xyxy"]) == box_of_mask(mask)
        assert ", ".join(f"{edge:g}" for edge in entry["first_box_xyxy"]) in (CLIP / "README.md").read_text()
