"""predict.py FOLDER: which files are images, and which are counted as skipped."""

from pathlib import Path

import pytest

import predict
from support.datasets import touch
from utils.errors import UserError


def test_expand_paths_counts_skipped_files_of_each_folder_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.nef", "a/x/3.NEF", "a/notes.txt", "a/.DS_Store", "b/4.jpg", "b/.DS_Store")
    files = predict.expand_paths([tmp_path / "a", tmp_path / "b"])
    assert files == [tmp_path / "a/1.jpg", tmp_path / "b/4.jpg"]
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert f"warning: {tmp_path}/a: 4 files are skipped: .nef: 2 (convert to JPEG), .txt: 1, hidden: 1\n" in err


def test_expand_paths_of_a_folder_with_other_files_only_names_them(tmp_path: Path) -> None:
    touch(tmp_path, "1.nef", "2.svg")
    with pytest.raises(UserError, match=r"contains no images; other files: .nef: 1 \(convert to JPEG\), .svg: 1"):
        predict.expand_paths([tmp_path])


def test_expand_paths_follows_links_to_folders_unless_they_contain_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "raw/a/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "raw/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw/c").symlink_to(tmp_path / "raw")
    assert predict.expand_paths([tmp_path / "raw"]) == [tmp_path / "raw/a/1.jpg", tmp_path / "raw/b/2.jpg"]
