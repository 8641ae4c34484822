"""classifier.data.discovery and checks: the images of a dataset, and its folders."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.data.checks import validate_classes
from classifier.data.discovery import list_images
from support.datasets import touch
from utils.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with two files each; listing does not open them."""
    touch(tmp_path / "raw", "Mars/1.jpg", "Mars/2.png", "Venus/1.jpg", "Venus/2.JPEG")
    return tmp_path / "raw"


def test_list_images_returns_sorted_classes_paths_and_labels(root: Path) -> None:
    dataset = list_images(root)
    assert dataset.class_names == ["Mars", "Venus"]
    assert dataset.paths == ["Mars/1.jpg", "Mars/2.png", "Venus/1.jpg", "Venus/2.JPEG"]
    assert dataset.labels == [0, 0, 1, 1]
    assert dataset.skipped.total() == 0
    validate_classes(dataset)


def test_list_images_skips_hidden_and_other_files(root: Path) -> None:
    touch(root, ".hidden.jpg", ".DS_Store", "readme.txt", "Mars/.hidden.jpg", "Mars/Thumbs.db", "Mars/jpg")
    (root / ".git").mkdir()
    dataset = list_images(root)
    assert len(dataset.paths) == 4
    assert dataset.skipped == {"hidden": 4, ".txt": 1, ".db": 1, "no extension": 1}


def test_list_images_follows_links(root: Path) -> None:
    (root / "Mars").rename(root.parent / "elsewhere")
    (root / "Mars").symlink_to(root.parent / "elsewhere")
    (root / "Mars" / "broken.jpg").symlink_to("nothing")
    (root / "Mars" / "circle.jpg").symlink_to("circle.jpg")
    assert list_images(root).paths[:4] == ["Mars/1.jpg", "Mars/2.png", "Mars/broken.jpg", "Mars/circle.jpg"]


def empty_all_but_one_class(root: Path) -> None:
    shutil.rmtree(root / "Mars")
    (root / "Mars").mkdir()


INVALID: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "is not a folder; run `python src/render.py"),
    "file": (lambda root: (shutil.rmtree(root), root.touch()), "is not a folder"),
    "empty": (lambda root: (shutil.rmtree(root), root.mkdir()), "has 0 classes; at least two classes"),
    "one_class": (lambda root: shutil.rmtree(root / "Mars"), "has 1 classes; at least two classes"),
    "class_without_files": (lambda root: (root / "Ceres").mkdir(), "classes without images; add images, or remove the"),
    "one_class_emptied": (empty_all_but_one_class, "(1):\n  Mars"),
    "case": (lambda root: (root / "Mars").rename(root / "venus"), "differ only in case, white space or Unicode form"),
    "unprintable": (
        lambda root: (root / "Mars").rename(root / "Ma\nrs"),
        "not printable text; rename them (1):\n  Ma\\n",
    ),
    "not_utf8": (lambda root: (root / "Mars").rename(root / "\udcff"), "not printable text; rename them (1):"),
    "too_deep": (lambda root: (root / "Mars" / "more").mkdir(), "Mars/more is a folder inside a class folder"),
    "folder.jpg": (lambda root: (root / "Mars" / "x.jpg").mkdir(), "Mars/x.jpg is a folder inside a class folder"),
    "too_shallow": (lambda root: (root / "a.jpg").touch(), "a.jpg is not in a class folder"),
    "circle": (lambda root: (root / "Mars" / "circle").symlink_to(root), "Mars/circle is a folder inside a class"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_dataset_is_an_error_that_names_the_problem(root: Path, case: str) -> None:
    change, message = INVALID[case]
    change(root)
    with pytest.raises(UserError) as error:
        validate_classes(list_images(root))
    assert message in str(error.value)
    assert os.fspath(root) in str(error.value)
