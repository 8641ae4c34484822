"""Find the images of a dataset, and check its classes."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from classifier.images import IMAGE_EXTENSIONS
from utils.errors import UserError
from utils.files import format_list, printable


@dataclass(frozen=True)
class ImageFolder:
    """A folder of labelled images.

    Attributes:
        root: the folder.
        class_names: the names of its subfolders, sorted.
        paths: the images, sorted; each is "class/file", relative to `root`.
        num_skipped: the number of hidden files and of files with other extensions.
    """

    root: Path
    class_names: list[str]
    paths: list[str]
    num_skipped: int

    @cached_property
    def labels(self) -> list[int]:
        """The class of each image, as an index into `class_names`."""
        index = {class_name: i for i, class_name in enumerate(self.class_names)}
        return [index[path.partition("/")[0]] for path in self.paths]


@dataclass(frozen=True)
class _Listing:
    """The content of one folder: sorted names."""

    folders: list[str]
    images: list[str]
    others: list[str]


def list_images(root: Path) -> ImageFolder:
    """List the images of a dataset, `root/<class>/<image>`.

    Raises:
        UserError: the root is not a folder, an image is not in a class folder, or a class folder contains a folder.
    """
    if not root.is_dir():
        raise UserError(
            f"{printable(root)} is not a folder; run `python src/render.py {printable(root)}` to create the sample "
            "dataset, or put your own images there (see README.md)"
        )
    top = _list_folder(root)
    misplaced = [f"{name} is not in a class folder" for name in top.images]
    paths, num_skipped = [], len(top.others)
    for class_name in top.folders:
        content = _list_folder(root / class_name)
        misplaced += [f"{class_name}/{name} is a folder inside a class folder" for name in content.folders]
        paths += [f"{class_name}/{name}" for name in content.images]
        num_skipped += len(content.others)
    if misplaced:
        raise UserError(format_list(f"{printable(root)} must contain <class>/<image>; move or remove", misplaced))
    return ImageFolder(root, top.folders, paths, num_skipped)


def validate_classes(dataset: ImageFolder) -> None:
    """Check that there are two or more classes, each with images and with a name that works on every system.

    Raises:
        UserError: a check failed.
    """
    root, class_names = printable(dataset.root), dataset.class_names
    not_empty = {path.partition("/")[0] for path in dataset.paths}
    if empty := [name for name in class_names if name not in not_empty]:
        raise UserError(format_list(f"{root} has classes without images; add images, or remove the folders", empty))
    if len(class_names) <= 1:
        raise UserError(f"{root} has {len(class_names)} classes; at least two folders with images are needed")
    counts = Counter(name.casefold() for name in class_names)
    if ambiguous := sorted((name for name in class_names if counts[name.casefold()] > 1), key=str.casefold):
        raise UserError(format_list(f"{root} has classes that differ only in case; rename or merge them", ambiguous))
    if unprintable := [name for name in class_names if printable(name) != name]:
        raise UserError(format_list(f"{root} has class names that are not printable text; rename them", unprintable))


def has_image_extension(name: str) -> bool:
    """Return whether a file name has the extension of a supported image format."""
    return name.lower().endswith(tuple(IMAGE_EXTENSIONS))


def _list_folder(folder: Path) -> _Listing:
    """List a folder. Hidden files and folders belong to `others`."""
    listing = _Listing([], [], [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                listing.others.append(entry.name)
            elif _is_dir(entry):
                listing.folders.append(entry.name)
            elif has_image_extension(entry.name):
                listing.images.append(entry.name)
            else:
                listing.others.append(entry.name)
    return listing


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
