"""classifier.data.grouping: which images must be in the same set."""

import hashlib

import numpy as np
import pytest

from classifier.config import PrepareParams
from classifier.data.decoder import ImageInfo
from classifier.data.duplicates import NUM_THUMBNAIL_BYTES
from classifier.data.grouping import group_images, max_group_size
from classifier.data.split import split_by_content

PARAMS = PrepareParams(seed=77, split=0.2, image_size=(8, 8), grayscale=False)
THUMBNAILS = np.random.default_rng(0).integers(0, 256, (100, NUM_THUMBNAIL_BYTES), np.uint8)


def info(content: int, scene: int, **changes: object) -> ImageInfo:
    """Return the info of an image; images of the same scene are near-duplicates."""
    return ImageInfo(hashlib.sha256(str(content).encode()).digest(), thumbnails=bytes(THUMBNAILS[scene]), **changes)


def test_group_images_joins_identical_files_and_near_duplicates() -> None:
    infos = [info(0, 0), info(1, 1), info(0, 0), info(2, 1), info(3, 2), *(info(i, i) for i in range(10, 30))]
    grouping = group_images(infos, [0] * len(infos), PARAMS)
    a, b, c, d, e, *others = grouping.group_ids
    assert a == c and b == d and len({a, b, e, *others}) == 23
    assert grouping.near_duplicates == [[1, 3]] and grouping.divided_labels == []


def test_group_images_with_separate_joins_identical_files_only() -> None:
    infos = [info(0, 0), info(1, 1), info(0, 0), info(2, 1), *(info(i, i) for i in range(10, 30))]
    grouping = group_images(infos, [0] * len(infos), PARAMS.model_copy(update={"near_duplicates": "separate"}))
    assert grouping.group_ids[0] == grouping.group_ids[2] and len(set(grouping.group_ids)) == 23
    assert grouping.near_duplicates == []


def test_group_images_ignores_images_of_a_single_colour() -> None:
    infos = [info(i, 0, has_single_color=True) for i in range(6)]
    assert len(set(group_images(infos, [0, 0, 0, 1, 1, 1], PARAMS).group_ids)) == 6


def test_group_images_divides_a_class_that_is_one_group() -> None:
    infos = [info(i, i) for i in range(10)] + [info(i, 50) for i in range(10, 20)]
    labels = [0] * 10 + [1] * 10
    grouping = group_images(infos, labels, PARAMS)
    assert grouping.divided_labels == [1]
    digests = [image.digest for image in infos]
    splits = split_by_content(digests, grouping.group_ids, labels, ["a", "b"], PARAMS)
    assert {labels[i] for i in splits["test"]} == {labels[i] for i in splits["train"]} == {0, 1}


def test_group_images_does_not_depend_on_the_order() -> None:
    infos = [info(i, i // 3) for i in range(60)]
    expected = group_images(infos, [0] * 60, PARAMS).group_ids
    order = np.random.default_rng(1).permutation(60)
    assert group_images([infos[i] for i in order], [0] * 60, PARAMS).group_ids == [expected[i] for i in order]


@pytest.mark.parametrize(("num_images", "expected"), [(2, 1), (3, 2), (10, 7), (146, 102)])
def test_max_group_size_is_the_training_set_or_half_of_the_class(num_images: int, expected: int) -> None:
    assert max_group_size(num_images, PARAMS) == expected


def test_group_images_joins_given_groups_and_their_near_duplicates() -> None:
    infos = [info(0, 0), info(1, 1), info(2, 1), info(3, 3), info(0, 0), *(info(i, i) for i in range(10, 30))]
    groups = ["", "a", "b", "b", "c", *[""] * 20]
    grouping = group_images(infos, [0] * len(infos), PARAMS, groups)
    zero, a, b, also_b, copy_of_zero, *others = grouping.group_ids
    assert a == b == also_b and zero == copy_of_zero and len({a, zero, *others}) == 22
    assert grouping.near_duplicates == [[1, 2]] and grouping.divided_labels == []


def test_group_images_never_divides_a_given_group() -> None:
    """Near-duplicates connect all groups to one that is too large, so they are divided, but the groups are not."""
    infos = [info(i, 50) for i in range(20)]
    groups = [f"patient {i // 4}" for i in range(20)]
    grouping = group_images(infos, [0, 1] * 10, PARAMS, groups)
    ids = [set(grouping.group_ids[i : i + 4]) for i in range(0, 20, 4)]
    assert all(len(group) == 1 for group in ids) and len(set().union(*ids)) == 5
    assert grouping.divided_labels == [0, 1]
    single = group_images([info(i, i) for i in range(8)], [0] * 8, PARAMS, ["a"] * 8)
    assert len(set(single.group_ids)) == 1 and single.divided_labels == []


def test_group_images_connects_groups_with_an_image_in_both_also_of_a_single_colour() -> None:
    infos = [info(i, i) for i in range(6)]
    infos[2] = infos[3] = info(9, 9, has_single_color=True)
    ids = group_images(infos, [0] * 6, PARAMS, ["a", "a", "a", "b", "b", ""]).group_ids
    assert len(set(ids[:5])) == 1 and ids[5] != ids[0]


def test_group_images_of_a_given_split_lists_all_copies() -> None:
    infos = [info(i, 50) for i in range(10)] + [info(20, 1), info(20, 1)]
    grouping = group_images(infos, [0] * 12, PARAMS, is_split_given=True)
    assert sorted(grouping.near_duplicates) == [list(range(10)), [10, 11]] and grouping.divided_labels == []


def test_group_images_divides_near_duplicates_that_connect_all_given_groups() -> None:
    """The last image of each group is a near-duplicate of the first one of the next group."""
    scenes = [10 * (i // 4) + i % 4 if i % 4 < 3 else 10 * (i // 4 + 1) for i in range(20)]
    infos, groups = [info(i, scene) for i, scene in enumerate(scenes)], [f"patient {i // 4}" for i in range(20)]
    grouping = group_images(infos, [0] * 20, PARAMS, groups)
    assert len(set(grouping.group_ids)) == 5 and grouping.divided_labels == [0]
    assert grouping.near_duplicates == [[3, 4], [7, 8], [11, 12], [15, 16]]


def test_group_images_reports_no_division_that_given_groups_undo() -> None:
    infos = [info(i, 50) for i in range(10)] + [info(i, i) for i in range(10, 12)]
    assert group_images(infos, [0] * 12, PARAMS).divided_labels == [0]
    assert group_images(infos, [0] * 12, PARAMS, ["a"] * 10 + ["", ""]).divided_labels == []
