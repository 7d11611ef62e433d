"""Point at a thing once and get its outline in every frame that follows.

    for result in streamseg.segment_video("clip.mp4", boxes=[(100, 120, 300, 400)]):
        print(result.index, result.objects[0].box_xyxy)

Importing this imports nothing heavy; what the names below need is imported when they are first used.
"""

from __future__ import annotations

# Not of `typing`, which takes longer than all else here: the command can be interrupted in good order only after this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from streamseg.formats.runs.run import Run, load_run
    from streamseg.runtime.library.frame_result import FrameResult, ObjectMask
    from streamseg.runtime.library.prompting import send_prompt
    from streamseg.runtime.library.segment_video import Results, segment_video
    from streamseg.runtime.library.tracker import Tracker
    from streamseg.stills.automatic import AutomaticMaskGenerator
    from streamseg.stills.predictor import Predictor

    __version__: str

__all__ = [
    "AutomaticMaskGenerator",
    "FrameResult",
    "ObjectMask",
    "Predictor",
    "Results",
    "Run",
    "Tracker",
    "__version__",
    "load_run",
    "segment_video",
    "send_prompt",
]

_HOMES = {
    **dict.fromkeys(("FrameResult", "ObjectMask"), "streamseg.runtime.library.frame_result"),
    **dict.fromkeys(("Results", "segment_video"), "streamseg.runtime.library.segment_video"),
    **dict.fromkeys(("Run", "load_run"), "streamseg.formats.runs.run"),
    "AutomaticMaskGenerator": "streamseg.stills.automatic",
    "Predictor": "streamseg.stills.predictor",
    "Tracker": "streamseg.runtime.library.tracker",
    "send_prompt": "streamseg.runtime.library.prompting",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib import metadata

        return metadata.version("streamseg")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
