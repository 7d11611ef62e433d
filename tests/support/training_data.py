"""Small data sets to train on: bright discs and squares on dark noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

HEIGHT, WIDTH = 96, 128


def shape(number: int) -> np.ndarray:
    """(H, W) bool: a disc or a square, somewhere."""
    rng = np.random.default_rng([5, number])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    middle_x, middle_y, radius = rng.uniform(35, WIDTH - 35), rng.uniform(35, HEIGHT - 35), rng.uniform(14, 26)
    if number % 2:
        return np.asarray(np.maximum(abs(x - middle_x), abs(y - middle_y)) < radius)
    return np.asarray((x - middle_x) ** 2 + (y - middle_y) ** 2 < radius**2)


def painted(mask: np.ndarray, number: int) -> np.ndarray:
    """(H, W, 3) uint8: the mask in a bright color on dark noise."""
    rng = np.random.default_rng([6, number])
    image = rng.integers(10, 70, (*mask.shape, 3), dtype=np.uint8)
    image[mask] = rng.integers(150, 250, 3, dtype=np.uint8)
    return image


def write_photos(folder: Path, count: int) -> Path:
    """``images/`` and ``masks/`` of the same stems."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = shape(number)
        Image.fromarray(painted(mask, number)).save(folder / "images" / f"{number:03d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number:03d}.png")
    return folder


def write_film(folder: Path, frames: int) -> Path:
    """``frames/`` and ``masks/`` of a shape that moves to the right."""
    for name in ("frames", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(frames):
        mask = np.roll(shape(0), 2 * number, axis=1)
        Image.fromarray(painted(mask, 0)).save(folder / "frames" / f"{number:05d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{number:05d}.png")
    return folder


def write_coco(path: Path, masks: list[Any], names: list[str]) -> Path:
    """A COCO file with one annotation a photo; `masks` are what stands under ``segmentation``."""
    images = [
        {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH, "license": 1} for i, name in enumerate(names)
    ]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 1, 1], "segmentation": mask}
        for i, mask in enumerate(masks)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def plain_recipe(photos: Path, **sections: Any) -> dict[str, Any]:
    """A recipe of a few small steps from the packaged weights, with changes to its sections."""
    recipe: dict[str, Any] = {
        "data": {"photos": [{"path": str(photos)}]},
        # The four steps of seed 1 are of every kind.
        "training": {
            **{"steps": 4, "batch": 2, "warmup_steps": 1, "whole_photos": 1},
            **{"whole_share": 0.25, "again_share": 0.4, "encoder_share": 0.4},
        },
        "running": {"threads": 1, "log_every": 1, "save_every": 100, "validate_every": 0},
    }
    for name, section in sections.items():
        recipe[name] = {**recipe.get(name, {}), **section} if isinstance(section, dict) else section
    return recipe


def write_recipe(path: Path, recipe: dict[str, Any]) -> Path:
    """A recipe as a YAML file."""
    path.write_text(yaml.safe_dump(recipe))
    return path
