"""embed with the bundled model: what it encodes, and when."""

from __future__ import annotations

import numpy as np
import pytest
from streamseg_nodes.embed import Embed

from streamseg.errors import GraphError
from streamseg.messages import Frame, Regions, Stamp
from streamseg.node import NodeContext, run_node
from streamseg.types import Region


def frame(seq: int = 0, height: int = 180, width: int = 320) -> Frame:
    image = np.random.default_rng(seq).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(Stamp("s", seq, seq, None, (1, 25), 0, 0, seq + 1), image)


@pytest.fixture(scope="module")
def focused() -> Embed:
    node = Embed(Embed.Config(device="cpu"), NodeContext("embed", streams=["s"], has_feedback=True))
    node.setup()
    return node


def views_for(node: Embed, *regions: Region, height: int = 180, width: int = 320) -> list[tuple]:
    node.on_feedback(Regions("s", 6, list(regions)))
    embedded = node.process(frame(7, height, width))
    return [(view.region, view.image_size, view.features.shape, view.object_id) for view in embedded.views]


def test_without_a_back_edge_the_whole_frame_is_one_view() -> None:
    (embedded,) = run_node(Embed(Embed.Config(device="cpu")), [frame()])
    (view,) = embedded.views
    assert (view.region, view.image_size, view.object_id) == ((0, 0, 320, 180), (288, 512), None)
    assert view.features.shape == (128, 64, 64)
    assert view.features.dtype == np.float32
    assert embedded.model == "tiny"


def test_a_batch_gives_what_single_frames_give() -> None:
    node = Embed(Embed.Config(device="cpu", batch=3))
    node.setup()
    frames = [frame(seq) for seq in range(3)]
    assert node.batch == 3
    for together, alone in zip(node.process_batch(frames), map(node.process, frames), strict=True):
        assert together.stamp == alone.stamp
        np.testing.assert_allclose(together.views[0].features, alone.views[0].features, atol=1e-3)


def test_features_lie_in_the_slot() -> None:
    given = []

    def empty(stamp: Stamp, shape: tuple[int, ...], dtype: object) -> np.ndarray:
        given.append(np.empty(shape, dtype))
        return given[-1]

    (embedded,) = run_node(Embed(Embed.Config(device="cpu"), NodeContext(empty=empty)), [frame()])
    assert embedded.views[0].features is given[0]


def test_focus_waits_for_the_frame_before(focused: Embed) -> None:
    focused.on_feedback(Regions("s", 3, []))
    assert focused.ready(frame(4))
    assert not focused.ready(frame(5))
    focused.on_feedback(Regions("other", 4, []))
    assert not focused.ready(frame(5))
    focused.on_feedback(Regions("s", 4, []))
    assert focused.ready(frame(5))
    assert focused.batch == 1


