"""classifier.data.discovery: nested class folders, and folders of a given split."""

from pathlib import Path

import pytest

from classifier.data.checks import validate_classes
from classifier.data.discovery import RawDataset, list_images
from support.datasets import touch
from utils.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def accept(root: Path, nested: str = "refuse") -> RawDataset:
    dataset = list_images(root, nested)
    validate_classes(dataset)
    return dataset


def refusal(root: Path, nested: str = "refuse") -> str:
    with pytest.raises(UserError) as error:
        accept(root, nested)
    assert str(root) in str(error.value)
    return str(error.value)


def labels(dataset: RawDataset) -> dict[str, str]:
    return {path: dataset.class_names[label] for path, label in zip(dataset.paths, dataset.labels, strict=True)}


def test_nested_folders_are_refused_with_the_parameter_that_accepts_them(root: Path) -> None:
    touch(root, "dog/puppy/1.jpg", "dog/2.jpg", "cat/3.jpg")
    assert refusal(root).endswith("or set prepare.nested to join (1):\n  dog/puppy is a folder inside a class folder")


def test_nested_folders_are_joined_to_class_names(root: Path) -> None:
    touch(root, "dog/puppy/1.jpg", "dog/2.jpg", "pet/a/b/c/3.jpg", "cat/4.jpg", "pet/a/notes.txt", "dog old/5.jpg")
    dataset = accept(root, "join")
    assert dataset.class_names == ["cat", "dog", "dog old", "dog/puppy", "pet/a/b/c"]
    assert labels(dataset) == {path: path.rpartition("/")[0] for path in dataset.paths}
    assert dataset.paths == ["cat/4.jpg", "dog/2.jpg", "dog old/5.jpg", "dog/puppy/1.jpg", "pet/a/b/c/3.jpg"]
    assert dataset.layout == "in nested folders" and dataset.skipped == {".txt": 1} and dataset.train_dir == root


def test_join_changes_nothing_for_class_folders(root: Path) -> None:
    touch(root, "dog/1.jpg", "cat/2.jpg", "cat/1.txt")
    assert accept(root, "join") == accept(root)


def test_join_refuses_empty_folders_images_outside_folders_and_circular_links(root: Path) -> None:
    touch(root, "dog/puppy/1.jpg", "cat/2.jpg")
    (root / "dog/none/at all").mkdir(parents=True)
    assert "classes without images" in refusal(root, "join") and "dog/none/at all" in refusal(root, "join")
    touch(root, "3.jpg")
    (root / "dog/puppy/circle").symlink_to(root)
    error = refusal(root, "join")
    assert "(2):\n  3.jpg is not in a class folder\n  dog/puppy/circle is a link to a folder that contains it" in error


def test_dataset_in_a_single_folder_is_refused(root: Path) -> None:
    touch(root, "archive/cat/1.jpg", "archive/dog/2.jpg", "readme.txt")
    for nested in ("refuse", "join"):
        message = f"has a single folder, archive, with the dataset inside; move the content of {root}/archive to {root}"
        assert message in refusal(root, nested)
    (root / "archive").rename(root.parent / "archive")
    touch(root, "archive/labels.csv")
    assert "with the dataset inside" in refusal(root)


SPLITS = {
    "train_test": (("train", "test"), ["train", "test"]),
    "train_val_test": (("train", "val", "test"), ["train", "validation", "test"]),
    "other_names": (("Train", "VALID", "Test"), ["train", "validation", "test"]),
    "validation": (("train", "validation", "test"), ["train", "validation", "test"]),
    "train_val": (("train", "val"), ["train", "test"]),
}


@pytest.mark.parametrize("case", SPLITS)
def test_folders_of_splits_are_a_given_split(root: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    folders, expected = SPLITS[case]
    touch(root, *(f"{folder}/{name}/{i}.jpg" for folder in folders for name in ("cat", "dog") for i in range(2)))
    dataset = accept(root)
    assert dataset.class_names == ["cat", "dog"] and dataset.train_dir == root / folders[0]
    given = {path.partition("/")[0]: split for path, split in zip(dataset.paths, dataset.splits, strict=True)}
    assert given == dict(zip(folders, expected, strict=True)) and len(dataset.paths) == 4 * len(folders)
    assert labels(dataset) == {path: path.split("/")[1] for path in dataset.paths}
    assert dataset.layout.startswith("split as in ") and all(folder in dataset.layout for folder in folders)
    assert ("(val is the test set)" in dataset.layout) == (case == "train_val")
    assert capsys.readouterr().err == ""


def test_classes_of_a_given_split_may_be_missing_in_the_test_set(root: Path) -> None:
    touch(root, "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/cat/x.txt")
    (root / "test/dog").mkdir()
    dataset = accept(root)
    assert dataset.class_names == ["cat", "dog"] and dataset.splits.count("test") == 1
    assert dataset.skipped_by_class["cat"] == {".txt": 1}


def test_given_split_may_have_nested_folders(root: Path) -> None:
    touch(root, "train/a/cat/1.jpg", "train/b/2.jpg", "test/b/3.jpg")
    assert "train/a/cat is a folder inside a class folder" in refusal(root)
    dataset = accept(root, "join")
    assert dataset.class_names == ["a/cat", "b"] and dataset.layout == "in nested folders, split as in test, train"


INVALID = {
    "no_train": (("val/cat/1.jpg", "test/dog/1.jpg"), "has a given split without training images; add them as train"),
    "no_test": (("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.txt"), "training images only; add a test set"),
    "not_in_train": (
        ("train/cat/1.jpg", "train/dog/1.jpg", "test/Cow/1.jpg", "test/cat/1.jpg"),
        "has classes without training images; add some to train (1):\n  Cow",
    ),
    "unlabelled_test": (
        ("train/cat/1.jpg", "train/dog/1.jpg", *(f"test/{i}.jpg" for i in range(12))),
        "must contain <class>/<image>; move or remove (1):\n  test/ has 12 images that are not in a class folder",
    ),
    "no_class_folders": (("train/cat.0.jpg", "test/1.jpg"), "has folders of splits or of another kind of dataset"),
    "yolo": (
        ("train/images/1.jpg", "train/labels/1.txt", "val/images/1.jpg", "val/labels/1.txt"),
        "has folders of splits or of another kind of dataset, not of classes (images, labels)",
    ),
    "one_class": (("train/cat/1.jpg", "test/cat/1.jpg"), "has 1 classes; at least two"),
    "outside": (("train/cat/1.jpg", "train/dog/1.jpg", "test/dog/1.jpg", "2.jpg"), "not in a class folder"),
}


@pytest.mark.parametrize("case", INVALID)
def test_given_split_that_cannot_be_used_is_an_error_that_names_the_problem(root: Path, case: str) -> None:
    files, message = INVALID[case]
    touch(root, *files)
    assert message in refusal(root)


def test_folders_of_which_some_are_no_splits_are_classes(root: Path) -> None:
    touch(root, "train/new/1.jpg", "bus/2.jpg")
    assert "train/new is a folder inside a class folder" in refusal(root)
    assert accept(root, "join").class_names == ["bus", "train/new"]
