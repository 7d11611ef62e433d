"""The place where a reading thread leaves one item for another thread."""

from __future__ import annotations

import threading

from streamseg.mailbox import Mailbox


def test_the_freshest_takes_the_place_of_the_older() -> None:
    mailbox: Mailbox[int] = Mailbox("freshest")
    for number in range(4):
        assert mailbox.put(number)
    assert mailbox.take() == 3
    assert mailbox.dropped == 3
    assert mailbox.take() is None


def test_every_frame_waits_until_it_is_taken() -> None:
    mailbox: Mailbox[int] = Mailbox("every-frame")
    reader = threading.Thread(target=lambda: [mailbox.put(number) for number in range(50)])
    reader.start()
    assert [mailbox.wait() for _ in range(50)] == list(range(50))
    reader.join()
    assert mailbox.dropped == 0


def test_closing_lets_a_waiting_reader_go_and_what_waits_can_be_taken() -> None:
    mailbox: Mailbox[int] = Mailbox("every-frame")
    mailbox.put(0)
    answers: list[bool] = []
    reader = threading.Thread(target=lambda: answers.append(mailbox.put(1)))
    reader.start()
    mailbox.close()
    reader.join(timeout=5)
    assert answers == [False]
    assert [mailbox.wait(), mailbox.wait()] == [0, None]


def test_closing_lets_one_who_waits_for_an_item_go() -> None:
    mailbox: Mailbox[int] = Mailbox("freshest")
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.wait()))
    taker.start()
    mailbox.close()
    taker.join(timeout=5)
    assert taken == [None]


def test_what_was_read_before_the_start_gives_way_and_nothing_after_it() -> None:
    mailbox: Mailbox[int] = Mailbox("freshest")
    mailbox.put(0)
    mailbox.put(1)
    mailbox.keep_every()
    reader = threading.Thread(target=lambda: [mailbox.put(number) for number in range(2, 20)])
    reader.start()
    assert [mailbox.wait() for _ in range(19)] == list(range(1, 20))
    reader.join()
