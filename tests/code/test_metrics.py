"""The metrics, on cases that can be worked out by hand."""

import math

import numpy as np
import pytest

from classifier.evaluation import metrics
from support.datasets import constant_images

CONFUSION = np.array([[3, 1, 0], [0, 4, 0], [0, 2, 0]])


@pytest.mark.parametrize("offset", [0, 700, -700])
def test_log_loss_of_known_probabilities_is_mean_negative_log(offset: float) -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])) + offset
    expected = (math.log(2) - math.log(0.8)) / 2
    assert metrics.log_loss(logits, np.array([0, 1])) == pytest.approx(expected, abs=1e-6)


def test_confusion_matrix_has_actual_rows_and_predicted_columns() -> None:
    labels, predicted_ids = np.repeat([0, 1, 2], [4, 4, 2]), np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    assert np.array_equal(metrics.confusion_matrix(labels, predicted_ids, 3), CONFUSION)


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("a", {"precision": 1.0, "recall": 0.75, "f1": 6 / 7, "support": 4}),
        ("b", {"precision": 4 / 7, "recall": 1.0, "f1": 8 / 11, "support": 4}),
        ("never predicted", {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}),
    ],
)
def test_precision_recall_f1_of_each_class_matches_hand_calculation(class_name: str, expected: dict) -> None:
    scores = metrics.precision_recall_f1(CONFUSION, ["a", "b", "never predicted"])
    assert scores["classes"][class_name] == expected


def test_precision_recall_f1_means_are_over_classes() -> None:
    scores = metrics.precision_recall_f1(CONFUSION, ["a", "b", "never predicted"])
    assert scores["precision"] == pytest.approx((1 + 4 / 7 + 0) / 3)
    assert scores["recall"] == pytest.approx((0.75 + 1 + 0) / 3)
    assert scores["f1"] == pytest.approx((6 / 7 + 8 / 11 + 0) / 3)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        (CONFUSION, (3 / 4 + 1 + 0) / 3),
        ([[98, 0], [1, 0]], 1 / 2),  # always the class of 98 images
        ([[3, 1, 0], [0, 0, 0], [0, 2, 6]], (3 / 4 + 6 / 8) / 2),  # one class has no images
        ([[5, 0], [0, 0]], 1.0),
    ],
)
def test_balanced_accuracy_is_mean_recall_of_the_classes_with_images(confusion: list, expected: float) -> None:
    # Computed by hand after scikit-learn's documentation: the average of recall obtained on each class.
    assert metrics.balanced_accuracy(np.array(confusion)) == pytest.approx(expected, abs=1e-15)


def test_bootstrap_accuracy_interval_with_more_images_is_narrower() -> None:
    few, many = np.arange(100) % 10 > 0, np.arange(10_000) % 10 > 0  # both have an accuracy of 0.9
    (low, high), (lower, higher) = map(metrics.bootstrap_accuracy_interval, (few, many))
    assert low < lower < 0.9 < higher < high
    # The normal approximation is good for 10,000 images: 1.96 standard errors.
    assert (lower, higher) == pytest.approx((0.9 - 0.00588, 0.9 + 0.00588), abs=0.001)


def test_bootstrap_accuracy_interval_called_twice_is_equal() -> None:
    correct = np.arange(100) % 10 > 0
    assert metrics.bootstrap_accuracy_interval(correct) == metrics.bootstrap_accuracy_interval(correct)


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        (np.ones(300, bool), (0.99, 1.0)),
        (np.zeros(300, bool), (0.0, 0.01)),
        (np.ones(2, bool), (0.0, 1.0)),
        (np.zeros(2, bool), (0.0, 1.0)),
    ],
    ids=["all correct", "none correct", "two, all correct", "two, none correct"],
)
def test_bootstrap_accuracy_interval_without_variance_uses_rule_of_three(
    correct: np.ndarray, expected: tuple[float, float]
) -> None:
    assert metrics.bootstrap_accuracy_interval(correct) == expected


def test_reliability_diagram_has_one_row_per_bin_with_images() -> None:
    bins = metrics.reliability_diagram(np.array([0.95, 0.95, 0.55, 1.0]), np.array([True, True, False, True]))
    assert bins == [
        {"confidence": 0.55, "accuracy": 0.0, "perfect": 0.55, "pictures": 1},
        {"confidence": 0.966667, "accuracy": 1.0, "perfect": 0.966667, "pictures": 3},
    ]


@pytest.mark.parametrize(
    ("confidence", "correct", "expected"),
    [
        ([0.95, 0.95, 0.55, 1.0], [True, True, False, True], (3 * (1 - 2.9 / 3) + 0.55) / 4),
        ([1.0] * 5, [True] * 5, 0),
        ([1.0] * 5, [False] * 5, 1),
        ([0.75] * 4, [True, True, True, False], 0),
    ],
    ids=["two bins", "certain and correct", "certain and wrong", "calibrated"],
)
def test_expected_calibration_error_matches_hand_calculation(
    confidence: list[float], correct: list[bool], expected: float
) -> None:
    bins = metrics.reliability_diagram(np.array(confidence), np.array(correct))
    assert metrics.expected_calibration_error(bins) == pytest.approx(expected, abs=1e-6)


def test_accuracy_by_slice_sorts_images_into_thirds() -> None:
    images = np.zeros((6, 4, 4, 3), np.uint8)
    for i in range(6):
        images[i, : i % 4 + 1, :, :] = 40 * (i + 1)  # 1 to 4 of 4 rows
    slices = metrics.accuracy_by_slice(images, np.array([False, True, True, True, True, True]))
    assert slices["brightness"]["dark"] == {"from": 10.0, "to": 40.0, "accuracy": 0.5, "support": 2}
    assert slices["object_size"]["small"] == {"from": 0.25, "to": 0.25, "accuracy": 0.5, "support": 2}
    assert slices["object_size"]["large"] == {"from": 0.75, "to": 1.0, "accuracy": 1.0, "support": 2}


def test_accuracy_by_slice_of_one_image_has_one_third() -> None:
    slices = metrics.accuracy_by_slice(constant_images([9]), np.array([True]))
    assert slices["brightness"] == {"dark": {"from": 9.0, "to": 9.0, "accuracy": 1.0, "support": 1}}
