"""What a labeling interface of Label Studio has: its picture or video, and what is drawn on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from streamseg.errors import UsageError

_USUAL_FRAME_RATE = 24.0
"""What Label Studio takes where the interface does not say."""
_CONTROLS = {"image": ("brushlabels", "brush"), "video": ("videorectangle",)}
_EXPECTED = "an <Image> with <BrushLabels>, or a <Video> with <VideoRectangle>, each with name and toName"


@dataclass(frozen=True)
class Interface:
    """The names in it that matter here."""

    kind: Literal["image", "video"]
    medium: str
    """Name of the picture or video."""
    key: str
    """Of a task's data, where its address is."""
    control: str
    """Name of what is drawn: the brush, or the rectangle in a video."""
    frame_rate: float
    """Frames per second as Label Studio counts them in a video."""


def read_interface(text: str) -> Interface:
    """Read a labeling interface.

    Raises:
        UsageError: it is no XML, or has neither a picture with a brush nor a video with rectangles.
    """
    if "<!ENTITY" in text:
        raise UsageError("the labeling interface defines entities; expected plain XML")
    try:
        elements = list(ElementTree.fromstring(text).iter())
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"the labeling interface is no XML: {error}; expected {_EXPECTED}") from error
    found = [(str(element.tag).lower(), {key.lower(): value for key, value in element.items()}) for element in elements]
    kinds: tuple[Literal["image", "video"], ...] = ("image", "video")
    for kind in kinds:
        for tag, medium in found:
            if tag != kind or not medium.get("name") or not medium.get("value", "").startswith("$"):
                continue
            controls = (each for name, each in found if name in _CONTROLS[kind])
            for control in controls:
                if control.get("toname") == medium["name"] and control.get("name"):
                    rate = _rate(medium.get("framerate"))
                    return Interface(kind, medium["name"], medium["value"][1:], control["name"], rate)
    raise UsageError(f"the labeling interface has nothing that streamseg can answer in; expected {_EXPECTED}")


def _rate(text: str | None) -> float:
    try:
        found = float(text or _USUAL_FRAME_RATE)
    except ValueError:
        found = 0.0
    if not 0 < found < 1000:
        raise UsageError(f"expected frames per second in frameRate of <Video>, got {text!r}")
    return found
