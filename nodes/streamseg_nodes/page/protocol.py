"""What a browser and the page's server say to each other: JSON, except for the pictures (`shown_frame.encode`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from streamseg.commands import Applied

LARGEST_BYTES = 1 << 16
"""Of what a browser says at once."""

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
Name = Annotated[str, msgspec.Meta(max_length=100)]
_Coordinates = Annotated[list[float], msgspec.Meta(max_length=4)]
_Points = Annotated[list[_Coordinates], msgspec.Meta(max_length=200)]


class Pointed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody points at: those fields of an `ObjectPrompt` that a stranger's browser may fill in.

    No mask, which could be the path of a file.
    """

    id: int | None = None
    label: Name = ""
    box: _Coordinates | None = None
    points: _Points = []
    negative: _Points = []
    choice: Literal[0, 1, 2] | None = None
    remove: bool = False
    undo: bool = False
    everything: bool = False
    meanings: bool = False


class FromBrowser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """Base of what a browser says."""


class Watch(FromBrowser, frozen=True):
    """Pictures of this stream, please."""

    stream: Name


class Shown(FromBrowser, frozen=True):
    """A picture is on the screen, so there is room for another."""


class Prompt(FromBrowser, frozen=True):
    """Somebody points. There is one `answer` of the same number."""

    number: Number
    stream: Name
    prompt: Pointed
    seen: Number | None = None
    """Number of the frame that was on the screen."""


class Act(FromBrowser, frozen=True):
    """A file is to be played, paused, followed, exported, or shown from a frame on."""

    stream: Name
    do: Literal["play", "pause", "follow", "export", "seek"]
    frame: Number | None = None
    format: Name = ""
    """To export in, besides what is always written; one of those that were offered, or none."""


Said = Watch | Shown | Prompt | Act

_decoder = msgspec.json.Decoder(Said)
_encoder = msgspec.json.Encoder()


def decode(text: str) -> Said:
    """What a browser has said.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    found: Said = _decoder.decode(text)
    return found


def encode(kind: str, **values: Any) -> str:
    """What the server says."""
    return _encoder.encode({"type": kind, **values}).decode()


def applied(number: int, answer: Applied, sentence: str) -> str:
    """A prompt has come into force."""
    return encode("answer", number=number, applied=msgspec.to_builtins(answer), text=sentence)


def refused(number: int, sentence: str) -> str:
    """A prompt has come to nothing."""
    return encode("answer", number=number, applied=None, text=sentence)
