"""The baselines, on cases that can be worked out by hand."""

import numpy as np
import pytest

from classifier.evaluation.baselines import majority_accuracy, nearest_centroid_accuracy
from support.datasets import constant_images


@pytest.mark.parametrize(
    ("train_labels", "test_labels", "expected"),
    [
        ([0] * 400 + [1] * 4, [0] * 100 + [1], 100 / 101),
        ([1, 1, 0], [0, 0, 1], 1 / 3),  # the most common class of the training images, not of the test images
        ([0, 1], [1, 1, 0], 1 / 3),  # the first of equally common classes
    ],
)
def test_majority_accuracy_predicts_the_most_common_training_class(
    train_labels: list[int], test_labels: list[int], expected: float
) -> None:
    assert majority_accuracy(np.array(train_labels), np.array(test_labels)) == expected


@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 1], 1.0), ([1, 1, 1], 2 / 3), ([1, 0, 0], 0.0)])
@pytest.mark.parametrize("batch_size", [1, 3, 512])
def test_nearest_centroid_accuracy_compares_with_mean_image(
    labels: list[int], expected: float, batch_size: int
) -> None:
    train_images, train_labels = constant_images([0, 10, 200, 210]), np.array([0, 0, 1, 1])  # means 5 and 205
    test_images = constant_images([90, 120, 255])  # the classes 0, 1 and 1 are nearest
    accuracy = nearest_centroid_accuracy(
        train_images, train_labels, test_images, np.array(labels), num_classes=2, batch_size=batch_size
    )
    assert accuracy == expected
