"""Group the images that must be in the same set: identical files and near-duplicates."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from classifier.config import PrepareParams
from classifier.data.decoder import ImageInfo
from classifier.data.duplicates import NUM_THUMBNAIL_BYTES, NearDuplicates, merge_roots
from classifier.data.split import group_by, num_test_images, num_validation_images
from utils.arrays import iter_groups


@dataclass(frozen=True)
class Grouping:
    """Which images belong together.

    Attributes:
        group_ids: one per image; images of the same group have the same number. The numbers ascend by content.
        near_duplicates: the groups of near-duplicates, as indices of images.
        divided_labels: the classes with a group of near-duplicates that was too large and was divided.
    """

    group_ids: list[int]
    near_duplicates: list[list[int]]
    divided_labels: list[int]


def group_images(
    infos: list[ImageInfo],
    labels: list[int],
    params: PrepareParams,
    given_groups: list[str] | None = None,
    is_split_given: bool = False,
) -> Grouping:
    """Group identical files and, with `near_duplicates: together`, near-duplicates.

    A group of near-duplicates that has more images of a class than the training set may have is divided: otherwise no
    images would be left for the other sets.

    Args:
        infos: one per image.
        labels: the class of each image.
        params: the shares of the sets, and whether near-duplicates stay together.
        given_groups: the group that the dataset gives each image, or ""; such a group is never divided.
        is_split_given: do not divide groups, and list identical files as near-duplicates, because they may be in
            different sets.
    """
    # Each file once, in the order of the content: so the result does not depend on file names.
    files = sorted(group_by(range(len(infos)), lambda i: infos[i].digest), key=lambda copies: infos[copies[0]].digest)
    compared = [k for k, copies in enumerate(files) if not infos[copies[0]].has_single_color]
    if params.near_duplicates == "separate":
        compared = []
    thumbnails = np.frombuffer(b"".join([infos[files[k][0]].thumbnails for k in compared]), np.uint8)
    near_duplicates = NearDuplicates(thumbnails.reshape(len(compared), NUM_THUMBNAIL_BYTES))
    max_sizes = {label: max_group_size(n, params) for label, n in Counter(labels).items()}
    divided: set[int] = set()

    def connect_near_duplicates(given_ids: np.ndarray) -> np.ndarray:
        """Return the group of each file: the number of its first file."""

        def is_too_large(group: list[int]) -> bool:
            counts = Counter(labels[i] for k in group for i in files[compared[k]])
            too_large = {label for label, n in counts.items() if n > max_sizes[label]}
            if is_split_given or not too_large or len({given_ids[compared[k]] for k in group}) == 1:
                return False
            divided.update(too_large)
            return True

        groups = near_duplicates.find_groups(is_too_large, given_ids[compared]) if compared else ()
        return _merge(given_ids, [(compared[group[0]], compared[k]) for group in groups for k in group[1:]])

    each_file = np.arange(len(files))
    group_ids = near_duplicate_ids = connect_near_duplicates(each_file)
    if given_groups:
        divided.clear()
        group_ids = connect_near_duplicates(_merge(each_file, _connect_given_groups(files, given_groups)))
    file_ids = np.empty(len(infos), int)
    file_ids[np.concatenate(files)] = np.repeat(each_file, [len(copies) for copies in files])
    groups = sorted(group.tolist() for group in iter_groups(near_duplicate_ids[file_ids]))
    return Grouping(
        group_ids[file_ids].tolist(),
        [group for group in groups if is_split_given or len(set(file_ids[group].tolist())) > 1],
        sorted(divided),
    )


def _connect_given_groups(files: list[list[int]], given_groups: list[str]) -> list[tuple[int, int]]:
    """Return pairs of files that connect each given group."""
    first_files: dict[str, int] = {}
    return [
        (first_files.setdefault(name, k), k)
        for k, indices in enumerate(files)
        for name in sorted({given_groups[i] for i in indices} - {""})
    ]


def _merge(ids: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    return merge_roots(ids.copy(), *np.array(pairs, int).reshape(-1, 2).T)


def max_group_size(num_images: int, params: PrepareParams) -> int:
    """Return how many images of a class a group may have: as many as the training set, or half of the class."""
    num_test = num_test_images(num_images, params)
    num_train = num_images - num_test - num_validation_images(num_images, num_test, params)
    return max(num_train, (num_images + 1) // 2)
