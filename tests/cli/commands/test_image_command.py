"""`streamseg image`: still pictures in, masks, overlays and a line for each out; a bad one does not keep the rest."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.command import eventually, running, streamseg, told

DISK = ((80, 60), 40)


def disk(size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """(H, W, 3) uint8 BGR: a light disk with a dark one in it."""
    image = np.full((*size, 3), (60, 90, 40), np.uint8)
    cv2.circle(image, *DISK, (60, 200, 240), -1)
    cv2.circle(image, DISK[0], 14, (120, 30, 30), -1)
    return cv2.GaussianBlur(image, (3, 3), 0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four, one of them damaged, one small, and a file that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, image in {"2.png": disk(), "10.jpg": disk(), "small.png": disk()[:30, :30]}.items():
        cv2.imwrite(str(folder / name), image)
    (folder / "broken.png").write_bytes((folder / "2.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no picture")
    return folder


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def ids(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / "masks" / f"{name}.png") as image:
        return np.asarray(image)


def test_a_folder_with_bad_pictures_in_it(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    boxes = ("--box=40,20,120,100", "--box=66,46,94,74")
    done = streamseg("image", pictures, tmp_path / "gone.png", *boxes, "-o", out, "--json")
    # The first that could not be done says which exit code.
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"streamseg: {out}: 2 pictures, 4 objects, 3 pictures could not be done"
    found = lines(out)
    assert [Path(each["picture"]).name for each in found] == ["2.png", "10.jpg", "broken.png", "small.png", "gone.png"]
    assert [each.get("error", {}).get("kind") for each in found] == [
        None,
        None,
        "MediaError",
        "PromptError",
        "MediaError",
    ]
    assert "lies outside" in found[3]["error"]["message"]
    assert json.loads(done.stdout) == {
        **{"output": str(out), "pictures": 5, "failed": 3, "objects": 4},
        "results": found,
    }
    for name, each in (("2", found[0]), ("10", found[1])):
        assert (each["width"], each["height"]) == (160, 120)
        assert (each["mask"], each["overlay"]) == (f"masks/{name}.png", f"overlays/{name}.png")
        labels = ids(out, name)
        for thing in each["objects"]:
            ys, xs = np.nonzero(labels == thing["id"])
            assert thing["area_px"] == len(ys)
            # The one inside the other may be given to it whole.
            box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(ys) else None
            assert thing["box_xyxy"] == box
            assert 0 <= thing["score"] <= 1
        assert (labels > 0).sum() == pytest.approx(np.pi * 40**2, rel=0.1)
        assert cv2.imread(str(out / each["overlay"])).shape == (120, 160, 3)
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["10.png", "2.png"]


def test_a_click_a_choice_and_everything(tmp_path: Path) -> None:
    (tmp_path / "in" / "other").mkdir(parents=True)
    for path in (tmp_path / "in" / "a.png", tmp_path / "in" / "other" / "A.png"):
        cv2.imwrite(str(path), disk())
    areas = []
    for choice in (0, 2):
        out = tmp_path / f"choice{choice}"
        words = ("image", tmp_path / "in" / "**" / "*.png", "--point=80,60", "--choice", choice, "-o", out)
        done = streamseg(*words)
        assert done.returncode == 0, done.stderr
        # Two of one name, if upper and lower case are not told apart.
        assert [each["mask"] for each in lines(out)] == ["masks/a.png", "masks/A-2.png"]
        areas.append(lines(out)[0]["objects"][0]["area_px"])
    assert areas[0] > areas[1] > 0
    done = streamseg("image", tmp_path / "in" / "a.png", "--everything", "--points-per-side", 6, "-o", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert any(ids(tmp_path / "all", "a")[y, x] for x, y in ((50, 60), (80, 60)))
    (found,) = lines(tmp_path / "all")
    assert [each["id"] for each in found["objects"]] == list(range(1, len(found["objects"]) + 1))
    # Written over on request only.
    again = ("image", tmp_path / "in" / "a.png", "--point=80,60", "--negative=5,5", "-o", tmp_path / "all")
    assert streamseg(*again).returncode == 2
    assert streamseg(*again, "--overwrite").returncode == 0


def test_what_cannot_be_meant(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), disk())
    cases = {
        (): (2, "give --box X0,Y0,X1,Y1, --point X,Y or --everything"),
        ("--negative=5,5"): (2, "give --box"),
        ("--point=5,5", "--points-per-side", 4): (2, "about --everything"),
        ("--everything", "--point=5,5"): (2, "--everything beside --point"),
        ("--box=1,1,9,9", "--box=20,20,30,30", "--point=5,5"): (2, "points beside 2 boxes"),
        ("--box=9,9,1,1",): (2, "x0 < x1"),
        ("--point=80,60", "--model", "vitb"): (4, "did you mean 'vit_b'"),
        ("--point=80,60", "--checkpoint", tmp_path / "a.png"): (4, "a.png"),
    }
    for words, (code, complaint) in cases.items():
        given = (words,) if isinstance(words, str) else words
        done = told("image", tmp_path / "a.png", *given, "-o", tmp_path / "new")
        assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    done = told("image", tmp_path / "a.png", "--point=80,60", "-o", tmp_path / "file")
    assert done.returncode == 2
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interruption_leaves_whole_lines(tmp_path: Path) -> None:
    for number in range(300):
        cv2.imwrite(str(tmp_path / f"{number}.png"), disk())
    out = tmp_path / "out"
    with running("image", tmp_path, "--box=40,20,120,100", "-o", out) as run:
        assert eventually(lambda: (out / "results.jsonl").exists() and len(lines(out)) >= 2)
        run.send(signal.SIGINT)
        code, _, said = run.wait()
    done = lines(out)
    assert code == 130
    assert f"interrupted: SIGINT after {len(done)} of 300 pictures" in said
    assert 2 <= len(done) < 300
    assert all((out / each["mask"]).exists() and (out / each["overlay"]).exists() for each in done)
