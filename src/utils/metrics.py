"""How good a classifier is, from one prediction: NumPy alone, and the same digits on every machine.

Sums are exact (integers, or `math.fsum`), and what an exponential goes into is rounded to six places.
"""

import math

import numpy as np


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy in nats of logits (N x classes) against labels (N)."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return round(math.fsum(losses) / len(labels), 6)


def score(counts: np.ndarray, labels: list[str]) -> dict:
    """Precision, recall and F1 as their mean over classes (macro) and, under "classes", for each.

    Args:
        counts: the confusion matrix, classes x classes; rows are actual, columns predicted.
        labels: the classes' names.

    Returns:
        Ratios from 0 to 1; a ratio over nothing (a class that was never predicted) is 0.
    """
    classes = {}
    for i, label in enumerate(labels):
        right, actual, predicted = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
        classes[label] = {
            "precision": right / predicted if predicted else 0.0,
            "recall": right / actual if actual else 0.0,
            "f1": 2 * right / (actual + predicted) if actual + predicted else 0.0,
            "support": actual,
        }
    names = ("precision", "recall", "f1")
    macro = {name: math.fsum(scores[name] for scores in classes.values()) / len(labels) for name in names}
    return {**macro, "classes": classes}


def interval(right: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """The 95 % interval of an accuracy by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13).

    Resampling says nothing where all pictures are right, or none: there the rule of three
    (Hanley and Lippman-Hand 1983) gives the other end, 3 / N away.

    Args:
        right: N booleans, whether a picture's prediction was right.
    """
    n, hits = len(right), int(right.sum())
    if hits in (0, n):
        return max(hits / n - 3 / n, 0.0) if hits else 0.0, min(hits / n + 3 / n, 1.0)
    random = np.random.default_rng(0)
    found = sorted(int(right[random.integers(n, size=n)].sum()) for _ in range(resamples))
    return found[round(0.025 * resamples)] / n, found[round(0.975 * resamples) - 1] / n


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> tuple[float, list[dict]]:
    """Compare how sure the model was with how often it was right (Guo et al. 2017, "On Calibration").

    Args:
        confidence: N probabilities of the predicted class.
        right: N booleans.

    Returns:
        The expected calibration error: the mean distance of accuracy from confidence, weighted by
        pictures, 0 is best; and for each of the equally wide bins with pictures in it a row of the
        reliability diagram: mean confidence, accuracy, the accuracy that would be perfect, number of pictures.
    """
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for place in np.unique(places):
        chosen = places == place
        count = int(chosen.sum())
        mean = round(math.fsum(confidence[chosen]) / count, 6)
        hits = int(right[chosen].sum())
        rows.append({"confidence": mean, "accuracy": hits / count, "perfect": mean, "pictures": count})
    error = math.fsum(abs(row["confidence"] - row["accuracy"]) * row["pictures"] for row in rows) / len(right)
    return round(error, 6), rows


def slices(images: np.ndarray, right: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy on the thirds of the test pictures by brightness and by the object's size in the frame.

    Brightness is a picture's mean value (0 to 255); size is the share of its pixels (0 to 1) that
    are brighter than a quarter of its brightest one, so it means what it says on dark backgrounds.

    Args:
        images: uint8, N x height x width x channels.
        right: N booleans.

    Returns:
        For each property and third: the lowest and highest value, accuracy, number of pictures.
    """
    bright, size = np.empty(len(images)), np.empty(len(images))
    for i, image in enumerate(images):  # one by one: they are memory-mapped
        bright[i] = image.sum(dtype=np.int64) / image.size
        peaks = image.max(axis=2)
        size[i] = np.count_nonzero(peaks > peaks.max() // 4) / peaks.size
    found: dict[str, dict] = {}
    for name, values, thirds in (
        ("brightness", bright, ("dark", "medium", "bright")),
        ("object_size", size, ("small", "medium", "large")),
    ):
        parts = np.array_split(np.argsort(values, kind="stable"), 3)
        found[name] = {
            third: {
                "from": round(float(values[part[0]]), 3),
                "to": round(float(values[part[-1]]), 3),
                "accuracy": int(right[part].sum()) / len(part),
                "support": len(part),
            }
            for third, part in zip(thirds, parts, strict=True)
            if len(part)
        }
    return found


def nearest_mean(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, classes: int
) -> float:
    """The accuracy of a baseline without learning: each test picture gets the class with the nearest mean picture.

    Means are rounded to whole numbers, so that all sums here are exact in float64 in whatever order.

    Args:
        train, test: uint8, N x height x width x channels.
        train_labels, test_labels: N integers under `classes`.
    """
    pixels = int(np.prod(train.shape[1:]))
    sums, step = np.zeros((classes, pixels)), 512
    for i in range(0, len(train), step):
        members = np.arange(classes)[:, None] == train_labels[i : i + step]
        sums += members.astype(np.float64) @ train[i : i + step].reshape(-1, pixels).astype(np.float64)
    means = np.rint(sums / np.maximum(np.bincount(train_labels, minlength=classes), 1)[:, None])
    right = 0
    for i in range(0, len(test), step):
        rows = test[i : i + step].reshape(-1, pixels).astype(np.float64)
        distances = (means**2).sum(axis=1) - 2 * rows @ means.T  # less the row's own square, the same for all
        right += int((distances.argmin(axis=1) == test_labels[i : i + step]).sum())
    return right / len(test)
