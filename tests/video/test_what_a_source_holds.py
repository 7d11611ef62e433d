"""A source that gives less than it holds, or whose word about its pixels is not used, says so."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image
from streamseg_nodes.decode import Decode
from support.command import light_graph, streamseg
from support.media import moving_images, write_video

from streamseg.errors import MediaError, UsageError
from streamseg.video.open import open_source

IMAGES = moving_images(12)


def write_animation(path: Path, **options: Any) -> Path:
    first, *others = map(Image.fromarray, IMAGES)
    first.save(path, save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options", "interval_s"),
    [
        ("a.webp", {"lossless": True, "duration": 50}, 0.05),
        ("a.png", {"duration": 50}, 0.05),
        ("with-a-default.png", {"duration": 50, "default_image": True}, 0.05),
        ("a.tif", {}, 0.04),
    ],
)
def test_all_pictures_of_an_animation_are_frames(
    tmp_path: Path, name: str, options: dict[str, Any], interval_s: float
) -> None:
    path = write_animation(tmp_path / name, **options)
    expected = IMAGES[1:] if "default_image" in options else IMAGES
    with open_source(str(path)) as reader:
        pictures = list(reader)
        assert reader.info.frames == len(expected)
    np.testing.assert_array_equal([picture.to_rgb() for picture in pictures], expected)
    assert [picture.pts_s for picture in pictures] == pytest.approx([interval_s * k for k in range(len(expected))])
    with open_source(str(path), start_index=7, max_frames=2) as reader:
        late = list(reader)
    assert [(each.index, each.pts_s) for each in late] == [(each.index, each.pts_s) for each in pictures[7:9]]
    np.testing.assert_array_equal([picture.to_rgb() for picture in late], expected[7:9])


def test_an_animation_in_a_folder_of_images_is_said_to_be_one(tmp_path: Path) -> None:
    write_animation(tmp_path / "1.png")
    Image.fromarray(IMAGES[1]).save(tmp_path / "2.png")
    with open_source(str(tmp_path)) as reader:
        assert len(list(reader)) == 2
        (note,) = reader.notes
    assert "1.png has 12 pictures, of which the first is taken" in note


def test_a_jpeg_with_others_behind_it_is_said_to_be_one_picture(tmp_path: Path) -> None:
    first, second = map(Image.fromarray, IMAGES[:2])
    first.save(tmp_path / "stereo.jpg", format="MPO", save_all=True, append_images=[second])
    with open_source(str(tmp_path / "stereo.jpg")) as reader:
        assert len(list(reader)) == 1
        assert "stereo.jpg has 2 pictures, of which the first is taken" in reader.notes[0]


def test_a_page_of_another_size_is_left_out_and_said(tmp_path: Path) -> None:
    pages = [Image.fromarray(image) for image in IMAGES[:3]]
    pages[1] = pages[1].resize((24, 16))
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with open_source(str(tmp_path / "a.tif")) as reader:
        assert [picture.index for picture in reader] == [0, 2]
        assert "picture 1 is 24x16, the first 96x64; left out" in reader.notes[0]


def write_with_sound(path: Path, codec: str, sound: str, sound_s: float) -> Path:
    """A hundred pictures in four seconds, and sound that lasts as long as that or longer."""
    with av.open(str(path), "w") as container:
        video, audio = (
            container.add_stream(codec, rate=25, options={"g": "10"}),
            container.add_stream(sound, rate=44100),
        )
        assert isinstance(video, VideoStream) and isinstance(audio, AudioStream)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        quiet = np.zeros((2 if audio.codec_context.channels == 2 else 1, 1024), np.float32)
        images, heard = moving_images(100), 0
        for number in range(round(sound_s * 25)):
            if number < len(images):
                frame = av.VideoFrame.from_ndarray(images[number], format="rgb24").reformat(format="yuv420p")
                container.mux(video.encode(frame))
            while heard / 44100 < number / 25:
                samples = av.AudioFrame.from_ndarray(quiet, "fltp", "stereo" if len(quiet) == 2 else "mono")
                samples.sample_rate, samples.pts = 44100, heard
                container.mux(audio.encode(samples))
                heard += 1024
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [("a.flv", "flv1", "aac"), ("a.avi", "mpeg4", "mp2"), ("a.mkv", "libx264", "aac")],
)
def test_a_film_with_sound_that_was_cut_off_says_so_and_one_whose_sound_is_longer_does_not(
    tmp_path: Path, name: str, codec: str, sound: str
) -> None:
    path = write_with_sound(tmp_path / name, codec, sound, 7.0)
    with open_source(str(path)) as reader:
        assert len(list(reader)) == 100
        assert not reader.notes
    path = write_with_sound(tmp_path / name, codec, sound, 4.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as reader:
        frames = len(list(reader))
        assert 20 < frames < 80
        assert "cut off: its header promises" in reader.notes[0] and str(frames) in reader.notes[0]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.avi", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.flv", "flv1"),
        ("a.mxf", "mpeg2video"),
    ],
)
def test_a_file_that_was_cut_off_says_what_its_header_promises(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, moving_images(100), codec=codec, options={"g": "10"})
    with open_source(str(path)) as reader:
        assert len(list(reader)) == 100
        assert not reader.notes
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as reader:
        frames = len(list(reader))
        assert 20 < frames < 80
        assert "cut off: its header promises" in reader.notes[0] and str(frames) in reader.notes[0]


def test_pictures_that_are_cut_off_are_said_in_two_lines(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as reader:
        count = len(list(reader))
        first, last = reader.notes
    assert 0 < count < len(IMAGES) - 1
    assert f"picture {count} cannot be decoded" in first
    assert f"{len(IMAGES) - count} of {len(IMAGES)} pictures could not be decoded" in last


def test_a_gif_without_its_end_says_that_it_was_cut_off(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif")
    data = path.read_bytes()
    for content, notes in ((data + bytes(3), 0), (data[: len(data) // 2], 1)):
        path.write_bytes(content)
        with open_source(str(path)) as reader:
            assert list(reader)
            assert [("is cut off: it has no end" in note) for note in reader.notes] == [True] * notes


def test_of_a_windows_media_file_that_was_cut_off_ffmpeg_keeps_the_length_to_itself(tmp_path: Path) -> None:
    """It believes no header that the size of the file contradicts; that something is wrong is said all the same."""
    path = write_video(tmp_path / "a.wmv", moving_images(100), codec="wmv2", options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as reader:
        assert 20 < len(list(reader)) < 80
        assert reader.damaged == 1 and not reader.notes


def test_the_cover_of_music_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp3"), "w") as container:
        sound, cover = container.add_stream("libmp3lame", rate=44100), container.add_stream("mjpeg", rate=1)
        assert isinstance(sound, AudioStream) and isinstance(cover, VideoStream)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(IMAGES[0], format="rgb24")))
        container.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 44100
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with av.open(str(tmp_path / "song.mp3")) as container:
        assert container.streams.video
    with pytest.raises(MediaError, match=r"the only picture in .*song\.mp3 is a cover"):
        open_source(str(tmp_path / "song.mp3"))


def two_films(path: Path) -> Path:
    """A large film of bright pictures and a small one of dark ones."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((96, 64), (48, 32)), strict=True):
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = "bgr0"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(5):
            for stream, value in zip(streams, (200, 20), strict=True):
                assert isinstance(stream, VideoStream)
                image = np.full((stream.height, stream.width, 3), value, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
                frame.pts, frame.time_base = number * 40, Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))  # type: ignore[call-overload]
    return path


