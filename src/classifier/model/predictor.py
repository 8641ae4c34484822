"""Predictions of a loaded model, for `evaluate.py`, `predict.py` and `serve.py`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier.model.archive import archive_name

if TYPE_CHECKING:
    import bentoml
    import keras

# Batches are padded to one of these sizes, so that only three shapes are compiled. Size 1 is left out, because
# TensorFlow uses another kernel for one image, with other results in the last digits.
BATCH_SIZES = (4, 16, 64)
MAX_BATCH_SIZE = BATCH_SIZES[-1]


def default_archive_path() -> Path:
    """Return the archive that the environment variable MODEL names, or the one in model/."""
    project_dir = Path(__file__).resolve().parents[3]
    return Path(os.environ.get("MODEL") or project_dir / "model" / archive_name(project_dir))


class Predictor:
    """A model with its transforms. Safe to use from several threads.

    Attributes:
        tag: the model's tag.
        preprocess: from a path or the bytes of a file to a uint8 array of shape (1, height, width, channels). It raises
            ValueError if the file is not a readable image.
        postprocess: from logits of shape (1, classes) to {"prediction": ..., "probabilities": {...}}.
    """

    def __init__(self, bento_model: "bentoml.Model", model: "keras.Model") -> None:
        """Compile the network for each of the BATCH_SIZES."""
        self.tag = str(bento_model.tag)
        self.preprocess = bento_model.custom_objects["preprocess"]
        self.postprocess = bento_model.custom_objects["postprocess"]
        self._model = model
        for size in BATCH_SIZES:
            model.predict_on_batch(np.zeros((size, *model.input_shape[1:]), np.uint8))

    def predict_logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits, float32 of shape (N, classes), of uint8 images of shape (N, height, width, channels).

        The logits of an image do not depend on the other images.
        """
        logits = []
        for start in range(0, len(images), MAX_BATCH_SIZE):
            batch = images[start : start + MAX_BATCH_SIZE]
            size = next(size for size in BATCH_SIZES if size >= len(batch))
            padded = np.zeros((size, *batch.shape[1:]), np.uint8)
            padded[: len(batch)] = batch
            logits.append(self._model.predict_on_batch(padded)[: len(batch)])
        return np.concatenate(logits)

    def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
        """Return the prediction and the probabilities of each image; see `predict_logits` and `postprocess`."""
        return [self.postprocess(row[np.newaxis]) for row in self.predict_logits(images)]
