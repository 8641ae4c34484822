"""The images are suitable for training: those in data/raw, or the sample dataset if data/raw is empty."""

import hashlib
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.data.dataset import SPLITS, Split, load_split

pytestmark = pytest.mark.slow

MAX_COMPARED = 1500  # images of each split that are compared with all others


@dataclass(frozen=True)
class Distances:
    """Comparison of a sample of the images, those for training first.

    Attributes:
        squared: the mean squared differences of pixels, (N, N), with infinity on the diagonal.
        labels: (N,)
        files: N names
        num_train: the number of images for training.
    """

    squared: np.ndarray
    labels: np.ndarray
    files: list[str]
    num_train: int


@pytest.fixture(scope="module")
def splits(workspace: Path) -> dict[str, Split]:
    return {name: load_split(workspace / "data/prepared", name)[1] for name in SPLITS}


@pytest.fixture(scope="module")
def files(workspace: Path, splits: dict[str, Split]) -> list[Path]:
    return [workspace / "data/raw" / file for split in splits.values() for file in split.files]


@pytest.fixture(scope="module")
def distances(splits: dict[str, Split]) -> Distances:
    pixels, labels, names, counts = [], [], [], []
    for split in splits.values():
        counts.append(min(len(split.labels), MAX_COMPARED))
        chosen = np.linspace(0, len(split.labels) - 1, counts[-1]).astype(int)
        pixels.append(split.images[chosen].reshape(len(chosen), -1).astype(np.float32))
        labels.append(split.labels[chosen])
        names += [split.files[i] for i in chosen]
    rows = np.concatenate(pixels)
    squares = (rows**2).sum(axis=1)
    squared = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0) / rows.shape[1]
    np.fill_diagonal(squared, np.inf)
    return Distances(squared, np.concatenate(labels), names, counts[0])


def test_largest_class_has_at_most_ten_times_the_images_of_the_smallest(splits: dict[str, Split]) -> None:
    counts = np.bincount(np.concatenate([split.labels for split in splits.values()]))
    assert counts.max() <= 10 * counts.min(), counts


def test_both_splits_have_the_same_class_distribution(splits: dict[str, Split]) -> None:
    train, test = (np.bincount(splits[name].labels) / len(splits[name].labels) for name in SPLITS)
    assert np.abs(train - test).max() < 0.05


def test_images_are_not_smaller_than_the_input_and_not_too_long(files: list[Path], splits: dict[str, Split]) -> None:
    min_height, min_width = splits["train"].images.shape[1:3]
    unsuitable = []
    for file in files:
        with Image.open(file) as image:
            width, height = image.size
        if width < min_width or height < min_height or max(width, height) > 4 * min(width, height):
            unsuitable.append(f"{file}: {width} x {height}")
    assert len(unsuitable) <= len(files) * 0.01, unsuitable


def test_at_most_one_percent_of_the_images_are_duplicates(files: list[Path]) -> None:
    copies = defaultdict(list)
    for file in files:
        copies[hashlib.sha256(file.read_bytes()).digest()].append(str(file))
    duplicates = [group for group in copies.values() if len(group) > 1]
    assert sum(map(len, duplicates)) <= len(files) * 0.01, duplicates


def test_no_test_image_equals_a_training_image(distances: Distances) -> None:
    nearest = distances.squared[distances.num_train :, : distances.num_train].min(axis=1)
    assert not [distances.files[distances.num_train + i] for i in np.flatnonzero(nearest == 0)]
    similar = (nearest < 4).mean()  # a difference of two of 256 steps
    if similar > 0.05:
        warnings.warn(
            f"{similar:.0%} of the test images are almost equal to a training image; "
            "the accuracy says little about new images",
            stacklevel=1,
        )


def test_few_images_have_five_nearest_neighbours_of_one_other_class(distances: Distances) -> None:
    nearest = distances.labels[np.argpartition(distances.squared, 5, axis=1)[:, :5]]
    suspicious = (nearest == nearest[:, :1]).all(axis=1) & (nearest[:, 0] != distances.labels)
    assert suspicious.mean() < 0.05, [distances.files[i] for i in np.flatnonzero(suspicious)]


def test_no_image_is_blank(splits: dict[str, Split]) -> None:
    blank = [
        file
        for split in splits.values()
        for file, image in zip(split.files, split.images, strict=True)
        if int(image.max()) - int(image.min()) < 8
    ]
    assert not blank
