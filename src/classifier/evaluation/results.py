"""From predictions to the files in evaluation/."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier.data.dataset import Split
from classifier.evaluation import baselines, metrics, plots
from classifier.model import card
from classifier.model.predictor import Predictor
from classifier.monitoring.values import logged_values
from utils.arrays import iter_elements
from utils.files import printable
from utils.fonts import drawable_names
from utils.tables import write_csv


@dataclass(frozen=True)
class Predictions:
    """The predictions for the images of one split. Element i of each attribute belongs to image i."""

    logits: np.ndarray  # float32, (N, classes)
    predicted_ids: np.ndarray  # integers, (N,), indices into the class names
    confidence: np.ndarray  # float64, (N,), probability of the predicted class, 0 to 1
    correct: np.ndarray  # bool, (N,)
    novelty: np.ndarray  # float64, (N,), above 1 for an unknown image


def predict(predictor: Predictor, split: Split) -> Predictions:
    """Return the predictions for the images of a split, in their order."""
    logits, features = predictor.predict_arrays(split.images)
    probabilities = np.empty(logits.shape)
    for i, row in enumerate(logits):
        probabilities[i] = list(predictor.postprocess(row[np.newaxis])["probabilities"].values())
    predicted_ids = probabilities.argmax(axis=1)
    return Predictions(
        logits,
        predicted_ids,
        confidence=probabilities.max(axis=1),
        correct=predicted_ids == split.labels,
        novelty=predictor.novelty(features),
    )


def compute_metrics(predictions: Predictions, class_names: list[str], train: Split, test: Split) -> dict[str, Any]:
    """Return the content of metrics.json without the model's tag; evaluation/README.md explains it."""
    correct = predictions.correct
    low, high = metrics.bootstrap_accuracy_interval(correct)
    confusion = metrics.confusion_matrix(test.labels, predictions.predicted_ids, len(class_names))
    return {
        "val_loss": metrics.log_loss(predictions.logits, test.labels),
        "val_acc": int(correct.sum()) / len(correct),
        "val_acc_low": low,
        "val_acc_high": high,
        "balanced_acc": metrics.balanced_accuracy(confusion),
        "majority_acc": baselines.majority_accuracy(train.labels, test.labels),
        "baseline_acc": baselines.nearest_centroid_accuracy(
            train.images, train.labels, test.images, test.labels, len(class_names)
        ),
        "calibration_error": metrics.expected_calibration_error(
            metrics.reliability_diagram(predictions.confidence, correct)
        ),
        **metrics.precision_recall_f1(confusion, class_names),
        "slices": metrics.accuracy_by_slice(test.images, correct),
    }


def write_results(
    folder: Path,
    predictions: Predictions,
    metrics_json: dict[str, Any],
    metadata: dict[str, Any],
    class_names: list[str],
    test: Split,
) -> None:
    """Write metrics.json, model_card.md and the tables to a folder.

    Args:
        folder: an existing folder.
        predictions: the predictions for the test images.
        metrics_json: the content of metrics.json.
        metadata: the metadata of the model archive.
        class_names: the class names.
        test: the test split.
    """
    (folder / "metrics.json").write_text(json.dumps(metrics_json, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "model_card.md").write_text(card.model_card(metadata, metrics_json["model"], metrics_json), "utf-8")
    rows = zip(
        map(printable, test.files),
        (class_names[i] for i in test.labels),
        (class_names[i] for i in predictions.predicted_ids),
        (f"{value:.6f}" for value in predictions.confidence),
        strict=True,
    )
    write_csv(folder / "predictions.csv", ("file", "actual", "predicted", "confidence"), rows)
    bins = metrics.reliability_diagram(predictions.confidence, predictions.correct)
    write_csv(folder / "calibration.csv", bins[0], (row.values() for row in bins))
    header = ("class", "precision", "recall", "f1", "support")
    rows_per_class = ((name, *values.values()) for name, values in metrics_json["classes"].items())
    write_csv(folder / "classes.csv", header, rows_per_class)


def write_reference(folder: Path, class_names: list[str], held_out: list[tuple[Split, Predictions]]) -> None:
    """Write reference.csv, which `monitor.py` compares with the prediction log: one row per image.

    Args:
        folder: an existing folder.
        class_names: the class names.
        held_out: the splits that the network was not trained on, and their predictions.
    """
    rows = [
        logged_values(image, class_names[i], float(confidence), float(novelty))
        for split, predictions in held_out
        for image, i, confidence, novelty in zip(
            iter_elements(split.images),
            predictions.predicted_ids,
            predictions.confidence,
            predictions.novelty,
            strict=True,
        )
    ]
    write_csv(folder / "reference.csv", rows[0], (row.values() for row in rows))


def write_plots(
    folder: Path,
    predictions: Predictions,
    history: dict[str, list[float]],
    val_name: str,
    class_names: list[str],
    test: Split,
) -> None:
    """Draw the four figures.

    Args:
        folder: the folder for the figures; it is created.
        predictions: the predictions for the test images.
        history: the columns of history.csv.
        val_name: the split that its columns val_loss and val_accuracy belong to.
        class_names: the class names.
        test: the test split.
    """
    names = drawable_names(class_names)
    actual = [names[i] for i in test.labels]
    predicted = [names[i] for i in predictions.predicted_ids]
    confusion = metrics.confusion_matrix(test.labels, predictions.predicted_ids, len(class_names))
    folder.mkdir()
    for name, figure in (
        ("training_history", plots.get_training_plot(history, val_name)),
        ("pred_preview", plots.get_pred_preview_plot(test.images, actual, predicted, predictions.confidence)),
        ("mistakes", plots.get_mistakes_plot(test.images, actual, predicted, predictions.confidence)),
        ("confusion_matrix", plots.get_confusion_matrix_plot(confusion, names)),
    ):
        plots.save_figure(figure, folder / f"{name}.png")
