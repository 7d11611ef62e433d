"""What is drawn in Label Studio as prompts, and its labeling interfaces."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.errors import PromptError, UsageError
from streamseg.formats.annotation.label_studio import ROW, keyframes
from streamseg.label_studio.following import Timing
from streamseg.label_studio.interface import Interface, read_interface
from streamseg.label_studio.regions import drawn_in, tracks_in

PICTURE = """<View><Image name="img" value="$photo"/>
<BrushLabels name="mask" toName="img"><Label value="cup"/></BrushLabels>
<RectangleLabels name="rect" toName="img" smart="true"><Label value="cup"/></RectangleLabels></View>"""
VIDEO = """<View><Labels name="l" toName="v"><Label value="cup"/></Labels>
<Video name="v" value="$clip" frameRate="12.5"/><VideoRectangle name="r" toName="v" smart="true"/></View>"""


def box(x: float, y: float, width: float, height: float, **more: object) -> dict[str, object]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["cup"]}
    return {"id": "b", "type": "rectanglelabels", "value": value, **more}


def click(x: float, y: float, *, positive: object = True) -> dict[str, object]:
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": ["hand"]}
    return {"id": "k", "type": "keypointlabels", "is_positive": positive, "value": value}


def test_interfaces():
    assert read_interface(PICTURE) == Interface("image", "img", "photo", "mask", 24.0)
    assert read_interface(VIDEO) == Interface("video", "v", "clip", "r", 12.5)
    usual = read_interface(VIDEO.replace(' frameRate="12.5"', ""))
    assert usual.frame_rate == 24


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<View", "is no XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View/>', "defines entities"),
        ('<View><Text name="t" value="$t"/></View>', "nothing that streamseg can answer in"),
        (PICTURE.replace('toName="img"', 'toName="other"'), "<BrushLabels>"),
        (VIDEO.replace("12.5", "fast"), "expected frames per second in frameRate"),
        (VIDEO.replace("12.5", "0"), "expected frames per second in frameRate"),
    ],
)
def test_interfaces_that_cannot_be_answered_in(text, said):
    with pytest.raises(UsageError, match=said):
        read_interface(text)


def test_a_box_with_clicks_is_one_object():
    (found,) = drawn_in([box(10, 20, 30, 40), click(50, 50), click(5, 5, positive=0)], (100, 200))
    assert (found.name, found.label) == ("b", "cup")
    assert found.box_xyxy == pytest.approx((20, 20, 80, 60))
    assert found.points_xy.tolist() == [[100, 50], [10, 5]]
    assert found.point_labels.tolist() == [1, 0]


def test_clicks_alone_and_boxes_alone():
    (found,) = drawn_in([click(50, 50), click(60, 60)], (100, 100))
    assert (found.label, found.box_xyxy, len(found.points_xy)) == ("hand", None, 2)
    assert [each.box_xyxy for each in drawn_in([box(0, 0, 10, 10), box(20, 20, 10, 10)], (100, 100))] == [
        pytest.approx((0, 0, 10, 10)),
        pytest.approx((20, 20, 30, 30)),
    ]
    assert drawn_in([], (10, 10)) == []


@pytest.mark.parametrize(
    ("regions", "error", "said"),
    [
        ([box(0, 0, 9, 9), box(9, 9, 9, 9), click(1, 1)], PromptError, "could belong to any of them"),
        ([click(1, 1, positive=False)], PromptError, "expected a click on the object"),
        (
            [{"type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 30}}],
            PromptError,
            "up",
        ),
        ([{"type": "rectangle", "value": {"x": "1", "y": 1, "width": 9, "height": 9}}], UsageError, "a number for 'x'"),
        ([{"type": "rectangle", "value": 3}], UsageError, "expected a value in each region"),
    ],
)
def test_what_cannot_be_meant(regions, error, said):
    with pytest.raises(error, match=said):
        drawn_in(regions, (100, 100))


def test_rectangles_in_a_video():
    keys = [
        {"frame": 5, "enabled": True, "x": 10, "y": 10, "width": 20, "height": 40, "rotation": 0},
        {"frame": 9, "enabled": False, "x": 0, "y": 0, "width": 1, "height": 1},
    ]
    value = {"framesCount": 30, "sequence": keys, "labels": ["cup"]}
    (track,) = tracks_in([{"id": "x", "type": "videorectangle", "value": value}, box(0, 0, 9, 9)])
    assert (track.name, track.label, track.frames_count) == ("x", "cup", 30)
    assert track.keys == keys
    assert track.boxes == {4: pytest.approx((0.1, 0.1, 0.3, 0.5))}
    with pytest.raises(UsageError, match="expected keyframes"):
        tracks_in([{"type": "videorectangle", "value": {"sequence": None}}])
    with pytest.raises(UsageError, match="counted from 1"):
        tracks_in([{"type": "videorectangle", "value": {"sequence": [{**keys[0], "frame": 0}]}}])


def test_frames_by_two_rates():
    timing = Timing(fps=30, frame_rate=24)
    assert [timing.of_video(frame) for frame in (0, 1, 2, 24)] == [0, 1, 2, 30]


def test_where_the_boxes_end_the_rectangle_is_off():
    rows = np.array([(frame, (frame, 0, frame + 10, 10)) for frame in range(3, 8)], ROW)
    sequence = keyframes(rows, (100, 100), 20, 25.0)
    assert [(key["frame"], key["enabled"]) for key in sequence] == [(4, True), (8, False)]
