"""What a live source says of its streams and pixels, though only one thread may look at its container."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from support.media import moving_images
from test_what_a_source_holds import IMAGES, two_films, write_tagged

from streamseg.video.open import open_source

PATIENT_S = 600.0
"""Everything comes at once here and waits."""


def poured(path: Path, first: bytes, then: bytes = b"", go_on: threading.Event | None = None) -> str:
    """A FIFO that a thread writes into: the first piece again and again until it is told to go on."""

    def pour() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(first)
            while go_on is not None and not go_on.wait(0.05):
                pipe.write(first)
            pipe.write(then)

    os.mkfifo(path)
    threading.Thread(target=pour, daemon=True).start()
    return str(path)


def test_pixels_and_changes_of_size_are_told_of_as_in_a_file(tmp_path: Path) -> None:
    tags = {"sample_aspect_ratio": Fraction(32, 27), "color_trc": 16}
    large = write_tagged(tmp_path / "large.ts", IMAGES, **tags)
    small = write_tagged(tmp_path / "small.ts", moving_images(12, 64, 48), **tags)
    # What comes before the first picture is asked for gives way to the newest.
    begun = threading.Event()
    source = poured(tmp_path / "pipe", large.read_bytes(), small.read_bytes(), go_on=begun)
    with open_source(source, live=True, max_age_s=PATIENT_S) as reader:
        sizes = [next(reader).size_in_source]
        begun.set()
        sizes += [picture.size_in_source for picture in reader]
        assert reader.pixel_aspect == Fraction(32, 27)
        assert "is HDR (PQ)" in reader.notes[0]
        assert (reader.info.width, reader.info.height) == (96, 64)
    assert set(sizes) == {(96, 64), (64, 48)}
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("stream", "value"), [(None, 200), (1, 20)])
def test_which_stream_is_read_can_be_chosen_and_is_said(tmp_path: Path, stream: int | None, value: int) -> None:
    source = poured(tmp_path / "pipe", two_films(tmp_path / "two.mkv").read_bytes())
    with open_source(source, live=True, max_age_s=PATIENT_S, stream=stream) as reader:
        assert {int(picture.to_rgb().mean()) for picture in reader} == {value}
        assert f"2 video streams (0: ffv1 96x64, 1: ffv1 48x32); {stream or 0} is read" in reader.notes[0]
