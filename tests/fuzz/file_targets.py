"""What is fuzzed of the files that streamseg reads, but for those that people write: masks, results and weights."""

from __future__ import annotations

import io
import zlib

import cv2
import msgspec
import numpy as np
from fuzz.base import PIXELS_MAX, SEPARATOR, Target, file_of, folder_of_inputs

from streamseg import commits
from streamseg.errors import CheckpointError, MediaError, OutputError, UsageError
from streamseg.jobs import Position
from streamseg.masks import rle
from streamseg.masks.image_files import decode_image
from streamseg.masks.image_sizes import claimed_size
from streamseg.tracking.records import TrackRecord, read_tracks, write_lines
from streamseg.training.data import coco


def run_lengths_in_full(data: bytes) -> None:
    """Run lengths as numbers of any size, as JSON or a program gives them."""
    try:
        height, width, *counts = msgspec.json.decode(data, type=list[int])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    if abs(height * width) > PIXELS_MAX and sum(counts) == height * width:
        return  # allowed up to a limit, but slow
    try:
        assert rle.decode(counts, height, width).sum() == sum(counts[1::2])
    except UsageError:
        return


def _full_rle_seeds() -> list[bytes]:
    lists = [[2, 3, 2, 3, 1], [5, 7, 35], [5, 7, *[1 << 62] * 4, 35], [1 << 31, 1 << 33, 0], [-5, -7, 35]]
    return [msgspec.json.encode(each) for each in lists]


def coco_file(data: bytes) -> None:
    """A COCO annotation file, and the masks in it on a photo of the size that it gives."""
    folder = folder_of_inputs()
    (folder / "photo.png").touch()
    try:
        for photo in coco.read(file_of(".json", data)):
            for each in photo.segmentations:
                size = (min(photo.size[0], 32), min(photo.size[1], 32))
                if photo.size[0] * photo.size[1] <= PIXELS_MAX:
                    assert coco.rasterize(each, photo.size, size).shape == size
    except MediaError:
        return


def _coco_seeds() -> list[bytes]:
    photo = {"id": 1, "file_name": "photo.png", "height": 4, "width": 6}
    kinds: list[object] = [
        [[1.0, 1.0, 4.0, 1.0, 4.0, 3.0]],
        [[-1e18, -1e300, 4.0, 1e18, 4.0, 3.0]],
        {"size": [4, 6], "counts": [6, 4, 14]},
        {"size": [4, 6], "counts": rle.compress([6, 4, 14])},
        {"size": [4, 6], "counts": [*[1 << 62] * 4, 24]},
    ]
    files = [{"images": [photo], "annotations": [{"image_id": 1, "segmentation": each}]} for each in kinds]
    huge = {**photo, "height": 1 << 40, "width": 1 << 40}
    return [*map(msgspec.json.encode, files), msgspec.json.encode({**files[0], "images": [huge]})]


def tracks_file(data: bytes) -> None:
    """The tracks of a recording."""
    try:
        list(read_tracks(file_of(".jsonl", data)))
    except UsageError:
        return


def _tracks_seeds() -> list[bytes]:
    track = TrackRecord(frame=3, pts_s=0.5, id=1, box_xyxy=(1.0, 2.0, 3.0, 4.0), area_px=4, score=0.5, state="TRACKED")
    return [write_lines([track] * 2)]


def commit_log(data: bytes) -> None:
    """The commit log of a recording: the records of a stranger, with sums that are right."""
    folder = folder_of_inputs() / "recording"
    folder.mkdir(exist_ok=True)
    records = (
        len(each).to_bytes(4, "big") + zlib.crc32(each).to_bytes(4, "big") + each for each in data.split(SEPARATOR)
    )
    for body in (data, b"streamseg commits 1\n" + b"".join(records), b"streamseg commits 1\n" + data):
        (folder / commits.NAME).write_bytes(body)
        try:
            commits.read(folder)
        except OutputError:
            continue


def _commits_seeds() -> list[bytes]:
    began = commits.Began({"graph": {"nodes": {}}}, 0)
    done = commits.Committed(Position(seq=3, next_index=3), {"frames": 3})
    return [SEPARATOR.join(map(msgspec.msgpack.encode, (began, done))), b"\xff" * 8]


def weights_file(data: bytes) -> None:
    """Weights of a model, as safetensors and as torch writes them, read by numpy and then by torch."""
    from streamseg.sam.files.checkpoint_arrays import read_arrays
    from streamseg.sam.models import find

    for suffix in (".safetensors", ".pth"):
        try:
            read_arrays(find("tiny"), file_of(suffix, data), "matcher")
        except CheckpointError:
            continue


def _weights_seeds() -> list[bytes]:
    import torch
    from safetensors.torch import save

    tensors = {"image_encoder.weight": torch.ones(2, 3), "mask_decoder.bias": torch.zeros(4)}
    written = io.BytesIO()
    torch.save(tensors, written)
    head = b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}'
    return [save(tensors), written.getvalue(), len(head).to_bytes(8, "little") + head + bytes(16), b"\xff" * 8 + b"{}"]


def picture(data: bytes) -> None:
    """A still image: no more is decoded than it says, and what it says is what comes."""
    size = claimed_size(io.BytesIO(data))
    try:
        decoded = decode_image(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, PIXELS_MAX)
    except ValueError:
        return
    assert size == decoded.shape[1::-1]


def _picture_seeds() -> list[bytes]:
    image = np.arange(9 * 13 * 3, dtype=np.uint8).reshape(9, 13, 3)
    return [cv2.imencode(kind, image)[1].tobytes() for kind in (".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm")]


FILE_TARGETS = {
    "picture": Target(picture, _picture_seeds, 2048),
    "rle in full": Target(run_lengths_in_full, _full_rle_seeds, 1024),
    "coco": Target(coco_file, _coco_seeds, 2048),
    "tracks": Target(tracks_file, _tracks_seeds, 1024),
    "commits": Target(commit_log, _commits_seeds, 1024),
    "weights": Target(weights_file, _weights_seeds, 2048),
}
