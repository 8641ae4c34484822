"""Fitting the detector of unknown images: class means and one covariance of the network's features.

The method is that of Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples"
(arXiv:1807.03888), with the shrunk covariance of Ledoit and Wolf 2004. Written with NumPy, because scikit-learn's
estimators use BLAS and LAPACK, whose results differ between processors. Here, each sum adds row after row.

This module imports Keras, which takes 10 s; import it after `utils.seed.set_seed`.
"""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classifier.model.batches import ImageBatches
from classifier.unknown import detect_unknown

FEATURES_LAYER = "features"
MAX_VALUES = 128  # more features are projected to this number
BATCH_SIZE = 256


def fit_detector(model: "keras.Model", prepared_dir: Path, val_name: str, max_rejected: float) -> dict[str, Any]:
    """Return the arguments of `detect_unknown` for a trained model, except for the features.

    Args:
        model: a trained model with a layer "features", or the head of one, whose input is this layer.
        prepared_dir: the prepared dataset with the inputs of the model.
        val_name: the split that gives the threshold.
        max_rejected: the share of its images that may be unknown, 0 to 1.
    """
    train, labels = compute_features(model, prepared_dir / "train")
    whitening, class_means = fit_whitening(train, labels)
    arguments = {"whitening": _to_bytes(whitening), "class_means": _to_bytes(class_means)}
    val, _ = compute_features(model, prepared_dir / val_name)
    distances = sorted(float(detect_unknown(row, **arguments, threshold=1.0)["novelty"]) for row in val)
    threshold = distances[len(distances) - 1 - int(max_rejected * len(distances))]
    return {**arguments, "threshold": max(threshold, 1e-6)}


def fit_whitening(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix that whitens features, and the whitened class means.

    Args:
        features: float64 array of shape (N, D).
        labels: integer array of shape (N,); each class from 0 to the highest has at least one image.

    Returns:
        Arrays of shapes (D, K) and (number of classes, K), where K is the smaller of D and MAX_VALUES.
    """
    projection = _projection(features.shape[1])
    projected = features if projection is None else _product(features.T, projection)
    means = np.array([projected[labels == i].sum(axis=0) / (labels == i).sum() for i in range(labels.max() + 1)])
    residuals = projected - means[labels]
    scale = np.sqrt((residuals**2).sum(axis=0) / len(residuals)) + 1e-9
    covariance = ledoit_wolf_covariance(residuals / scale)
    whitening = _inverse_root(covariance) / scale[:, np.newaxis]
    class_means = _product(means.T, whitening)
    return whitening if projection is None else _product(projection.T, whitening), class_means


def ledoit_wolf_covariance(samples: np.ndarray) -> np.ndarray:
    """Return the covariance of samples with mean 0, shrunk towards a multiple of the identity.

    The strength is that of Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", as in `sklearn.covariance.ledoit_wolf(samples, assume_centered=True)`.

    Args:
        samples: float64 array of shape (N, K).
    """
    num_samples, num_values = samples.shape
    covariance = _product(samples, samples) / num_samples
    mean_variance = math.fsum(covariance.diagonal()) / num_values
    target = mean_variance * np.eye(num_values)
    distance = math.fsum(((covariance - target) ** 2).ravel())
    fourth_moment = math.fsum((samples.T**2).sum(axis=0) ** 2) / num_samples
    noise = (fourth_moment - math.fsum((covariance**2).ravel())) / num_samples
    shrinkage = min(noise, distance) / distance if distance else 0.0
    return (1 - shrinkage) * covariance + shrinkage * target


def compute_features(model: "keras.Model", split_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all images of a split, float64 of shape (N, D), and their labels."""
    extractor = keras.Model(model.input, model.get_layer(FEATURES_LAYER).output)
    batches = ImageBatches(split_dir, BATCH_SIZE)
    features = [np.asarray(extractor.predict_on_batch(batches[i][0]), np.float64) for i in range(len(batches))]
    num_images = len(batches.labels)  # a single image is repeated
    return np.concatenate(features).reshape(-1, math.prod(features[0].shape[1:]))[:num_images], batches.labels


def _projection(num_features: int) -> np.ndarray | None:
    """Return a random matrix of 1 and -1 that keeps distances (Achlioptas 2003), or None for few features."""
    if num_features <= MAX_VALUES:
        return None
    return np.random.default_rng(0).integers(2, size=(num_features, MAX_VALUES)) * 2.0 - 1.0


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a.T @ b, with each sum in the order of the rows. Shapes: (N, J), (N, K) to (J, K)."""
    result = np.empty((a.shape[1], b.shape[1]))
    for j in range(a.shape[1]):
        result[j] = (a[:, j : j + 1] * b).sum(axis=0)
    return result


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """Return a matrix W with W.T @ covariance @ W = identity, by Gaussian elimination."""
    num_values = len(covariance)
    rows = np.hstack([covariance + 1e-9 * np.eye(num_values), np.eye(num_values)])
    for k in range(num_values):
        rows[k] /= math.sqrt(rows[k, k])
        rows[k + 1 :] -= rows[k, k + 1 : num_values, np.newaxis] * rows[k]
    return np.ascontiguousarray(rows[:, num_values:].T)


def _to_bytes(array: np.ndarray) -> bytes:
    return array.astype("<f4").tobytes()
