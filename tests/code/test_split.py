"""classifier.data.split: training and test set, chosen by content."""

import hashlib
import random
from collections import Counter
from itertools import chain
from typing import Any

import pytest

from classifier.config import PrepareParams
from classifier.data.split import split_by_content
from utils.errors import UserError

PARAMS = PrepareParams(seed=77, split=0.25, validation=0, image_size=(8, 8), grayscale=False)


def digest(content: object) -> bytes:
    return hashlib.sha256(repr(content).encode()).digest()


def split_all(
    contents: list[object], labels: list[int], groups: list[int] | None = None, **changes: Any
) -> dict[str, list[int]]:
    """Split images with these contents and groups (default: identical images); class i is named "class i"."""
    class_names = [f"class {i}" for i in range(max(labels) + 1)]
    digests = list(map(digest, contents))
    group_ids = groups or [sorted(set(digests)).index(value) for value in digests]
    splits = split_by_content(digests, group_ids, labels, class_names, PARAMS.model_copy(update=changes))
    assert sorted(chain.from_iterable(splits.values())) == list(range(len(contents)))
    return splits


def split(contents: list[object], labels: list[int], **changes: float) -> tuple[list[int], list[int]]:
    """Split images into a training and a test set, without validation."""
    splits = split_all(contents, labels, **changes)
    assert list(splits) == ["train", "test"]
    return splits["train"], splits["test"]


@pytest.mark.parametrize("share", [0.01, 0.2, 0.25, 0.5, 0.99])
def test_split_takes_the_share_of_each_class(share: float) -> None:
    labels = [0] * 2 + [1] * 12 + [2] * 40
    _, test = split(list(range(54)), labels, split=share)
    for label, count in Counter(labels).items():
        num_test = sum(labels[i] == label for i in test)
        assert num_test == min(max(round(share * count), 1), count - 1)


def test_split_is_the_first_share_of_each_class_in_the_order_of_the_hash() -> None:
    contents, labels = list(range(24)), [0, 1, 2] * 8
    order = sorted(contents, key=lambda i: hashlib.sha256(PARAMS.seed.to_bytes(8, "little") + digest(i)).digest())
    train, test = split(contents, labels)
    expected = {i for label in range(3) for i in [i for i in order if labels[i] == label][:2]}
    assert test == [i for i in order if i in expected]
    assert train == [i for i in order if i not in expected]


def test_split_does_not_depend_on_the_order_of_the_images() -> None:
    images = [(content, content % 3) for content in range(60)]
    expected = {images[i] for i in split(*map(list, zip(*images, strict=True)))[1]}
    for seed in range(5):
        random.Random(seed).shuffle(images)
        assert {images[i] for i in split(*map(list, zip(*images, strict=True)))[1]} == expected


def test_split_depends_on_the_seed() -> None:
    contents, labels = list(range(40)), [0, 1] * 20
    assert split(contents, labels)[1] != split(contents, labels, seed=78)[1]


def test_split_moves_at_most_one_image_when_one_is_added() -> None:
    contents, labels = list(range(40)), [0, 1] * 20
    before = set(split(contents, labels)[1])
    for added in range(100, 130):
        changed = before ^ set(split([*contents, added], [*labels, 0])[1])
        assert len(changed - {40}) <= 1
        assert all(i == 40 or labels[i] == 0 for i in changed)


def test_split_keeps_identical_images_together_even_across_classes() -> None:
    rng = random.Random(7)
    for _ in range(50):
        contents = [rng.randrange(30) for _ in range(60)]
        labels = [rng.randrange(2) for _ in contents]
        train, test = split(contents, labels, split=0.3)
        assert not {contents[i] for i in train} & {contents[i] for i in test}
        assert {labels[i] for i in train} == {labels[i] for i in test} == {0, 1}


@pytest.mark.parametrize(
    ("contents", "labels"), [([1, 2, 3], [0, 0, 1]), ([1, 2, 3, 3, 3], [0, 0, 1, 1, 1])], ids=["one", "duplicates"]
)
def test_split_rejects_class_with_one_image(contents: list[object], labels: list[int]) -> None:
    with pytest.raises(
        UserError, match="class 1 has too few different images or groups for training and testing; add some"
    ):
        split(contents, labels)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
