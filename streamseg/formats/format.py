"""What a format is, and which there are: built in and third-party ones alike come by entry points.

A format of one's own is a class in a module, and an entry point in the group ``streamseg.formats`` that names it::

    class Plain(Format):
        '''A line an object: frame, id, area.'''

        holds = "areas"
        read_by = "people"

        def write(self, clip: Clip, folder: Path) -> None:
            with (folder / "areas.txt").open("w") as file:
                for frame in clip:
                    for shape in frame.shapes:
                        print(frame.index, shape.id, shape.area_px, file=file)

    [project.entry-points."streamseg.formats"]
    plain = "my_package.plain:Plain"
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from streamseg import structs
from streamseg.errors import UsageError, nearest
from streamseg.formats.clip import Clip
from streamseg.structs import Option as Option

GROUP = "streamseg.formats"

Tolerance = Annotated[
    float,
    msgspec.Meta(ge=0),
    Option("how far a polygon may lie from the outline of its mask, in pixels; 0 keeps every corner", metavar="PX"),
]
Geometry = Annotated[
    Literal["masks", "polygons"],
    Option("masks: to the pixel; polygons: to be edited, within the tolerance, holes cut in"),
]
Images = Annotated[bool, Option("write the pictures of the frames too, from the source")]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100), Option("of JPEG pictures", metavar="N")]


class FormatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a format: typed fields with defaults, each with an `Option` that says what it is for."""


class Format:
    """Writes clips as the files of another program, and maybe reads them."""

    Config: ClassVar[type[FormatConfig]] = FormatConfig
    holds: ClassVar[str] = ""
    """What of a run is in it, in a few words."""
    read_by: ClassVar[str] = ""
    """Which programs read it."""

    def __init__(self, config: FormatConfig | None = None) -> None:
        self.config: Any = self.Config() if config is None else config
        self.notes: list[str] = []
        """What could not be written as it is, a sentence each."""

    @property
    def largest_id(self) -> int | None:
        """The largest id of an object that it can hold; None if there is no limit."""
        return None

    def write(self, clip: Clip, folder: Path) -> None:
        """Write a clip into a folder, which is there.

        Raises:
            UsageError: the format cannot hold what there is; says which option helps.
            OutputError: the files cannot be written.
            MediaError: pictures are needed and not there, or a file of the run is damaged.
        """
        raise UsageError(f"this format can only be read; {_that_can('write')}")

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The clip in files of this format, say ones that were corrected in another program.

        Args:
            path: of the file or folder.
            size: (height, width) of the frames, if the files do not say it.

        Raises:
            UsageError: it is no such file, or the format cannot be read.
            MediaError: it cannot be read.
        """
        raise UsageError(f"this format can only be written; {_that_can('read')}")

    def note(self, sentence: str) -> None:
        """Say what could not be written as it is; once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def entry_points() -> dict[str, metadata.EntryPoint]:
    """Name -> entry point of every installed format, none of them imported yet."""
    return {point.name: point for point in sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name)}


def load(name: str) -> type[Format]:
    """The format of that name.

    Raises:
        UsageError: there is none, or it cannot be imported.
    """
    points = entry_points()
    if name not in points:
        raise UsageError(f"there is no format {name!r}; {nearest(name, points)}")
    module, _, attribute = points[name].value.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise UsageError(f"the format {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Format)):
        raise UsageError(f"the format {name!r} ({points[name].value}) is not a subclass of {Format.__qualname__}")
    return kind


def make(name: str, options: Mapping[str, Any]) -> Format:
    """The format of that name with its options, which may be text as people type it.

    Raises:
        UsageError: there is no such format, or it has no such option, or a value cannot be meant.
    """
    kind = load(name)
    fields = {field.name: field.type for field in msgspec.structs.fields(kind.Config)}
    typed = {key: _typed(value, fields[key]) if key in fields else value for key, value in options.items()}
    return kind(structs.convert(typed, kind.Config, f"the options of the format {name!r}"))


def reads(kind: type[Format]) -> bool:
    """Whether a format can be read."""
    return kind.read.__func__ is not Format.read.__func__  # type: ignore[attr-defined]


def writes(kind: type[Format]) -> bool:
    """Whether a format can be written."""
    return kind.write is not Format.write


def check_writes(name: str) -> None:
    """Refuse a format that is not there, or can only be read.

    Raises:
        UsageError: it is such a one.
    """
    if not writes(load(name)):
        raise UsageError(f"the format {name!r} can only be read; {_that_can('write')}")


def _that_can(verb: Literal["read", "write"]) -> str:
    return f"'streamseg convert --list' says which can be {'read' if verb == 'read' else 'written'}"


def _typed(value: Any, annotation: Any) -> Any:
    """Text as the number or truth value that a field wants; the rest as it is, to be refused with its name."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.convert(value, structs.bare(annotation), strict=False)
    except msgspec.ValidationError:
        return value
