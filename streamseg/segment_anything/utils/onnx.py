"""Under the name of ``segment_anything.utils.onnx``. This imports torch."""

from streamseg.stills.onnx_model import SamOnnxModel

__all__ = ["SamOnnxModel"]
