"""Metrics of a classifier, computed with NumPy only, and equal to the last digit on every machine.

Sums are exact (of integers, or with `math.fsum`). Values that depend on an exponential are rounded to six decimals.
"""

import math
from typing import Any

import numpy as np

from utils.arrays import iter_elements


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats.

    Args:
        logits: float array of shape (N, classes).
        labels: the actual classes, integer array of shape (N,).
    """
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return round(math.fsum(losses) / len(labels), 6)


def confusion_matrix(labels: np.ndarray, predicted_ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the number of images per actual class (rows) and predicted class (columns).

    Args:
        labels: the actual classes, integer array of shape (N,).
        predicted_ids: the predicted classes, integer array of shape (N,).
        num_classes: the number of classes.
    """
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (labels, predicted_ids), 1)
    return confusion


def precision_recall_f1(confusion: np.ndarray, class_names: list[str]) -> dict[str, Any]:
    """Return precision, recall and F1: their means over the classes (macro), and under "classes" those of each class.

    A ratio is 0 if its denominator is 0, for example the precision of a class that was never predicted.

    Args:
        confusion: integers, classes x classes; rows are actual classes, columns predicted classes.
        class_names: the class names.
    """
    classes: dict[str, dict[str, float]] = {}
    for i, class_name in enumerate(class_names):
        correct, actual, predicted = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
        classes[class_name] = {
            "precision": correct / predicted if predicted else 0.0,
            "recall": correct / actual if actual else 0.0,
            "f1": 2 * correct / (actual + predicted) if actual + predicted else 0.0,
            "support": actual,
        }
    names = ("precision", "recall", "f1")
    macro = {name: math.fsum(scores[name] for scores in classes.values()) / len(classes) for name in names}
    return {**macro, "classes": classes}


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Return the mean recall of the classes that have test images, as scikit-learn's `balanced_accuracy_score`.

    Args:
        confusion: integers, classes x classes; rows are actual classes, columns predicted classes.
    """
    supports = confusion.sum(axis=1)
    recalls = [int(correct) / int(n) for correct, n in zip(confusion.diagonal(), supports, strict=True) if n]
    return math.fsum(recalls) / len(recalls)


def bootstrap_accuracy_interval(correct: np.ndarray, num_resamples: int = 2000) -> tuple[float, float]:
    """Return the 95 % confidence interval of the accuracy.

    The method is the percentile bootstrap (Efron and Tibshirani 1993, chapter 13). If all predictions are
    correct, or none, all resamples are equal. Then one end of the interval is 3 / N away from the accuracy, by the rule
    of three (Hanley and Lippman-Hand 1983).

    Args:
        correct: whether each prediction is correct, boolean array of shape (N,).
        num_resamples: the number of bootstrap samples.
    """
    n, num_correct = len(correct), int(correct.sum())
    if num_correct == 0:
        return 0.0, min(3 / n, 1.0)
    if num_correct == n:
        return max(1 - 3 / n, 0.0), 1.0
    rng = np.random.default_rng(0)
    samples = sorted(int(correct[rng.integers(n, size=n)].sum()) for _ in range(num_resamples))
    return samples[round(0.025 * num_resamples)] / n, samples[round(0.975 * num_resamples) - 1] / n


def reliability_diagram(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 10) -> list[dict[str, float]]:
    """Compare confidence with accuracy (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        confidence: the probability of the predicted class, float array of shape (N,).
        correct: whether each prediction is correct, boolean array of shape (N,).
        num_bins: the number of bins of equal width between 0 and 1.

    Returns:
        For each bin that is not empty: mean confidence, accuracy, the accuracy of a perfectly calibrated model, and
        the number of images ("pictures").
    """
    bin_ids = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    bins: list[dict[str, float]] = []
    for bin_id in np.unique(bin_ids):
        is_member = bin_ids == bin_id
        count = int(is_member.sum())
        mean = round(math.fsum(confidence[is_member]) / count, 6)
        accuracy = int(correct[is_member].sum()) / count
        bins.append({"confidence": mean, "accuracy": accuracy, "perfect": mean, "pictures": count})
    return bins


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """Return the mean difference between confidence and accuracy, weighted by the number of images; 0 is best.

    Args:
        bins: see `reliability_diagram`.
    """
    total = sum(row["pictures"] for row in bins)
    return round(math.fsum(abs(row["confidence"] - row["accuracy"]) * row["pictures"] for row in bins) / total, 6)


def accuracy_by_slice(images: np.ndarray, correct: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
    """Return the accuracy on each third of the images, by brightness and by the size of the object.

    Brightness is the mean of an image's values (0 to 255). Object size is the share of pixels (0 to 1) that are
    brighter than a quarter of the image's brightest pixel, so it is meaningful on dark backgrounds only.

    Args:
        images: uint8 array of shape (N, height, width, channels).
        correct: whether each prediction is correct, boolean array of shape (N,).

    Returns:
        For each property and third: the lowest and the highest value, the accuracy, and the number of images.
    """
    brightness, object_size = np.empty(len(images)), np.empty(len(images))
    for i, image in enumerate(iter_elements(images)):
        brightness[i] = image.sum(dtype=np.int64) / image.size
        peaks = image.max(axis=2)
        object_size[i] = np.count_nonzero(peaks > peaks.max() // 4) / peaks.size
    return {
        "brightness": _accuracy_by_third(brightness, correct, ("dark", "medium", "bright")),
        "object_size": _accuracy_by_third(object_size, correct, ("small", "medium", "large")),
    }


def _accuracy_by_third(
    values: np.ndarray, correct: np.ndarray, names: tuple[str, str, str]
) -> dict[str, dict[str, float]]:
    thirds = np.array_split(np.argsort(values, kind="stable"), 3)
    return {
        name: {
            "from": round(float(values[indices[0]]), 3),
            "to": round(float(values[indices[-1]]), 3),
            "accuracy": int(correct[indices].sum()) / len(indices),
            "support": len(indices),
        }
        for name, indices in zip(names, thirds, strict=True)
        if len(indices)  # with one or two images, some thirds are empty
    }