@pytest.mark.parametrize(("stream", "taken", "value"), [(None, 0, 200), (0, 0, 200), (1, 1, 20)])
def test_which_of_several_streams_is_read_can_be_chosen_and_is_said(
    tmp_path: Path, stream: int | None, taken: int, value: int
) -> None:
    path = two_films(tmp_path / "two.mkv")
    with open_source(str(path), stream=stream) as reader:
        assert {int(picture.to_rgb().mean()) for picture in reader} == {value}
        assert f"2 video streams (0: ffv1 96x64, 1: ffv1 48x32); {taken} is read" in reader.notes[0]


def test_a_stream_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"expected video stream 2 .* there is only 0 to 1"):
        open_source(str(two_films(tmp_path / "two.mkv")), stream=2)
    cv2.imwrite(str(tmp_path / "a.png"), IMAGES[0])
    with pytest.raises(UsageError, match="expected stream 0 or none"):
        open_source(str(tmp_path / "a.png"), stream=1)


def write_tagged(path: Path, images: list[np.ndarray], pix_fmt: str = "yuv420p", **tags: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if pix_fmt == "yuv420p" else "ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for image in images:
            kind = "gray16le" if image.ndim == 2 else "rgb48le" if image.dtype == np.uint16 else "rgb24"
            kind = kind if image.shape[-1] != 4 else "rgba"
            frame = av.VideoFrame.from_ndarray(image, format=kind).reformat(format=pix_fmt)
            frame.color_trc = tags.get("color_trc", frame.color_trc)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_the_overlay_has_the_pixel_aspect_of_the_source(tmp_path: Path) -> None:
    video = write_tagged(tmp_path / "a.mp4", IMAGES, sample_aspect_ratio=Fraction(32, 27))
    done = streamseg("run", light_graph(tmp_path, video))
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "results" / "overlay.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(32, 27)
        assert (container.streams.video[0].width, container.streams.video[0].height) == (96, 64)
    report = json.loads((tmp_path / "results" / "run.json").read_text())
    assert report["nodes"]["decode"]["pixel_aspect"] == [32, 27]


@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_said_not_to_be_shown_as_such(tmp_path: Path, number: int, name: str) -> None:
    with open_source(str(write_tagged(tmp_path / "a.mp4", IMAGES, color_trc=number))) as reader:
        assert f"is HDR ({name})" in reader.notes[0]


def test_transparency_is_said_to_be_dropped_where_there_is_any(tmp_path: Path) -> None:
    for alpha, count in ((40, 1), (255, 0)):
        rgba = [np.dstack([image, np.full((64, 96), alpha, np.uint8)]) for image in IMAGES]
        with open_source(str(write_tagged(tmp_path / "a.mkv", rgba, "bgra"))) as reader:
            assert [("transparent in places" in note) for note in reader.notes] == [True] * count
        folder = tmp_path / f"folder-{alpha}"
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), rgba[0])
        with open_source(str(folder)) as reader:
            assert len(reader.notes) == count


