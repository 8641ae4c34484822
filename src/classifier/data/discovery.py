"""Find the images of a dataset."""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from classifier.data.skipped import is_image_name, skipped_kind
from utils.errors import UserError
from utils.files import format_list, printable


@dataclass(frozen=True)
class ImageFolder:
    """A folder of labelled images.

    Attributes:
        root: the folder.
        class_names: the names of its subfolders, sorted.
        paths: the images, sorted; each is "class/file", relative to `root`.
        skipped_by_class: the number of files of each kind that are not read; "" is `root` itself.
    """

    root: Path
    class_names: list[str]
    paths: list[str]
    skipped_by_class: dict[str, Counter[str]] = field(default_factory=dict)

    @cached_property
    def labels(self) -> list[int]:
        """The class of each image, as an index into `class_names`."""
        index = {class_name: i for i, class_name in enumerate(self.class_names)}
        return [index[path.partition("/")[0]] for path in self.paths]

    @property
    def skipped(self) -> Counter[str]:
        """The number of files of each kind that are not read."""
        return sum(self.skipped_by_class.values(), Counter())


@dataclass(frozen=True)
class _Listing:
    """The content of one folder: sorted names, and the number of other files of each kind."""

    folders: list[str]
    images: list[str]
    skipped: Counter[str]


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
    paths, skipped_by_class = [], {"": top.skipped}
    for class_name in top.folders:
        content = _list_folder(root / class_name)
        misplaced += [f"{class_name}/{name} is a folder inside a class folder" for name in content.folders]
        paths += [f"{class_name}/{name}" for name in content.images]
        skipped_by_class[class_name] = content.skipped
    if misplaced:
        raise UserError(format_list(f"{printable(root)} must contain <class>/<image>; move or remove", misplaced))
    return ImageFolder(root, top.folders, paths, skipped_by_class)


def _list_folder(folder: Path) -> _Listing:
    """List a folder. Hidden files and folders are skipped."""
    listing = _Listing([], [], Counter())
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith(".") and _is_dir(entry):
                listing.folders.append(entry.name)
            elif is_image_name(entry.name):
                listing.images.append(entry.name)
            else:
                listing.skipped[skipped_kind(entry.name)] += 1
    return listing


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
