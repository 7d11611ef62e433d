"""What of the package is public, and the pages that mkdocstrings fills with its docstrings."""

from __future__ import annotations

import streamseg

MAIN = tuple(f"streamseg.{name}" for name in streamseg.__all__ if not name.startswith("__"))
"""What ``import streamseg`` gives."""

AUTHORS = (
    "streamseg.node",
    "streamseg.detector",
    "streamseg.messages",
    "streamseg.captured",
    "streamseg.jobs",
    "streamseg.commands",
    "streamseg.formats.format",
    "streamseg.formats.clip",
    "streamseg.sam.models",
)
"""Modules for who writes a node, a detector, a format or a model."""

VALUES = (
    "streamseg.types",
    "streamseg.video.pattern",
    "streamseg.prompts.model",
    "streamseg.masks.boxes",
    "streamseg.masks.rle",
    "streamseg.video.pattern",
    "streamseg.publishing.format",
    "streamseg.publishing.subscriber",
    "streamseg.evaluation.metrics",
    "streamseg.segment_anything",
    "streamseg.errors",
)
"""Modules for who computes with what comes out, or listens to it."""

MODULES = AUTHORS + VALUES

_PAGES = {
    "reference/api.md": (
        "Python: what people call",
        "`import streamseg` gives these; it imports nothing heavy before they are used.",
        MAIN,
    ),
    "reference/api-authors.md": (
        "Python: for authors of nodes, formats and models",
        "What nodes, detectors, formats and models of yours are made of. [Plug-ins](../start/plugins.md) says how.",
        AUTHORS,
    ),
    "reference/api-values.md": (
        "Python: values, listening, errors",
        "What is given and taken elsewhere: masks, prompts, published frames, measures, errors.",
        VALUES,
    ),
}


def pages() -> dict[str, str]:
    """Page -> Markdown that mkdocstrings makes the reference of."""
    return {
        page: "\n\n".join([f"# {title}", about, *(f"::: {name}" for name in names)]) + "\n"
        for page, (title, about, names) in _PAGES.items()
    }
