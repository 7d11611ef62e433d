import itertools

import numpy as np

from streamseg.masks import overlay


def scene():
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    labels = np.zeros((120, 160), np.uint16)
    labels[40:100, 30:110] = 1
    return image, labels


def test_colors_are_stable_and_far_apart():
    colors = [np.array(overlay.color_of(object_id), int) for object_id in range(1, 13)]
    assert overlay.color_of(3) == overlay.color_of(3)
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(colors, 2)) >= 40
    assert all(color.max() >= 150 for color in colors)
    assert overlay.color_of(70000) != overlay.color_of(70001)


def test_the_inside_is_blended_and_the_rest_is_untouched():
    image, labels = scene()
    before = image.copy()
    drawn = overlay.draw(image, labels, [5], alpha=0.25)
    assert np.array_equal(image, before), "the input was drawn on"
    color = np.array(overlay.color_of(5))
    inside = np.s_[70:95, 50:100]
    assert np.abs(drawn[inside] - (image[inside] * 0.75 + color * 0.25)).max() <= 1
    assert np.array_equal(drawn[102:], image[102:]) and np.array_equal(drawn[:, 112:], image[:, 112:])


def test_the_outline_is_in_the_full_color():
    image, labels = scene()
    drawn = overlay.draw(image, labels, [5])
    assert (drawn[99, 30:110] == overlay.color_of(5)).all()
    assert (drawn[60:100, 30] == overlay.color_of(5)).all()


def test_a_tag_is_drawn_where_there_is_room_and_nowhere_else():
    image, labels = scene()
    above = np.s_[20:40, 30:110]
    assert not np.array_equal(overlay.draw(image, labels, [1], states=["TRACKED"])[above], image[above])
    labels[:] = 0
    labels[60:68, 60:68] = 1
    small = overlay.draw(image, labels, [1], states=["TRACKED"])
    assert np.array_equal(small[:59], image[:59])


def test_lost_objects_are_listed_in_the_corner():
    image, labels = scene()
    drawn = overlay.draw(image, np.zeros_like(labels), [1, 2], names=["cat", ""], states=["LOST", "TRACKED"])
    assert (drawn[119, 0] == overlay.color_of(1)).all()
    assert np.array_equal(drawn[:90], image[:90])
    assert np.array_equal(overlay.draw(image, np.zeros_like(labels), [1], states=["UNCERTAIN"]), image)


def test_each_object_has_the_color_of_its_own_id_though_one_mask_is_blank():
    image, labels = scene()
    labels[labels == 1] = 2
    drawn = overlay.draw(image, labels, [8, 9], alpha=1.0)
    assert (drawn[80, 60] == overlay.color_of(9)).all()