def test_transparency_is_said_wherever_it_is_kept(tmp_path: Path) -> None:
    clear = [Image.fromarray(image).convert("RGBA") for image in IMAGES[:3]]
    for each in clear:
        each.putalpha(40)
    (tmp_path / "palette").mkdir()
    for number in range(3):
        Image.fromarray(IMAGES[number]).quantize(16).save(tmp_path / f"palette/{number}.png", transparency=3)
    clear[0].save(tmp_path / "a.webp", save_all=True, append_images=clear[1:], lossless=True)
    clear[0].save(tmp_path / "a.tif", save_all=True, append_images=clear[1:])
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for each in clear:
            frame = av.VideoFrame.from_ndarray(np.asarray(each), format="rgba")
            container.mux(stream.encode(frame.reformat(format="yuva420p")))
        container.mux(stream.encode(None))
    for name in ("palette", "a.webp", "a.tif", "a.webm"):
        with open_source(str(tmp_path / name)) as reader:
            assert len(list(reader)) == 3
            (note,) = reader.notes
        assert "transparen" in note and "that is dropped" in note


def test_pages_of_a_file_use_the_bits_that_are_in_use_as_a_folder_of_them_does(tmp_path: Path) -> None:
    pages = [image.astype(np.uint16)[..., ::-1] * (16 if number else 1) for number, image in enumerate(IMAGES)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    with open_source(str(tmp_path / "a.tif")) as reader:
        found = [picture.to_rgb() for picture in reader]
        assert "use 12 bits: 0 to 4095 is taken for black to white" in reader.notes[0]
    np.testing.assert_array_equal(found[1:], IMAGES[1:])
    cv2.imwritemulti(
        str(tmp_path / "bright.tif"), [np.full((20, 30), 60_000 if k == 1 else 1_000, np.uint16) for k in range(40)]
    )
    with open_source(str(tmp_path / "bright.tif")) as reader:
        assert [int(picture.to_rgb().max()) for picture in reader] == [250, 255, *[250] * 38]
        assert any("uses more than the 10 bits that others use" in note for note in reader.notes)


def test_of_16_bit_images_those_bits_are_taken_that_are_in_use_and_that_is_said(tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES):
        # 12 bits of which the upper 8 are the picture; the first picture is darker than the others.
        deep = image.astype(np.uint16)[..., ::-1] * (16 if number else 1)
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), deep)
    with open_source(str(tmp_path)) as reader:
        found = [picture.to_rgb() for picture in reader]
        assert "use 12 bits: 0 to 4095 is taken for black to white" in reader.notes[0]
    np.testing.assert_array_equal(found[1:], IMAGES[1:])
    np.testing.assert_array_equal(found[0], IMAGES[0] // 16)


def test_brighter_images_than_those_that_were_looked_at_are_said_to_be_cut(tmp_path: Path) -> None:
    for number in range(40):
        value = 60_000 if number == 1 else 1_000
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), np.full((20, 30), value, np.uint16))
    with open_source(str(tmp_path)) as reader:
        tops = [int(picture.to_rgb().max()) for picture in reader]
        assert any("uses more than the 10 bits that others use" in note for note in reader.notes)
    assert tops == [250, 255, *[250] * 38]


