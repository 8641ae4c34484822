"""`evaluate.py` in this process, with a stand-in for the network: predictions, metrics and files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from classifier.data.dataset import Split
from classifier.evaluation import results
from support.datasets import constant_images
from support.evaluation import CLASS_NAMES, HISTORY, TAG, BrightnessModel, bento_model, run_main, write_project

METRIC_NAMES = [
    *("model", "val_loss", "val_acc", "val_acc_low", "val_acc_high", "balanced_acc", "majority_acc", "baseline_acc"),
    *("calibration_error", "precision", "recall", "f1", "classes", "slices", "rejected", "unknown"),
]


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def model() -> BrightnessModel:
    return BrightnessModel()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, model: BrightnessModel) -> Path:
    """A project after `evaluate.main`. Tests only read it."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_project(folder)
    run_main(folder, model)
    return folder / "evaluation"


def test_main_writes_all_files(evaluated: Path) -> None:
    tables = {"metrics.json", "model_card.md", "predictions.csv", "calibration.csv", "classes.csv", "reference.csv"}
    figures = {f"plots/{name}.png" for name in ("training_history", "pred_preview", "mistakes", "confusion_matrix")}
    assert set(read_all(evaluated)) == tables | figures
    for name in figures:
        with Image.open(evaluated / name) as image:
            image.verify()
    assert f"# Model card: {TAG}" in (evaluated / "model_card.md").read_text()


@pytest.mark.usefixtures("evaluated")
def test_main_never_predicts_single_images(model: BrightnessModel) -> None:
    assert 1 not in model.batch_sizes


def test_main_writes_known_metrics(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert list(metrics) == METRIC_NAMES
    assert (metrics["model"], metrics["val_acc"], metrics["baseline_acc"]) == (TAG, 0.8, 0.8)
    assert (metrics["balanced_acc"], metrics["majority_acc"]) == (pytest.approx(5 / 6), 0.4)
    assert metrics["classes"]["dark"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2}
    assert metrics["slices"]["brightness"]["medium"]["accuracy"] == 0.5  # the images of 100 and 200
    assert metrics["rejected"] == 0.2  # the image of 10
    assert metrics["unknown"]["text"] == {"rejected": 0.0, "auroc": 0.2}  # darker than white: the images of 10, 90, 100
    margins = np.array([118, 38, 72, 122, -28]) / 20  # the logit of the actual class minus the other
    assert metrics["val_loss"] == pytest.approx(np.log(1 + np.exp(-margins)).mean(), abs=1e-6)


def test_main_writes_tables_in_documented_formats(evaluated: Path) -> None:
    assert (evaluated / "predictions.csv").read_text() == (
        "file,actual,predicted,confidence\n"
        "dark/0.png,dark,dark,0.997268\n"
        "dark/1.png,dark,dark,0.869892\n"
        "bright/2.png,bright,bright,0.973403\n"
        "bright/3.png,bright,bright,0.997762\n"
        "bright/4.png,bright,dark,0.802184\n"
    )
    assert (evaluated / "calibration.csv").read_text() == (
        "confidence,accuracy,perfect,pictures\n0.836038,0.5,0.836038,2\n0.989478,1.0,0.989478,3\n"
    )
    assert (evaluated / "classes.csv").read_text() == (
        "class,precision,recall,f1,support\ndark,0.6666666666666666,1.0,0.8,2\nbright,1.0,0.6666666666666666,0.8,3\n"
    )


def test_main_writes_reference_with_the_values_of_each_test_image(evaluated: Path) -> None:
    assert (evaluated / "reference.csv").read_text() == (
        "brightness,contrast,confidence,novelty,prediction\n"
        "0.039216,0.0,0.997268,1.072727,dark\n"
        "0.352941,0.0,0.869892,0.345455,dark\n"
        "0.784314,0.0,0.973403,-0.654545,bright\n"
        "0.980392,0.0,0.997762,-1.109091,bright\n"
        "0.392157,0.0,0.802184,0.254545,dark\n"
    )


def test_main_run_again_writes_equal_bytes(evaluated: Path, project: Path) -> None:
    run_main(project, BrightnessModel())
    assert read_all(project / "evaluation") == read_all(evaluated)


def test_predictions_csv_escapes_unprintable_file_names(tmp_path: Path) -> None:
    test = Split(constant_images([10]), np.array([0]), ["dark/new\nline.png"])
    predictions = results.Predictions(
        np.zeros((1, 2)), np.array([0]), np.array([0.5]), np.array([True]), np.array([0.9])
    )
    scores = {"model": TAG, **results.compute_metrics(predictions, CLASS_NAMES, test, test)}
    scores |= {"rejected": 0.0, "unknown": {}}
    metadata = bento_model(CLASS_NAMES).info.metadata
    results.write_results(tmp_path, predictions, scores, metadata, CLASS_NAMES, test)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1] == r"dark/new\nline.png,dark,dark,0.500000"


def test_read_history_returns_all_columns(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HISTORY)
    history = evaluate.read_history(tmp_path / "history.csv")
    assert history == {
        "epoch": [0, 1],
        "loss": [1.5, 0.5],
        "accuracy": [0.5, 0.75],
        "val_loss": [2.0, 1.0],
        "val_accuracy": [0.25, 0.5],
    }


def test_evaluate_draws_classes_whose_names_the_font_lacks_by_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    (tmp_path / "data/prepared/labels.json").write_text(json.dumps(["dark", "火星"]))
    run_main(tmp_path, BrightnessModel(), ["dark", "火星"])  # Matplotlib's warning would be an error
    assert capsys.readouterr().err.endswith("evaluation/classes.csv has them: #1 is 火星\n")
    assert "火星" in (tmp_path / "evaluation/classes.csv").read_text()
