"""The data that training saw is the data that serving sees."""

import numpy as np
import pytest

from utils import dataset


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_packages_preprocess_gives_the_prepared_arrays_bit_for_bit(trained, loaded, part: str) -> None:
    preprocess = loaded[0].custom_objects["preprocess"]
    _, prepared = dataset.load(trained / "data/prepared", part)
    for file, expected in zip(prepared.files, prepared.images, strict=True):
        array = preprocess(trained / "data/raw" / file)
        assert array.dtype == expected.dtype and np.array_equal(array[0], expected), file


def test_labels_are_the_folders(trained) -> None:
    for part in ("train", "test"):
        labels, prepared = dataset.load(trained / "data/prepared", part)
        assert labels == sorted(folder.name for folder in (trained / "data/raw").iterdir() if folder.is_dir())
        assert [labels[i] for i in prepared.labels] == [file.split("/")[0] for file in prepared.files]


def test_no_picture_is_on_both_sides(trained) -> None:
    train, test = (dataset.load(trained / "data/prepared", part)[1] for part in ("train", "test"))
    contents = [{(trained / "data/raw" / file).read_bytes() for file in part.files} for part in (train, test)]
    assert not contents[0] & contents[1]
