"""The wide validation: films whose truth is known, and what is counted on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.training_data import write_film, write_photos

from streamseg.errors import UsageError
from streamseg.evaluation.films import films_of
from streamseg.evaluation.photo_files import Photo, find_photos
from streamseg.evaluation.photo_films import FRAMES, HEIGHT, WIDTH, kind_names, make_film
from streamseg.evaluation.sequences import find_sequences
from streamseg.evaluation.wide import (
    FilmFollower,
    FollowedObject,
    groups,
    mean_gain,
    mean_j_and_f,
    share_believed,
    share_doubted,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    return find_photos(write_photos(tmp_path_factory.mktemp("photos"), 4))


@pytest.mark.parametrize("kind", kind_names())
def test_a_film_is_as_its_masks_say(kind: str, photos: list[Photo]) -> None:
    film = make_film(kind, photos, seed=3)
    again = make_film(kind, photos, seed=3)
    assert film.frames == FRAMES
    for index in (0, FRAMES // 2, FRAMES - 1):
        picture, masks = film.picture(index), film.masks(index)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(picture, again.picture(index))
        for mask in masks.values():
            # Things are painted in one bright color on darkness.
            if np.count_nonzero(mask) > 200:
                assert picture[mask].mean() > 120
    assert not np.array_equal(film.masks(0)[1], film.masks(FRAMES // 2)[1])


def test_who_leaves_is_gone_and_comes_back(photos: list[Photo]) -> None:
    film = make_film("exit", photos, seed=1)
    areas = [int(film.masks(index)[1].sum()) for index in range(FRAMES)]
    assert areas[0] > 1000
    assert min(areas) == 0
    assert areas[-1] > 1000


def test_an_occluder_hides_a_part_of_the_object_for_a_while(photos: list[Photo]) -> None:
    shares = []
    for seed in range(4):
        areas = [int(make_film("hidden", photos, seed).masks(index)[1].sum()) for index in range(FRAMES)]
        shares.append(min(areas) / areas[0])
    assert min(shares) < 0.7


def test_of_a_pair_neither_mask_lies_on_the_other(photos: list[Photo]) -> None:
    film = make_film("pair", photos, seed=2)
    for index in range(FRAMES):
        first, second = (film.masks(index)[i] for i in (1, 2))
        assert not (first & second).any()


def test_an_unknown_kind_is_refused_with_the_nearest(photos: list[Photo]) -> None:
    with pytest.raises(UsageError, match="exit"):
        make_film("exits", photos, seed=0)


def test_photos_without_an_object_of_a_fitting_size_are_refused(photos: list[Photo], tmp_path: Path) -> None:
    full = tmp_path / "full.png"
    Image.fromarray(np.full((96, 128), 255, np.uint8)).save(full)
    whole = [Photo("", photos[0].image, full)]
    with pytest.raises(UsageError, match="give more photos"):
        make_film("camera", whole, seed=0)


def test_a_sequence_is_taken_forward_backward_and_by_half(tmp_path: Path) -> None:
    write_film(tmp_path / "square", 8)
    (sequence,) = find_sequences(tmp_path)
    forward, backward, half = films_of(sequence)
    assert [film.name for film in (forward, backward, half)] == ["square-f", "square-b", "square-h"]
    assert [film.frames for film in (forward, backward, half)] == [8, 8, 4]
    assert np.array_equal(forward.picture(7), backward.picture(0))
    assert np.array_equal(forward.masks(7)[1], backward.masks(0)[1])
    assert np.array_equal(forward.picture(4), half.picture(0))
    assert {film.origin for film in (forward, backward, half)} == {"square"}


def one(film: str, j: list[float], states: str, *, group: str = "made", gone: int = 0) -> FollowedObject:
    visible = [index >= gone for index in range(len(j))]
    return FollowedObject(film, group, film, 1, j, j, states, visible)


def test_honesty_counts_what_is_wrong_but_believed_and_what_is_right_but_doubted() -> None:
    followed = [one("a", [0.9, 0.9, 0.3, 0.3, 0.6], "TUTUT"), one("b", [0.0, 0.0, 0.8], "LRR")]
    assert share_believed(followed).value == pytest.approx(2 / 4)
    assert share_doubted(followed).value == pytest.approx(1 / 3)


def test_an_object_that_is_gone_and_lost_is_not_doubted() -> None:
    followed = [one("a", [1.0, 1.0, 0.9], "LLT", gone=2)]
    assert share_doubted(followed).value == 0


def test_means_have_intervals_that_are_wider_for_fewer_origins() -> None:
    rng = np.random.default_rng(0)
    many = [one(f"f{k}", [float(value)], "T") for k, value in enumerate(rng.uniform(0, 1, 60))]
    few = [FollowedObject(e.film, e.group, f"o{k % 4}", 1, e.j, e.f, e.states, e.visible) for k, e in enumerate(many)]
    spread = mean_j_and_f(many)
    assert spread.low < spread.value < spread.high
    assert spread.value == pytest.approx(mean_j_and_f(few).value)
    alike = [one(f"f{k}", [0.5], "T") for k in range(60)]
    assert mean_j_and_f(alike) == (0.5, 0.5, 0.5)


def test_a_gain_is_taken_film_by_film() -> None:
    before = [one("a", [0.2], "T"), one("b", [0.8], "T"), one("c", [0.1], "T")]
    after = [one("b", [0.9], "T"), one("a", [0.3], "T")]
    assert mean_gain(after, before).value == pytest.approx(0.1)
    assert mean_gain(after, before).low == pytest.approx(0.1)


def test_groups_come_by_name_and_then_all() -> None:
    followed = [one("a", [0.2], "T", group="exit"), one("b", [0.8], "T", group="camera")]
    assert [(name, len(each)) for name, each in groups(followed)] == [("camera", 1), ("exit", 1), ("all", 2)]


def test_films_are_followed_one_after_the_other(photos: list[Photo]) -> None:
    follower = FilmFollower({}, {})
    seen: list[int] = []
    try:
        film = make_film("camera", photos, seed=5)
        (first,) = follower.follow(film, lambda index, _: seen.append(index))
        follower.follow(make_film("exit", photos, seed=5))
        (again,) = follower.follow(film)
    finally:
        follower.close()
    assert seen == list(range(FRAMES))
    assert len(first.j) == len(first.f) == len(first.states) == FRAMES - 1
    assert first.j_and_f > 0.7
    # What was followed before leaves nothing behind.
    assert again == first
