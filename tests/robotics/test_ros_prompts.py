"""Requests and text of ROS made prompts."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from streamseg.errors import PromptError
from streamseg.robotics.ros_prompts import id_in, prompt_of_text, prompts_of_request


def box(x: float, y: float, width: float, height: float, theta: float = 0.0) -> Any:
    center = SimpleNamespace(position=SimpleNamespace(x=x, y=y), theta=theta)
    return SimpleNamespace(center=center, size_x=width, size_y=height)


def request(**fields: Any) -> Any:
    names = ("bbox_object_ids", "bbox_coords", "point_object_ids", "point_coords", "point_labels")
    return SimpleNamespace(**{name: fields.get(name, []) for name in names})


def points(*xy: tuple[float, float]) -> list[Any]:
    return [SimpleNamespace(x=x, y=y) for x, y in xy]


def test_boxes_are_given_by_their_middle_and_size() -> None:
    found = prompts_of_request(request(bbox_object_ids=["a"], bbox_coords=[box(10, 20, 4, 6)]))
    assert found == {"a": {"box": [8, 17, 12, 23]}}


def test_points_of_one_name_make_up_one_object_also_beside_its_box() -> None:
    found = prompts_of_request(
        request(
            bbox_object_ids=["a"],
            bbox_coords=[box(1, 1, 2, 2)],
            point_object_ids=["a", "b", "a"],
            point_coords=points((1, 1), (5, 6), (9, 9)),
            point_labels=[1, 1, 0],
        )
    )
    assert found == {
        "a": {"box": [0, 0, 2, 2], "points": [[1, 1]], "negative": [[9, 9]]},
        "b": {"points": [[5, 6]]},
    }


def test_points_without_labels_are_on_the_object() -> None:
    assert prompts_of_request(request(point_object_ids=["a"], point_coords=points((1, 2)))) == {
        "a": {"points": [[1, 2]]}
    }


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "a request without any"),
        ({"bbox_object_ids": ["a"]}, "a name for each box, got 1 bbox_object_ids, 0 boxes"),
        ({"bbox_object_ids": ["a"] * 2, "bbox_coords": [box(1, 1, 1, 1)] * 2}, "got one twice"),
        ({"bbox_object_ids": [""], "bbox_coords": [box(1, 1, 1, 1)]}, "got an empty one"),
        ({"bbox_object_ids": ["a"], "bbox_coords": [box(1, 1, 1, 1, 0.5)]}, "got one turned by 0.5 rad"),
        (
            {"point_object_ids": ["a"], "point_coords": points((1, 1)), "point_labels": [1, 0]},
            "got 1 point_object_ids and 2 point_labels for 1 points",
        ),
        ({"point_object_ids": ["a"], "point_coords": points((1, 1)), "point_labels": [2]}, "got 2"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PromptError, match=re.escape(sentence)):
        prompts_of_request(request(**fields))


@pytest.mark.parametrize("text", ['{"id": 3, "box": [1, 2, 3, 4]}', "{id: 3, box: [1, 2, 3, 4]}"])
def test_text_is_json_or_yaml(text: str) -> None:
    assert prompt_of_text(text) == {"id": 3, "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "got list"),
        ("{a: [", "expected a prompt in JSON or YAML, but"),
        ("a" * 100_000, "of at most 65536 characters in YAML"),
        ("{id: 1, mask: /etc/passwd}", "as a PNG in a data URL"),
        ("[" * 30_000, "nested too deeply"),
    ],
)
def test_text_that_is_no_prompt_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(PromptError, match=re.escape(sentence)):
        prompt_of_text(text)


def test_a_mask_may_come_along_and_an_origin_may_not() -> None:
    mask = "data:image/png;base64,AAAA"
    assert prompt_of_text(f'{{"id": 1, "mask": "{mask}", "origin": "me"}}') == {"id": 1, "mask": mask}


def test_names_that_are_numbers_are_ids() -> None:
    names = ["7", "65535", "65536", "0", "-1", "١", "7.0", "cup", "", "9" * 5000]
    assert [id_in(name) for name in names] == [7, 65535, *[None] * 8]
