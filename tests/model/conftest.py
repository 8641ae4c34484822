"""Fixtures for tests of the model: its images, its metrics and its predictions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.data.dataset import Split, load_split
from classifier.model.predictor import Predictor

MAX_IMAGES = 1000

Probabilities = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def class_names(workspace: Path) -> list[str]:
    return load_split(workspace / "data/prepared", "test")[0]


@pytest.fixture(scope="session")
def test_split(workspace: Path) -> Split:
    return load_split(workspace / "data/prepared", "test")[1]


@pytest.fixture(scope="session")
def train_split(workspace: Path) -> Split:
    return load_split(workspace / "data/prepared", "train")[1]


@pytest.fixture(scope="session")
def metrics(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "evaluation/metrics.json").read_text())


@pytest.fixture(scope="session")
def predictor(default_model: Any) -> Predictor:
    return Predictor(*default_model)


@pytest.fixture(scope="session")
def probabilities(predictor: Predictor) -> Probabilities:
    """A function from uint8 images to probabilities of shape (N, classes)."""

    def predict(images: np.ndarray) -> np.ndarray:
        return np.array([list(result["probabilities"].values()) for result in predictor.predict(images)])

    return predict


@pytest.fixture(scope="session")
def chosen_ids(test_split: Split) -> np.ndarray:
    """Indices of up to MAX_IMAGES test images, evenly spaced."""
    num_images = len(test_split.labels)
    return np.linspace(0, num_images - 1, min(num_images, MAX_IMAGES)).astype(int)


@pytest.fixture(scope="session")
def chosen_images(test_split: Split, chosen_ids: np.ndarray) -> np.ndarray:
    """The images at these indices."""
    return test_split.images[chosen_ids]
