"""Group the images that must be in the same set: identical files and near-duplicates."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from classifier.config import PrepareParams
from classifier.data.decoder import ImageInfo
from classifier.data.duplicates import NUM_THUMBNAIL_BYTES, NearDuplicates
from classifier.data.split import group_by, num_test_images, num_validation_images


@dataclass(frozen=True)
class Grouping:
    """Which images belong together.

    Attributes:
        group_ids: one per image; images of the same group have the same number. The numbers ascend by content.
        divided_labels: the classes with a group of near-duplicates that was too large and was divided.
    """

    group_ids: list[int]
    divided_labels: list[int]

    def near_duplicates(self, infos: list[ImageInfo]) -> list[list[int]]:
        """Return the groups that contain different files, as indices of images."""
        groups = group_by(range(len(infos)), self.group_ids.__getitem__)
        return [group for group in groups if len({infos[i].digest for i in group}) > 1]


def group_images(infos: list[ImageInfo], labels: list[int], params: PrepareParams) -> Grouping:
    """Group identical files and, with `near_duplicates: together`, near-duplicates.

    A group of near-duplicates that has more images of a class than the training set may have is divided: otherwise no
    images would be left for the other sets.

    Args:
        infos: one per image.
        labels: the class of each image.
        params: the shares of the sets, and whether near-duplicates stay together.
    """
    # Each file once, in the order of the content: so the result does not depend on file names.
    files = sorted(group_by(range(len(infos)), lambda i: infos[i].digest), key=lambda copies: infos[copies[0]].digest)
    group_ids = list(range(len(files)))
    divided: set[int] = set()

    compared = [k for k, indices in enumerate(files) if not infos[indices[0]].has_single_color]
    if params.near_duplicates == "together" and compared:
        max_sizes = {label: max_group_size(n, params) for label, n in Counter(labels).items()}

        def is_too_large(group: list[int]) -> bool:
            counts = Counter(labels[i] for k in group for i in files[compared[k]])
            too_large = {label for label, n in counts.items() if n > max_sizes[label]}
            divided.update(too_large)
            return bool(too_large)

        thumbnails = np.frombuffer(b"".join(infos[files[k][0]].thumbnails for k in compared), np.uint8)
        near_duplicates = NearDuplicates(thumbnails.reshape(len(compared), NUM_THUMBNAIL_BYTES))
        for group in near_duplicates.find_groups(is_too_large):
            for k in group:
                group_ids[compared[k]] = compared[group[0]]

    id_of_image = {i: group_id for group_id, indices in zip(group_ids, files, strict=True) for i in indices}
    return Grouping([id_of_image[i] for i in range(len(infos))], sorted(divided))


def max_group_size(num_images: int, params: PrepareParams) -> int:
    """Return how many images of a class a group may have: as many as the training set, or half of the class."""
    num_test = num_test_images(num_images, params)
    num_train = num_images - num_test - num_validation_images(num_images, num_test, params)
    return max(num_train, (num_images + 1) // 2)
