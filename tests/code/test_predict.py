"""predict.py: the predictions of the evaluation, in order, and errors for unreadable files."""

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

import predict
from classifier.images import preprocess
from support.commands import ROOT, assert_fails, run
from support.images import encode, gradient_image
from support.projects import ARCHIVE_PATH
from utils.errors import UserError

PREDICT = str(ROOT / "src/predict.py")


class BrightnessPredictor:
    """A predictor without a network: images are bright or dark."""

    def preprocess(self, path: Path) -> np.ndarray:
        return preprocess(path, (4, 4), grayscale=True)

    def predict(self, images: np.ndarray) -> list[dict]:
        assert 0 < len(images) <= predict.MAX_BATCH_SIZE
        shares = [float(image.mean()) / 255 for image in images]
        return [
            {
                "prediction": "bright" if p >= 0.5 else "dark",
                "probabilities": {"bright": p, "dark": 1 - p},
                "known": p >= 0.5,
                "novelty": 1.5 - p,
            }
            for p in shares
        ]


def write_images(folder: Path, count: int) -> list[Path]:
    """Write bright and dark images alternately."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encode(gradient_image("L").point([255 * (number % 2 == 0)] * 256), "PNG"))
    return paths


def test_expand_paths_lists_images_in_folders_and_keeps_files(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a/x/3.webp", "notes.txt", ".hidden.jpg", ".git/4.jpg", "c.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = predict.expand_paths([tmp_path, tmp_path / "notes.txt", Path("missing.jpg")])
    expected = [tmp_path / name for name in ("c.jpeg", "a/x/3.webp", "b/1.jpg", "b/2.PNG", "notes.txt")]
    assert files == [*expected, Path("missing.jpg")]


def test_expand_paths_with_a_folder_without_images_raises_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no images"):
        predict.expand_paths([tmp_path])


@pytest.mark.parametrize("count", [1, predict.MAX_BATCH_SIZE, 2 * predict.MAX_BATCH_SIZE + 1])
def test_predict_files_prints_all_predictions_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    paths = write_images(tmp_path, count)
    assert predict.predict_files(BrightnessPredictor(), paths, as_csv=False) == 0
    predictions = ["bright 100.0%", "dark 100.0% (unknown)"] * count
    expected = [f"{path}: {prediction}" for path, prediction in zip(paths, predictions, strict=False)]
    assert capsys.readouterr().out.splitlines() == expected


def test_predict_files_as_csv_quotes_file_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_images(tmp_path, 1)[0].rename(tmp_path / 'a, "b"\n.png')
    predict.predict_files(BrightnessPredictor(), [path], as_csv=True)
    assert capsys.readouterr().out == f'"{tmp_path}/a, ""b""\\n.png",bright,1.000000,true\n'


def test_predict_files_with_unreadable_files_reports_them_and_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, truncated, missing = write_images(tmp_path, 3)
    truncated.write_bytes(truncated.read_bytes()[:60])
    missing.unlink()
    files = [truncated, good, tmp_path, missing]
    assert predict.predict_files(BrightnessPredictor(), files, as_csv=False) == 3
    out, err = capsys.readouterr()
    assert out == f"{good}: bright 100.0%\n"
    lines = (
        f"{truncated}: not a readable image: ",
        f"{tmp_path}: Is a directory",
        f"{missing}: No such file or directory",
    )
    assert all(f"predict.py: {line}" in err for line in lines), err


@pytest.mark.slow
def test_predict_as_csv_gives_the_predictions_of_the_evaluation_and_a_progress_bar(trained: Path) -> None:
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    environment = {**os.environ, "MODEL": str(trained / ARCHIVE_PATH)}
    command = (sys.executable, PREDICT, "raw", "--csv")
    result = subprocess.run(
        command, cwd=trained / "data", env=environment, stdout=subprocess.PIPE, stderr=end, text=True
    )
    os.close(end)
    progress = b""
    while not progress.endswith(b"\n"):
        progress += os.read(terminal, 4096)
    os.close(terminal)
    assert result.returncode == 0 and b"132/132" in progress and b"Traceback" not in progress, progress

    rows = {row["file"].removeprefix("raw/"): row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert list(rows) == sorted(rows) and len(rows) == 132
    assert {row["known"] for row in rows.values()} <= {"true", "false"}
    num_unknown = 0
    with (trained / "evaluation/predictions.csv").open(newline="") as file:
        for expected in csv.DictReader(file):
            row = rows[expected["file"]]
            assert row["prediction"] == expected["predicted"]
            assert abs(float(row["confidence"]) - float(expected["confidence"])) < 2.1e-6  # 1e-6, and both are rounded
            num_unknown += row["known"] == "false"
    metrics = json.loads((trained / "evaluation/metrics.json").read_text())
    assert num_unknown / 33 == metrics["rejected"]


@pytest.mark.slow
def test_predict_with_an_unreadable_file_exits_with_status_1(trained: Path, tmp_path: Path) -> None:
    image = next((trained / "data/raw/Mars").iterdir())
    shutil.copy(image, tmp_path / "good.jpg")
    result = run(tmp_path, PREDICT, ".", "missing.jpg", str(image), MODEL=str(trained / ARCHIVE_PATH))
    assert_fails(result, "predict.py: missing.jpg: No such file", "predict.py: 1 of 3 files cannot be read")
    first, second = (line.rpartition(": ") for line in result.stdout.splitlines())
    assert (first[0], second[0]) == ("good.jpg", str(image)) and first[2] == second[2]


@pytest.mark.slow
def test_predict_ends_quietly_when_the_reader_closes_the_pipe(trained: Path) -> None:
    command = f"'{sys.executable}' '{PREDICT}' data/raw data/raw data/raw data/raw | head -1"
    result = run(trained, "bash", "-c", command, MODEL=str(trained / ARCHIVE_PATH))
    assert (result.returncode, len(result.stdout.splitlines()), result.stderr) == (0, 1, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [((), 2, "IMAGE|FOLDER"), ((".",), 1, "predict.py: . contains no images")],
)
def test_predict_with_wrong_arguments_exits_with_a_message(
    tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert_fails(run(tmp_path, PREDICT, *arguments), message, code=code)


def test_predict_with_a_missing_archive_exits_with_a_message(tmp_path: Path) -> None:
    assert_fails(run(tmp_path, PREDICT, "x.jpg", MODEL="none.bentomodel"), "none.bentomodel is missing")
