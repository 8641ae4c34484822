"""Split a dataset into a training and a test set, by the content of its images."""

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from classifier.config import PrepareParams
from classifier.data.discovery import ImageFolder
from utils.errors import UserError
from utils.files import format_list, printable, read_regular_file
from utils.parallel import Pool

HASH_CHUNK_SIZE = 256  # files per task

Item = TypeVar("Item")


def hash_images(pool: Pool, dataset: ImageFolder) -> list[bytes]:
    """Return the SHA-256 of the content of each file."""
    paths = dataset.paths
    chunks = [paths[i : i + HASH_CHUNK_SIZE] for i in range(0, len(paths), HASH_CHUNK_SIZE)]
    return list(chain.from_iterable(pool.imap(partial(hash_files, dataset.root.resolve()), chunks)))


def hash_files(root: Path, paths: list[str]) -> list[bytes]:
    """Return the SHA-256 of the content of each file; of its name if the file cannot be read."""
    digests = []
    for path in paths:
        try:
            content = read_regular_file(f"{root}/{path}")
        except (OSError, ValueError):
            content = os.fsencode(path)  # unique, until `decode_chunk` reports the file
        digests.append(hashlib.sha256(content).digest())
    return digests


def warn_about_label_conflicts(dataset: ImageFolder, digests: list[bytes]) -> None:
    """Print the images that occur in more than one class."""
    conflicts = [
        " and ".join(dataset.paths[i] for i in group)
        for group in _group_by(range(len(digests)), digests.__getitem__)
        if len({dataset.labels[i] for i in group}) > 1
    ]
    if conflicts:
        print(format_list(f"warning: {printable(dataset.root)} has the same image in several classes", conflicts))


def split_by_content(
    digests: list[bytes], labels: list[int], class_names: list[str], params: PrepareParams
) -> dict[str, list[int]]:
    """Split the images into a training and a test set.

    Images are sorted by SHA-256(seed + content). The first `split` share of each class becomes the test set. So the
    result does not depend on file names, and an added image moves at most one other image of its class. Identical
    images are always in the same set, even if they are in different classes. Each set has images of each class.

    Args:
        digests: the SHA-256 of the content of each image.
        labels: the class of each image, as an index into `class_names`.
        class_names: for the error message.
        params: the seed and the share of the test set.

    Returns:
        The indices of the images in "train" and in "test". Both are sorted by the hash, which mixes the classes.

    Raises:
        UserError: a class has too few different images.
    """
    keys = [hashlib.sha256(struct.pack("<Q", params.seed) + digest).digest() for digest in digests]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], labels[i]))
    class_counts = Counter(labels)
    quotas = {label: min(max(round(params.split * n), 1), n - 1) for label, n in class_counts.items()}
    test = _fill_quotas(_group_by(order, keys.__getitem__), labels, quotas)
    num_test = Counter(labels[i] for i in test)
    for label, class_name in enumerate(class_names):
        if not 0 < num_test[label] < class_counts[label]:
            raise UserError(f"class {class_name} has too few different images for training and testing; add some")
    return {"train": [i for i in order if i not in test], "test": [i for i in order if i in test]}


def _fill_quotas(duplicate_groups: list[list[int]], labels: list[int], quotas: dict[int, int]) -> set[int]:
    """Choose groups of identical images, in order, until each class has as many images as its quota."""
    remaining = Counter(quotas)
    chosen: set[int] = set()
    # Groups with several classes come first, because the images of one class can then still fill its quota.
    for group in sorted(duplicate_groups, key=lambda group: len({labels[i] for i in group}) == 1):
        group_counts = Counter(labels[i] for i in group)
        if all(count <= remaining[label] for label, count in group_counts.items()):
            chosen.update(group)
            remaining.subtract(group_counts)
    return chosen


def _group_by(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
