"""Who there is, as the services know it; what goes over the wire is tested with the command."""

from __future__ import annotations

from typing import Any

import pytest

from streamseg.commands import Applied
from streamseg.errors import PromptError, UsageError
from streamseg.ros2 import types
from streamseg.ros2.dds import DdsMiddleware
from streamseg.ros2.prompt_server import Names, Objects, PromptServer


def seen(objects: Objects, **labels: str) -> None:
    """Results with objects, ``o7="cup"`` being object 7."""
    detections = [
        {"id": name[1:], "results": [{"hypothesis": {"class_id": label}}] if label else []}
        for name, label in labels.items()
    ]
    objects.see(types.build("vision_msgs/msg/Detection2DArray", {"detections": detections}))


def applied(what: str, number: int) -> Applied:
    return Applied(what=what, id=number, stream="image", frame=1)


def test_objects_are_found_by_name_label_and_id() -> None:
    objects = Objects()
    seen(objects, o1="", o7="cup")
    objects.note(applied("added", 9), "ball")
    assert objects.names() == {1: "1", 7: "cup", 9: "ball"}
    assert [objects.id_of(name) for name in ("1", "7", "cup", "ball", "9", "dog")] == [1, 7, 7, 9, 9, None]
    with pytest.raises(PromptError, match=r"there is no object 'bal'; did you mean 'ball'\?"):
        objects.known("bal")


def test_a_name_that_a_client_gave_stays_when_the_results_have_the_object() -> None:
    objects = Objects()
    objects.note(applied("added", 2), "left cup")
    seen(objects, o2="cup")
    assert objects.names() == {2: "left cup"}
    objects.note(applied("removed", 2), "left cup")
    assert objects.ids() == []


def test_services_whose_types_are_missing_are_named_and_the_rest_works(
    ros: DdsMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(service: str, kind: str, _: Any) -> None:
        if kind != types.TRIGGER:
            raise UsageError(f"expected the ROS package for {kind}; install it")

    monkeypatch.setattr(ros, "serve", serve)
    names = {name: f"/{name}" for name in Names.__struct_fields__}
    server = PromptServer(ros, Names(**names), lambda prompt: pytest.fail("nothing was asked"))
    assert [each.partition(":")[0] for each in server.missing] == [
        "no service /add_objects",
        "no service /correct_objects",
        "no service /remove_object",
    ]
