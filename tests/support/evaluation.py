"""`evaluate.py` in this process, with a stand-in for the network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import evaluate
from classifier.images import preprocess
from classifier.model import predictor
from classifier.predictions import postprocess
from support.datasets import constant_images, write_split

CLASS_NAMES = ["dark", "bright"]
HISTORY = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.5,0.25,2.0\n1,0.75,0.5,0.5,1.0\n"
TEST_VALUES = [10, 90, 200, 250, 100]  # brightness of each test image
TEST_LABELS = [0, 0, 1, 1, 1]  # the last image is dark for its class
TAG = "celestial_bodies_classifier_model:0123456789abcdef"


class BrightnessModel:
    """A stand-in for the Keras model: images brighter than 128 are probably of class 1."""

    input_shape = (None, 4, 3, 3)

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def predict_on_batch(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batch_sizes.append(len(batch))
        score = (batch.mean(axis=(1, 2, 3)) - 128) / 20
        return np.stack([np.zeros(len(batch)), score], axis=1).astype(np.float32), score[:, np.newaxis]


def bento_model(class_names: list[str]) -> Any:
    split = {"pictures": 4, "sha256": "00"}
    metadata = {
        "classes": class_names,
        "image_size": [4, 3],
        "grayscale": False,
        "parameters": {"lr": 0.002},
        "data": {"train": split, "test": split, "classes": {name: {"train": 2, "test": 2} for name in class_names}},
    }
    transforms = {
        "preprocess": lambda image: preprocess(image, (4, 3), grayscale=False),
        "postprocess": lambda logits: postprocess(logits, class_names),
        "detect_unknown": lambda features: {"known": features[0] > -5.5, "novelty": features[0] / -5.5},
    }
    return SimpleNamespace(tag=TAG, info=SimpleNamespace(metadata=metadata), custom_objects=transforms)


def write_project(folder: Path) -> None:
    """Write a small prepared dataset and a history."""
    prepared_dir = folder / "data/prepared"
    write_split(prepared_dir, "train", constant_images([0, 40, 220, 240]), [0, 0, 1, 1], CLASS_NAMES)
    write_split(prepared_dir, "test", constant_images(TEST_VALUES), TEST_LABELS, CLASS_NAMES)
    (folder / "model").mkdir()
    (folder / "model/history.csv").write_text(HISTORY)


def run_main(project: Path, model: BrightnessModel | None = None, class_names: list[str] = CLASS_NAMES) -> None:
    """Run `evaluate.main` in a project; with a model, without loading the archive."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(project)
        monkeypatch.setattr(predictor, "with_features", lambda model: model)
        monkeypatch.setattr(evaluate.seed, "set_seed", lambda *_, **__: None)
        if model:
            monkeypatch.setattr(evaluate, "import_model", lambda _: TAG)
            monkeypatch.setattr(evaluate, "load_from_store", lambda _: (bento_model(class_names), model))
        evaluate.main(Path("model"), Path("data/prepared"))
