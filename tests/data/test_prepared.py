"""The arrays that training used equal those that serving makes."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.data.dataset import Split
from classifier.data.discovery import RawDataset

pytestmark = pytest.mark.slow

MAX_IMAGES = 1000  # of each split


def test_preprocess_of_the_archive_returns_the_prepared_arrays_bit_for_bit(
    workspace: Path, default_model: Any, splits: dict[str, Split]
) -> None:
    preprocess = default_model[0].custom_objects["preprocess"]
    for split in splits.values():
        for i in np.linspace(0, len(split.files) - 1, min(len(split.files), MAX_IMAGES)).astype(int):
            array, expected = preprocess(workspace / "data/raw" / split.files[i]), split.images[i]
            assert array.dtype == expected.dtype and np.array_equal(array[0], expected), split.files[i]


def test_prepared_labels_are_those_of_the_images(
    dataset: RawDataset, class_names: list[str], splits: dict[str, Split]
) -> None:
    assert class_names == dataset.class_names
    label_of_path = dict(zip(dataset.paths, dataset.labels, strict=True))
    for split in splits.values():
        assert split.labels.tolist() == [label_of_path[file] for file in split.files]


def test_prepared_splits_are_those_of_the_dataset(dataset: RawDataset, splits: dict[str, Split]) -> None:
    given = dict(zip(dataset.paths, dataset.splits or (), strict=False))
    for file in splits["test"].files:
        assert given.get(file, "test") == "test", file
    groups = dict(zip(dataset.paths, dataset.groups or (), strict=False))
    seen = [{groups.get(file) for file in split.files} - {"", None} for split in splits.values()]
    assert sum(map(len, seen)) == len(set().union(*seen))


def test_prepared_splits_have_no_image_in_common(
    workspace: Path, dataset: RawDataset, splits: dict[str, Split], expect: Callable[[bool, str], None]
) -> None:
    def digest(file: str) -> bytes:
        return hashlib.sha256((workspace / "data/raw" / file).read_bytes()).digest()

    digests = [{digest(file) for file in split.files} for split in splits.values()]
    num_common = sum(map(len, digests)) - len(set().union(*digests))
    if dataset.splits:
        expect(not num_common, f"{num_common} images are in several sets of the given split")
    else:
        assert not num_common
