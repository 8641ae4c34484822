"""classifier.data.skipped: files that are not read, by extension."""

from collections import Counter
from pathlib import Path

import pytest

from classifier.data.skipped import (
    ADVICE,
    MAX_EXTENSIONS,
    describe_skipped,
    is_image_name,
    skipped_kind,
    warn_about_skipped,
)
from classifier.decoding import IMAGE_EXTENSIONS


@pytest.mark.parametrize(
    ("name", "expected"), [("a.jpg", True), ("a.TIFF", True), ("a.b.webp", True), ("a.svg", False), ("jpg", False)]
)
def test_is_image_name_ignores_case(name: str, expected: bool) -> None:
    assert is_image_name(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_1.NEF", ".nef"),
        ("a.tar.gz", ".gz"),
        (".hidden.jpg", "hidden"),
        (".DS_Store", "hidden"),
        ("jpg", "no extension"),
        ("a.", "no extension"),
    ],
)
def test_skipped_kind_is_extension_or_description(name: str, expected: str) -> None:
    assert skipped_kind(name) == expected


def test_describe_skipped_starts_with_what_needs_a_change() -> None:
    skipped = Counter({"hidden": 3, ".txt": 40, ".nef": 26, "no extension": 2, ".n\nl": 1})
    assert describe_skipped(skipped) == (
        ".nef: 26 (convert to JPEG), no extension: 2 (add an extension to images), .txt: 40, hidden: 3, .n\\nl: 1"
    )


def test_describe_skipped_of_many_extensions_is_short() -> None:
    skipped = Counter({f".{i}": 2 for i in range(MAX_EXTENSIONS + 5)})
    assert describe_skipped(skipped).endswith(", others: 10")


def test_advice_is_only_for_extensions_that_are_not_read() -> None:
    assert not IMAGE_EXTENSIONS & set(ADVICE)


def test_warn_about_skipped_is_silent_about_hidden_files(capsys: pytest.CaptureFixture[str]) -> None:
    warn_about_skipped(Path("raw"), Counter({"hidden": 9}))
    assert capsys.readouterr() == ("", "")
    warn_about_skipped(Path("raw"), Counter({"hidden": 9, ".nef": 1}))
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(": warning: raw: 10 files are skipped: .nef: 1 (convert to JPEG), hidden: 9\n")
