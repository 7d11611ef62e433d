"""What other programs have corrected: as prompts for a new run, and as truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.media import decode_plainly
from support.strange_masks import IDS, strange_ids

import streamseg
from streamseg.cli import main
from streamseg.errors import UsageError
from streamseg.formats.clip import ReadClip
from streamseg.formats.convert import open_clip, write_clip
from streamseg.formats.prompts import plain_prompts
from streamseg.formats.runs.run import Run
from streamseg.prompts.files import read_prompts
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare

SEEN = IDS[:-1]


def test_the_first_mask_of_each_object_is_a_prompt(run: Run, tmp_path: Path) -> None:
    write_clip(run, "prompts", tmp_path)
    prompts = read_prompts(tmp_path / "prompts.yaml")
    assert [(each.id, each.frame, each.label) for each in prompts] == [
        (1, 0, "ball"),
        (7, 0, ""),
        (70, 0, "cup & saucer"),
        (300, 0, "ball"),
    ]
    for pending in prepare(prompts):
        assert pending.mask is not None
        assert np.array_equal(pending.mask, strange_ids(0) == pending.id)


def test_every_frame_is_corrections(run: Run, tmp_path: Path) -> None:
    write_clip(run, "prompts", tmp_path, {"frames": "all", "prompt": "box"}, every=2)
    prompts = read_prompts(tmp_path / "prompts.yaml")
    assert [each.frame for each in prompts if each.id == 70] == [0, 2, 6, 8]
    assert all(each.box for each in prompts)


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "labelme", "voc", "davis", "sa-v", "youtube-vis"])
def test_formats_are_prompts(run: Run, small_ids: Run, tmp_path: Path, name: str) -> None:
    write_clip(
        small_ids if name == "davis" else run, name, tmp_path, {"kind": "brush"} if name == "label-studio" else {}
    )
    clip = open_clip(tmp_path, name)
    found = plain_prompts(clip)
    ids = (1, 2, 3, 4) if name == "davis" else SEEN
    assert [each["id"] for each in found] == list(ids)
    for pending, object_id in zip(prepare([ObjectPrompt(**each) for each in found]), SEEN, strict=True):
        assert pending.mask is not None
        assert (pending.mask ^ (strange_ids(0) == object_id)).sum() < 60


def test_a_run_follows_what_was_exported(run: Run, video: Path, tmp_path: Path) -> None:
    write_clip(run, "cvat", tmp_path)
    out = tmp_path / "again"
    words = ["run", str(video), "--prompts", str(tmp_path / "annotations.xml"), "--prompts-format", "cvat"]
    assert main([*words, "--max-frames", "2", "--no-overlay", "--inline", "-o", str(out)]) == 0
    again = streamseg.load_run(out)
    assert again.objects == {1: "ball", 7: "object", 70: "cup & saucer", 300: "ball"}
    assert np.array_equal(again.mask(0, 7), strange_ids(0) == 7)


def test_no_object_is_no_prompt() -> None:
    with pytest.raises(UsageError, match="there are none to be followed"):
        plain_prompts(ReadClip("clip", (5, 5), 3, {}, {}))


def test_files_of_others_become_truth_for_eval(run: Run, video: Path, tmp_path: Path) -> None:
    write_clip(run, "coco", tmp_path / "coco")
    words = ["convert", str(tmp_path / "coco"), "--from", "coco", "--source", str(video), "--to", "davis"]
    assert main([*words, "--renumber", "-o", str(tmp_path / "truth")]) == 0
    from streamseg.evaluation.sequences import find_sequences, read_ids

    (sequence,) = find_sequences(tmp_path / "truth")
    assert len(sequence.mask_files) == len(decode_plainly(video))
    ids = read_ids(sequence.mask_files[8])
    for number, object_id in enumerate(SEEN, 1):
        assert np.array_equal(ids == number, strange_ids(8) == object_id)
