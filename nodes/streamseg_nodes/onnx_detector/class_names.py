"""What the classes of a detector are called, and which of them are wanted."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from streamseg.errors import UsageError, nearest
from streamseg.regular_files import read_regular

_LARGEST_BYTES = 4 << 20
_MOST = 100_000

_COCO = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,
suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,
tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,
hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,
cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"""
COCO_80 = tuple(_COCO.replace("\n", "").split(","))
"""Categories of COCO in their order, as most detectors number them, from 0."""
_NOT_USED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers between 1 and 90 that COCO's own ids leave out."""
COCO_IDS = dict(zip([number for number in range(1, 91) if number not in _NOT_USED], COCO_80, strict=True))
"""COCO's own id -> category, as detectors with 91 classes number them."""


def read_names(path: Path) -> dict[int, str]:
    """Names from a text file, one a line, the first for class 0.

    Raises:
        UsageError: there is no such file, or it has no names.
    """
    try:
        text = read_regular(path, _LARGEST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"expected a text file with the name of a class in each line at {path}, got: {why}") from None
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise UsageError(f"expected the name of a class in each line of {path}, got none")
    return dict(enumerate(names))


def names_in(metadata: Mapping[str, str]) -> dict[int, str] | None:
    """Names that the file itself has, as ultralytics writes them; None if it has none that can be read."""
    try:
        found = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    pairs = enumerate(found) if isinstance(found, (list, tuple)) else found.items() if isinstance(found, dict) else ()
    names = {number: name for number, name in pairs if isinstance(number, int) and isinstance(name, str)}
    return names if 0 < len(names) <= _MOST else None


def usual_names(count: int | None) -> dict[int, str]:
    """Names for so many classes if nobody says them: COCO's where it has so many or nobody knows, else numbers."""
    if count in (None, len(COCO_80)):
        return dict(enumerate(COCO_80))
    if count in (90, 91):
        return dict(COCO_IDS)
    return {number: str(number) for number in range(count or 0)}


def wanted(words: str | None, names: Mapping[int, str]) -> set[int] | None:
    """The numbers of the classes that are asked for; None for all of them.

    Args:
        words: names or numbers, with commas between them; None asks for all.
        names: of all there are.

    Raises:
        UsageError: there is no such class.
    """
    if words is None:
        return None
    by_name = {name.casefold(): number for number, name in names.items()}
    found: set[int] = set()
    for word in (each.strip() for each in words.split(",")):
        if word.casefold() in by_name:
            found.add(by_name[word.casefold()])
        elif word.isascii() and word.isdigit() and int(word) in names:
            found.add(int(word))
        else:
            raise UsageError(f"the detector has no class {word!r}; {nearest(word, names.values())}")
    return found
