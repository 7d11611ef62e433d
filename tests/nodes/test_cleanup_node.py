"""The cleanup node: what it measures anew, and what it passes on."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from streamseg_nodes.cleanup import NOTHING_LEFT, Cleanup
from support.bright_nodes import drawn

from streamseg.errors import GraphError, UsageError
from streamseg.graph import config
from streamseg.masks.cleanup import CleanupRules, clean
from streamseg.messages import Segmented
from streamseg.node import NodeContext, run_node


def dirty() -> Segmented:
    """Object 5 with a speck and a pinhole, object 9 that is nothing but specks."""
    labels = np.zeros((60, 80), np.uint16)
    labels[10:40, 10:40] = 1
    labels[20, 20] = 0
    labels[50, 70] = 1
    labels[2:50:12, 60] = 2
    return drawn(0, labels, (5, 9))


def cleaned(message: Segmented, **options: object) -> Segmented:
    (result,) = run_node(Cleanup(config.options_of(Cleanup.Config, options, "cleanup")), [message])
    return result


def test_specks_go_holes_are_filled_and_boxes_fit_again() -> None:
    message = dirty()
    before = message.labels.copy()
    result = cleaned(message)
    expected = np.zeros((60, 80), np.uint16)
    expected[10:40, 10:40] = 1
    assert np.array_equal(result.labels == 1, expected == 1)
    assert (result.objects[0].area_px, result.objects[0].box_xyxy) == (900, (10.0, 10.0, 40.0, 40.0))
    assert np.array_equal(message.labels, before)
    assert result.labels.dtype == np.uint16


def test_everything_else_is_passed_on() -> None:
    message = dirty()
    result = cleaned(message)
    assert result.frame is message.frame
    assert result.stamp == message.stamp
    assert bytes(result.tracker) == bytes(message.tracker)
    for before, after in zip(message.objects, result.objects, strict=True):
        assert (after.id, after.state, after.score, after.label) == (
            before.id,
            before.state,
            before.score,
            before.label,
        )


def test_an_object_that_vanishes_says_so_and_keeps_its_state() -> None:
    result = cleaned(dirty(), min_area_px=20)
    gone = result.objects[1]
    assert (gone.id, gone.state, gone.area_px, gone.box_xyxy, gone.reason) == (9, "TRACKED", 0, None, NOTHING_LEFT)
    assert not (result.labels == 2).any()
    assert result.objects[0].reason == ""


def test_a_reason_that_was_there_is_kept() -> None:
    message = dirty()
    objects = [msgspec.structs.replace(found, state="UNCERTAIN", reason="low score") for found in message.objects]
    result = cleaned(msgspec.structs.replace(message, objects=objects), min_area_px=20)
    assert [found.reason for found in result.objects] == ["low score", f"low score; {NOTHING_LEFT}"]
    assert {found.state for found in result.objects} == {"UNCERTAIN"}


def test_an_object_that_had_no_mask_keeps_its_own_reason() -> None:
    message = drawn(0, np.zeros((20, 20), np.uint16), (1,))
    objects = [msgspec.structs.replace(message.objects[0], state="LOST", reason="not seen")]
    (found,) = cleaned(msgspec.structs.replace(message, objects=objects)).objects
    assert (found.state, found.reason, found.box_xyxy) == ("LOST", "not seen", None)


def test_switched_off_it_passes_on_what_came() -> None:
    message = dirty()
    assert cleaned(message, enabled=False) is message


@pytest.mark.parametrize(
    "options",
    [
        {"keep": "largest"},
        {"min_area_px": 3, "min_area_fraction": None},
        {"fill_holes_px": None, "fill_holes_fraction": None},
        {"open_radius_px": 2, "close_radius_px": 1, "smooth_radius_px": 2},
    ],
)
def test_every_rule_reaches_the_cleaning(options: dict[str, object]) -> None:
    message = dirty()
    expected = clean(message.labels, 2, CleanupRules(**options))  # type: ignore[arg-type]
    assert np.array_equal(cleaned(message, **options).labels, expected)


def test_its_options_are_the_rules_with_the_same_defaults() -> None:
    options = {field.name: field.default for field in msgspec.structs.fields(Cleanup.Config)}
    assert options == {"enabled": True, **msgspec.structs.asdict(CleanupRules())}


def test_wrong_options_are_refused_before_the_first_frame() -> None:
    with pytest.raises(GraphError, match="min_area_px"):
        cleaned(dirty(), min_area=5)
    with pytest.raises(GraphError, match="keep"):
        cleaned(dirty(), keep="smallest")
    with pytest.raises(UsageError, match="min_area_fraction"):
        Cleanup(Cleanup.Config(min_area_fraction=2)).setup()


def test_labels_go_into_the_frames_own_slot() -> None:
    given: list[np.ndarray] = []

    def empty(stamp: object, shape: object, dtype: object) -> np.ndarray:
        given.append(np.empty(shape, dtype))  # type: ignore[call-overload]
        return given[-1]

    (result,) = run_node(Cleanup(context=NodeContext("cleanup", empty=empty)), [dirty()])
    assert result.labels is given[0]