def test_split_takes_validation_images_from_the_training_images(share: float) -> None:
    contents, labels = list(range(55)), [0] * 2 + [1] * 3 + [2] * 10 + [3] * 40
    train, test = split(contents, labels)
    splits = split_all(contents, labels, validation=share)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["test"] == test
    # The order is that of the hash: of each class, the first images after the test images.
    for label, count in Counter(labels).items():
        before = [i for i in train if labels[i] == label]
        num_validation = min(max(round(share * count), 1), len(before) - 1)
        assert [i for i in splits["validation"] if labels[i] == label] == before[:num_validation]
        assert [i for i in splits["train"] if labels[i] == label] == before[num_validation:]


def test_split_with_two_images_per_class_has_no_validation_images() -> None:
    assert list(split_all([1, 2, 3, 4], [0, 0, 1, 1], validation=0.1)) == ["train", "test"]


def test_split_into_three_sets_keeps_identical_images_together_even_across_classes() -> None:
    rng = random.Random(7)
    for _ in range(50):
        contents = [rng.randrange(40) for _ in range(80)]
        labels = [rng.randrange(2) for _ in contents]
        splits = split_all(contents, labels, validation=0.2)
        found = [{contents[i] for i in indices} for indices in splits.values()]
        assert sum(map(len, found)) == len(set(contents))
        assert {labels[i] for i in splits["train"]} == {labels[i] for i in splits["test"]} == {0, 1}


@pytest.mark.parametrize("validation", [0, 0.2])
def test_split_never_divides_a_group(validation: float) -> None:
    rng = random.Random(7)
    for _ in range(50):
        groups = [rng.randrange(40) for _ in range(120)]
        labels = [rng.randrange(3) for _ in groups]
        splits = split_all(list(range(120)), labels, groups, validation=validation)
        found = [{groups[i] for i in indices} for indices in splits.values()]
        assert sum(map(len, found)) == len(set(groups))
        assert {labels[i] for i in splits["train"]} == {labels[i] for i in splits["test"]} == {0, 1, 2}


def test_split_takes_the_smallest_group_if_all_are_larger_than_the_share() -> None:
    labels, groups = [0] * 100, [0] * 45 + [1] * 30 + [2] * 25
    splits = split_all(list(range(100)), labels, groups, split=0.2, validation=0.1)
    assert {name: len(indices) for name, indices in splits.items()} == {"train": 75, "test": 25}


def test_split_takes_large_groups_no_more_often_than_small_ones() -> None:
    # One group of 10 images and 90 single images, for 200 seeds: it fits only if it is among the first ten or so.
    groups = [0] * 10 + list(range(1, 91))
    num_chosen = sum(0 in split_all(list(range(100)), [0] * 100, groups, seed=seed)["test"] for seed in range(200))
    assert 10 <= num_chosen <= 50


def test_split_rejects_a_class_that_is_one_group() -> None:
    with pytest.raises(UserError, match="class 1 has too few different images"):
        split_all(list(range(8)), [0] * 4 + [1] * 4, [0, 1, 2, 3, 4, 4, 4, 4])


@pytest.mark.parametrize("num_folds", [2, 3, 7])
def test_folds_have_each_image_once_and_about_the_same_number_of_each_class(num_folds: int) -> None:
    labels = [0] * 7 + [1] * 12 + [2] * 40
    tests = [split_all(list(range(59)), labels, fold=(k, num_folds))["test"] for k in range(1, num_folds + 1)]
    assert sorted(chain.from_iterable(tests)) == list(range(59))
    for label in range(3):
        counts = [sum(labels[i] == label for i in test) for test in tests]
        assert max(counts) - min(counts) <= 1


def test_folds_never_divide_a_group() -> None:
    rng = random.Random(7)
    for _ in range(50):
        groups, labels = [rng.randrange(40) for _ in range(120)], [rng.randrange(3) for _ in range(120)]
        folds = [split_all(list(range(120)), labels, groups, fold=(k, 3), validation=0.2) for k in (1, 2, 3)]
        assert sorted(chain.from_iterable(fold["test"] for fold in folds)) == list(range(120))
        for fold in folds:
            found = [{groups[i] for i in indices} for indices in fold.values()]
            assert sum(map(len, found)) == len(set(groups)) and len(fold) == 3


def test_fold_of_a_class_with_fewer_groups_than_folds_is_an_error() -> None:
    labels, groups = [0] * 8 + [1] * 8, [*range(8), 8, 8, 8, 8, 9, 9, 10, 10]
    for k in (1, 2, 3):
        split_all(list(range(16)), labels, groups, fold=(k, 3))
    with pytest.raises(
        UserError, match="class 1 has too few different images for 4 folds; add some, or use fewer folds"
    ):
        split_all(list(range(16)), labels, groups, fold=(1, 4))
