"""Videos and pictures that are exported, decoded by FFmpeg and Pillow."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from support.exported import assert_identical
from support.media import decode_plainly
from support.strange_masks import HEIGHT, IDS, WIDTH, strange_ids

from streamseg.errors import MediaError, UsageError
from streamseg.formats.convert import write_clip
from streamseg.formats.runs.run import Run, load_run
from streamseg.masks.overlay import color_of

FRAMES = 9


def frames(path: Path, pixels: str, codec: str | None = None) -> list[tuple[float, np.ndarray]]:
    """(time, values) of each frame; `codec` for a decoder that is not the usual one."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context if codec is None else av.CodecContext.create(codec, "r")
        found = []
        for packet in container.demux(stream):
            for frame in context.decode(packet if packet.size else None):
                found.append((float(frame.pts * stream.time_base), frame.to_ndarray(format=pixels)))
        return found


def test_masks_as_a_lossless_video(run: Run, small_ids: Run, tmp_path: Path) -> None:
    write_clip(run, "mask-video", tmp_path)
    found = frames(tmp_path / "clip-masks.mkv", "gray16le")
    assert [time for time, _ in found] == pytest.approx([n / 25 for n in range(FRAMES)], abs=0.001)
    assert_identical({(n, i): v == i for n, (_, v) in enumerate(found) for i in IDS if (v == i).any()}, FRAMES)
    for codec in ("ffv1", "h264"):
        write_clip(small_ids, "mask-video", tmp_path / codec, {"codec": codec})
        found = frames(tmp_path / codec / "clip-masks.mkv", "gray")
        masks = {(n, i): v == i for n, (_, v) in enumerate(found) for i in range(1, 6) if (v == i).any()}
        assert_identical(masks, FRAMES, (1, 2, 3, 4, 5))
    with pytest.raises(UsageError, match="ids up to 255"):
        write_clip(run, "mask-video", tmp_path / "no", {"codec": "h264"})


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_mattes_and_colors(run: Run, tmp_path: Path, codec: str) -> None:
    write_clip(run, "mask-video", tmp_path / "matte", {"content": "matte", "codec": codec})
    write_clip(run, "mask-video", tmp_path / "colors", {"content": "colors", "codec": codec})
    for n, (_, values) in enumerate(frames(tmp_path / "matte/clip-masks.mkv", "gray")):
        assert np.array_equal(values, (strange_ids(n) > 0) * 255)
    for n, (_, values) in enumerate(frames(tmp_path / "colors/clip-masks.mkv", "rgb24")):
        for object_id in (1, 300):
            assert (values[strange_ids(n) == object_id] == color_of(object_id)).all()


def test_cut_outs_are_exact_as_png(run: Run, video: Path, tmp_path: Path) -> None:
    write_clip(run, "cutout", tmp_path)
    for n, image in enumerate(decode_plainly(video)):
        values = np.array(Image.open(tmp_path / f"clip/{n:05d}.png"))
        there = strange_ids(n) > 0
        assert np.array_equal(values[..., 3], there * 255)
        assert np.array_equal(values[there][:, :3], image[there])


@pytest.mark.parametrize(("container", "codec"), [("webm", "libvpx-vp9"), ("mov", None)])
def test_cut_outs_as_video_have_alpha(run: Run, video: Path, tmp_path: Path, container: str, codec: str | None) -> None:
    write_clip(run, "cutout", tmp_path, {"container": container, "objects": "each"})
    assert len(list(tmp_path.iterdir())) == len(IDS)
    found = frames(tmp_path / f"clip-7.{container}", "rgba", codec)
    assert len(found) == FRAMES
    for n, ((_, values), image) in enumerate(zip(found, decode_plainly(video), strict=True)):
        there = strange_ids(n) == 7
        # What is lossy is so at the edges.
        inside = cv2.erode(there.astype(np.uint8), np.ones((9, 9))) > 0
        outside = cv2.dilate(there.astype(np.uint8), np.ones((9, 9))) == 0
        assert values[..., 3][inside].min() > 240
        assert values[..., 3][outside].max() < 15
        assert np.abs(values[inside][:, :3].astype(int) - image[inside]).mean() < 12


@pytest.mark.parametrize("effect", ["blur", "gray", "color"])
@pytest.mark.parametrize("invert", [False, True])
def test_backgrounds(run: Run, video: Path, tmp_path: Path, effect: str, invert: bool) -> None:
    write_clip(run, "background", tmp_path, {"effect": effect, "invert": invert, "color": "00ff00", "soften_px": 0})
    found = frames(tmp_path / "clip.mp4", "rgb24")
    assert len(found) == FRAMES
    for n, ((_, values), image) in enumerate(zip(found, decode_plainly(video), strict=True)):
        kept = (strange_ids(n) > 0) != invert
        inside = cv2.erode(kept.astype(np.uint8), np.ones((7, 7))) > 0
        changed = cv2.dilate(kept.astype(np.uint8), np.ones((7, 7))) == 0
        values = values[:HEIGHT, :WIDTH].astype(int)
        assert np.abs(values[inside] - image[inside]).mean() < 12
        if effect == "color":
            assert np.abs(values[changed] - (0, 255, 0)).mean() < 25
        if effect == "gray":
            assert np.ptp(values[changed], axis=1).mean() < 10


@pytest.mark.parametrize("animation", ["webp", "gif"])
def test_previews_move(run: Run, tmp_path: Path, animation: str) -> None:
    write_clip(run, "preview", tmp_path, {"animation": animation, "width": 262, "preview_fps": 12})
    with Image.open(tmp_path / f"clip.{animation}") as picture:
        assert picture.n_frames == 5
        assert picture.size == (262, 190)
        pictures = []
        for n in range(5):
            picture.seek(n)
            pictures.append(np.array(picture.convert("RGB")).astype(int))
    assert all(np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(pictures))


def test_a_contact_sheet(run: Run, one_frame: Run, tmp_path: Path) -> None:
    write_clip(run, "contact-sheet", tmp_path, {"count": 4, "columns": 2, "width": 400})
    assert np.array(Image.open(tmp_path / "clip.png")).shape == (294, 400, 3)
    write_clip(one_frame, "contact-sheet", tmp_path / "one")
    assert (tmp_path / "one/run.png").is_file()


def test_pictures_that_are_not_those_of_the_run_are_refused(folder: Path, tmp_path: Path, one_frame: Run) -> None:
    assert one_frame.pictures is not None
    run = load_run(folder, source=one_frame.pictures.source)
    with pytest.raises(MediaError, match="expected frame 1 of 131x95 pixels"):
        write_clip(run, "cutout", tmp_path)


def test_a_strange_color_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RRGGBB"):
        write_clip(run, "background", tmp_path, {"effect": "color", "color": "green"})
