"""evaluate.py with a validation set: its scores are in metrics.json, and its curve in the figure."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import evaluate
from classifier.evaluation import plots
from classifier.model import predictor
from support.datasets import constant_images, write_split
from support.evaluation import CLASS_NAMES, TAG, TEST_VALUES, BrightnessModel, bento_model, write_project

SCORES = {"loss": 0.1, "accuracy": 0.9, "val_loss": 0.1234567, "val_accuracy": 0.75}


def run_main(project: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, list[str]]:
    """Evaluate a project whose archive contains SCORES; return metrics.json and the names of the curves."""
    write_project(project)
    model = bento_model(CLASS_NAMES)
    model.info = SimpleNamespace(metadata={**model.info.metadata, "scores": SCORES})
    curves: list[str] = []
    draw = plots.get_training_plot

    def draw_and_record(history: dict[str, list[float]], val_name: str):
        curves.append(val_name)
        return draw(history, val_name)

    monkeypatch.chdir(project)
    monkeypatch.setattr(plots, "get_training_plot", draw_and_record)
    monkeypatch.setattr(evaluate.seed, "set_seed", lambda *_, **__: None)
    monkeypatch.setattr(predictor, "with_features", lambda model: model)
    monkeypatch.setattr(evaluate, "import_model", lambda _: TAG)
    monkeypatch.setattr(evaluate, "load_from_store", lambda _: (model, BrightnessModel()))
    evaluate.main(Path("model"), Path("data/prepared"))
    return json.loads(Path("evaluation/metrics.json").read_text()), curves


def test_main_with_validation_images_writes_their_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "data/prepared", "validation", constant_images([7]), [0], CLASS_NAMES)
    metrics, curves = run_main(tmp_path, monkeypatch)
    assert metrics["validation"] == {"loss": 0.123457, "acc": 0.75} and curves == ["validation"]
    brightness = [line.split(",")[0] for line in Path("evaluation/reference.csv").read_text().splitlines()[1:]]
    assert brightness == [f"{round(value / 255, 6)}" for value in (*TEST_VALUES, 7)]


def test_main_without_validation_images_writes_no_validation_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, curves = run_main(tmp_path, monkeypatch)
    assert "validation" not in metrics and curves == ["test"]
