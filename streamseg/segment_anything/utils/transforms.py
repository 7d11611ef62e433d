"""Under the name of ``segment_anything.utils.transforms``."""

from streamseg.stills.transform import ResizeLongestSide

__all__ = ["ResizeLongestSide"]
