"""Made results of two revisions, for tests of the report."""

import csv
import json
from pathlib import Path

import numpy as np
import yaml

from classifier.evaluation.metrics import precision_recall_f1
from classifier.reporting.snapshot import Snapshot, flatten
from support.commands import run_ok
from support.projects import commit_all

Predictions = dict[str, tuple[str, str]]
LOSSES = (0.9, 0.5, 0.4)
ARCHIVE, HISTORY = "model/x.bentomodel", "model/history.csv"
METRICS, PREDICTIONS = "evaluation/metrics.json", "evaluation/predictions.csv"


def make_predictions(num_wrong: int = 8, num_images: int = 24) -> Predictions:
    """Return predictions for Mars and Moon, half of the images each, of which the first `num_wrong` Mars are wrong."""
    half = num_images // 2
    mars = {f"Mars/{i}.jpg": ("Mars", "Moon" if i < num_wrong else "Mars") for i in range(half)}
    return mars | {f"Moon/{i}.jpg": ("Moon", "Moon") for i in range(half)}


BEFORE = make_predictions(num_wrong=8)


def make_metrics(predictions: Predictions, val_loss: float = 0.4, version: str = "0a") -> dict:
    """Return the content of metrics.json for these predictions."""
    labels = sorted({name for pair in predictions.values() for name in pair})
    index = {name: i for i, name in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), int)
    for actual, predicted in predictions.values():
        confusion[index[actual], index[predicted]] += 1
    return {
        "model": f"celestial_bodies_classifier_model:{version}",
        "val_loss": val_loss,
        "val_acc": int(np.trace(confusion)) / int(confusion.sum()),
        **precision_recall_f1(confusion, labels),
    }


def make_lock(params: dict, code: str = "c0", data: str = "d0", version: str = "0a") -> dict:
    """Return a dvc.lock of two stages: train reads code, data and parameters; evaluate reads the model."""
    train = {
        "cmd": "python src/train.py",
        "deps": [{"path": "data/raw", "md5": f"{data}.dir"}, {"path": "src/train.py", "md5": code}],
        "params": {"params.yaml": params},
        "outs": [{"path": ARCHIVE, "md5": version, "size": 1_190_000}, {"path": HISTORY, "md5": version}],
    }
    evaluate = {
        "cmd": "python src/evaluate.py",
        "deps": [{"path": ARCHIVE, "md5": version, "size": 1_190_000}],
        "outs": [{"path": METRICS, "md5": version}, {"path": PREDICTIONS, "md5": version}],
    }
    return {"schema": "2.0", "stages": {"train": train, "evaluate": evaluate}}


def make_snapshot(
    predictions: Predictions,
    name: str = "now",
    losses: tuple[float, ...] = LOSSES,
    lr: object = 0.001,
    code: str = "c0",
    data: str = "d0",
    version: str = "0a",
) -> Snapshot:
    """Return what the pipeline leaves, without training."""
    params = {"train": {"lr": lr, "epochs": len(losses), "image_size": [32, 32]}}
    return Snapshot(
        name=name,
        metrics=make_metrics(predictions, losses[-1], version),
        params=flatten(params),
        predictions=predictions,
        history=[(loss, 1 - loss) for loss in losses],
        dataset={"hash": "md5", "md5": f"{data}.dir", "size": 7_302_996, "nfiles": 1606, "path": "raw"},
        lock=make_lock(params, code, data, version),
    )


def write_results(folder: Path, snapshot: Snapshot) -> None:
    """Write the files of a snapshot."""
    for name in ("evaluation", "model", "data"):
        (folder / name).mkdir(exist_ok=True)
    (folder / METRICS).write_text(json.dumps(snapshot.metrics))
    with (folder / PREDICTIONS).open("w", newline="") as file:
        rows = [(file_name, *pair, 0.9) for file_name, pair in snapshot.predictions.items()]
        csv.writer(file).writerows([("file", "actual", "predicted", "confidence"), *rows])
    history = "".join(f"{i},0.5,{loss},{acc:.2f},{loss}\n" for i, (loss, acc) in enumerate(snapshot.history))
    (folder / HISTORY).write_text(f"epoch,accuracy,loss,val_accuracy,val_loss\n{history}")
    params = snapshot.lock["stages"]["train"]["params"]["params.yaml"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "dvc.lock").write_text(yaml.safe_dump(snapshot.lock))
    (folder / "data/raw.dvc").write_text(yaml.safe_dump({"outs": [snapshot.dataset]}))


def commit_results(folder: Path, predictions: Predictions) -> Path:
    """Make a repository whose only commit has these results."""
    write_results(folder, make_snapshot(predictions))
    run_ok(folder, "git", "init", "-q")
    commit_all(folder, "base")
    return folder
