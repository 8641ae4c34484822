"""classifier.data.checks: names of classes, folders that are not classes, and images that are suspicious."""

import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from classifier.data.checks import validate_classes, validate_images
from classifier.data.decoder import ImageInfo
from classifier.data.discovery import RawDataset
from utils.errors import UserError


def make_dataset(*class_names: str, num_images: int = 2) -> RawDataset:
    """Return a dataset with images `<class>/<number>.jpg`; no file exists."""
    names = sorted(class_names)
    paths = [f"{name}/{i}.jpg" for name in names for i in range(num_images)]
    labels = [label for label in range(len(names)) for _ in range(num_images)]
    return RawDataset(Path("raw"), names, paths, labels, train_dir=Path("raw"))


def refusal(*class_names: str) -> str:
    with pytest.raises(UserError) as error:
        validate_classes(make_dataset(*class_names))
    return str(error.value)


CERES = unicodedata.normalize("NFC", "Cérès")
ALIKE = {
    "case": ("Mars", "mars"),
    "sharp_s": ("Straße", "STRASSE"),
    "unicode": (CERES, unicodedata.normalize("NFD", CERES)),
    "unicode_and_case": (CERES.upper(), unicodedata.normalize("NFD", CERES)),
    "order_of_marks": ("\u1fb4", "\u03b1\u0345\u0301"),
    "trailing_space": ("Mars", "Mars "),
    "leading_tab": ("Mars", "\tMars"),
    "inner_spaces": ("red  planet", "red planet"),
    "no_break_space": ("red\u00a0planet", "red planet"),
    "ideographic_space": ("red\u3000planet", "red planet"),
    "everything": (f" {unicodedata.normalize('NFD', CERES)}  A", f"{CERES.upper()} a"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_validate_classes_of_names_that_look_alike_names_them(case: str) -> None:
    message = refusal(*ALIKE[case], "Venus")
    assert "differ only in case, white space or Unicode form; rename or merge them (2):\n" in message
    names = [line.split(" = ")[0].strip().strip("'") for line in message.splitlines()[1:]]
    assert len(names) == 2 and "Venus" not in message


def test_validate_classes_of_names_that_look_alike_tells_them_apart() -> None:
    message = refusal(*ALIKE["unicode"], "Venus")
    assert r"'C\xe9r\xe8s'" in message and r"'Ce\u0301re\u0300s'" in message


@pytest.mark.parametrize("name", [" Mars", "Mars ", "Mars\u3000"])
def test_validate_classes_of_a_name_with_white_space_around_it_names_it(name: str) -> None:
    message = refusal(name, "Venus")
    assert f"start or end with white space; rename them (1):\n  '{name}'" in message.replace("\\u3000", "\u3000")


@pytest.mark.parametrize("name", ["red planet", "New York", CERES, "火星", "🪐", "x-1", "Mars.2"])
def test_validate_classes_accepts_an_unusual_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    validate_classes(make_dataset(name, "Venus"))
    assert capsys.readouterr().err == ""


NOT_CLASSES = [
    ("train", "test"),
    ("Train", "Test"),
    ("training_set", "test_set"),
    ("train", "val", "test"),
    ("train2017", "val2017", "annotations"),
    ("Annotations", "ImageSets", "JPEGImages", "SegmentationClass", "SegmentationObject"),
    ("images", "labels"),
    ("images", "masks"),
    ("train_images", "train_labels", "test_images"),
]


@pytest.mark.parametrize("class_names", NOT_CLASSES, ids=" ".join)
def test_validate_classes_of_folders_that_are_not_classes_names_them(class_names: tuple[str, ...]) -> None:
    message = refusal(*class_names)
    assert "\n" not in message and "not of classes" in message and "<class>/<image>" in message
    for name in class_names:
        assert name in message


@pytest.mark.parametrize("class_names", [("control", "test"), ("cat", "dog", "images"), ("bus", "test", "train")])
def test_validate_classes_of_folders_of_which_some_may_not_be_classes_warns(
    class_names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    validate_classes(make_dataset(*class_names))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "will be classes, but they look like parts of a dataset" in error
    assert not {"control", "cat", "bus"} & set(error.replace(",", "").split())


@pytest.mark.parametrize("class_names", [("bus", "train"), ("trains", "tests"), ("valley", "imagery"), ("devil", "x")])
def test_validate_classes_of_similar_names_gives_no_warning(
    class_names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    validate_classes(make_dataset(*class_names))
    assert capsys.readouterr().err == ""


def test_validate_classes_of_a_class_without_images_names_the_files_that_it_has() -> None:
    dataset = RawDataset(Path("raw"), ["Mars", "Moon"], ["Moon/1.jpg"], [1], {"Mars": Counter({".nef": 26})})
    with pytest.raises(UserError, match=r"without images.*\n  Mars \(.nef: 26 \(convert to JPEG\)\)"):
        validate_classes(dataset)


def infos(*contents: object, **changes: object) -> list[ImageInfo]:
    """Return infos of readable images with these contents; `changes` are for the first."""
    digests = [hashlib.sha256(repr(content).encode()).digest() for content in contents]
    return [ImageInfo(digests[0], **changes), *map(ImageInfo, digests[1:])]


def test_validate_images_lists_unreadable_images() -> None:
    with pytest.raises(UserError) as error:
        validate_images(make_dataset("Mars", "Moon"), infos(1, 2, 3, 4, error="damaged"))
    headline = "some images in raw cannot be read; fix or remove them, or set prepare.unreadable to skip (1):"
    assert str(error.value) == f"{headline}\n  Mars/0.jpg: damaged"


def test_validate_images_names_images_of_several_classes(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset("Mars", "Moon", num_images=3)
    validate_images(dataset, infos(1, 2, 1, 4, 5, 6))
    assert capsys.readouterr().err == ""
    validate_images(dataset, infos(1, 2, 1, 1, 5, 6))
    warning = "raw: 1 images are in several classes: Mars/0.jpg and Mars/2.jpg and Moon/0.jpg\n"
    assert capsys.readouterr().err.endswith(warning)


def test_validate_images_names_at_most_ten_images_of_a_single_colour(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset("Mars", "Moon", num_images=8)
    validate_images(dataset, infos(*range(16), has_single_color=True))
    assert capsys.readouterr().err.endswith("1 images have a single colour, as the network sees them: Mars/0.jpg\n")
    validate_images(dataset, [info._replace(has_single_color=True) for info in infos(*range(16))])
    error = capsys.readouterr().err
    assert "16 images have a single colour" in error and error.endswith("Moon/1.jpg and 6 more\n")
