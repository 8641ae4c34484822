"""CSV files with a header line."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file with Unix line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def read_columns(text: str, *columns: str) -> list[tuple[str, ...]]:
    """Return the values of the named columns, one tuple per line; lines that lack one of them are skipped."""
    lines = csv.DictReader(io.StringIO(text, newline=""))
    return [tuple(line[name] for name in columns) for line in lines if all(line.get(name) for name in columns)]
