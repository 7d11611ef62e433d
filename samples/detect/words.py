"""A detector of one's own: things by the name of their color. Put a model that knows more words in its place."""

from __future__ import annotations

import cv2
import numpy as np

from streamseg.detector import Detector
from streamseg.messages import Detection, Frame

# Hue (OpenCV counts to 180), saturation and value, from and to.
COLORS = {
    "orange": ((3, 170, 120), (16, 255, 255)),
    "blue": ((104, 150, 60), (125, 255, 255)),
}


class ColorWords(Detector):
    """Finds a thing of each color that it is asked for."""

    replicable = True  # it keeps nothing from frame to frame

    class Config(Detector.Config, kw_only=True):
        words: list[str]

    def setup(self) -> None:
        unknown = set(self.config.words) - set(COLORS)
        if unknown:
            raise ValueError(f"this detector knows the words {', '.join(COLORS)}, not {', '.join(sorted(unknown))}")

    def detect(self, frame: Frame) -> list[Detection]:
        # frame.image_rgb is (H, W, 3) uint8, RGB; a box is (x0, y0, x1, y1) in its pixels.
        hsv = cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2HSV)
        return [found for word in self.config.words for found in self._named(word, hsv)]

    def _named(self, word: str, hsv: np.ndarray) -> list[Detection]:
        mask = cv2.morphologyEx(cv2.inRange(hsv, *map(np.array, COLORS[word])), cv2.MORPH_CLOSE, np.ones((31, 31)))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        x, y, width, height, area_px = max(stats[1:].tolist(), key=lambda part: part[4], default=(0, 0, 0, 0, 0))
        if area_px < 0.002 * mask.size:
            return []
        return [Detection((x, y, x + width, y + height), word, area_px / (width * height))]
