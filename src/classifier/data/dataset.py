"""The prepared dataset, as `prepare.py` writes it; checked when it is read."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import printable

SPLITS = ("train", "validation", "test")
FIX = "run `dvc repro` (or src/prepare.py) again"


@dataclass(frozen=True)
class Split:
    """The training, validation or test set. Element i of each attribute belongs to image i."""

    images: np.ndarray  # uint8, (N, height, width, channels), 0 to 255; memory-mapped
    labels: np.ndarray  # int32, (N,), indices into the class names
    files: list[str]  # N names, relative to the dataset


def list_splits(prepared_dir: Path) -> list[str]:
    """Return the names of the splits that a prepared dataset has; it may lack validation images."""
    return [name for name in SPLITS if (prepared_dir / name).is_dir()]


def validation_split(prepared_dir: Path) -> str:
    """Return the name of the split that training uses for validation: "test" if there are no validation images."""
    return "validation" if "validation" in list_splits(prepared_dir) else "test"


def load_split(prepared_dir: Path, name: str) -> tuple[list[str], Split]:
    """Read the class names and the split `name`, one of SPLITS.

    Raises:
        UserError: a file is missing or damaged, or the files do not match.
    """
    folder = prepared_dir / name
    class_names, files = _read_json(prepared_dir / "labels.json"), _read_json(folder / "files.json")
    try:
        path = folder / "labels.npy"
        labels = np.load(path, allow_pickle=False)
        path = folder / "images.npy"
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{printable(path)} is missing; {FIX}") from None
    except (ValueError, EOFError) as error:
        raise UserError(f"{printable(path)} is damaged ({' '.join(str(error).split())}); {FIX}") from None
    if not (isinstance(class_names, list) and len(set(map(str, class_names))) == len(class_names) > 1):
        raise UserError(f"{printable(prepared_dir / 'labels.json')} is not a list of different class names; {FIX}")
    if images.dtype != np.uint8 or images.shape[3:] not in ((1,), (3,)) or not images.size:
        raise UserError(f"{printable(path)} has type {images.dtype} and shape {images.shape}, not images; {FIX}")
    if labels.dtype != np.int32 or labels.shape != images.shape[:1] or len(files) != len(images):
        raise UserError(f"{printable(folder)}: images, labels and files differ in number; {FIX}")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise UserError(f"{printable(folder / 'labels.npy')} has labels that are not in labels.json; {FIX}")
    return class_names, Split(images, labels, files)


def count_images(class_names: list[str], prepared_dir: Path) -> dict[str, dict[str, int]]:
    """Return the number of images of each class in each split."""
    counts = {}
    for name in list_splits(prepared_dir):
        labels = np.load(prepared_dir / name / "labels.npy", allow_pickle=False)
        counts[name] = np.bincount(labels, minlength=len(class_names)).tolist()
    return {class_name: {name: counts[name][i] for name in counts} for i, class_name in enumerate(class_names)}


def count_leaks(prepared_dir: Path) -> int:
    """Return how many test images are near-duplicates of training images: 0 unless the split or groups are given.

    Raises:
        UserError: a file is missing or damaged.
    """
    train, test, groups = (
        _read_json(prepared_dir / name) for name in ("train/files.json", "test/files.json", "near_duplicates.json")
    )
    train, test = set(train), set(test)
    return sum(len(test.intersection(group)) for group in groups if not train.isdisjoint(group))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{printable(path)} is missing; {FIX}") from None
    except ValueError as error:
        raise UserError(f"{printable(path)} is damaged ({error}); {FIX}") from None


def dataset_summary(class_names: list[str], prepared_dir: Path) -> dict[str, Any]:
    """Return the number of images and the SHA-256 of images.npy of each split, and under "classes" the counts.

    If there are near-duplicates of training images among the test images, "leaks" is their number.
    """
    classes = count_images(class_names, prepared_dir)
    summary: dict[str, Any] = {}
    for name in list_splits(prepared_dir):
        with (prepared_dir / name / "images.npy").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        summary[name] = {"pictures": sum(counts[name] for counts in classes.values()), "sha256": digest}
    leaks = count_leaks(prepared_dir)
    return {**summary, "classes": classes} | ({"leaks": leaks} if leaks else {})
