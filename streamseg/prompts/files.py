"""Prompts written down: a YAML or JSON file with a list of entries, each an `ObjectPrompt`.

- {id: 1, label: ball, box: [62, 238, 128, 304]}
- {id: 2, frame: 40, points: [[300, 200]], negative: [[350, 210]]}
- {id: 1, frame: 90, mask: ball-90.png}
- {id: 2, frame: 200, remove: true}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg import structs
from streamseg.errors import PromptError
from streamseg.prompts.model import ObjectPrompt
from streamseg.regular_files import read_regular
from streamseg.yaml_files import LARGEST_BYTES, parse_json, parse_yaml

_UNSAID = ObjectPrompt()
_LARGEST_JSON_BYTES = 16 << 20


def read_prompts(path: Path) -> list[ObjectPrompt]:
    """The prompts of a file, each with its origin. Masks are named relative to the file.

    Raises:
        PromptError: it cannot be read, is no list of prompts, or an entry is wrong; names file and entry.
    """
    data = _parse(path)
    if isinstance(data, dict) and set(data) == {"prompts"}:
        data = data["prompts"]
    if not isinstance(data, list):
        raise PromptError(f"{path}: expected a list of prompts, such as '- {{id: 1, box: [10, 20, 30, 40]}}'")
    return [_entry(path, number, each) for number, each in enumerate(data, 1)]


def plain_prompts(prompts: Sequence[ObjectPrompt]) -> list[dict[str, Any]]:
    """Prompts as plain data, for a graph; what is not said is left out."""
    return [
        {
            field.name: getattr(prompt, field.name)
            for field in msgspec.structs.fields(prompt)
            if getattr(prompt, field.name) != getattr(_UNSAID, field.name)
        }
        for prompt in prompts
    ]


def given_prompts(prompts: list[ObjectPrompt] | str) -> list[ObjectPrompt]:
    """The prompts themselves, or those of the file that is named instead.

    Raises:
        PromptError: as `read_prompts`.
    """
    return read_prompts(Path(prompts).expanduser()) if isinstance(prompts, str) else prompts


def _parse(path: Path) -> Any:
    try:
        is_json = path.suffix.lower() == ".json"
        text = read_regular(path, _LARGEST_JSON_BYTES if is_json else LARGEST_BYTES).decode("utf-8")
    except OSError as error:
        raise PromptError(f"{path}: the prompts cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(
            f"{path}: expected YAML or JSON in UTF-8, got other text, or none: {error}; save it as UTF-8"
        ) from error
    try:
        return parse_json(text) if is_json else parse_yaml(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if is_json else "YAML"
        raise PromptError(f"{path}: not valid {kind}: {' '.join(str(error).split())}") from error


def _entry(path: Path, number: int, data: Any) -> ObjectPrompt:
    origin = f"{path}, entry {number}"
    if not isinstance(data, dict):
        raise PromptError(
            f"{origin}: expected a mapping such as {{id: 1, box: [10, 20, 30, 40]}}, got {type(data).__name__}"
        )
    prompt = structs.convert(data, ObjectPrompt, origin, PromptError, without=("origin",))
    mask = None if prompt.mask is None else str(path.parent / prompt.mask)
    return msgspec.structs.replace(prompt, origin=origin, mask=mask)
