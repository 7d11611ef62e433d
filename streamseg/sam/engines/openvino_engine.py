"""OpenVINO as the engine of a model's two halves, on the CPU: in bfloat16 where the processor computes in it.

A graph is compiled for the sizes that occur most, and what came out is kept on disk. Whether it was there or not, what
runs is what was read from there or could have been: so a second start computes the same, bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from streamseg.errors import DeviceError
from streamseg.sam.checkpoints import cache_dir, fingerprint
from streamseg.sam.engines import default_threads
from streamseg.sam.engines.graph_weights import with_weights
from streamseg.sam.engines.openvino_package import import_openvino
from streamseg.sam.engines.packaged_graphs import Half, graph_path
from streamseg.sam.files.checkpoint_arrays import read_arrays
from streamseg.sam.files.kept_files import KeptFiles
from streamseg.sam.models import ModelInfo

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each input; -1 is any size."""

_FOLDER, _SUFFIX, _MAGIC = "compiled", ".graph", b"SSCMP1\0\0"
_KEPT_BYTES = 256 << 20
# A box, or a click and what stands for no box; and points on one or two other objects.
_USUAL_POINTS = (2, 3, 4)
_TOGETHER = 4
"""Pictures or prompts that are computed at once, if there are so many: small ones in little more than half the time.
What comes out is, bit for bit, what each of them gives alone."""
# Bounds what is handed over at once; each prompt is computed by itself.
_PROMPTS_PER_CALL = 64
_NONE: Shapes = MappingProxyType({})
_OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "out of memory")


@lru_cache(maxsize=1)
def _core() -> Any:
    return import_openvino().Core()


def precision() -> str:
    """What this processor computes in: ``bf16`` or ``f32``."""
    return "bf16" if "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def version() -> str:
    """Of OpenVINO."""
    return str(import_openvino().__version__)


