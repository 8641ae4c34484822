"""The prepared dataset, as `prepare.py` writes it; checked when it is read."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import printable

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Split:
    """The training or the test set. Element i of each attribute belongs to image i."""

    images: np.ndarray  # uint8, (N, height, width, channels), 0 to 255; memory-mapped
    labels: np.ndarray  # int32, (N,), indices into the class names
    files: list[str]  # N names, "class/file"


def load_split(prepared_dir: Path, name: str) -> tuple[list[str], Split]:
    """Read the class names and the split `name` ("train" or "test").

    Raises:
        UserError: a file is missing or damaged, or the files do not match.
    """
    fix = "run `dvc repro` (or src/prepare.py) again"
    folder = prepared_dir / name
    try:
        path = prepared_dir / "labels.json"
        class_names = json.loads(path.read_text("utf-8"))
        path = folder / "files.json"
        files = json.loads(path.read_text("utf-8"))
        path = folder / "labels.npy"
        labels = np.load(path, allow_pickle=False)
        path = folder / "images.npy"
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{printable(path)} is missing; {fix}") from None
    except (ValueError, EOFError) as error:
        raise UserError(f"{printable(path)} is damaged ({' '.join(str(error).split())}); {fix}") from None
    if not (isinstance(class_names, list) and len(set(map(str, class_names))) == len(class_names) > 1):
        raise UserError(f"{printable(prepared_dir / 'labels.json')} is not a list of different class names; {fix}")
    if images.dtype != np.uint8 or images.shape[3:] not in ((1,), (3,)) or not images.size:
        raise UserError(f"{printable(path)} has type {images.dtype} and shape {images.shape}, not images; {fix}")
    if labels.dtype != np.int32 or labels.shape != images.shape[:1] or len(files) != len(images):
        raise UserError(f"{printable(folder)}: images, labels and files differ in number; {fix}")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise UserError(f"{printable(folder / 'labels.npy')} has labels that are not in labels.json; {fix}")
    return class_names, Split(images, labels, files)


def dataset_summary(class_names: list[str], prepared_dir: Path) -> dict[str, Any]:
    """Return the number of images and the SHA-256 of images.npy of each split, and under "classes" the counts."""
    summary: dict[str, Any] = {}
    counts = {}
    for name in SPLITS:
        with (prepared_dir / name / "images.npy").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        labels = np.load(prepared_dir / name / "labels.npy", allow_pickle=False)
        summary[name] = {"pictures": len(labels), "sha256": digest}
        counts[name] = np.bincount(labels, minlength=len(class_names)).tolist()
    summary["classes"] = {
        class_name: {name: counts[name][i] for name in SPLITS} for i, class_name in enumerate(class_names)
    }
    return summary
