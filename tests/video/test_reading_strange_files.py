"""Files of a stranger: what they say of their size, and what they name, is looked at before it is followed."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.media import FileServer, moving_images, write_video

from streamseg.errors import MediaError
from streamseg.video.open import open_source

FRAMES = 4
ELSEWHERE = [
    "../elsewhere/private.ts",
    "{folder}/elsewhere/private.ts",
    "file://{folder}/elsewhere/private.ts",
    "%2e%2e/elsewhere/private.ts",
    "http://127.0.0.1:9/a.ts",
    "concat:/etc/passwd",
    "link.ts",
    "fifo.ts",
    "below",
]


def refusal(source: Path | str, **options: object) -> str:
    with pytest.raises(MediaError) as caught:
        open_source(str(source), **options)  # type: ignore[arg-type]
    return str(caught.value)


def count(source: Path | str, **options: object) -> int:
    with open_source(str(source), **options) as reader:  # type: ignore[arg-type]
        return sum(1 for picture in reader if picture.to_rgb().any())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video in a folder of its own, beside which there is another folder."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    path = write_video(tmp_path / "here" / "clip.ts", moving_images(FRAMES), codec="mpeg2video")
    (tmp_path / "elsewhere" / "private.ts").write_bytes(path.read_bytes())
    (tmp_path / "here" / "below" / "more.ts").write_bytes(path.read_bytes())
    return path


def hls(path: Path, *names: str, tags: str = "") -> Path:
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        "#EXT-X-TARGETDURATION:10",
        "#EXT-X-MEDIA-SEQUENCE:0",
        *filter(None, [tags]),
    ]
    lines += [line for name in names for line in ("#EXTINF:1,", name)]
    path.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return path


def concat(path: Path, *names: str) -> Path:
    path.write_text("\n".join(["ffconcat version 1.0", *(f"file '{name}'" for name in names), ""]))
    return path


def test_lists_of_what_lies_beside_them_are_read(clip: Path) -> None:
    assert count(hls(clip.with_name("a.m3u8"), "clip.ts")) == FRAMES
    assert count(hls(clip.with_name("b.m3u8"), "clip.ts", "below/more.ts")) > FRAMES
    assert count(concat(clip.with_name("a.ffconcat"), "clip.ts", "below/more.ts")) > FRAMES
    master = clip.with_name("master.m3u8")
    master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n")
    assert count(master) == FRAMES


@pytest.mark.parametrize("make", [hls, concat])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_list_leads_nowhere_else(clip: Path, tmp_path: Path, make: object, name: str) -> None:
    clip.with_name("link.ts").symlink_to("../elsewhere/private.ts")
    os.mkfifo(clip.with_name("fifo.ts"))
    path = clip.with_name("a.m3u8" if make is hls else "a.ffconcat")
    text = refusal(make(path, "clip.ts", name.format(folder=tmp_path)))  # type: ignore[operator]
    assert "beside it or below it" in text and name.format(folder=tmp_path) in text


@pytest.mark.parametrize("make", [hls, concat])
@pytest.mark.parametrize("name", ["../elsewhere/private.ts", "{folder}/elsewhere/private.ts", "{url}/private.ts"])
def test_a_list_leads_elsewhere_only_if_whoever_runs_it_says_so(
    clip: Path, tmp_path: Path, make: object, name: str
) -> None:
    with FileServer(tmp_path / "elsewhere") as server:
        path = clip.with_name("a.m3u8" if make is hls else "a.ffconcat")
        make(path, "clip.ts", name.format(folder=tmp_path, url=server.url))  # type: ignore[operator]
        assert "playlists_anywhere" in refusal(path)
        assert count(path, playlists_anywhere=True) > FRAMES
        # A list that is not named as one is not followed even then.
        hidden = path.rename(clip.with_name("a.ts"))
        assert "is a list of other files" in refusal(hidden, playlists_anywhere=True)


@pytest.mark.parametrize("tag", ["#EXT-X-MAP:URI=", "#EXT-X-KEY:METHOD=AES-128,URI=", "#EXT-X-MEDIA:TYPE=AUDIO,URI="])
@pytest.mark.parametrize("quote", ['"', ""])
def test_nor_do_the_tags_in_it(clip: Path, tag: str, quote: str) -> None:
    path = hls(clip.with_name("a.m3u8"), "clip.ts", tags=f"{tag}{quote}../elsewhere/private.ts{quote}")
    assert "../elsewhere/private.ts" in refusal(path)


def test_nor_do_the_lists_in_it(clip: Path) -> None:
    hls(clip.with_name("a.m3u8"), "../elsewhere/private.ts")
    assert "../elsewhere/private.ts" in refusal(hls(clip.with_name("b.m3u8"), "a.m3u8"))
    assert "lists in lists" in refusal(hls(clip.with_name("c.m3u8"), "c.m3u8"))


@pytest.mark.parametrize("make", [hls, concat])
def test_a_list_that_calls_itself_a_video_is_not_followed(clip: Path, make: object) -> None:
    for name in ("clip.mp4", "clip.txt", "clip"):
        text = refusal(make(clip.with_name(name), "clip.ts"))  # type: ignore[operator]
        assert "is a list of other files" in text and name in text


def test_a_list_of_lists_under_another_name_is_not_followed(clip: Path) -> None:
    hls(clip.with_name("hidden.ts"), "../elsewhere/private.ts")
    concat(clip.with_name("inner.ts"), "../elsewhere/private.ts")
    for name in ("hidden.ts", "inner.ts"):
        refusal(concat(clip.with_name("a.ffconcat"), name))
        refusal(hls(clip.with_name("a.m3u8"), name))


def test_addresses_in_other_lists_are_not_called_up(tmp_path: Path) -> None:
    head = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>'
    for name, text in (("a.mpd", head), ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n")):
        (tmp_path / name).write_text(text)
        assert "not followed" in refusal(tmp_path / name)


def test_a_name_that_looks_like_a_protocol_is_a_name(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    Path("concat:clip.ts").write_bytes(b"no video")
    assert "not one that FFmpeg can read" in refusal("concat:clip.ts")
    Path("subfile,,start,0,end,9,,:clip.ts").write_bytes(clip.read_bytes())
    assert count("subfile,,start,0,end,9,,:clip.ts") == FRAMES


def test_devices_and_folders_are_no_videos(tmp_path: Path) -> None:
    assert "it is a device" in refusal("/dev/zero")
    assert "zero" not in refusal(f"{tmp_path}/a\0b.mp4")
    assert "File name too long" in refusal(tmp_path / ("x" * 300))


def test_a_fifo_is_waited_for_only_so_long(clip: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "nothing came within 0.1 s" in refusal(fifo, open_timeout_s=0.1)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(clip), str(fifo)]):
        assert count(fifo) == FRAMES


def enormous_png(path: Path, side: int = 20_000) -> Path:
    data = bytearray(cv2.imencode(".png", np.full((8, 8), 255, np.uint8))[1].tobytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


def test_an_image_that_says_it_is_enormous(tmp_path: Path) -> None:
    text = refusal(enormous_png(tmp_path / "a.png"))
    assert "20000 x 20000 pixels, at most 134217728" in text


def test_an_image_among_others_is_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((8, 8, 3), 99, np.uint8))
    enormous_png(tmp_path / "1.png")
    with open_source(str(tmp_path)) as reader:
        assert [picture.index for picture in reader] == [0]
        assert reader.damaged == 1
    os.mkfifo(tmp_path / "2.png")
    with open_source(str(tmp_path)) as reader:
        assert [picture.index for picture in reader] == [0]
        assert reader.damaged == 2


def test_a_video_larger_than_allowed_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W16000 H16000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(900))
    text = refusal(path)
    assert "16000 x 16000" in text and "max_pixels" in text


def test_the_limit_is_an_option(clip: Path) -> None:
    pixels = 96 * 64
    assert count(clip, max_pixels=pixels) == FRAMES
    assert f"at most {pixels - 1} pixels" in refusal(clip, max_pixels=pixels - 1)


def test_pictures_larger_than_the_header_says_are_not_decoded(tmp_path: Path) -> None:
    """A stream of JPEGs: what each is like is only in itself."""
    small, large = (cv2.imencode(".jpg", np.full((side, side, 3), 99, np.uint8))[1].tobytes() for side in (64, 640))
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number, data in enumerate((small, small, large, small)):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            container.mux(packet)
    with open_source(str(path), max_pixels=100 * 100, threads=1) as reader:
        assert [picture.to_rgb().shape for picture in reader] == [(64, 64, 3)] * 3
        assert reader.damaged
