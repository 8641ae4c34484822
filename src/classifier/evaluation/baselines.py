"""Accuracies that a model must exceed: those of classifiers that learn almost nothing."""

import numpy as np

from utils.arrays import iter_batches


def majority_accuracy(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Return the accuracy of a baseline: each test image gets the most common class of the training images.

    Args:
        train_labels: integer array of shape (N,).
        test_labels: integer array of shape (M,).
    """
    majority_class = np.bincount(train_labels).argmax()
    return int((test_labels == majority_class).sum()) / len(test_labels)


def nearest_centroid_accuracy(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    num_classes: int,
    batch_size: int = 128,
) -> float:
    """Return the accuracy of a baseline: each test image gets the class whose mean training image is nearest.

    The mean images are rounded to integers, so that all sums are exact in float64, in any order.

    Args:
        train_images: uint8 array of shape (N, height, width, channels).
        train_labels: integer array of shape (N,).
        test_images: uint8 array of shape (M, height, width, channels).
        test_labels: integer array of shape (M,).
        num_classes: the number of classes.
        batch_size: the number of images that are in memory at a time.
    """
    num_values = int(np.prod(train_images.shape[1:]))
    sums = np.zeros((num_classes, num_values))
    batches = (iter_batches(array, batch_size) for array in (train_images, train_labels))
    for batch, labels in zip(*batches, strict=True):
        is_member = np.arange(num_classes)[:, np.newaxis] == labels
        sums += is_member.astype(np.float64) @ batch.reshape(-1, num_values).astype(np.float64)
    counts = np.bincount(train_labels, minlength=num_classes)
    centroids = np.rint(sums / np.maximum(counts, 1)[:, np.newaxis])
    predicted = []
    for batch in iter_batches(test_images, batch_size):
        # Squared distances without the square of the image, which is equal for all classes.
        distances = (centroids**2).sum(axis=1) - 2 * batch.reshape(-1, num_values).astype(np.float64) @ centroids.T
        predicted.append(distances.argmin(axis=1))
    return int((np.concatenate(predicted) == test_labels).sum()) / len(test_images)
