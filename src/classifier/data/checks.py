"""Check the classes and the images of a dataset; errors stop `prepare.py`, warnings do not."""

import re
import unicodedata
from collections import Counter

from classifier.data.decoder import ImageInfo
from classifier.data.discovery import RawDataset
from classifier.data.given_split import validate_splits
from classifier.data.labels_csv import LABELS_FILE
from classifier.data.skipped import describe_skipped
from classifier.data.split import group_by
from utils.cli import print_warning
from utils.errors import UserError
from utils.files import format_list, printable, shorten_list

# Folders of splits (Kaggle's "train" and "test_images", COCO's "val2017") and of other kinds of datasets.
PART_OF_DATASET = re.compile(
    r"(train|training|val|valid|validation|test|testing|dev|eval)[-_ ]?(set|data|images?|labels?|masks?|\d+)?"
    r"|annotations?|bboxes|images?|imagesets|imgs?|jpegimages|labels?|masks?|segmentation(class|object|s)?"
    r"|thumbnails|unlabell?ed"
)


def validate_classes(dataset: RawDataset) -> None:
    """Check that there are two or more classes, each with images and with a name that works on every system.

    Raises:
        UserError: a check failed.
    """
    root, class_names = printable(dataset.root), dataset.class_names
    if dataset.train_dir:
        _check_folders_are_classes(root, sorted({name.partition("/")[0] for name in class_names}))
    not_empty = set(dataset.labels)
    if empty := [_with_skipped(name, dataset) for label, name in enumerate(class_names) if label not in not_empty]:
        raise UserError(format_list(f"{root} has classes without images; add images, or remove the folders", empty))
    if len(class_names) <= 1:
        raise UserError(f"{root} has {len(class_names)} classes; at least two classes with images are needed")
    counts = Counter(map(comparable_name, class_names))
    if alike := sorted((name for name in class_names if counts[comparable_name(name)] > 1), key=comparable_name):
        headline = f"{root} has class names that differ only in case, white space or Unicode form; rename or merge them"
        raise UserError(format_list(headline, list(map(_quote, alike))))
    if padded := [_quote(name) for name in class_names if name != name.strip()]:
        headline = f"{root} has class names that start or end with white space; rename them"
        raise UserError(format_list(headline, padded))
    if unprintable := [name for name in class_names if printable(name) != name]:
        raise UserError(format_list(f"{root} has class names that are not printable text; rename them", unprintable))
    if dataset.splits:
        validate_splits(root, class_names, dataset.labels, dataset.splits)


def comparable_name(name: str) -> str:
    """Return the form in which two class names are equal if people or some systems take them for the same."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return " ".join(folded.split())


def _check_folders_are_classes(root: str, class_names: list[str]) -> None:
    """Refuse folders that all are splits or parts of a dataset; warn about some, because a class can have that name."""
    parts = [name for name in class_names if PART_OF_DATASET.fullmatch(name.strip().casefold())]
    if parts and len(parts) == len(class_names):
        raise UserError(
            f"{root} has folders of splits or of another kind of dataset, not of classes ({shorten_list(parts)}); "
            f"move the images to <class>/<image>, or list them in {LABELS_FILE}"
        )
    if parts and parts != ["train"]:  # a train is also a vehicle, and a split never comes alone
        print_warning(f"{root}: {shorten_list(parts)} will be classes, but they look like parts of a dataset")


def validate_images(dataset: RawDataset, infos: list[ImageInfo]) -> None:
    """Check that all images can be read. Warn about the same image in several classes and about images of one colour.

    Args:
        dataset: the dataset.
        infos: one per image.

    Raises:
        UserError: some images cannot be read.
    """
    root = printable(dataset.root)
    images = list(zip(dataset.paths, infos, strict=True))
    if unreadable := [f"{path}: {info.error}" for path, info in images if info.error]:
        headline = f"some images in {root} cannot be read; fix or remove them, or set prepare.unreadable to skip"
        raise UserError(format_list(headline, unreadable))
    if conflicts := _label_conflicts(dataset, infos):
        print_warning(f"{root}: {len(conflicts)} images are in several classes: {shorten_list(conflicts)}")
    if blank := [path for path, info in images if info.has_single_color]:
        print_warning(
            f"{root}: {len(blank)} images have a single colour, as the network sees them: {shorten_list(blank)}"
        )


def _label_conflicts(dataset: RawDataset, infos: list[ImageInfo]) -> list[str]:
    counts = Counter(info.digest for info in infos)
    copies = [i for i, info in enumerate(infos) if counts[info.digest] > 1]
    return [
        " and ".join(dataset.paths[i] for i in group)
        for group in group_by(copies, lambda i: infos[i].digest)
        if len({dataset.labels[i] for i in group}) > 1
    ]


def _with_skipped(class_name: str, dataset: RawDataset) -> str:
    """Return a class without images, with the files that it has instead."""
    skipped = dataset.skipped_by_class.get(class_name)
    return f"{class_name} ({describe_skipped(skipped)})" if skipped else class_name


def _quote(name: str) -> str:
    """Return a name in quotes; if it is not ASCII, also in escapes, because two Unicode forms look the same."""
    return repr(name) if name.isascii() else f"{name!r} = {name!a}"
