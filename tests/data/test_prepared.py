"""The arrays that training used equal those that serving makes."""

from pathlib import Path

import numpy as np
import pytest

from classifier.data.dataset import SPLITS, load_split

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SPLITS)
def test_preprocess_of_the_archive_returns_the_prepared_arrays_bit_for_bit(trained: Path, loaded, name: str) -> None:
    preprocess = loaded[0].custom_objects["preprocess"]
    _, split = load_split(trained / "data/prepared", name)
    for file, expected in zip(split.files, split.images, strict=True):
        array = preprocess(trained / "data/raw" / file)
        assert array.dtype == expected.dtype and np.array_equal(array[0], expected), file


@pytest.mark.parametrize("name", SPLITS)
def test_prepared_labels_are_the_folders_of_the_images(trained: Path, name: str) -> None:
    class_names, split = load_split(trained / "data/prepared", name)
    assert class_names == sorted(folder.name for folder in (trained / "data/raw").iterdir() if folder.is_dir())
    assert [class_names[i] for i in split.labels] == [file.split("/")[0] for file in split.files]


def test_prepared_splits_have_no_image_in_common(trained: Path) -> None:
    splits = [load_split(trained / "data/prepared", name)[1] for name in SPLITS]
    train, test = ({(trained / "data/raw" / file).read_bytes() for file in split.files} for split in splits)
    assert not train & test
