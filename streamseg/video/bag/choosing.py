"""Which of a bag's topics is read."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.errors import MediaError, UsageError, nearest
from streamseg.video.bag.image_messages import kind_of
from streamseg.video.bag.topics import Topic

_LISTED = 12


def choose(topics: Sequence[Topic], wanted: str | None, shown: str) -> Topic:
    """The topic to read.

    Args:
        topics: of the bag.
        wanted: its name; None takes the only one with pictures.
        shown: the bag, for errors.

    Raises:
        MediaError: no topic has pictures that can be read.
        UsageError: there are several, and nobody says which; or the one that is wanted has none, or is not there.
    """
    pictures = [topic for topic in topics if kind_of(topic) is not None]
    if not pictures:
        there = _listed(topics) if topics else "it has no topics at all"
        raise MediaError(
            f"expected a bag with images (sensor_msgs Image or CompressedImage, foxglove RawImage, CompressedImage or "
            f"CompressedVideo), but in {shown} there are none: {there}"
        )
    if wanted is None:
        if len(pictures) > 1:
            raise UsageError(
                f"{shown} has images on {len(pictures)} topics: {_listed(pictures)}; say which with --topic NAME "
                f"(option topic of decode)"
            )
        return pictures[0]
    found = [topic for topic in pictures if topic.name == wanted]
    if found:
        return found[0]
    other = next((topic for topic in topics if topic.name == wanted), None)
    if other is not None:
        raise UsageError(f"expected images on {wanted}, it has {_kind(other)}; topics with images: {_listed(pictures)}")
    raise UsageError(f"{shown} has no topic {wanted!r}; {nearest(wanted, [topic.name for topic in pictures])}")


def note_on_choice(topic: Topic, messages: int, shown: str) -> str:
    """Which topic is read, where nobody has said."""
    return f"{shown}: the {messages} messages of {topic.name} ({topic.type}) are read, the only topic with images"


def _listed(topics: Sequence[Topic]) -> str:
    more = f" and {len(topics) - _LISTED} more" if len(topics) > _LISTED else ""
    return ", ".join(f"{topic.name} ({_kind(topic)})" for topic in topics[:_LISTED]) + more


def _kind(topic: Topic) -> str:
    kind = topic.type or "no type"
    return kind if topic.encoding in ("cdr", "") else f"{kind} in {topic.encoding}"
