"""Find the images in class folders."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from classifier.config import Nested
from classifier.data.skipped import is_image_name, skipped_kind


@dataclass(frozen=True)
class Listing:
    """The content of one folder: sorted names, and the number of other files of each kind."""

    folders: list[str]
    images: list[str]
    skipped: Counter[str]


@dataclass
class ClassFolders:
    """The class folders in one folder.

    Attributes:
        images: the images of each class, relative to the dataset.
        skipped: the number of files of each kind that are not read, for each class; "" is outside all classes.
        misplaced: what is not in `<class>/<image>`.
        has_nested: whether some of this is a folder that `nested: join` would accept.
    """

    images: dict[str, list[str]]
    skipped: dict[str, Counter[str]]
    misplaced: list[str]
    has_nested: bool = False


def find_classes(root: Path, prefix: str, nested: Nested) -> ClassFolders:
    """Find the class folders in `root/prefix`.

    Args:
        root: the dataset.
        prefix: "", or a folder and "/".
        nested: what to do with folders inside class folders.
    """
    top = list_folder(root / prefix)
    misplaced = [f"{name} is not in a class folder" for name in top.images]
    if prefix and misplaced:
        misplaced = [f"{prefix} has {len(misplaced)} images that are not in a class folder"]
    classes = ClassFolders({}, {"": top.skipped}, misplaced)
    names = list(top.folders)
    for name in names:  # nested folders are appended inside the loop
        content = list_folder(root / prefix / name)
        inner = [f"{name}/{folder}" for folder in content.folders]
        if nested == "refuse":
            classes.misplaced += [f"{prefix}{folder} is a folder inside a class folder" for folder in inner]
            classes.has_nested |= bool(inner)
        for folder in inner if nested == "join" else ():
            if contains_itself(root / prefix / folder):
                classes.misplaced.append(f"{prefix}{folder} is a link to a folder that contains it")
            else:
                names.append(folder)
        if content.images or not inner:
            classes.images[name] = [f"{prefix}{name}/{file}" for file in content.images]
            classes.skipped[name] = content.skipped
        else:
            classes.skipped[""] += content.skipped
    return classes


def contains_itself(folder: Path) -> bool:
    """Return whether a folder is a link to one that contains it."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def list_folder(folder: Path) -> Listing:
    """List a folder. Hidden files and folders are skipped."""
    listing = Listing([], [], Counter())
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
