"""classifier.data.counts: warnings about the number of images of each class."""

import pytest

from classifier.data.counts import count_warnings
from utils.markdown import code_span


def counts(**test_images: int) -> dict[str, dict[str, int]]:
    """Return four training images per test image."""
    return {name: {"train": 4 * n, "test": n} for name, n in test_images.items()}


@pytest.mark.parametrize("test_images", [{"cat": 5, "dog": 5}, {"cat": 50, "dog": 5}, {"a": 5, "b": 7, "c": 49}])
def test_count_warnings_of_enough_images_are_none(test_images: dict[str, int]) -> None:
    assert count_warnings(counts(**test_images)) == []


def test_count_warnings_name_the_largest_and_the_smallest_class() -> None:
    (warning,) = count_warnings(counts(cat=500, dog=30, mouse=5))
    assert warning == (
        "The classes are imbalanced: cat has 100 times as many images as mouse. "
        "Look at the balanced accuracy, not at the accuracy alone."
    )


def test_count_warnings_name_the_classes_with_few_test_images() -> None:
    (warning,) = count_warnings(counts(cat=4, dog=1, mouse=8))
    assert warning == "Classes with fewer than 5 test images: cat (4), dog (1). Their scores say little."


def test_count_warnings_of_many_classes_are_short() -> None:
    (warning,) = count_warnings(counts(**{f"class_{i}": 1 for i in range(1000)}))
    assert warning.endswith("class_9 (1) and 990 more. Their scores say little.")


def test_count_warnings_of_a_class_without_images_are_both() -> None:
    unequal, few = count_warnings({"cat": {"test": 100}, "dog": {"test": 0}}, code_span)
    assert "`cat` has 100 times as many images as `dog`" in unequal and "images: `dog` (0)." in few


def test_count_warnings_tell_how_many_test_images_leak() -> None:
    (warning,) = count_warnings(counts(cat=10, dog=10), leaks=3)
    assert (
        warning
        == "3 of 20 test images are near-duplicates of training images. So the accuracy for new images is lower."
    )
