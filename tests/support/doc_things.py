"""A folder with all the files that pages of documentation speak of, small and real."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from support.bags import COMPRESSED, compressed_message, ros_bag, ros_mcap, stamp_ns
from support.command import streamseg
from support.media import write_video

BOX = "62,238,128,304"
BAG_FRAMES = 100
"""A bit more than three seconds, which is where a page begins."""


def make_things(folder: Path, images_rgb: list[np.ndarray]) -> None:
    """Make them of pictures (360, 640, 3) of the sample clip."""
    for name in ("clip.mp4", "A.mp4", "B.mp4", "clips/one.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, images_rgb if name == "clip.mp4" else images_rgb[:3])
    for name in ("photo.jpg", "photos/one.png", "more/deep/two.png"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(folder / name), images_rgb[0][..., ::-1])
    (folder / "prompts").mkdir()
    for name in ("A", "B", "one"):
        (folder / "prompts" / f"{name}.yaml").write_text(f"- {{id: 1, box: [{BOX}]}}\n")
    messages = [compressed_message(images_rgb[0], stamp_ns(number)) for number in range(BAG_FRAMES)]
    ros_mcap(folder / "drive.mcap", messages[:3], kind=COMPRESSED)
    ros_bag(folder / "rosbag2_2026_11_28", messages, kind=COMPRESSED)
    _run(folder, "run", "clip.mp4", "--box", BOX, "-o", "out/clip")
    _run(folder, "convert", "out/clip", "--to", "cvat", "-o", "cvat")
    _run(folder, "convert", "out/clip", "--to", "coco", "-o", "coco")
    _run(folder, "convert", "out/clip", "--to", "labelme", "-o", "labels")
    (folder / "cvat" / "annotations.xml").rename(folder / "annotations.xml")
    (folder / "coco" / "instances.json").rename(folder / "truth.json")


def _run(folder: Path, *words: object) -> None:
    done = streamseg(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