@pytest.mark.parametrize("wanted", [(100, 60, 200, 100), (104, 60, 204, 100)], ids=["as foreseen", "another"])
def test_what_is_encoded_ahead_changes_nothing_but_the_time(
    focused: Embed, wanted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreseen, late = Region((100, 60, 200, 100), 4), Region((10, 20, 50, 100), 9)
    focused.on_feedback(Regions("s", 5, [foreseen, late], ahead=[foreseen]))
    focused.process(frame(6))
    assert not focused.ready(frame(7))
    assert focused.work_ahead(frame(7))
    assert not focused.work_ahead(frame(7))
    focused.on_feedback(Regions("s", 6, [Region(wanted, 4), late]))
    encode, asked = focused._encoder.encode, []
    monkeypatch.setattr(focused._encoder, "encode", lambda images: asked.append(len(images)) or encode(images))
    early = focused.process(frame(7))
    monkeypatch.undo()
    assert asked == [1 if wanted == foreseen.box_xyxy else 2]
    alone = Embed(Embed.Config(device="cpu"), NodeContext("embed", streams=["s"], has_feedback=True))
    alone.setup()
    alone.on_feedback(Regions("s", 6, [Region(wanted, 4), late]))
    for first, second in zip(early.views, alone.process(frame(7)).views, strict=True):
        assert (first.region, first.object_id) == (second.region, second.object_id)
        np.testing.assert_array_equal(first.features, second.features)


def test_torch_whose_batches_may_round_differently_does_not_encode_ahead() -> None:
    node = Embed(Embed.Config(device="cpu", engine="torch"), NodeContext("embed", streams=["s"], has_feedback=True))
    node.setup()
    node.on_feedback(Regions("s", 5, [], ahead=[Region((100, 60, 200, 100), 4)]))
    assert not node.work_ahead(frame(7))


def test_nothing_is_encoded_ahead_that_nobody_foresaw(focused: Embed) -> None:
    focused.on_feedback(Regions("s", 5, [], ahead=[]))
    assert not focused.work_ahead(frame(7))
    focused.on_feedback(Regions("s", 4, [], ahead=[Region((100, 60, 200, 100), 4)]))
    assert not focused.work_ahead(frame(7))


def test_each_object_gets_a_square_round_its_box(focused: Embed) -> None:
    found = views_for(focused, Region((100, 60, 200, 100), 4), Region((10, 20, 50, 100), 9))
    assert found == [
        ((80, 10, 220, 150), (256, 256), (128, 32, 32), 4),
        ((-26, 4, 86, 116), (256, 256), (128, 32, 32), 9),
    ]


@pytest.mark.parametrize(("count", "side"), [(1, 256), (3, 256), (4, 192), (12, 128), (20, 96), (60, 64)])
def test_many_objects_share_a_budget_of_pixels(focused: Embed, count: int, side: int) -> None:
    found = views_for(focused, *(Region((5 * k, 60, 5 * k + 40, 100), k + 1) for k in range(count)))
    assert [view[3] for view in found] == list(range(1, count + 1))
    assert {view[1:3] for view in found} == {((side, side), (128, side // 8, side // 8))}


def test_no_regions_means_the_whole_frame(focused: Embed) -> None:
    assert [view[0] for view in views_for(focused)] == [(0, 0, 320, 180)]


@pytest.mark.parametrize(
    "box", [(50, 50, 50, 50), (400, 20, 500, 60), (-9e9, -9e9, -8e9, -8e9), (90, 40, 70, 50)], ids=str
)
def test_a_region_without_use_falls_back_to_the_whole_frame_once(focused: Embed, box: tuple) -> None:
    found = views_for(focused, Region(box, 1), Region(box, 2), Region((10, 10, 60, 60), 3))
    assert [(view[0], view[3]) for view in found] == [((0, 0, 70, 70), 3), ((0, 0, 320, 180), None)]


def test_a_huge_region_costs_no_more_than_the_frame(focused: Embed) -> None:
    assert [view[0] for view in views_for(focused, Region((-9e9, -9e9, 9e9, 9e9), 1), width=320)] == [
        (-64, -134, 384, 314)
    ]


def test_scales_are_squares_moved_into_the_frame(focused: Embed) -> None:
    found = views_for(focused, Region((300, 90, 300, 90), 5, (1.0, 0.5, 0.25)))
    assert [(view[0], view[3]) for view in found] == [
        ((160, 10, 320, 170), 5),
        ((240, 50, 320, 130), 5),
        ((0, 0, 320, 180), None),
    ]


def test_focus_without_a_back_edge_is_refused() -> None:
    with pytest.raises(GraphError, match="no back-edge"):
        Embed(Embed.Config(focus="on")).setup()


def test_focus_off_does_not_wait() -> None:
    node = Embed(Embed.Config(focus="off", device="cpu"), NodeContext(has_feedback=True))
    node.setup()
    assert node.ready(frame(0))
    assert [view.region for view in node.process(frame(0)).views] == [(0, 0, 320, 180)]
