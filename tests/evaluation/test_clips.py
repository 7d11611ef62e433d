"""The made clips: their truth is exact, and they show what they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.errors import UsageError
from streamseg.evaluation.clip_kinds import clip_names, crowd, make_clip
from streamseg.evaluation.clips import BYSTANDER, HEIGHT, WIDTH, Clip


def visible(clip: Clip, identity: int, every: int = 4) -> list[float]:
    return [clip.truth(index).visible[identity] for index in range(0, clip.frames, every)]


def test_a_clip_is_the_same_each_time_and_another_for_another_seed() -> None:
    first, again, other = make_clip("scale", 4), make_clip("scale", 4), make_clip("scale", 5)
    np.testing.assert_array_equal(first.picture(11), again.picture(11))
    np.testing.assert_array_equal(first.truth(11).ids, again.truth(11).ids)
    assert (first.picture(11) != other.picture(11)).mean() > 0.5
    assert first.picture(0).shape == (HEIGHT, WIDTH, 3)


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'occlusion'"):
        make_clip("oclusion")


@pytest.mark.parametrize("name", [name for name in clip_names() if name != "crowd"])
def test_every_object_is_there_at_first(name: str) -> None:
    clip = make_clip(name, 3)
    truth = clip.truth(0)
    assert clip.ids
    assert all(truth.visible[identity] > 0.8 for identity in clip.ids)
    assert {int(i) for i in np.unique(truth.ids) if 0 < i < BYSTANDER} == set(clip.ids)


def test_the_picture_changes_where_the_truth_says_something_moved() -> None:
    clip = make_clip("occlusion", 3)
    before, after = clip.truth(0).mask(1), clip.truth(8).mask(1)
    assert not (before & after).any() or (before ^ after).any()
    middle = np.array(np.nonzero(after)).mean(1).astype(int)
    thing = clip.picture(8)[middle[0] - 3 : middle[0] + 3, middle[1] - 3 : middle[1] + 3].mean((0, 1))
    ground = clip.picture(0)[middle[0] - 3 : middle[0] + 3, middle[1] - 3 : middle[1] + 3].mean((0, 1))
    assert np.abs(thing - ground).max() > 20


@pytest.mark.parametrize(("name", "identity"), [("occlusion", 1), ("occlusion", 2), ("exit", 1), ("exit", 2)])
def test_objects_go_and_come_back(name: str, identity: int) -> None:
    shares = visible(make_clip(name, 6), identity)
    gone = [k for k, share in enumerate(shares) if share < 0.05]
    assert gone
    assert max(shares[: gone[0]]) > 0.8
    assert max(shares[gone[-1] :]) > 0.8


def test_a_cut_brings_another_scene_in_which_objects_are_gone_or_stay() -> None:
    for name, shares in {"cut": (0, 0), "cut-kept": (1, 0), "cut-back": (0, 0)}.items():
        clip = make_clip(name, 8)
        cut = clip.cuts[0]
        assert (np.abs(clip.picture(cut).astype(int) - clip.picture(cut - 1)) > 20).mean() > 0.5
        assert tuple(round(clip.truth(cut + 3).visible[identity]) for identity in (1, 2)) == shares
    assert make_clip("cut-back", 8).truth(60).visible[2] == pytest.approx(1, abs=0.1)


def test_scale_changes_by_four() -> None:
    clip = make_clip("scale", 2)
    first, last = clip.truth(0), clip.truth(clip.frames - 1)
    sides = [np.sqrt(last.mask(identity).sum() / first.mask(identity).sum()) for identity in (1, 2)]
    assert sides[0] == pytest.approx(4, rel=0.1)
    assert sides[1] == pytest.approx(0.25, rel=0.15)


def test_a_crowd_has_so_many_and_its_bystanders_are_nobody_s() -> None:
    assert crowd(5).ids == [1, 2, 3, 4, 5]
    assert make_clip("lookalikes").ids == [1, 2]
