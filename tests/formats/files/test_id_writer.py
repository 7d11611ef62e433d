"""Pictures of ids that are written in threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamseg.errors import OutputError
from streamseg.formats.files.id_writer import IdWriter


@pytest.mark.parametrize(("kind", "mode"), [(np.uint8, "P"), (np.uint16, "I;16")])
def test_each_file_has_what_was_drawn_for_it(tmp_path: Path, kind: type[np.uint8 | np.uint16], mode: str) -> None:
    # More than are in memory at a time: their memory is used again.
    with IdWriter((5, 7), kind) as writer:
        for number in range(40):
            picture = writer.blank()
            assert not picture.any()
            picture[number % 5, number % 7] = number + 1
            writer.write(tmp_path / "some" / f"{number}.png", picture)
    for number in range(40):
        with Image.open(tmp_path / "some" / f"{number}.png") as image:
            assert image.mode == mode
            values = np.asarray(image)
        assert values[number % 5, number % 7] == number + 1
        assert np.count_nonzero(values) == 1


@pytest.mark.parametrize("count", [1, 30])
def test_what_cannot_be_written_is_said(tmp_path: Path, count: int) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(OutputError, match=r"expected to write .*0\.png.*free space or choose another folder"),
        IdWriter((5, 7), np.uint8) as writer,
    ):
        for number in range(count):
            writer.write(tmp_path / "file" / f"{number}.png", writer.blank())


def test_an_error_of_its_user_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(KeyError), IdWriter((5, 7), np.uint8) as writer:
        writer.write(tmp_path / "file" / "0.png", writer.blank())
        raise KeyError("of the user")
