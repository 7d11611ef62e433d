"""What is said of files of other programs that are not as expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.errors import UsageError
from streamseg.formats.convert import open_clip

SOME = '[{"id": 1, "height": 4, "width": 4, "video_id": 1}, {"id": 2, "height": 4, "width": 4, "video_id": 2}]'


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("coco", '{"images": [{}], "annotations": []}', "expected COCO instances, got: KeyError('id'); see that"),
        ("coco", f'{{"images": {SOME}, "annotations": []}}', "expected one video, got 2; export one at a time"),
        ("youtube-vis", '{"videos": [{}], "annotations": []}', "expected YouTube-VIS, got: KeyError('height'); see"),
        ("youtube-vis", '{"videos": [], "annotations": []}', "expected one video, got 0; export one at a time"),
        ("label-studio", '[{"annotations": 7}]', "expected tasks of Label Studio (export as JSON), got: TypeError"),
        ("labelme", '{"shapes": 7, "imageHeight": 4, "imageWidth": 4}', "expected shapes of LabelMe, got: TypeError"),
        (
            "sa-v",
            '{"masklet": [[7]], "video_height": 4, "video_width": 4}',
            "expected masklets of SA-V, got: TypeError",
        ),
    ],
)
def test_the_file_is_named_once_and_what_is_wrong_is_said(tmp_path: Path, name: str, data: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(data)
    with pytest.raises(UsageError) as raised:
        open_clip(path, name)
    assert str(raised.value).startswith(f"{path}: {said}")
