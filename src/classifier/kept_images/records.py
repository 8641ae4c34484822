"""The record of a kept image, and its file."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.decoding import FORMATS, open_image, without_metadata
from utils.files import printable, read_regular_file

ID_PATTERN = "[0-9a-f]{32}"
EXTENSIONS = {name: extensions[-1] for name, extensions in FORMATS.items()}
FILE_PATTERN = f"^{ID_PATTERN}({'|'.join(EXTENSIONS.values())})$".replace(".", r"\.")


class MissingImageError(Exception):
    """There is no image with this id."""


class DamagedRecordError(Exception):
    """A .json file is not a `Record`."""


class Record(BaseModel):
    """What is stored beside an image. `label` is unset until somebody labels it; None is "none of these"."""

    model_config = ConfigDict(strict=True, frozen=True)

    file: str = Field(pattern=FILE_PATTERN)
    prediction: str
    confidence: float
    known: bool
    novelty: float
    model: str  # the tag of the model that predicted
    time: str
    label: str | None = None
    labelled_model: str | None = None  # the tag of the model whose prediction the person saw

    @property
    def id(self) -> str:
        """The id of the image."""
        return self.file.partition(".")[0]

    @property
    def is_labelled(self) -> bool:
        """Whether somebody gave a class, or "none of these"."""
        return "label" in self.model_fields_set


def read_record(folder: Path, image_id: str) -> Record:
    """Return the record of an image.

    Raises:
        MissingImageError: the image or its record is missing.
        DamagedRecordError: the record is damaged.
    """
    path = folder / f"{image_id}.json"
    shown = printable(path)
    try:
        record = Record.model_validate_json(read_regular_file(path))
        if record.id != image_id:
            raise ValueError("it describes another image")
    except FileNotFoundError:
        raise MissingImageError(f"there is no image {image_id}; it was moved or removed") from None
    except ValidationError as error:
        raise DamagedRecordError(f"{shown} is damaged ({describe_first(error)}); remove it") from None
    except ValueError as error:
        raise DamagedRecordError(f"{shown} is damaged ({error}); remove it") from None
    if not (folder / record.file).is_file():
        raise MissingImageError(f"{shown}: its image {record.file} is missing; restore it, or remove the record")
    return record


def describe_first(error: ValidationError) -> str:
    """Return where the first problem is, and what it is, as printable text."""
    first = error.errors()[0]
    return printable(": ".join([*map(str, first["loc"]), first["msg"]]))


def find_extension(content: bytes) -> str:
    """Return the usual extension of an image file's format, whatever its name was.

    Raises:
        OSError: unknown format.
    """
    name = open_image(without_metadata(content)).format
    return EXTENSIONS["JPEG" if name == "MPO" else str(name)]  # MPO: a JPEG with several images


def write_atomically(path: Path, content: bytes) -> None:
    """Write or replace a file. If this fails, the old one stays, and the error has the name of the file."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
