"""Predictions of a loaded model, for `evaluate.py`, `predict.py` and `serve.py`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier.model.archive import archive_name
from utils.arrays import iter_batches
from utils.errors import UserError

if TYPE_CHECKING:
    import bentoml
    import keras

# Batches are padded to one of these sizes, so that only a few shapes are compiled. Size 1 is left out, because
# TensorFlow uses another kernel for one image, with other results in the last digits.
BATCH_SIZES = (2, 4, 8, 16, 64)
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
        detect_unknown: from the features of one image to {"known": ..., "novelty": ...}.
    """

    def __init__(self, bento_model: "bentoml.Model", model: "keras.Model") -> None:
        """Compile the network for each of the BATCH_SIZES.

        Raises:
            UserError: the model was saved by a version of this project that could not detect unknown images.
        """
        if "detect_unknown" not in bento_model.custom_objects:
            raise UserError(f"{bento_model.tag} was trained by another version; run `dvc repro`, or use its version")
        self.tag = str(bento_model.tag)
        self.preprocess = bento_model.custom_objects["preprocess"]
        self.postprocess = bento_model.custom_objects["postprocess"]
        self.detect_unknown = bento_model.custom_objects["detect_unknown"]
        self._model = with_features(model)
        for size in BATCH_SIZES:
            self._model.predict_on_batch(np.zeros((size, *model.input_shape[1:]), np.uint8))

    def predict_arrays(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and features of images. Those of an image do not depend on the other images.

        Args:
            images: uint8 array of shape (N, height, width, channels).

        Returns:
            Float32 arrays of shapes (N, classes) and (N, number of features).
        """
        logits, features = [], []
        for batch in iter_batches(images, MAX_BATCH_SIZE):
            size = next(size for size in BATCH_SIZES if size >= len(batch))
            padded = np.zeros((size, *batch.shape[1:]), np.uint8)
            padded[: len(batch)] = batch
            batch_logits, batch_features = self._model.predict_on_batch(padded)
            # Copied, because many small arrays that TensorFlow allocated would fragment the memory.
            logits.append(batch_logits[: len(batch)].copy())
            features.append(batch_features.reshape(size, -1)[: len(batch)].copy())
        return np.concatenate(logits), np.concatenate(features)

    def novelty(self, features: np.ndarray) -> np.ndarray:
        """Return how unlike the training images each image is: float64 of shape (N,), above 1 if it is unknown.

        Args:
            features: see `predict_arrays`.
        """
        return np.array([self.detect_unknown(row)["novelty"] for row in features])

    def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
        """Return what `postprocess` and `detect_unknown` return for each image, in one dictionary."""
        return [
            {**self.postprocess(logits[np.newaxis]), **self.detect_unknown(features)}
            for logits, features in zip(*self.predict_arrays(images), strict=True)
        ]


def with_features(model: "keras.Model") -> "keras.Model":
    """Return a model that computes the features beside the logits, both in one call."""
    import keras

    return keras.Model(model.input, [model.output, model.get_layer("features").output])
