"""utils.files: printable names, safe reading, and atomic output folders."""

import contextlib
import os
from pathlib import Path

import pytest

from utils.files import (
    atomic_output_dir,
    cleanup_on_failure,
    format_list,
    printable,
    read_regular_file,
    remove_incomplete,
)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Mars 🪐.jpg", "Mars 🪐.jpg"), ("two\nlines", "two\\nlines"), ("\x1b[31m", "\\x1b[31m"), ("\udcff", "\\udcff")],
)
def test_printable_escapes_what_a_terminal_cannot_show(name: str, expected: str) -> None:
    assert printable(name) == expected


def test_format_list_has_one_line_per_item() -> None:
    assert format_list("broken", ["a", "b\nc"]) == "broken (2):\n  a\n  b\\nc"


def test_read_regular_file_returns_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("a")
    assert read_regular_file(tmp_path / "link") == b"x" * 100_000


def test_read_regular_file_rejects_what_might_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_regular_file(tmp_path / name)
    for name in ("missing", "."):
        with pytest.raises((OSError, ValueError)):
            read_regular_file(tmp_path / name)


def test_atomic_output_dir_replaces_files_and_keeps_others(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "a").write_text("old")
    (out / "other").write_text("other")
    leftover = out.parent / ".out.tmp"
    leftover.mkdir()
    (leftover / "leftover").write_text("of a killed run")
    with atomic_output_dir(out) as tmp_dir:
        (tmp_dir / "a").write_text("new")
        (tmp_dir / "sub").mkdir()
        (tmp_dir / "sub" / "b").write_text("new")
        assert contents(out) == {"a": "old", "other": "other"}
    assert contents(out) == {"a": "new", "other": "other", "sub/b": "new"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_atomic_output_dir_after_an_error_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("old")
    with contextlib.suppress(KeyError), atomic_output_dir(out) as tmp_dir:
        (tmp_dir / "a").write_text("new")
        raise KeyError
    remove_incomplete()
    assert contents(tmp_path) == {"out/a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_atomic_output_dir_adds_its_name_to_errors_without_file_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error, atomic_output_dir(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert error.value.filename == tmp_path / "out"
    remove_incomplete()


def test_cleanup_on_failure_removes_files_only_after_a_failure(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    with cleanup_on_failure(good):
        good.touch()
    with contextlib.suppress(KeyError), cleanup_on_failure(bad):
        bad.touch()
        raise KeyError
    remove_incomplete()
    assert list(tmp_path.iterdir()) == [good]
