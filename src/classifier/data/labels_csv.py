"""Read labels.csv: a table with one line per image.

    file,label,split,group
    photos/1.jpg,cat,train,Tom
    photos/2.jpg,dog,test,Rex

`split` and `group` are optional, and other columns are ignored. `file` may also be called `file_name`, as in Hugging
Face's metadata.csv, or `image`, as in AutoGluon.
"""

import csv
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from classifier.data.given_split import SPLIT_OF_NAME
from classifier.data.skipped import is_image_name, skipped_kind
from utils.errors import UserError
from utils.files import format_list, printable

LABELS_FILE = "labels.csv"
FILE_COLUMNS = ("file", "file_name", "image")
MAX_PROBLEMS = 50  # in the message


class Row(NamedTuple):
    """One line: an image, its class, and its split and group, or "".

    Attributes:
        line: the number of the line in the file.
        file: the image, relative to the folder of labels.csv.
    """

    line: int
    file: str
    label: str
    split: str
    group: str


def read_labels(root: Path) -> list[Row]:
    """Return the rows of `root`/labels.csv, sorted by file. A row that is repeated is returned once.

    Raises:
        UserError: the file is not a CSV file in UTF-8, a column is missing, or some rows cannot be used.
    """
    path = root / LABELS_FILE
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_parse(printable(path), file))
    except UnicodeDecodeError:
        raise UserError(f"{printable(path)} is not UTF-8; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{printable(path)} is not a CSV file ({error})") from None
    if problems := [f"line {line}: {problem}" for line, problem in sorted(_find_problems(root, rows))]:
        headline = f"{printable(path)} has rows that cannot be used; fix or remove them"
        raise UserError(format_list(headline, problems, MAX_PROBLEMS))
    first = {row.file: row for row in reversed(rows)}
    return [first[file] for file in sorted(first)]


def _parse(shown: str, file: Iterable[str]) -> Iterator[Row]:
    """Yield the rows. White space at the ends of a cell is removed.

    Raises:
        UserError: a column is missing or repeated, or a row has too many cells.
    """
    lines = csv.reader(file, strict=True)
    header = [name.strip().casefold() for name in next(lines, [])]
    file_column = next((name for name in FILE_COLUMNS if name in header), "file")
    columns = (file_column, "label", "split", "group")
    if not {file_column, "label"} <= set(header):
        found = ", ".join(map(printable, header)) or "nothing"
        raise UserError(
            f"{shown}: the first line must name the columns file and label, separated by commas; found: {found}"
        )
    if repeated := [name for name in columns if header.count(name) > 1]:
        raise UserError(f"{shown}: the first line has the column {repeated[0]} twice")
    for cells in lines:
        if not cells:
            continue
        if len(cells) > len(header):
            raise UserError(
                f"{shown}: line {lines.line_num} has {len(cells)} cells, but there are {len(header)} columns; "
                "put text with commas in quotation marks"
            )
        values = dict(zip(header, map(str.strip, cells), strict=False))
        path, *others = (values.get(name, "") for name in columns)
        yield Row(lines.line_num, posixpath.normpath(path) if path else "", *others)


def _find_problems(root: Path, rows: list[Row]) -> Iterator[tuple[int, str]]:
    """Yield the line and the description of each problem."""
    has_splits = any(row.split for row in rows)
    first_of_file: dict[str, Row] = {}
    first_of_group: dict[str, Row] = {}
    for row in rows:
        if problem := _find_file_problem(root, row.file):
            yield row.line, problem
        if not row.label:
            yield row.line, f"{row.file} has no label"
        if row.split.casefold() not in SPLIT_OF_NAME and has_splits:
            yield row.line, f"the split is {row.split or 'missing'}; use {', '.join(SPLIT_OF_NAME)}"
        first = first_of_file.setdefault(row.file, row)
        if first[2:] != row[2:]:
            yield row.line, f"{row.file} differs from line {first.line}"
        first = first_of_group.setdefault(row.group, row)
        if row.group and _split_of(first) != _split_of(row):
            yield row.line, f"group {row.group} is in {first.split} (line {first.line}) and in {row.split}"


def _split_of(row: Row) -> str:
    return SPLIT_OF_NAME.get(row.split.casefold(), row.split)


def _find_file_problem(root: Path, file: str) -> str:
    """Return why a file cannot be used, or ""."""
    if not file:
        return "the file is missing"
    if posixpath.isabs(file) or file.startswith("../"):
        return f"{file} is outside {printable(root)}"
    if not os.path.isfile(f"{root}/{file}"):  # noqa: PTH113 -- Path.is_file raises an error if the name is too long
        return f"{file} is not a file" + ("; write / instead of \\" if "\\" in file else "")
    return ""


def count_unlisted(root: Path, listed: set[str]) -> Counter[str]:
    """Return the number of files of each kind that labels.csv does not list."""
    counts: Counter[str] = Counter()
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = os.path.relpath(f"{parent}/{name}", root)
            if file not in listed and file != LABELS_FILE:
                counts[f"not in {LABELS_FILE}" if is_image_name(name) else skipped_kind(name)] += 1
    return counts
