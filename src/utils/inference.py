"""The loaded package at work: pictures in, answers out, for `serve.py` and `predict.py`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils import package

if TYPE_CHECKING:
    import bentoml
    import keras

# Only these many pictures at once go through the network, filled up with black: each number is compiled once. None is
# 1: TensorFlow convolves a single picture in another order, and probabilities then differ from evaluate's by over 1e-6.
SIZES = (4, 16, 64)


def package_path() -> Path:
    """The package that the variable MODEL names, or else the one in model/."""
    return Path(os.environ.get("MODEL") or Path(__file__).resolve().parents[2] / "model" / package.FILE)


class Classifier:
    """A package's transforms around its network. Safe to use from several threads.

    `preprocess` takes a path or a file's bytes to uint8, 1 x height x width x channels, and raises ValueError for what
    is not a readable picture.
    """

    def __init__(self, packed: "bentoml.Model", model: "keras.Model") -> None:
        self.tag = str(packed.tag)
        self.preprocess = packed.custom_objects["preprocess"]
        self.postprocess = packed.custom_objects["postprocess"]
        self.model = model
        for size in SIZES:  # compiles
            model.predict_on_batch(np.zeros((size, *model.input_shape[1:]), np.uint8))

    def classify(self, images: np.ndarray) -> list[dict[str, Any]]:
        """For each of the images (uint8, N x height x width x channels) its prediction and probabilities."""
        answers = []
        for start in range(0, len(images), SIZES[-1]):
            part = images[start : start + SIZES[-1]]
            size = next(size for size in SIZES if size >= len(part))
            filled = np.zeros((size, *part.shape[1:]), np.uint8)
            filled[: len(part)] = part
            logits = self.model.predict_on_batch(filled)
            answers += [self.postprocess(logits[i : i + 1]) for i in range(len(part))]
        return answers