class _Program:
    """A graph compiled for some sizes. For one thread at a time."""

    def __init__(self, compiled: Any, fixed: bool) -> None:
        self._request = compiled.create_infer_request()
        self._inputs: dict[str, np.ndarray] | None = None
        if fixed:
            # Written to and read from in place: wrapping arrays anew takes a tenth of the decoder's time.
            self._inputs = {port.any_name: self._request.get_tensor(port).data for port in compiled.inputs}
            self._outputs = [self._request.get_tensor(port).data for port in compiled.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What comes out; the arrays hold until the next call."""
        if self._inputs is None:
            found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
            return [found[place] for place in range(len(found))]
        for name, place in self._inputs.items():
            np.copyto(place, inputs[name])
        self._request.infer({})
        return self._outputs


class _Compiled:
    """One half of a model with its weights, compiled for several sizes."""

    name = "openvino"
    device = "cpu"
    half: Half

    def __init__(self, info: ModelInfo, path: Path, threads: int | None) -> None:
        self.precision = precision()
        self._info, self._path = info, path
        # Refused now, also where what was compiled of them is still there.
        read_arrays(info, path, self.half)
        self._options = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": default_threads() if threads is None else threads,
            "NUM_STREAMS": 1,
            # Of several processes each would take the first cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._programs: dict[Hashable, _Program] = {}
        self._lock = threading.Lock()

    @contextmanager
    def guard(self, advice: str) -> Iterator[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(said in str(error) for said in _OUT_OF_MEMORY):
                raise
            raise DeviceError(f"out of memory on cpu: {advice}") from error

    def _program(self, shapes: Shapes, zeros: Shapes = _NONE) -> _Program:
        """What runs the graph for those sizes; call it, and run it, with the lock held.

        Args:
            shapes: of the inputs that are given.
            zeros: of those that are 0: what is computed of them is computed when the graph is compiled.
        """
        key = (*shapes.values(), None, *zeros.values())
        if key not in self._programs:
            compiled = _core().import_model(self._blob(shapes, zeros), "CPU", self._options)
            fixed = all(size > 0 for shape in shapes.values() for size in shape)
            self._programs[key] = _Program(compiled, fixed=fixed)
        return self._programs[key]

    def _blob(self, shapes: Shapes, zeros: Shapes) -> bytes:
        """The compiled graph: kept from an earlier start, or compiled now."""
        graph = graph_path(self._info.name, self.half).read_bytes()
        says = [version(), platform.machine(), str(_core().get_property("CPU", "FULL_DEVICE_NAME"))]
        says += [
            fingerprint(self._path),
            hashlib.sha256(graph).hexdigest(),
            repr(sorted(shapes.items())),
            repr(sorted(zeros.items())),
        ]
        says.append(repr(sorted(self._options.items())))
        key = hashlib.blake2b("\n".join(says).encode(), digest_size=16).digest()
        files: KeptFiles | None = None
        # Where there is no room for it, it is compiled at every start.
        with contextlib.suppress(OSError):
            files = KeptFiles(cache_dir() / _FOLDER, _SUFFIX, _MAGIC, _KEPT_BYTES)
        found = None if files is None else files.get(key)
        if found is not None:
            return found
        model = _core().read_model(with_weights(graph, read_arrays(self._info, self._path, self.half)))
        model.reshape({**shapes, **zeros})
        for given in [each for each in model.get_parameters() if each.friendly_name in zeros]:
            given.output(0).replace(_zeros(given).output(0))
            model.remove_parameter(given)
        blob = bytes(_core().compile_model(model, "CPU", self._options).export_model().getvalue())
        if files is not None:
            files.put(key, blob)
        return blob


class OpenVinoEncoder(_Compiled):
    """See `streamseg.sam.engines.EncoderEngine`."""

    half = "encoder"

    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid) float32."""
        size = images_rgb.shape[1:3]
        focus = size[0] == size[1] <= self._info.focus_size
        grid = max(-(-side // self._info.stride) for side in size)
        features = np.empty((len(images_rgb), self._info.width, grid, grid), np.float32)
        with self._lock:
            for some, count in _chunks(len(images_rgb), together=focus):
                program = self._program({"images_rgb": (count, *size, 3) if focus else (1, -1, -1, 3)})
                features[some] = program.run({"images_rgb": images_rgb[some]})[0]
        return features


class OpenVinoDecoder(_Compiled):
    """See `streamseg.sam.engines.DecoderEngine`."""

    half = "decoder"

    def prompts_per_call(self, grid: int) -> int:
        """How many prompts to ask at once at most, where features are (C, grid, grid)."""
        return _PROMPTS_PER_CALL

    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `streamseg.sam.engines.DecoderEngine.decode`."""
        side, usual = 4 * features.shape[-1], points_xy.shape[1] in _USUAL_POINTS
        points = points_xy.shape[1] if usual else -1
        logits, scores = [], []
        with self._lock:
            for some, count in _chunks(len(points_xy), together=usual):
                inputs = {
                    # Of one picture for all prompts every place gets a copy.
                    "features": features[some] if len(features) > 1 else features,
                    "points_xy": points_xy[some],
                    "point_labels": point_labels[some],
                }
                shapes = {
                    "features": (count, *features.shape[1:]),
                    "points_xy": (count, points, 2),
                    "point_labels": (count, points),
                }
                zeros = {"mask_input": (count, 1, side, side), "has_mask_input": (count,)}
                if mask_input is not None:
                    inputs |= {"mask_input": mask_input[some], "has_mask_input": np.ones(count, bool)}
                    shapes, zeros = {**shapes, **zeros}, {}
                found = self._program(shapes, zeros).run(inputs)
                logits.append(found[0][:, wanted].copy())
                scores.append(found[1][:, wanted].copy())
        return np.concatenate(logits), np.concatenate(scores)


def _chunks(count: int, *, together: bool) -> Iterator[tuple[slice, int]]:
    """Places that are computed at once, and how many those are: `_TOGETHER`, or one."""
    size = _TOGETHER if together else 1
    whole = count - count % size
    for start in range(0, whole, size):
        yield slice(start, start + size), size
    for start in range(whole, count):
        yield slice(start, start + 1), 1


def _zeros(given: Any) -> Any:
    """A constant like that input of a graph."""
    return import_openvino().op.Constant(np.zeros(tuple(given.get_shape()), given.get_element_type().to_dtype()))
