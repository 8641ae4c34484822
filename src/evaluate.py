"""Stage 3: score the very package that train.py wrote, on the test pictures.

    python src/evaluate.py model data/prepared

Writes evaluation/: metrics.json, model_card.md, three tables (CSV) and four figures, all from one prediction.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from utils import seed  # first, see there

import numpy as np

from utils import card, dataset, metrics, package, plots, stage
from utils.stage import Failure, shown


def main(model_folder: Path, prepared: Path) -> None:
    labels, test = dataset.load(prepared, "test")
    _, train = dataset.load(prepared, "train")
    history = read_history(model_folder / "history.csv")
    seed.start(0)
    packed, model = package.load(model_folder / package.FILE)
    about = packed.info.metadata
    if about.get("classes") != labels or model.input_shape[1:] != test.images.shape[1:]:
        raise Failure(
            f"{shown(model_folder / package.FILE)} was trained on other classes or another image size than "
            f"{shown(prepared)} has; run `dvc repro` again"
        )
    logits = model.predict(test.images, batch_size=256, verbose=0)
    answers = [packed.custom_objects["postprocess"](row[np.newaxis]) for row in logits]
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    actual = [labels[i] for i in test.labels]
    predicted = [answer["prediction"] for answer in answers]
    confidence, places = probabilities.max(axis=1), probabilities.argmax(axis=1)
    right = places == test.labels
    counts = np.zeros((len(labels), len(labels)), int)
    np.add.at(counts, (test.labels, places), 1)

    low, high = metrics.interval(right)
    calibration_error, reliability = metrics.calibration(confidence, right)
    scores = {
        "model": str(packed.tag),
        "val_loss": metrics.log_loss(logits, test.labels),
        "val_acc": int(right.sum()) / len(right),
        "val_acc_low": low,
        "val_acc_high": high,
        "baseline_acc": metrics.nearest_mean(train.images, train.labels, test.images, test.labels, len(labels)),
        "calibration_error": calibration_error,
        **metrics.score(counts, labels),
        "slices": metrics.slices(test.images, right),
    }
    with stage.output(Path("evaluation")) as scratch:
        (scratch / "metrics.json").write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n", "utf-8")
        files = [shown(file) for file in test.files]
        rows = zip(files, actual, predicted, (f"{c:.6f}" for c in confidence), strict=True)
        write_csv(scratch / "predictions.csv", ("file", "actual", "predicted", "confidence"), rows)
        write_csv(scratch / "calibration.csv", reliability[0], (row.values() for row in reliability))
        per_class = [{"class": label, **values} for label, values in scores["classes"].items()]
        write_csv(scratch / "classes.csv", per_class[0], (row.values() for row in per_class))
        (scratch / "model_card.md").write_text(card.model_card(about, str(packed.tag), scores), "utf-8")
        folder = scratch / "plots"
        folder.mkdir()
        plots.save(plots.training_history(history), folder / "training_history.png")
        plots.save(plots.pred_preview(test.images, actual, predicted, confidence), folder / "pred_preview.png")
        plots.save(plots.mistakes(test.images, actual, predicted, confidence), folder / "mistakes.png")
        plots.save(plots.confusion_matrix(counts, labels), folder / "confusion_matrix.png")
    print(f"{packed.tag}: val_acc {scores['val_acc']:.4f}, val_loss {scores['val_loss']:.4f}, details in evaluation/")


def write_csv(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


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


if __name__ == "__main__":
    stage.run(main, __doc__, "model", "prepared")
