"""The sample dataset and its model: known bytes, and the quality that this network reaches on it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from classifier.data.dataset import load_split
from support.projects import ARCHIVE_PATH, SAMPLE_HASH
from utils import seed

pytestmark = pytest.mark.slow


def test_rendered_sample_has_the_known_hash(sample: Path) -> None:
    assert SAMPLE_HASH in (sample / "data/raw.dvc").read_text()


def test_training_lowers_the_loss(sample: Path) -> None:
    with (sample / "model/history.csv").open(newline="") as file:
        losses = [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]
    assert losses[-1][0] < losses[0][0] / 3
    assert losses[-1][1] < losses[0][1] / 2


def test_network_can_memorise_one_batch(sample: Path) -> None:
    seed.set_seed(1)
    import keras

    from train import get_model

    _, train = load_split(sample / "data/prepared", "train")
    images, labels = np.array(train.images[:32]), train.labels[:32]
    model = get_model(images.shape[1:], conv_size=8, dense_size=32, output_classes=int(train.labels.max()) + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss, metrics=["accuracy"])
    history = model.fit(images, labels, epochs=80, verbose=0).history
    assert history["accuracy"][-1] == 1.0


def test_model_is_good_on_every_class_and_slice(sample: Path) -> None:
    metrics = json.loads((sample / "evaluation/metrics.json").read_text())
    assert metrics["val_acc"] > 0.95
    assert metrics["val_acc_low"] > metrics["baseline_acc"]
    assert metrics["calibration_error"] < 0.05
    assert min(scores["f1"] for scores in metrics["classes"].values()) > 0.85
    assert min(third["accuracy"] for thirds in metrics["slices"].values() for third in thirds.values()) > 0.9


def test_archive_of_the_sample_is_below_5_mb(sample: Path) -> None:
    assert (sample / ARCHIVE_PATH).stat().st_size < 5e6
