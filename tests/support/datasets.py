"""Small datasets: empty files, and prepared ones."""

import json
from pathlib import Path

import numpy as np


def touch(folder: Path, *names: str) -> None:
    """Create empty files, with their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def constant_images(values: list[int], height: int = 4, width: int = 3, channels: int = 3) -> np.ndarray:
    """Return one image per value, uint8 of shape (N, height, width, channels)."""
    images = np.array(values, np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.broadcast_to(images, (len(values), height, width, channels)).copy()


def write_split(prepared_dir: Path, name: str, images: np.ndarray, labels: list[int], class_names: list[str]) -> None:
    """Write one split in the format of `prepare.py`."""
    split_dir = prepared_dir / name
    split_dir.mkdir(parents=True)
    np.save(split_dir / "images.npy", images)
    np.save(split_dir / "labels.npy", np.array(labels, np.int32))
    files = [f"{class_names[label]}/{i}.png" for i, label in enumerate(labels)]
    (split_dir / "files.json").write_text(json.dumps(files))
    (prepared_dir / "labels.json").write_text(json.dumps(class_names))
    (prepared_dir / "near_duplicates.json").write_text("[]")
