"""Split a dataset into a training, a validation and a test set, by the content of its images."""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from classifier.config import PrepareParams
from utils.errors import UserError

Item = TypeVar("Item")


def split_by_content(
    digests: list[bytes],
    group_ids: list[int],
    labels: list[int],
    class_names: list[str],
    params: PrepareParams,
    has_given_groups: bool = False,
) -> dict[str, list[int]]:
    """Split the images into a training, a validation and a test set. Images of one group are always in the same set.

    Groups are sorted by SHA-256(seed + content) of their first image. The first `split` share of each class becomes the
    test set, and the next `validation` share the validation set. So the result does not depend on file names, an added
    image moves at most one other image of its class between two sets (if no groups are larger), and the test set does
    not depend on `validation`. Training and test set have images of each class; so has the validation set, if the class
    has enough groups. With `fold`, the test set is one of several folds instead: see `divide_into_folds`.

    Args:
        digests: the SHA-256 of the content of each image.
        group_ids: the group of each image; the first image of a group is the one with the smallest digest.
        labels: the class of each image, as an index into `class_names`.
        class_names: for the error message.
        params: the seed and the shares of the sets.
        has_given_groups: the dataset gives groups, which may be large: then the validation set has images of each
            class, even if that is more than its share.

    Returns:
        The indices of the images in "train", "validation" (unless it is empty) and "test". All are sorted by the hash,
        which mixes the classes.

    Raises:
        UserError: a class has too few groups.
    """
    groups = sort_groups(digests, group_ids, labels, params)
    test = _choose_test_images(groups, labels, class_names, params)
    num_test = Counter(labels[i] for i in test)
    rest = [group for group in groups if group[0] not in test]
    quotas = {label: num_validation_images(n, num_test[label], params) for label, n in Counter(labels).items()}
    validation = (choose_groups if has_given_groups else fill_quotas)(rest, labels, quotas)
    order = sort_images(digests, labels, params)
    splits = {
        "train": [i for i in order if i not in test and i not in validation],
        "validation": [i for i in order if i in validation],
        "test": [i for i in order if i in test],
    }
    return {name: indices for name, indices in splits.items() if indices}


def _choose_test_images(
    groups: list[list[int]], labels: list[int], class_names: list[str], params: PrepareParams
) -> set[int]:
    """Return the test images, which leave training images of each class.

    Raises:
        UserError: a class has too few groups.
    """
    class_counts = Counter(labels)
    if params.fold:
        number, num_folds = params.fold
        test = divide_into_folds(groups, labels, class_names, num_folds)[number - 1]
    else:
        test = choose_groups(groups, labels, {label: num_test_images(n, params) for label, n in class_counts.items()})
    num_test = Counter(labels[i] for i in test)
    for label, class_name in enumerate(class_names):
        if not 0 < num_test[label] < class_counts[label]:
            raise UserError(
                f"class {class_name} has too few different images or groups for training and testing; add some"
            )
    return test


def sort_images(digests: list[bytes], labels: list[int], params: PrepareParams) -> list[int]:
    """Return the indices of the images, sorted by SHA-256(seed + content)."""
    keys = _content_keys(digests, params)
    return sorted(range(len(keys)), key=lambda i: (keys[i], labels[i]))


def sort_groups(
    digests: list[bytes], group_ids: list[int], labels: list[int], params: PrepareParams
) -> list[list[int]]:
    """Return the groups as indices of images, sorted by SHA-256(seed + content) of their first image."""
    keys = _content_keys(digests, params)
    groups = group_by(range(len(keys)), group_ids.__getitem__)
    for group in groups:
        group.sort(key=lambda i: (digests[i], labels[i]))
    groups.sort(key=lambda group: keys[group[0]])
    # Groups with several classes come first, because the images of one class can then still fill its quota.
    groups.sort(key=lambda group: len(_count_labels(group, labels)) == 1)
    return groups


def _content_keys(digests: list[bytes], params: PrepareParams) -> list[bytes]:
    return [hashlib.sha256(struct.pack("<Q", params.seed) + digest).digest() for digest in digests]


def num_test_images(num_images: int, params: PrepareParams) -> int:
    """Return how many images of a class the test set gets: its share, but at least one, and not all."""
    return min(max(round(params.test_share * num_images), 1), num_images - 1)


def num_validation_images(num_images: int, num_test: int, params: PrepareParams) -> int:
    """Return how many images of a class the validation set gets: its share, but at least one, if one is left."""
    if not params.validation:
        return 0
    return min(max(round(params.validation * num_images), 1), num_images - num_test - 1)


def divide_into_folds(
    groups: list[list[int]], labels: list[int], class_names: list[str], num_folds: int
) -> list[set[int]]:
    """Divide the images into folds. Each image is in exactly one, and each fold has images of each class.

    Large groups come first. Each group goes to the fold with the fewest images of its classes, so the folds have about
    the same number of images of each class.

    Args:
        groups: the images that stay together.
        labels: see `split_by_content`.
        class_names: for the error message.
        num_folds: at least 2.

    Raises:
        UserError: a class has fewer groups than there are folds.
    """
    folds: list[set[int]] = [set() for _ in range(num_folds)]
    counts: list[Counter[int]] = [Counter() for _ in range(num_folds)]
    for group in sorted(groups, key=len, reverse=True):
        group_counts = _count_labels(group, labels)
        k = min(range(num_folds), key=lambda k: (sum(counts[k][label] for label in group_counts), len(folds[k])))
        folds[k].update(group)
        counts[k].update(group_counts)
    for label, class_name in enumerate(class_names):
        if not all(count[label] for count in counts):
            raise UserError(
                f"class {class_name} has too few different images for {num_folds} folds; add some, or use fewer folds"
            )
    return folds


def choose_groups(groups: list[list[int]], labels: list[int], quotas: dict[int, int]) -> set[int]:
    """Choose groups by `fill_quotas`. A class whose groups are all larger than its quota gets its smallest one."""
    chosen = fill_quotas(groups, labels, quotas)
    class_counts = Counter(labels[i] for group in groups for i in group)
    counts = Counter(labels[i] for i in chosen)
    for label in sorted(quotas):
        if quotas[label] and not counts[label]:
            chosen.update(_smallest_group(groups, labels, label, class_counts - counts))
            counts = Counter(labels[i] for i in chosen)
    return chosen


def fill_quotas(groups: list[list[int]], labels: list[int], quotas: dict[int, int]) -> set[int]:
    """Choose groups, in order, until each class has as many images as its quota."""
    remaining = Counter(quotas)
    chosen: set[int] = set()
    for group in groups:
        group_counts = _count_labels(group, labels)
        if all(count <= remaining[label] for label, count in group_counts.items()):
            chosen.update(group)
            remaining.subtract(group_counts)
    return chosen


def _smallest_group(groups: list[list[int]], labels: list[int], label: int, available: Counter[int]) -> list[int]:
    """Return the smallest group with images of a class without which each class still has some; [] if none."""
    candidates = [
        group
        for group in groups
        if any(labels[i] == label for i in group)
        and all(count < available[other] for other, count in _count_labels(group, labels).items())
    ]
    return min(candidates, key=len, default=[])


def _count_labels(group: list[int], labels: list[int]) -> dict[int, int]:
    """Return the number of images of each class; most groups are a single image."""
    return {labels[group[0]]: 1} if len(group) == 1 else Counter(labels[i] for i in group)


def group_by(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Return the items in groups with the same key. Groups and items keep their order."""
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
