"""The prepared dataset, as prepare.py writes it, checked on the way in."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.stage import Failure, shown


@dataclass(frozen=True)
class Part:
    """One side of the split. Row i of each belongs to one picture."""

    images: np.ndarray  # uint8, N x height x width x channels, 0 to 255; memory-mapped
    labels: np.ndarray  # int32, N, an index into the list of classes
    files: list[str]  # "class/picture"


def load(prepared: Path, part: str) -> tuple[list[str], Part]:
    """Read the classes and the part "train" or "test".

    Raises:
        Failure: a file is missing, damaged, or does not fit the others.
    """
    remedy = "run `dvc repro` (or src/prepare.py) again"
    try:
        path = prepared / "labels.json"
        classes = json.loads(path.read_text("utf-8"))
        path = prepared / part / "files.json"
        files = json.loads(path.read_text("utf-8"))
        path = prepared / part / "labels.npy"
        labels = np.load(path, allow_pickle=False)
        path = prepared / part / "images.npy"
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise Failure(f"{shown(path)} is missing; {remedy}") from None
    except (ValueError, EOFError) as error:
        raise Failure(f"{shown(path)} is damaged ({' '.join(str(error).split())}); {remedy}") from None
    if not (isinstance(classes, list) and len(set(map(str, classes))) == len(classes) > 1):
        raise Failure(f"{shown(prepared / 'labels.json')} is no list of different classes; {remedy}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise Failure(f"{shown(path)} is {images.dtype} of shape {images.shape}, no pictures; {remedy}")
    if labels.dtype != np.int32 or labels.shape != images.shape[:1] or len(files) != len(images):
        raise Failure(f"{shown(prepared / part)}: images, labels and files differ in number; {remedy}")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise Failure(f"{shown(prepared / part / 'labels.npy')} has labels that labels.json lacks; {remedy}")
    return classes, Part(images, labels, files)


def describe(classes: list[str], prepared: Path) -> dict[str, Any]:
    """For each part its number of pictures and the SHA-256 of its images.npy; under "classes" the numbers for each."""
    about: dict[str, Any] = {}
    counts = {}
    for part in ("train", "test"):
        with open(prepared / part / "images.npy", "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        labels = np.load(prepared / part / "labels.npy", allow_pickle=False)
        about[part] = {"pictures": len(labels), "sha256": digest}
        counts[part] = np.bincount(labels, minlength=len(classes)).tolist()
    about["classes"] = {
        name: {"train": train, "test": test}
        for name, train, test in zip(classes, counts["train"], counts["test"], strict=True)
    }
    return about
