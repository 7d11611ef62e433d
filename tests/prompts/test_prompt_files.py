"""Files with prompts: what is read, and that every complaint names file and entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamseg.errors import PromptError
from streamseg.prompts.files import plain_prompts, read_prompts
from streamseg.prompts.prepare import prepare

ENTRIES = [
    {"id": 1, "label": "ball", "box": [1, 2, 30, 40]},
    {"id": 2, "time_s": 1.5, "points": [[3, 4]], "negative": [[5, 6]]},
    {"id": 1, "time_s": 2, "mask": "ball.png"},
    {"id": 2, "time_s": 3, "remove": True},
]
YAML = """
- {id: 1, label: ball, box: [1, 2, 30, 40]}
- {id: 2, time_s: 1.5, points: [[3, 4]], negative: [[5, 6]]}
- {id: 1, time_s: 2, mask: ball.png}
- {id: 2, time_s: 3, remove: true}
"""


@pytest.mark.parametrize("name", ["prompts.yaml", "prompts.json", "wrapped.yml"])
def test_yaml_and_json_say_the_same(name: str, tmp_path: Path) -> None:
    texts = {"prompts.json": json.dumps(ENTRIES), "prompts.yaml": YAML, "wrapped.yml": "prompts:" + YAML}
    path = tmp_path / name
    path.write_text(texts[name])
    prompts = read_prompts(path)
    assert [(p.id, p.time_s, p.remove) for p in prompts] == [
        (1, None, False),
        (2, 1.5, False),
        (1, 2, False),
        (2, 3, True),
    ]
    assert prompts[0].box == [1, 2, 30, 40]
    assert prompts[1].negative == [[5, 6]]
    assert prompts[2].mask == str(tmp_path / "ball.png"), "beside the file"
    assert prompts[3].name == f"{path}, entry 4: removal of object 2 at 3 s"
    plain = plain_prompts(prompts)
    assert plain[0] == ENTRIES[0] | {"origin": f"{path}, entry 1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {id: 1, box: [1, 2, 3, 4]}\n- {id: 2, bx: [1, 2, 3, 4]}", r"p.yaml, entry 2: .*'bx'; did you mean 'box'"),
        ("- {id: 1, box: here}", "p.yaml, entry 1: expected a list for box, got text"),
        ("- {id: 1, box: [1, 2, x, 4]}", r"p.yaml, entry 1: expected a number for box\[2\], got text"),
        ("- {label: 0, box: [1, 2, 3, 4]}", "entry 1: expected text for label, got a whole number; put it in quotes"),
        ("- {label: no, box: [1, 2, 3, 4]}", "expected text for label, got true or false; put it in quotes"),
        ("- {label: 2024-05-01, box: [1, 2, 3, 4]}", "expected text for label, got a date; put it in quotes"),
        ("- {id: 1.5, box: [1, 2, 3, 4]}", "expected a whole number for id, got a number with a fraction"),
        ("- {id: 1, origin: me}", "entry 1: unknown key 'origin'"),
        ("- 7", "entry 1: expected a mapping such as .*, got int"),
        ("7", "p.yaml: expected a list"),
        ("", "p.yaml: expected a list"),
        ("- {id: 1", "p.yaml: not valid YAML"),
    ],
)
def test_a_complaint_names_file_and_entry(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(PromptError, match=complaint):
        read_prompts(tmp_path / "p.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"gone.yaml: the prompts cannot be read: No such file"):
        read_prompts(tmp_path / "gone.yaml")
    (tmp_path / "p.json").write_text("[{]")
    with pytest.raises(PromptError, match=r"p.json: not valid JSON"):
        read_prompts(tmp_path / "p.json")
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match="in UTF-8, got other text, or none"):
        read_prompts(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("- " + " " * (17 << 20))
    with pytest.raises(PromptError, match="at most 1 are read"):
        read_prompts(tmp_path / "p.yaml")


def test_zero_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "- {id: 0, frame: 0, points: [[0, 0]], choice: 0}\n- {time_s: 0, box: [0, 0, 1, 1]}\n"
    )
    assert plain_prompts(read_prompts(tmp_path / "p.yaml")) == [
        {"id": 0, "frame": 0, "points": [[0.0, 0.0]], "choice": 0, "origin": f"{tmp_path}/p.yaml, entry 1"},
        {"time_s": 0.0, "box": [0.0, 0.0, 1.0, 1.0], "origin": f"{tmp_path}/p.yaml, entry 2"},
    ]
    with pytest.raises(PromptError, match="object id 0: expected a number from 1"):
        prepare(read_prompts(tmp_path / "p.yaml"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"label": "\ud800"}, "expected text in UTF-8, got '\\\\ud800' at label"),
        ({"frame": 1 << 63}, "expected a number of 64 bits, got one of 64 bits at frame"),
        ({"id": -(10**30)}, "one of 100 bits at id"),
        ({"points": [[1, 10**30]]}, r"points\[0\]\[1\]"),
    ],
)
def test_what_cannot_be_handed_on_is_refused_at_once(tmp_path: Path, entry: dict[str, object], said: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps([{"box": [0, 0, 9, 9], **entry}]))
    with pytest.raises(PromptError, match=f"entry 1: .*{said}"):
        read_prompts(tmp_path / "p.json")
