"""Assign the images of a dataset to the training, the validation and the test set."""

from collections import Counter

from classifier.config import PrepareParams
from classifier.data.decoder import ImageInfo
from classifier.data.discovery import RawDataset
from classifier.data.grouping import Grouping, group_images
from classifier.data.split import choose_groups, num_validation_images, sort_groups, sort_images, split_by_content
from utils.errors import UserError


def assign_images(
    dataset: RawDataset, infos: list[ImageInfo], params: PrepareParams
) -> tuple[dict[str, list[int]], Grouping]:
    """Split a dataset by content, or as given.

    If a given split has no validation images, some training images become validation images. A given test set is never
    changed, even if it has near-duplicates of training images.

    Returns:
        The indices of the images in "train", "validation" (unless it is empty) and "test", and the groups of images.

    Raises:
        UserError: a class has too few groups, or the dataset has a given split and `params` a fold.
    """
    digests = [info.digest for info in infos]
    if not dataset.splits:
        grouping = group_images(infos, dataset.labels, params, dataset.groups)
        splits = split_by_content(
            digests, grouping.group_ids, dataset.labels, dataset.class_names, params, bool(dataset.groups)
        )
        return splits, grouping
    if params.fold:
        raise UserError("the dataset has a given split, so it cannot be divided into folds; remove the split")
    grouping = group_images(infos, dataset.labels, params, is_split_given=True)
    split_of_image = list(dataset.splits)
    if "validation" not in dataset.splits:
        for i in _choose_validation_images(dataset, infos, params):
            split_of_image[i] = "validation"
    order = sort_images(digests, dataset.labels, params)
    splits = {name: [i for i in order if split_of_image[i] == name] for name in ("train", "validation", "test")}
    return {name: images for name, images in splits.items() if images}, grouping


def _choose_validation_images(dataset: RawDataset, infos: list[ImageInfo], params: PrepareParams) -> list[int]:
    """Return a share of the training images of each class, chosen by content."""
    indices = [i for i, split in enumerate(dataset.splits or ()) if split == "train"]
    train, train_infos = dataset.select(indices), [infos[i] for i in indices]
    grouping = group_images(train_infos, train.labels, params, train.groups)
    groups = sort_groups([info.digest for info in train_infos], grouping.group_ids, train.labels, params)
    quotas = {label: num_validation_images(n, 0, params) for label, n in Counter(train.labels).items()}
    return [indices[i] for i in choose_groups(groups, train.labels, quotas)]
