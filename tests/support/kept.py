"""Folders of kept images."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from classifier.kept_images.folder import KeptImages
from support.images import encode

MODEL = "model:1"


def png(shade: int) -> bytes:
    """Return a small image, another one for each shade."""
    return encode(Image.new("RGB", (8, 8), (shade, 100, 200)), "PNG")


def prediction(confidence: float = 0.5, **values: Any) -> dict[str, Any]:
    """Return a prediction of Mars for a known image, with other values such as `known`."""
    probabilities = {"Mars": confidence, "Moon": 1 - confidence}
    return {"prediction": "Mars", "probabilities": probabilities, "known": True, "novelty": 0.5, **values}


def make_dataset(raw_dir: Path) -> Path:
    """Write a dataset of two classes with one image each."""
    for name in ("Mars", "Moon"):
        (raw_dir / name).mkdir(parents=True)
        (raw_dir / name / "1.png").write_bytes(png(200))
    return raw_dir


def keep(folder: Path, *confidences: float) -> list[str]:
    """Keep one image for each confidence, and return the ids."""
    folder.mkdir(exist_ok=True)
    kept = KeptImages(folder)
    return [kept.keep(png(i), prediction(confidence), MODEL) for i, confidence in enumerate(confidences)]


def read_json(folder: Path, image_id: str) -> dict[str, Any]:
    """Return the record of an image."""
    return json.loads((folder / f"{image_id}.json").read_text())
