"""text_detector: things by words, with an open-vocabulary detector of transformers (OWLv2, Grounding DINO)."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from streamseg import extras
from streamseg.detector import Detector
from streamseg.errors import GraphError, ModelError, UsageError
from streamseg.messages import Detection, Frame
from streamseg.node import Option
from streamseg.video.source import file_facts
from streamseg_nodes import model_config

MODEL = "google/owlv2-base-patch16-ensemble"
"""What is looked for in the cache of transformers, unless somebody says something else."""
_LONGEST_WORDS = 200
_PURPOSE = "to find things by words (--text)"


class TextDetector(Detector):
    """Find what words say. Nothing is downloaded: the model is a folder, or lies in the cache of transformers."""

    resumable = True
    replicable = True

    class Config(Detector.Config, frozen=True, kw_only=True):
        """Options of text_detector."""

        words: Annotated[
            str,
            Option(
                "follow what words say, with commas between things ('red cup, dog'), found by OWLv2 or Grounding DINO "
                "(streamseg[text]) in every 25th frame, or as --detect-every says",
                flag="--text",
                metavar="WORDS",
            ),
        ]
        model_folder: Annotated[
            str,
            Option(
                "the model of --text: a folder, or a name in the cache of transformers",
                flag="--text-model",
                metavar="DIR",
            ),
        ] = MODEL
        score: Annotated[
            float,
            msgspec.Meta(ge=0, le=1),
            Option("what --text is less sure of is left out", flag="--text-score", metavar="S"),
        ] = 0.25
        device: model_config.Device = "auto"

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse what would fail after the other models have been loaded.

        Raises:
            GraphError: there are no words.
            UsageError: transformers is not installed.
        """
        if not words_of(config.words):
            raise GraphError(f"expected words that say what to find, got {config.words!r}; write --text 'red cup, dog'")
        if len(config.words) > _LONGEST_WORDS:
            raise GraphError(f"expected words of {_LONGEST_WORDS} letters at most, got {len(config.words)}; name less")
        if importlib.util.find_spec("transformers") is None:
            raise UsageError(
                f"expected the package 'transformers' {_PURPOSE}, but it is not installed; "
                f"{extras.command('text')} installs it; or let a detector of your own find things (samples/detect), or "
                f"give a box (--box)"
            )

    @classmethod
    def depends_on(cls, config: Config) -> dict[str, Any]:
        """The files of the model, in its folder or in the cache of transformers."""
        folder = _folder_of(config.model_folder)
        paths = [] if folder is None else sorted(folder.glob("*.safetensors"))
        return {"model": [[path.name, file_facts(path)] for path in paths]}

    @classmethod
    def threads_wanted(cls, config: Config) -> Literal["all"]:
        """It takes seconds on a processor."""
        return "all"

    def setup(self) -> None:
        """Load the model.

        Raises:
            ModelError: it is not there, or is no such detector.
            DeviceError: there is no such device.
            UsageError: transformers does not load.
        """
        config = self.config
        self._words = words_of(config.words)
        from streamseg.sam import devices
        from streamseg.sam.networks.torchvision_ops import ensure_torchvision

        ensure_torchvision()
        transformers = extras.load("transformers", "text", _PURPOSE)
        transformers.utils.logging.disable_progress_bar()
        import torch

        torch.set_num_threads(self.context.threads)
        self._torch = torch
        self._device = devices.resolve(config.device)
        self._processor = _loaded(transformers.AutoProcessor, config.model_folder)
        # Weights as pickles could run anything.
        model = _loaded(transformers.AutoModelForZeroShotObjectDetection, config.model_folder, use_safetensors=True)
        self._model = model.to(self._device).eval()
        self._find = self._processor.post_process_grounded_object_detection
        self._by_tokens = "input_ids" in inspect.signature(self._find).parameters

    def detect(self, frame: Frame) -> list[Detection]:
        """What it finds in a frame, surest first; the label is what was asked for."""
        height, width = frame.image_rgb.shape[:2]
        # The array is only lent, and read-only.
        image = np.array(frame.image_rgb)
        inputs = self._processor(images=image, text=[self._words], return_tensors="pt").to(self._device)
        with self._torch.inference_mode():
            outputs = self._model(**inputs)
        of_tokens = {"input_ids": inputs["input_ids"]} if self._by_tokens else {}
        (found,) = self._find(
            outputs,
            threshold=self.config.score,
            target_sizes=[(height, width)],
            text_labels=[self._words],
            **of_tokens,
        )
        boxes, scores = found["boxes"].float().tolist(), found["scores"].float().tolist()
        things = [
            Detection(_in_order(box), str(label), min(1.0, score))
            for box, score, label in zip(boxes, scores, found["text_labels"], strict=True)
            if box[0] < box[2] and box[1] < box[3]
        ]
        return sorted(things, key=lambda each: -each.score)

    def describe(self) -> dict[str, Any]:
        """Which model it is, where it runs, and what is looked for."""
        return {
            "detector": type(self._model).__name__,
            "model": self.config.model_folder,
            "device": self._device,
            "words": self._words,
        }


def words_of(text: str) -> list[str]:
    """The things that a text names, with commas between them."""
    parts = (" ".join(part.split()) for part in text.split(","))
    return [part for part in parts if part]


def _in_order(box: list[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _folder_of(name: str) -> Path | None:
    """Where a model is on this machine; None if it is not there."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return None


def _loaded(kind: Any, name: str, **more: Any) -> Any:
    """A part of a model that is on this machine.

    Raises:
        ModelError: it is not, or is damaged.
    """
    from safetensors import SafetensorError

    folder = Path(name).expanduser()
    place = str(folder) if folder.is_dir() else name
    try:
        return kind.from_pretrained(place, local_files_only=True, **more)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"expected OWLv2 or Grounding DINO, as transformers keeps it, in the folder {name} or under that name in "
            f"its cache, got: {first}; nothing is downloaded here: 'hf download {MODEL}' does, or give --text-model DIR"
        ) from error
