"""Numbered messages over connections that break at any place."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec
import pytest

from streamseg.errors import WireError
from streamseg.remote.link import Head, Link
from streamseg.remote.terms import PIECE_BYTES


class Cable:
    """Between two links; what is on its way is lost when it breaks."""

    def __init__(self) -> None:
        self.ends = (Link(), Link())
        self.on_the_way: tuple[deque[list[bytes]], ...] = (deque(), deque())
        self.arrived: tuple[list[list[bytes]], ...] = ([], [])

    def connect(self) -> None:
        received = [end.received for end in self.ends]
        for number, end in enumerate(self.ends):
            way = self.on_the_way[1 - number]
            end.connect(lambda frames, way=way: way.append(list(map(bytes, frames))), received[1 - number])

    def cut(self) -> None:
        for end, way in zip(self.ends, self.on_the_way, strict=True):
            end.disconnect()
            way.clear()

    def carry(self, to: int, pieces: int) -> None:
        for _ in range(min(pieces, len(self.on_the_way[to]))):
            parts = self.ends[to].take(*self.on_the_way[to].popleft())
            if parts is not None:
                self.arrived[to].append(list(map(bytes, parts)))


def message(number: int, chance: random.Random) -> list[bytes]:
    """Of one to three parts, some longer than a piece, some empty."""
    sizes = [
        chance.choice([0, 1, 100, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 7])
        for _ in range(chance.randint(1, 3))
    ]
    return [number.to_bytes(4, "big"), *(bytes([number % 256]) * size for size in sizes)]


@pytest.mark.parametrize("seed", range(20))
def test_everything_arrives_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    cable = Cable()
    cable.connect()
    sent: tuple[list[list[bytes]], ...] = ([], [])
    for number in range(60):
        end = chance.randrange(2)
        sent[1 - end].append(message(number, chance))
        cable.ends[end].push(sent[1 - end][-1])
        for to in (0, 1):
            cable.carry(to, chance.randrange(6))
        if chance.random() < 0.15:
            cable.cut()
            if chance.random() < 0.7:
                cable.connect()
        elif not cable.ends[0].up:
            cable.connect()
    if not cable.ends[0].up:
        cable.connect()
    for _ in range(3):
        for to in (0, 1):
            cable.carry(to, 1 << 20)
            cable.ends[to].ping()
    assert cable.arrived == sent
    assert all(end.all_arrived and not end.kept_bytes for end in cable.ends)


def test_long_messages_are_not_kept_for_long() -> None:
    """Who has got one says so at once, so what is kept does not grow with what was sent."""
    cable = Cable()
    cable.connect()
    for number in range(50):
        cable.ends[0].push([bytes([number]) * (4 * PIECE_BYTES)])
        cable.carry(1, 100)
        cable.carry(0, 100)
        assert not cable.ends[0].kept_bytes


def test_of_what_is_said_anew_only_the_newest_is_kept() -> None:
    cable = Cable()
    cable.ends[0].push([b"first"])
    for number in range(100):
        cable.ends[0].push([b"beat", bytes([number])], newest="beat")
    assert cable.ends[0].kept_bytes == 5
    cable.connect()
    cable.carry(1, 100)
    assert cable.arrived[1] == [[b"first"], [b"beat", bytes([99])]]


def head(*values: Any) -> bytes:
    return msgspec.msgpack.encode(Head(*values))


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([(b"junk", b"")], "not a piece of a message"),
        ([(head(1, 0), b"x")], "does not fit what came before"),
        ([(head(2, 0, [1]), b"x")], "message 1 is missing"),
        ([(head(1, 0, [1]), b"xy")], "does not fit what came before"),
        ([(head(1, 0, [2]), b"x"), (head(2, 0), b"y")], "does not fit what came before"),
        ([(head(1, 0, [1 << 40]), b"x")], "over the limit"),
        ([(head(-1, 0, [1]), b"x")], "not a piece of a message"),
    ],
)
def test_what_does_not_fit_is_refused(pieces: list[tuple[bytes, bytes]], said: str) -> None:
    link = Link()
    with pytest.raises(WireError, match=said):
        for piece in pieces:
            link.take(*piece)


@pytest.mark.parametrize("received", [1, 5])
def test_the_other_side_cannot_have_got_what_was_not_sent(received: int) -> None:
    with pytest.raises(WireError, match="the other side has"):
        Link().connect(lambda frames: None, received)
