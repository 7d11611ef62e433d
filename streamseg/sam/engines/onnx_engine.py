"""ONNX Runtime as the engine of a model's two halves, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from streamseg.errors import DeviceError
from streamseg.sam.engines import default_threads
from streamseg.sam.engines.packaged_graphs import Half, graph_path
from streamseg.sam.files.checkpoint_arrays import read_arrays
from streamseg.sam.models import ModelInfo

# Bounds what the arena keeps: some 8 MB a prompt on a grid of 32, four times that on one of 64.
_CELLS_PER_CALL = 16 * 32 * 32
_ONLY_ERRORS = 3


class _Session:
    """One half of a model with its weights."""

    name = "onnxruntime"
    precision = "f32"
    device = "cpu"
    half: Half

    def __init__(self, info: ModelInfo, path: Path, threads: int | None) -> None:
        weights = read_arrays(info, path, self.half)
        options = session_options(default_threads() if threads is None else threads)
        # Sessions read these in place, so they must live as long.
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in weights.items()}
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        graph = graph_path(info.name, self.half).read_bytes()
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @contextmanager
    def guard(self, advice: str) -> Iterator[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""
        try:
            yield
        except RuntimeException as error:
            if "allocate memory" not in str(error) and "bad_alloc" not in str(error):
                raise
            raise DeviceError(f"out of memory on cpu: {advice}") from error


class OnnxEncoder(_Session):
    """See `streamseg.sam.engines.EncoderEngine`."""

    half = "encoder"

    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid) float32."""
        found: np.ndarray = self._session.run(None, {"images_rgb": images_rgb})[0]
        return found


class OnnxDecoder(_Session):
    """See `streamseg.sam.engines.DecoderEngine`."""

    half = "decoder"

    def prompts_per_call(self, grid: int) -> int:
        """How many prompts to ask at once at most, where features are (C, grid, grid)."""
        return max(1, _CELLS_PER_CALL // grid**2)

    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `streamseg.sam.engines.DecoderEngine.decode`."""
        count, side = len(points_xy), 4 * features.shape[-1]
        given = mask_input is not None
        logits, scores = self._session.run(
            None,
            {
                "features": features,
                "points_xy": points_xy,
                "point_labels": point_labels,
                "mask_input": mask_input if given else np.zeros((count, 1, side, side), np.float32),
                "has_mask_input": np.full(count, given),
            },
        )
        return logits[:, wanted], scores[:, wanted]


def open_file(path: Path) -> onnxruntime.InferenceSession:
    """A graph with its weights, as `streamseg.sam.onnx_files` writes them."""
    return onnxruntime.InferenceSession(path, session_options(default_threads()), providers=["CPUExecutionProvider"])


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of a session that shares the machine: so many threads, and those that wait sleep."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
