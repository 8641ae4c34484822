"""The pictures are fit to learn from: whatever data/raw holds, or the sample dataset where it holds nothing."""

import hashlib
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import dataset

MOST = 1500  # pictures of each side that are compared pairwise


@pytest.fixture(scope="module")
def sides(workspace: Path) -> dict[str, dataset.Part]:
    return {part: dataset.load(workspace / "data/prepared", part)[1] for part in ("train", "test")}


@pytest.fixture(scope="module")
def files(workspace: Path, sides) -> list[Path]:
    return [workspace / "data/raw" / file for part in sides.values() for file in part.files]


@pytest.fixture(scope="module")
def compared(sides) -> tuple[np.ndarray, np.ndarray, list[str], int]:
    """Mean squared distances between pictures, their labels and files, how many of the first are to train on."""
    chosen = {
        part: np.linspace(0, len(s.labels) - 1, min(len(s.labels), MOST)).astype(int) for part, s in sides.items()
    }
    rows = np.concatenate([sides[part].images[i].reshape(len(i), -1) for part, i in chosen.items()]).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    np.fill_diagonal(distances, np.inf)
    labels = np.concatenate([sides[part].labels[i] for part, i in chosen.items()])
    names = [sides[part].files[k] for part, i in chosen.items() for k in i]
    return distances / rows.shape[1], labels, names, len(chosen["train"])


def test_no_class_has_ten_times_the_pictures_of_another(sides) -> None:
    counts = Counter(int(label) for part in sides.values() for label in part.labels)
    assert max(counts.values()) <= 10 * min(counts.values()), counts


def test_both_sides_have_the_same_mix(sides) -> None:
    train, test = (np.bincount(sides[part].labels) / len(sides[part].labels) for part in ("train", "test"))
    assert np.abs(train - test).max() < 0.05


def test_pictures_are_large_enough_and_not_too_long(files, sides) -> None:
    height, width = sides["train"].images.shape[1:3]
    odd = []
    for file in files:
        with Image.open(file) as picture:
            w, h = picture.size
        if w < width or h < height or max(w, h) > 4 * min(w, h):
            odd.append(f"{file}: {w} x {h}")
    assert len(odd) <= len(files) * 0.01, odd


def test_hardly_a_picture_is_there_twice(files) -> None:
    copies = defaultdict(list)
    for file in files:
        copies[hashlib.sha256(file.read_bytes()).digest()].append(str(file))
    twice = [group for group in copies.values() if len(group) > 1]
    assert sum(map(len, twice)) <= len(files) * 0.01, twice


def test_no_test_picture_equals_a_training_picture(compared) -> None:
    distances, _, names, split = compared
    across = distances[split:, :split].min(axis=1)
    assert not [names[split + i] for i in np.flatnonzero(across == 0)]
    near = (across < 4).mean()  # two of 256 steps
    if near > 0.05:
        warnings.warn(
            f"{near:.0%} of the test pictures hardly differ from one to train on: accuracy says little about new ones",
            stacklevel=1,
        )


def test_few_labels_look_wrong(compared) -> None:
    """Suspect is a picture whose five nearest neighbours are all of one other class."""
    distances, labels, names, _ = compared
    nearest = labels[np.argpartition(distances, 5, axis=1)[:, :5]]
    suspects = (nearest == nearest[:, :1]).all(axis=1) & (nearest[:, 0] != labels)
    assert suspects.mean() < 0.05, [names[i] for i in np.flatnonzero(suspects)]


def test_no_picture_is_blank(sides) -> None:
    blank = [
        file
        for part in sides.values()
        for file, image in zip(part.files, part.images, strict=True)
        if int(image.max()) - int(image.min()) < 8
    ]
    assert not blank