@pytest.mark.parametrize("pix_fmt", ["gray16le", "gbrp16le"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_of_a_video_of_16_bits_those_are_taken_that_are_in_use_and_that_is_said(
    tmp_path: Path, bits: int, pix_fmt: str
) -> None:
    deep = [image.astype(np.uint16) * 257 >> 16 - bits for image in IMAGES]
    sent = [image[..., 0] for image in deep] if pix_fmt == "gray16le" else deep
    with open_source(str(write_tagged(tmp_path / "a.mkv", sent, pix_fmt))) as reader:
        found = [picture.to_rgb() for picture in reader]
        said = f"uses {bits} of them from picture 0 on: 0 to {(1 << bits) - 1} is taken for black to white"
        assert [said in note for note in reader.notes] == [True] * (bits < 16)
    for image, expected in zip(found, IMAGES, strict=True):
        wanted = np.dstack([expected[..., 0]] * 3) if pix_fmt == "gray16le" else expected
        # What has all its bits in use is converted by FFmpeg, which rounds.
        np.testing.assert_allclose(image.astype(int), wanted, atol=1 if bits == 16 else 0)


def test_more_bits_that_come_into_use_later_are_taken_from_there_on(tmp_path: Path) -> None:
    """A film that fades in from black, read whole and from the middle."""
    tops = [0, 0, 200, 1000, 4000, 4000, 60000]
    path = write_tagged(tmp_path / "a.mkv", [np.full((64, 96), top, np.uint16) for top in tops], "gray16le")
    with open_source(str(path)) as reader:
        found = [int(picture.to_rgb().max()) for picture in reader]
        assert ["from picture" in note for note in reader.notes] == [True] * 4
    assert found == [0, 0, 200, 1000 >> 2, 4000 >> 4, 4000 >> 4, pytest.approx(60000 >> 8, abs=1)]
    with open_source(str(path), start_index=5) as reader:
        assert [int(picture.to_rgb().max()) for picture in reader] == found[5:]


def test_a_video_of_16_bits_whose_colors_cannot_be_scaled_by_bits_says_so(tmp_path: Path) -> None:
    for factor, count in ((16, 1), (257, 0)):
        gray = [image[..., 0].astype(np.uint16) * factor for image in IMAGES]
        with open_source(str(write_tagged(tmp_path / "a.mkv", gray, "yuv420p16le"))) as reader:
            assert [("its first frame uses 14" in note) for note in reader.notes] == [True] * count


def test_a_change_of_size_is_in_the_log_in_the_report_and_with_each_frame(tmp_path: Path) -> None:
    large = write_video(tmp_path / "large.ts", IMAGES)
    small = write_video(tmp_path / "small.ts", moving_images(12, 64, 48))
    both = tmp_path / "both.ts"
    both.write_bytes(large.read_bytes() + small.read_bytes() + large.read_bytes())
    done = streamseg("run", light_graph(tmp_path, both))
    assert done.returncode == 0, done.stderr
    said = "from frame 12 on pictures are 64x48; they are scaled to 96x64"
    assert f"warning: decode: {said}" in done.stderr
    notes = json.loads((tmp_path / "results" / "run.json").read_text())["nodes"]["decode"]["notes"]
    assert notes == [said, "from frame 24 on pictures are 96x64"]
    node = Decode(Decode.Config(source=str(both)))
    node.setup()
    assert [frame.scaled_from for frame in node.produce()] == [None] * 12 + [(64, 48)] * 12 + [None] * 12
    node.close()


def test_pictures_of_an_animation_that_are_too_large_are_not_decoded(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.webp", lossless=True)
    with pytest.raises(MediaError, match="its first one cannot be decoded"):
        open_source(str(path), max_pixels=96 * 64 - 1)
    pages = [Image.fromarray(image) for image in IMAGES[:3]]
    pages[1] = pages[1].resize((96, 65))
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with open_source(str(tmp_path / "a.tif"), max_pixels=96 * 64) as reader:
        assert [picture.index for picture in reader] == [0, 2]
        assert reader.damaged == 1


def test_images_of_decimal_numbers_are_refused(tmp_path: Path) -> None:
    pages = [image.astype(np.float32) for image in IMAGES[:2]]
    cv2.imwrite(str(tmp_path / "one.tif"), pages[0])
    cv2.imwritemulti(str(tmp_path / "two.tif"), [page[..., 0] for page in pages])
    for source, sentence in (
        ("one.tif", "none of its 1 can be decoded: its pixels are float32"),
        ("two.tif", "first one cannot be decoded: its pixels are float32"),
    ):
        with pytest.raises(MediaError, match=sentence):
            open_source(str(tmp_path / source))
