"""Move labelled images into the dataset, and check the names of new classes."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from classifier.data.checks import comparable_name
from classifier.data.discovery import RawDataset, list_images
from classifier.kept_images.folder import KeptImages
from classifier.kept_images.records import DamagedRecordError, MissingImageError, Record
from utils.errors import UserError
from utils.files import printable


@dataclass
class MoveResult:
    """What `move_labelled` did.

    Attributes:
        moved: the number of images that were moved, by class.
        num_none: the number of images that are "none of these", and stay.
        problems: one line for each image that could not be moved.
    """

    moved: Counter[str] = field(default_factory=Counter)
    num_none: int = 0
    problems: list[str] = field(default_factory=list)


def check_class_name(name: str, class_names: Iterable[str]) -> None:
    """Check that a class can have this name: one of the existing names, or a new one that `prepare.py` accepts.

    Raises:
        UserError: it cannot.
    """
    if name in class_names:
        return
    shown = printable(name)[:80]
    if not name or name != name.strip() or printable(name) != name:
        raise UserError(f'"{shown}" cannot be a class: use printable text without white space at the ends')
    if name.startswith(".") or "/" in name or "\\" in name or len(name.encode()) > 200:
        raise UserError(f'"{shown}" cannot be a class: use up to 200 bytes, without slashes, and no dot at the start')
    for other in class_names:
        if comparable_name(name) == comparable_name(other):
            raise UserError(f'"{shown}" differs from the class "{other}" only in case, white space or Unicode form')


def list_dataset(raw_dir: Path) -> RawDataset:
    """Return the images and the classes of the dataset, also those of nested folders.

    Raises:
        UserError: the dataset is missing or cannot be used.
    """
    return list_images(raw_dir, "join")


def get_train_dir(dataset: RawDataset) -> Path:
    """Return the folder for the class folders of new images: the dataset, or its training folder if the split is given.

    Raises:
        UserError: the classes are in labels.csv.
    """
    if dataset.train_dir is None:
        raise UserError(
            f"{printable(dataset.root)} has a labels.csv, but label.py moves images to class folders only; "
            "use --export, and add the images and their rows yourself"
        )
    return dataset.train_dir


def move_labelled(kept: KeptImages, raw_dir: Path) -> MoveResult:
    """Move each image that has a class to the folder `<class>` of the training images. No file is overwritten.

    An image that cannot be moved stays with its label. An image that is there already is removed from the folder.

    Raises:
        UserError: the dataset is missing, or in labels.csv.
        OSError: the folder of kept images cannot be read.
    """
    dataset = list_dataset(raw_dir)
    train_dir, class_names = get_train_dir(dataset), set(dataset.class_names)
    records, _ = kept.list_records()
    result = MoveResult()
    for record in records:
        try:
            with kept.lock():
                label = kept.read(record.id).label  # it may have changed since
                if label is not None:
                    check_class_name(label, class_names)
                    _move(kept, record, train_dir / label)
        except (UserError, DamagedRecordError) as error:
            result.problems.append(f"{record.file} was not moved: {error}")
        except MissingImageError:
            continue  # somebody else has moved it
        except OSError as error:
            where = printable(error.filename or train_dir)
            result.problems.append(f"{record.file} was not moved: {where}: {error.strerror}")
        else:
            result.num_none += record.is_labelled and label is None
            if label is not None:
                result.moved[label] += 1
                class_names.add(label)
    return result


def _move(kept: KeptImages, record: Record, class_dir: Path) -> None:
    """Copy the image to the class folder, and then remove it and its record.

    If the process is killed, the image is in one of the folders or in both.
    """
    source, target = kept.folder / record.file, class_dir / record.file
    temporary = class_dir / f".{record.file}.tmp"
    with contextlib.suppress(FileExistsError):
        class_dir.mkdir()
    try:
        shutil.copyfile(source, temporary)
        if not (target.exists() and target.read_bytes() == source.read_bytes()):
            os.link(temporary, target)  # unlike a rename, this overwrites nothing
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None  # the name is not that of a temporary file
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
            class_dir.rmdir()  # if it is new, and the image could not be written
    kept.remove(record)
