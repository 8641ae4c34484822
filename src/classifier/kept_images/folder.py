"""A folder of kept images and their labels, for the service and for `label.py`.

It has two files per image: `<id>.<extension>` is the file as it was uploaded, and `<id>.json` is its `Record`. The id
is the beginning of the SHA-256 of the content. Any number of threads and processes may use one folder at once.
"""

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.kept_images.records import (
    FILE_PATTERN,
    ID_PATTERN,
    DamagedRecordError,
    MissingImageError,
    Record,
    find_extension,
    read_record,
    write_atomically,
)
from utils.files import printable

MAX_IMAGES = 1000
MAX_BYTES = 2**30


class FolderFullError(Exception):
    """The folder has MAX_IMAGES or MAX_BYTES."""


class KeptImages:
    """A folder of kept images."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def keep(self, content: bytes, prediction: dict[str, Any], model: str) -> str:
        """Store an image and its prediction, and return the id. An image that is there already keeps its record.

        Args:
            content: the bytes of an image file.
            prediction: as `Predictor.predict` returns it.
            model: the model's tag.

        Raises:
            FolderFullError: nothing was stored.
            OSError: the files cannot be written, or the content is not an image.
        """
        image_id = hashlib.sha256(content).hexdigest()[:32]
        record = Record(
            file=image_id + find_extension(content),
            prediction=prediction["prediction"],
            confidence=prediction["probabilities"][prediction["prediction"]],
            known=prediction["known"],
            novelty=prediction["novelty"],
            model=model,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        image = self.folder / record.file
        with self.lock():
            if not image.exists():
                self._check_space(len(content))
                write_atomically(image, content)
            if not self._record_path(image_id).exists():
                try:
                    self._write_record(record)
                except OSError:
                    image.unlink()
                    raise
        return image_id

    def read(self, image_id: str) -> Record:
        """Return the record of an image; see `read_record`."""
        return read_record(self.folder, image_id)

    def label(self, image_id: str, label: str | None, labelled_model: str | None = None) -> None:
        """Store the label of an image; None is "none of these". The last of several labels remains.

        Args:
            image_id: the id of an image.
            label: the name of a class.
            labelled_model: the tag of the model whose prediction the person saw; by default that of the record.

        Raises:
            MissingImageError, DamagedRecordError, OSError: nothing was stored.
        """
        with self.lock():
            record = self.read(image_id)
            update = {"label": label, "labelled_model": labelled_model or record.model}
            self._write_record(record.model_copy(update=update))

    def unlabel(self, image_id: str) -> None:
        """Remove the label of an image; see `label`."""
        with self.lock():
            self._write_record(Record(**self.read(image_id).model_dump(exclude={"label", "labelled_model"})))

    def list_records(self) -> tuple[list[Record], list[str]]:
        """Return the records, the most uncertain first, and one line for each image or record that cannot be used."""
        with self.lock():
            names = sorted(path.name for path in self.folder.iterdir())
            records, problems = [], []
            for name in names:
                if re.fullmatch(rf"{ID_PATTERN}\.json", name):
                    try:
                        records.append(self.read(name[:32]))
                    except (MissingImageError, DamagedRecordError) as error:
                        problems.append(str(error))
        lonely = [name for name in names if re.match(FILE_PATTERN, name) and f"{name[:32]}.json" not in names]
        if lonely:
            problems.append(f"{printable(self.folder)}: {len(lonely)} images have no .json, such as {lonely[0]}")
        return sorted(records, key=lambda record: (record.known, record.confidence)), problems

    def remove(self, record: Record) -> None:
        """Remove an image and its record. Call it inside `lock`."""
        (self.folder / record.file).unlink()
        self._record_path(record.id).unlink()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Wait for all other threads and processes that change the folder, and keep them out during the block."""
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _record_path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.json"

    def _write_record(self, record: Record) -> None:
        write_atomically(self._record_path(record.id), f"{record.model_dump_json(exclude_unset=True)}\n".encode())

    def _check_space(self, num_bytes: int) -> None:
        with os.scandir(self.folder) as entries:
            sizes = [entry.stat().st_size for entry in entries if re.match(ID_PATTERN, entry.name)]
        if len(sizes) >= 2 * MAX_IMAGES or sum(sizes) + num_bytes > MAX_BYTES:  # an image has two files
            limits = f"{MAX_IMAGES:,} images or {MAX_BYTES // 2**20:,} MiB"
            raise FolderFullError(f"{printable(self.folder)} is full ({limits})")
