"""The arrays that training used equal those that serving makes."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.data.dataset import Split

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


def test_prepared_labels_are_the_folders_of_the_images(class_names: list[str], splits: dict[str, Split]) -> None:
    assert class_names == sorted({file.split("/")[0] for split in splits.values() for file in split.files})
    for split in splits.values():
        assert [class_names[i] for i in split.labels] == [file.split("/")[0] for file in split.files]


def test_prepared_splits_have_no_image_in_common(workspace: Path, splits: dict[str, Split]) -> None:
    def digest(file: str) -> bytes:
        return hashlib.sha256((workspace / "data/raw" / file).read_bytes()).digest()

    digests = [{digest(file) for file in split.files} for split in splits.values()]
    assert sum(map(len, digests)) == len(set().union(*digests))
