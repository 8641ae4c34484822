"""The images are suitable for training: those in data/raw if `dvc repro` has run, or else the sample dataset."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.data.dataset import Split
from utils.files import shorten_list

pytestmark = pytest.mark.slow

MAX_COMPARED = 1500  # images of each split that are compared with all others
MAX_SIZE = 32  # pixels; of larger images, every second, third or fourth pixel is compared, and so on

Expect = Callable[[bool, str], None]


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
def files(workspace: Path, splits: dict[str, Split]) -> list[Path]:
    return [workspace / "data/raw" / file for split in splits.values() for file in split.files]


@pytest.fixture(scope="module")
def distances(splits: dict[str, Split]) -> Distances:
    pixels, labels, names, counts = [], [], [], []
    y_step, x_step = (math.ceil(size / MAX_SIZE) for size in splits["train"].images.shape[1:3])
    for split in splits.values():
        counts.append(min(len(split.labels), MAX_COMPARED))
        chosen = np.linspace(0, len(split.labels) - 1, counts[-1]).astype(int)
        small = split.images[chosen][:, ::y_step, ::x_step]
        pixels.append(small.reshape(len(chosen), -1).astype(np.float32))
        labels.append(split.labels[chosen])
        names += [split.files[i] for i in chosen]
    rows = np.concatenate(pixels)
    squares = (rows**2).sum(axis=1)
    squared = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0) / rows.shape[1]
    np.fill_diagonal(squared, np.inf)
    return Distances(squared, np.concatenate(labels), names, counts[0])


def test_largest_class_has_at_most_ten_times_the_images_of_the_smallest(
    splits: dict[str, Split], expect: Expect
) -> None:
    counts = np.bincount(np.concatenate([split.labels for split in splits.values()]))
    expect(
        counts.max() <= 10 * counts.min(), f"the largest class has {counts.max()} images, the smallest {counts.min()}"
    )


def test_training_and_test_set_have_the_same_class_distribution(splits: dict[str, Split], expect: Expect) -> None:
    num_classes = 1 + max(int(split.labels.max()) for split in splits.values())
    train, test = (
        np.bincount(splits[name].labels, minlength=num_classes) / len(splits[name].labels) for name in ("train", "test")
    )
    difference = np.abs(train - test).max()
    expect(
        difference < 0.05, f"the share of a class in the training set and in the test set differs by {difference:.0%}"
    )


def test_images_are_not_smaller_than_the_input_and_not_too_long(
    files: list[Path], splits: dict[str, Split], expect: Expect
) -> None:
    min_height, min_width = splits["train"].images.shape[1:3]
    unsuitable = []
    for file in files:
        with Image.open(file) as image:
            width, height = image.size
        if width < min_width or height < min_height or max(width, height) > 4 * min(width, height):
            unsuitable.append(f"{file.parent.name}/{file.name}: {width} x {height}")
    names = shorten_list(unsuitable)
    expect(
        len(unsuitable) <= len(files) * 0.01,
        f"{len(unsuitable)} images are smaller than {min_width} x {min_height} or very long: {names}",
    )


def test_at_most_one_percent_of_the_images_are_duplicates(files: list[Path], expect: Expect) -> None:
    copies = defaultdict(list)
    for file in files:
        copies[hashlib.sha256(file.read_bytes()).digest()].append(f"{file.parent.name}/{file.name}")
    duplicates = [" = ".join(group) for group in copies.values() if len(group) > 1]
    num_duplicates = len(files) - len(copies)
    expect(
        num_duplicates <= len(files) * 0.01, f"{num_duplicates} images are copies of others: {shorten_list(duplicates)}"
    )


def test_no_test_image_equals_a_training_image(splits: dict[str, Split], expect: Expect) -> None:
    train, test = splits["train"], splits["test"]
    train_images = {hash(image.tobytes()) for image in train.images}
    equal = [file for file, image in zip(test.files, test.images, strict=True) if hash(image.tobytes()) in train_images]
    expect(
        not equal, f"{len(equal)} test images equal a training image, as the network sees them: {shorten_list(equal)}"
    )


def test_few_held_out_images_are_almost_equal_to_a_training_image(distances: Distances, expect: Expect) -> None:
    nearest = distances.squared[distances.num_train :, : distances.num_train].min(axis=1)
    similar = (nearest < 4).mean()  # a difference of two of 256 steps
    expect(
        similar <= 0.05,
        f"{similar:.0%} of the validation and test images are almost equal to a training image; the accuracy says "
        "little about new images",
    )


def test_few_images_have_five_nearest_neighbours_of_one_other_class(distances: Distances, expect: Expect) -> None:
    num_neighbours = min(5, len(distances.labels) - 1)
    nearest = distances.labels[np.argpartition(distances.squared, num_neighbours - 1, axis=1)[:, :num_neighbours]]
    suspicious = (nearest == nearest[:, :1]).all(axis=1) & (nearest[:, 0] != distances.labels)
    names = [distances.files[i] for i in np.flatnonzero(suspicious)]
    expect(
        suspicious.mean() < 0.05,
        f"{len(names)} images look like another class, so some labels may be wrong: {shorten_list(names)}",
    )


def test_no_image_is_blank(splits: dict[str, Split], expect: Expect) -> None:
    blank = [
        file
        for split in splits.values()
        for file, image in zip(split.files, split.images, strict=True)
        if int(image.max()) - int(image.min()) < 8
    ]
    expect(not blank, f"{len(blank)} images are blank: {shorten_list(blank)}")
