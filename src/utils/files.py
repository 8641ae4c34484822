"""Files: names as printable text, safe reading, and atomic output folders."""

import os
import shutil
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_incomplete_paths: list[Path] = []  # removed if the process fails or receives a signal


def printable(name: str | os.PathLike[str]) -> str:
    """Return text, such as a file name, as printable text; newlines and bytes that are not UTF-8 are escaped."""
    text = os.fspath(name).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_list(headline: str, items: list[str], max_items: int | None = None) -> str:
    """Return the headline with the number of items, then one item per line; after `max_items`, only their number."""
    lines = [f"{headline} ({len(items)}):", *map(printable, items[:max_items])]
    if max_items and len(items) > max_items:
        lines.append(f"and {len(items) - max_items} more")
    return "\n  ".join(lines)


def shorten_list(items: Sequence[str], max_items: int = 10) -> str:
    """Return items as printable text on one line; after `max_items`, only their number."""
    shown = ", ".join(map(printable, items[:max_items]))
    return f"{shown} and {len(items) - max_items} more" if len(items) > max_items else shown


def read_regular_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file, but not a pipe or a device, which might never end.

    Raises:
        OSError: the file cannot be opened or read.
        ValueError: the path is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        return file.readall()


@contextmanager
def atomic_output_dir(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `folder` when the block ends without an error.

    Files of the same name are replaced; other files in `folder` stay.
    """
    tmp_dir = folder.parent / f".{folder.name}.tmp"  # fixed name, so that leftovers of a killed run are removed
    shutil.rmtree(tmp_dir, ignore_errors=True)
    tmp_dir.mkdir(parents=True)
    with cleanup_on_failure(tmp_dir):
        try:
            yield tmp_dir
        except OSError as error:
            error.filename = error.filename or folder  # ENOSPC has no file name
            raise
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        for file in sorted(path for path in tmp_dir.rglob("*") if path.is_file()):
            target = folder / file.relative_to(tmp_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        shutil.rmtree(tmp_dir)
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


@contextmanager
def cleanup_on_failure(path: Path) -> Iterator[None]:
    """Register `path`: `run_cli` removes it if the block raises an error or the process receives a signal."""
    _incomplete_paths.append(path)
    yield
    _incomplete_paths.remove(path)


def remove_incomplete() -> None:
    """Remove all paths that are registered with `cleanup_on_failure`."""
    for path in _incomplete_paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
