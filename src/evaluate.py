"""Stage 3: score the very package that train.py wrote, on the test pictures.

    python src/evaluate.py model data/prepared

Writes evaluation/: metrics.json, predictions.csv and three figures, all from one prediction.
"""

import csv
import json
import math
from pathlib import Path

from utils import seed  # first, see there

import numpy as np

from utils import dataset, package, plots, stage
from utils.stage import Failure, shown


def main(model_folder: Path, prepared: Path) -> None:
    labels, test = dataset.load(prepared, "test")
    history = read_history(model_folder / "history.csv")
    seed.start(0)
    packed, model = package.load(model_folder / package.FILE)
    if packed.info.metadata.get("classes") != labels or model.input_shape[1:] != test.images.shape[1:]:
        raise Failure(
            f"{shown(model_folder / package.FILE)} was trained on other classes or another image size than "
            f"{shown(prepared)} has; run `dvc repro` again"
        )
    logits = model.predict(test.images, batch_size=256, verbose=0)
    answers = [packed.custom_objects["postprocess"](row[np.newaxis]) for row in logits]
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    actual = [labels[i] for i in test.labels]
    predicted = [answer["prediction"] for answer in answers]
    confidence = probabilities.max(axis=1).tolist()
    counts = np.zeros((len(labels), len(labels)), int)
    np.add.at(counts, (test.labels, probabilities.argmax(axis=1)), 1)

    with stage.output(Path("evaluation")) as scratch:
        metrics = {"model": str(packed.tag), **score(counts, labels, log_loss(logits, test.labels))}
        (scratch / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", "utf-8")
        with open(scratch / "predictions.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "actual", "predicted", "confidence"))
            names = map(shown, test.files)
            writer.writerows(zip(names, actual, predicted, (f"{c:.6f}" for c in confidence), strict=True))
        folder = scratch / "plots"
        folder.mkdir()
        plots.save(plots.training_history(history), folder / "training_history.png")
        plots.save(plots.pred_preview(test.images, actual, predicted, confidence), folder / "pred_preview.png")
        plots.save(plots.confusion_matrix(counts, labels), folder / "confusion_matrix.png")
    print(f"{packed.tag}: val_acc {metrics['val_acc']:.4f}, val_loss {metrics['val_loss']:.4f}, details in evaluation/")


def read_history(path: Path) -> dict[str, list[float]]:
    """Read the columns of history.csv."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        history = {name: [float(row[name]) for row in rows] for name in rows[0]}
        if not {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} <= history.keys():
            raise ValueError("columns")
    except FileNotFoundError:
        raise Failure(f"{shown(path)} is missing; run `dvc repro` again") from None
    except (ValueError, TypeError, IndexError, csv.Error):
        raise Failure(f"{shown(path)} is damaged; run `dvc repro` again") from None
    return history


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy in nats of logits (N x classes) against labels (N), to six places.

    Rounded, since the last digits of an exponential are the processor's own.
    """
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return round(math.fsum(losses) / len(labels), 6)


def score(counts: np.ndarray, labels: list[str], loss: float) -> dict:
    """Accuracy, and precision, recall and F1 for each class and as their mean over classes (macro).

    Args:
        counts: the confusion matrix, classes x classes; rows are actual, columns predicted.
        labels: the classes' names.
        loss: the mean cross-entropy.

    Returns:
        Ratios from 0 to 1; a ratio over nothing (a class that was never predicted) is 0.
    """
    classes = {}
    for i, label in enumerate(labels):
        right, actual, predicted = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
        classes[label] = {
            "precision": right / predicted if predicted else 0.0,
            "recall": right / actual if actual else 0.0,
            "f1": 2 * right / (actual + predicted) if actual + predicted else 0.0,
            "support": actual,
        }
    macro = {
        name: math.fsum(scores[name] for scores in classes.values()) / len(labels)
        for name in ("precision", "recall", "f1")
    }
    return {"val_loss": loss, "val_acc": int(np.trace(counts)) / int(counts.sum()), **macro, "classes": classes}


if __name__ == "__main__":
    stage.run(main, __doc__, "model", "prepared")
