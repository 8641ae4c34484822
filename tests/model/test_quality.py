"""The evaluation tells the truth about the archive, and nothing about the model is unusual."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.data.dataset import Split
from classifier.model.predictor import Predictor

pytestmark = pytest.mark.slow

Probabilities = Callable[[np.ndarray], np.ndarray]
Expect = Callable[[bool, str], None]


def test_predictions_of_raw_files_are_those_of_the_evaluation(
    workspace: Path, predictor: Predictor, test_split: Split, chosen_ids: np.ndarray, metrics: dict[str, Any]
) -> None:
    with (workspace / "evaluation/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(test_split.files)
    for i in chosen_ids:
        image = predictor.preprocess(workspace / "data/raw" / test_split.files[i])
        assert predictor.predict(image)[0]["prediction"] == rows[i]["predicted"], test_split.files[i]
    assert sum(row["actual"] == row["predicted"] for row in rows) / len(rows) == metrics["val_acc"]
    assert metrics["model"] == predictor.tag


def test_metrics_describe_every_class(metrics: dict[str, Any], class_names: list[str]) -> None:
    assert list(metrics["classes"]) == class_names
    assert metrics["val_acc_low"] <= metrics["val_acc"] <= metrics["val_acc_high"]


def test_archive_contains_its_card(workspace: Path, default_model: Any) -> None:
    bento_model, _ = default_model
    card = bento_model.info.metadata["model_card"]
    for line in (workspace / "evaluation/model_card.md").read_text().split("### Results")[0].splitlines():
        assert line in card or str(bento_model.tag) in line


def test_model_is_better_than_nearest_centroid(metrics: dict[str, Any], expect: Expect) -> None:
    accuracy, baseline = metrics["val_acc"], metrics["baseline_acc"]
    expect(accuracy > baseline, f"the accuracy is {accuracy:.1%}, and that of the nearest centroid {baseline:.1%}")


def test_training_lowered_the_loss(workspace: Path, expect: Expect) -> None:
    with (workspace / "model/history.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    expect(len(losses) == 1 or losses[-1] < losses[0], f"the loss is {losses[-1]:.3f}, after one epoch {losses[0]:.3f}")


def test_most_typical_image_of_each_class_is_predicted_correctly(
    probabilities: Probabilities, class_names: list[str], train_split: Split, expect: Expect
) -> None:
    typical_images = []
    for class_id in range(len(class_names)):
        members = train_split.images[train_split.labels == class_id].astype(np.float64)
        squares = ((members - members.mean(axis=0)) ** 2).sum(axis=(1, 2, 3))
        typical_images.append(members[squares.argmin()].astype(np.uint8))
    predicted = [class_names[i] for i in probabilities(np.stack(typical_images)).argmax(axis=1)]
    wrong = [f"{name} as {other}" for name, other in zip(class_names, predicted, strict=True) if name != other]
    expect(not wrong, f"the most typical training images of some classes are predicted wrongly: {', '.join(wrong)}")
