"""discover: a detector of whatever there is, by asking for everything now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from streamseg.detector import Detector
from streamseg.errors import GraphError
from streamseg.messages import Detection, Frame
from streamseg.node import Option
from streamseg.sam.automatic_masks import AutomaticMaskOptions, masks_of_picture, select_objects
from streamseg.sam.checkpoints import weights_of
from streamseg.sam.models import find
from streamseg_nodes import model_config


class Discover(Detector):
    """Find all objects of a frame, whatever they are, with the model that follows them; propagate takes what is new."""

    resumable = True
    replicable = True

    class Config(Detector.Config, frozen=True):
        """Options of discover."""

        model: model_config.Model = "tiny"
        checkpoint: model_config.Checkpoint = None
        device: model_config.Device = "auto"
        engine: model_config.WhichEngine = "auto"
        masks: Annotated[
            AutomaticMaskOptions,
            Option("what everything is, as under everything of propagate, but for when: every says that"),
        ] = AutomaticMaskOptions(crop_n_layers=0, points_per_side=8)
        """A coarse grid, since frames wait for it and what it misses may be found at the next look."""

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse what is said elsewhere.

        Raises:
            GraphError: options of a moment, or of one source.
        """
        masks = config.masks
        if masks.frame or masks.time_s is not None or masks.stream is not None:
            raise GraphError(
                "discover looks at every N-th frame of every source: expected masks without frame, time_s and "
                "stream; say every instead"
            )

    @classmethod
    def depends_on(cls, config: Config) -> dict[str, Any]:
        """The weights."""
        return {"weights": weights_of(config.model, config.checkpoint)}

    @classmethod
    def threads_wanted(cls, config: Config) -> Literal["one", "all"]:
        """Others work meanwhile; large models wait for nothing but themselves."""
        return "one" if find(config.model).bundled else "all"

    def setup(self) -> None:
        """Load both halves of the model."""
        from streamseg.sam.loading import load_decoder, load_encoder

        config = self.config
        checkpoint = None if config.checkpoint is None else Path(config.checkpoint)
        threads = self.context.threads
        encoder = load_encoder(
            config.model, checkpoint=checkpoint, device=config.device, engine=config.engine, threads=threads
        )
        decoder = load_decoder(
            config.model, checkpoint=checkpoint, device=config.device, engine=config.engine, threads=threads
        )
        # Shared halves live as long as somebody has them, so these are kept as well.
        self._halves = encoder, decoder
        self._encoder, self._decoder = encoder.without_focus(), decoder.without_focus()

    def detect(self, frame: Frame) -> list[Detection]:
        """A box round each object; its score is the model's own estimate of the mask's IoU."""
        image, options = frame.image_rgb, self.config.masks
        found, _ = masks_of_picture(self._encoder, self._decoder, image, options)
        size = (image.shape[0], image.shape[1])
        objects = select_objects(found, size, [], options).proposals
        return [Detection(_as_box(each.box_xyxy), "", min(1.0, max(0.0, each.predicted_iou))) for each in objects]

    def describe(self) -> dict[str, Any]:
        """The model, its checksum, and in what it runs."""
        return {
            "model": self._decoder.info.name,
            "sha256": self._decoder.sha256,
            "device": self._decoder.device,
            "engine": self._decoder.engine,
        }


def _as_box(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return float(x0), float(y0), float(x1), float(y1)
