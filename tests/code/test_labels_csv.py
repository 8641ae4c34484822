"""classifier.data.labels_csv: datasets that are listed in a table."""

from pathlib import Path

import pytest

from classifier.data.checks import validate_classes
from classifier.data.discovery import list_images
from classifier.data.labels_csv import MAX_PROBLEMS
from support.datasets import touch
from utils.errors import UserError

FILES = ("1.jpg", "2.jpg", "more/3.png", "more/4.png")
ROWS = "1.jpg,cat\n2.jpg,dog\nmore/3.png,cat\nmore/4.png,dog\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four empty files; listing does not open them."""
    touch(tmp_path / "raw", *FILES)
    return tmp_path / "raw"


def write(root: Path, text: str | bytes) -> None:
    (root / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())


def refusal(root: Path, text: str | bytes) -> str:
    write(root, text)
    with pytest.raises(UserError) as error:
        validate_classes(list_images(root))
    return str(error.value)


@pytest.mark.parametrize("header", ["file,label", "image,label", "file_name,label", " File , LABEL "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
def test_labels_csv_gives_the_classes_of_files_in_any_folder(root: Path, header: str, encoding: str, end: str) -> None:
    write(root, f"{header}\n{ROWS}".replace("\n", end).encode(encoding))
    dataset = list_images(root)
    assert dataset.class_names == ["cat", "dog"]
    assert dict(zip(dataset.paths, dataset.labels, strict=True)) == dict(zip(FILES, (0, 1, 0, 1), strict=True))
    assert dataset.splits is None and dataset.groups is None and dataset.train_dir is None
    assert dataset.layout == "listed in labels.csv" and dataset.skipped.total() == 0
    validate_classes(dataset)


def test_labels_csv_may_have_other_columns_quotation_marks_blank_lines_and_repeated_rows(root: Path) -> None:
    (root / "a, b.jpg").touch()
    write(root, 'age,label,file\n3,cat,./1.jpg\n\n4," dog","a, b.jpg"\n5,cat,1.jpg\n')
    dataset = list_images(root)
    assert dataset.paths == ["1.jpg", "a, b.jpg"] and dataset.class_names == ["cat", "dog"]


def test_labels_csv_gives_splits_and_groups(root: Path) -> None:
    write(
        root,
        "file,label,split,group\n1.jpg,cat,Train,x\n2.jpg,dog,train,\nmore/3.png,cat,VAL,y\nmore/4.png,dog,test,\n",
    )
    dataset = list_images(root)
    assert dataset.splits == ["train", "train", "validation", "test"] and dataset.groups == ["x", "", "y", ""]
    assert dataset.layout == "listed in labels.csv, split as in Train, train, VAL, test, in 2 groups"
    validate_classes(dataset)


def test_images_that_labels_csv_does_not_list_are_counted(root: Path) -> None:
    write(root, "file,label\n1.jpg,cat\n2.jpg,dog\n")
    touch(root, "more/notes.txt", ".git/5.jpg")
    assert list_images(root).skipped == {"not in labels.csv": 2, ".txt": 1}


HEADER = "labels.csv: the first line must name the columns file and label, separated by commas; found: "
INVALID = {
    "empty": ("", f"{HEADER}nothing"),
    "semicolons": ("file;label\n1.jpg;cat\n", f"{HEADER}file;label"),
    "no_label": ("file,class\n1.jpg,cat\n", f"{HEADER}file, class"),
    "no_file": ("path,label\n1.jpg,cat\n", f"{HEADER}path, label"),
    "label_twice": ("file,label,label\n1.jpg,cat,dog\n", "labels.csv: the first line has the column label twice"),
    "latin_1": ("file,label\n1.jpg,chaté\n".encode("latin-1"), "labels.csv is not UTF-8; save it as CSV UTF-8"),
    "utf_16": ("file,label\n1.jpg,cat\n".encode("utf-16"), "labels.csv is not UTF-8; save it as CSV UTF-8"),
    "open_quote": ('file,label\n"1.jpg,cat\n', "labels.csv is not a CSV file (unexpected end of data)"),
    "too_many_cells": ("file,label\na, b.jpg,cat\n", "line 2 has 3 cells, but there are 2 columns; put text with"),
    "no_rows": ("file,label\n", "has 0 classes; at least two classes"),
    "one_class": ("file,label\n1.jpg,cat\n2.jpg,cat\n", "has 1 classes; at least two classes"),
    "alike": (f"file,label\n{ROWS}1.jpg,cat\n".replace("2.jpg,dog", "2.jpg,Cat"), "differ only in case"),
    "only_train": (
        "file,label,split\n1.jpg,cat,train\n2.jpg,dog,train\n",
        "has a given split with training images only; add a test set, or remove the split",
    ),
    "no_train": ("file,label,split\n1.jpg,cat,val\n2.jpg,dog,test\n", "has a given split without training images"),
    "class_not_in_train": (
        "file,label,split\n1.jpg,cat,train\n2.jpg,dog,test\n",
        "classes without training images; add some to train (1):\n  dog",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_labels_csv_is_an_error_that_names_the_problem(root: Path, case: str) -> None:
    text, message = INVALID[case]
    error = refusal(root, text)
    assert message in error and str(root) in error


BAD_ROWS = {
    "missing_file": ("3.jpg,cat,train,", "3.jpg is not a file"),
    "folder": ("more,cat,train,", "more is not a file"),
    "long_name": (f"{'x' * 300}.jpg,cat,train,", "x.jpg is not a file"),
    "backslash": ("more\\3.png,cat,train,", "more\\3.png is not a file; write / instead of \\"),
    "outside": ("../raw/1.jpg,cat,train,", "../raw/1.jpg is outside"),
    "absolute": ("/etc/passwd,cat,train,", "/etc/passwd is outside"),
    "inside_and_outside": ("more/../../x.jpg,cat,train,", "../x.jpg is outside"),
    "no_file": (",cat,train,", "the file is missing"),
    "no_label": ("more/3.png,,train,", "more/3.png has no label"),
    "too_few_cells": ("more/3.png", "more/3.png has no label"),
    "other_label": ("1.jpg,dog,train,", "1.jpg differs from line 2"),
    "other_split": ("1.jpg,cat,test,", "1.jpg differs from line 2"),
    "unknown_split": ("more/3.png,cat,dev,", "the split is dev; use train, val, valid, validation, test"),
    "no_split": ("more/3.png,cat,,", "the split is missing; use train"),
    "group_in_two_splits": ("more/3.png,cat,test,x", "group x is in train (line 3) and in test"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_read_labels_with_a_bad_row_names_its_line(root: Path, case: str) -> None:
    row, message = BAD_ROWS[case]
    error = refusal(root, f"file,label,split,group\n1.jpg,cat,train,\n2.jpg,dog,train,x\n{row}\n")
    assert "labels.csv has rows that cannot be used; fix or remove them (" in error
    assert message in next(line for line in error.splitlines() if line.startswith("  line 4: "))


def test_read_labels_with_several_bad_rows_names_all(root: Path) -> None:
    error = refusal(root, "file,label\n1.jpg,\n2.jpg,dog\nnone.jpg,cat\n")
    assert error.endswith("(2):\n  line 2: 1.jpg has no label\n  line 4: none.jpg is not a file")


def test_read_labels_with_many_bad_rows_names_only_the_first(root: Path) -> None:
    error = refusal(root, "file,label\n" + "".join(f"x{i}.jpg,cat\n" for i in range(1000)))
    assert "(1000):\n  line 2: x0.jpg" in error and error.endswith(f"\n  and {1000 - MAX_PROBLEMS} more")


def test_labels_csv_may_have_classes_with_the_names_of_splits(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, f"file,label\n{ROWS}".replace("cat", "train").replace("dog", "test"))
    validate_classes(list_images(root))
    assert capsys.readouterr().err == ""
