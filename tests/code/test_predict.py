"""Files without a server: evaluate's answers, in order, and what is bad is named."""

import csv
import io
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import ROOT, fails, run

from utils import package

PREDICT = str(ROOT / "src/predict.py")


@pytest.fixture
def chosen(trained: Path) -> dict[str, str]:
    """The environment that names the trained project's package."""
    return {"MODEL": str(trained / "model" / package.FILE)}


def test_the_table_is_evaluates_and_a_terminal_gets_a_progress_bar(trained: Path, chosen: dict[str, str]) -> None:
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    command, environment = (sys.executable, PREDICT, "raw", "--csv"), {**os.environ, **chosen}
    result = subprocess.run(
        command, cwd=trained / "data", env=environment, stdout=subprocess.PIPE, stderr=end, text=True
    )
    os.close(end)
    bar = b""
    while not bar.endswith(b"\n"):
        bar += os.read(terminal, 4096)
    os.close(terminal)
    assert result.returncode == 0 and b"132/132" in bar and b"Traceback" not in bar, bar

    table = {row["file"].removeprefix("raw/"): row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert list(table) == sorted(table) and len(table) == 132
    with open(trained / "evaluation/predictions.csv", newline="") as file:
        for row in csv.DictReader(file):
            got = table[row["file"]]
            assert got["prediction"] == row["predicted"]
            assert abs(float(got["confidence"]) - float(row["confidence"])) < 2.1e-6  # 1e-6, and both are rounded


def test_what_is_bad_is_named_and_the_rest_goes_on(trained: Path, chosen: dict[str, str], tmp_path: Path) -> None:
    good = sorted((trained / "data/raw/Mars").iterdir())[0]
    folder = tmp_path / "a folder" / "deeper"
    folder.mkdir(parents=True)
    shutil.copy(good, folder / "good.jpg")
    (folder / "bad.png").write_bytes(good.read_bytes()[:500])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_text("no picture")
    result = run(tmp_path, PREDICT, "a folder", "none.jpg", str(good), **chosen)
    fails(result, "a folder/deeper/bad.png: not a readable picture", "none.jpg: No such file", "2 could not be read")
    lines = result.stdout.splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == ["a folder/deeper/good.jpg", str(good)]
    assert lines[0].rpartition(": ")[2] == lines[1].rpartition(": ")[2]
    assert lines[0].endswith("%") and "notes" not in result.stderr and "hidden" not in result.stderr


def test_wrong_calls(tmp_path: Path) -> None:
    fails(run(tmp_path, PREDICT), "PICTURE|FOLDER", code=2)
    fails(run(tmp_path, PREDICT, "."), "predict.py: . has no pictures")
    fails(run(tmp_path, PREDICT, "x.jpg", MODEL="none.bentomodel"), "none.bentomodel is missing")
