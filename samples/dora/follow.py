"""A dora node that follows objects: images in, masks and boxes out, in the formats of dora-hub's nodes.

Inputs, told apart by their names as dora-sam2 does: "…image…", "…boxes2d…" and "…points…" (they say what to follow from
the next image on), "…remove…" (ids). Outputs: "masks" and "boxes2d", one of each for every image.
"""

import contextlib
import os
from collections import Counter

import cv2
import numpy as np
import pyarrow as pa
from dora import Node

import streamseg
from streamseg.errors import StreamsegError
from streamseg.masks.boxes import box_iou

SAME_OBJECT_IOU = 0.3  # a detector says what it sees in every image: what is followed already is not added again
COMPRESSED = ("jpeg", "jpg", "jpe", "bmp", "webp", "png")


class Follower:
    """What one camera sees."""

    def __init__(self) -> None:
        self.tracker = streamseg.Tracker(model=os.environ.get("MODEL", "tiny"))
        self.boxes = []
        for box in os.environ.get("BOXES", "").split():  # x0,y0,x1,y1 in the first image; several with spaces
            self.tracker.prompt(box=[float(value) for value in box.split(",")])

    def point_at(self, value: pa.Array, metadata: dict) -> None:
        if metadata.get("encoding", metadata.get("format", "xyxy")) != "xyxy":
            raise ValueError(f"expected boxes as xyxy, got {metadata}")
        labels = []
        if isinstance(value, pa.StructArray):
            labels = value[0].get("labels").as_py() or []
            value = value[0].get("bbox").values
        boxes = value.to_numpy(zero_copy_only=False).astype(float).reshape(-1, 4).tolist()
        for number, box in enumerate(boxes):
            if all(box_iou(tuple(box), known) < SAME_OBJECT_IOU for known in self.boxes):
                self.tracker.prompt(box=box, label=str(labels[number]) if number < len(labels) else "")
                self.boxes.append(tuple(box))

    def click(self, value: pa.Array) -> None:
        self.tracker.prompt(points=value.to_numpy(zero_copy_only=False).astype(float).reshape(-1, 2).tolist())

    def follow(self, image_rgb: np.ndarray) -> streamseg.FrameResult:
        found = self.tracker.track(image_rgb)
        self.boxes = [each.box_xyxy for each in found.objects if each.box_xyxy is not None]
        return found


def pixels(value: pa.Array, metadata: dict) -> np.ndarray:
    """(H, W, 3) uint8, RGB."""
    encoding, data = metadata["encoding"], value.to_numpy(zero_copy_only=False).astype(np.uint8, copy=False)
    if encoding in COMPRESSED:
        image_bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image_bgr is None:
            raise ValueError(f"expected a picture in {encoding}, but it cannot be decoded")
        return image_bgr[:, :, ::-1]
    if encoding not in ("rgb8", "bgr8"):
        raise ValueError(f"expected an image in rgb8, bgr8 or one of {', '.join(COMPRESSED)}, got {encoding!r}")
    image = data.reshape(metadata["height"], metadata["width"], 3)
    return image if encoding == "rgb8" else image[:, :, ::-1]


def send(node: Node, image_id: str, found: streamseg.FrameResult) -> None:
    height, width = found.image_rgb.shape[:2]
    seen = [each for each in found.objects if each.box_xyxy is not None]
    # Masks of all that is followed, those that are not seen now too: they are empty, and their state says why.
    facts = {
        "image_id": image_id,
        "frame": found.index,
        "width": width,
        "height": height,
        "ids": [each.id for each in found.objects],
        "states": [each.state for each in found.objects],
        "scores": [float(each.score) for each in found.objects],
    }
    masks = np.array([each.mask for each in found.objects], bool)
    node.send_output("masks", pa.array(masks.ravel()), {**facts, "primitive": "masks"})
    boxes = {
        "bbox": np.array([each.box_xyxy for each in seen], np.float32).ravel(),
        "conf": np.array([each.score for each in seen], np.float32),
        "labels": [f"{each.id} {each.label}".strip() for each in seen],
    }
    node.send_output("boxes2d", pa.array([boxes]), {**facts, "primitive": "boxes2d", "encoding": "xyxy"})


def main() -> None:
    node, followers, wrong = Node(), {}, Counter()
    for event in node:
        if event["type"] != "INPUT":
            continue
        name, value, metadata = event["id"], event["value"], event["metadata"]
        try:
            image_id = name if "image" in name else metadata.get("image_id", next(iter(followers), "image"))
            follower = followers.get(image_id) or followers.setdefault(image_id, Follower())
            if "image" in name:
                send(node, image_id, follower.follow(pixels(value, metadata)))
            elif "boxes2d" in name:
                follower.point_at(value, metadata)
            elif "points" in name:
                follower.click(value)
            elif "remove" in name:
                for number in value.to_pylist():
                    follower.tracker.remove(int(number))
        except (StreamsegError, ValueError, LookupError) as error:
            wrong[name] += 1  # this message is lost, what is followed is not
            if wrong[name] == 1:
                print(f"{name}: {error}; said once", flush=True)
    for name, count in wrong.items():
        print(f"{name}: {count} messages could not be used", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
