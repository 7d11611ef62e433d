"""What propagate asks of the bundled model."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from streamseg_nodes.propagate.decoder_queries import DecoderQueries

from streamseg.messages import View
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.loading import load_decoder, load_encoder, load_matching
from streamseg.tracking import Query, Template

SIDE = 256


@pytest.fixture(scope="module")
def decoder_queries():
    return DecoderQueries(load_decoder("tiny", device="cpu"), load_matching("tiny"))


@pytest.fixture(scope="module")
def nothing():
    """A view of a gradient, where a box is round nothing."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(SIDE) // 2 + 40, (np.arange(SIDE) // 2 + 20)[:, None]
    (features,) = load_encoder("tiny", device="cpu").encode([picture])
    return View((0.0, 0.0, float(SIDE), float(SIDE)), (SIDE, SIDE), features, 1)


def test_a_prompt_on_nothing_gets_what_a_click_would_get(decoder_queries, nothing):
    query = Query(
        object_id=1, view=decoder_queries.encoded_view(nothing), prompt=DecoderPrompt((60.0, 60.0, 190.0, 190.0))
    )
    (propagated,) = decoder_queries.answer([query])
    assert not (propagated.logits > 0).any()
    assert propagated.logits.shape[0] == 1
    (prompted,) = decoder_queries.answer([replace(query, prompted=True)])
    assert (prompted.logits > 0).any()
    assert len(prompted.scores) == 3


def test_earlier_views_say_which_of_two_things_is_meant(decoder_queries):
    picture = np.full((SIDE, SIDE, 3), (90, 130, 90), np.uint8)
    cv2.circle(picture, (85, 128), 38, (210, 40, 30), -1)
    cv2.circle(picture, (171, 128), 38, (40, 60, 220), -1)
    (features,) = load_encoder("tiny", device="cpu").encode([picture])
    view = decoder_queries.encoded_view(View((0.0, 0.0, float(SIDE), float(SIDE)), (SIDE, SIDE), features, 1))
    assert view.keys is not None
    y, x = np.mgrid[:128, :128]
    red, blue = ((x - at) ** 2 + (y - 64) ** 2 < 18**2 for at in (42, 85))
    query = Query(object_id=1, view=view, prompt=DecoderPrompt((45.0, 88.0, 211.0, 168.0)))
    templates = [Template.of(view.keys, np.where(thing, 1, -1)) for thing in (red, blue)]
    answers = decoder_queries.answer([replace(query, templates=(template,)) for template in templates])
    of_red, of_blue = (answer.logits[0] for answer in answers)
    change = of_red - of_blue
    assert change[red].mean() > change[blue].mean() + 1


def test_views_of_no_object_are_not_compared(decoder_queries, nothing):
    whole = View(nothing.region, nothing.image_size, nothing.features, None)
    assert decoder_queries.encoded_view(whole).keys is None
