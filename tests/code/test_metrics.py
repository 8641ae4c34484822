"""The metrics, on cases that can be worked out by hand."""

import numpy as np
import pytest

from utils import card, metrics


def test_log_loss() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    assert metrics.log_loss(logits + 700, np.array([0, 1])) == pytest.approx((np.log(2) - np.log(0.8)) / 2, abs=1e-6)


def test_score() -> None:
    scores = metrics.score(np.array([[3, 1, 0], [0, 4, 0], [0, 2, 0]]), ["a", "b", "c"])
    assert scores["classes"]["a"] == {"precision": 1.0, "recall": 0.75, "f1": 6 / 7, "support": 4}
    assert scores["classes"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert scores["recall"] == pytest.approx((0.75 + 1 + 0) / 3)


def test_the_interval_holds_the_accuracy_and_narrows_with_pictures() -> None:
    few, many = np.arange(100) % 10 > 0, np.arange(10_000) % 10 > 0
    (low, high), (lower, higher) = metrics.interval(few), metrics.interval(many)
    assert low < lower < 0.9 < higher < high
    # The normal approximation, which is good here: 1.96 standard errors.
    assert (lower, higher) == pytest.approx((0.9 - 0.00588, 0.9 + 0.00588), abs=0.001)
    assert metrics.interval(few) == (low, high)


def test_the_interval_where_all_or_none_are_right() -> None:
    assert metrics.interval(np.ones(300, bool)) == (0.99, 1.0)
    assert metrics.interval(np.zeros(300, bool)) == (0.0, 0.01)


def test_calibration() -> None:
    error, rows = metrics.calibration(np.array([0.95, 0.95, 0.55, 1.0]), np.array([True, True, False, True]))
    assert error == pytest.approx((3 * (1 - 2.9 / 3) + 0.55) / 4, abs=1e-6)
    assert [(row["accuracy"], row["pictures"]) for row in rows] == [(0.0, 1), (1.0, 3)]
    assert metrics.calibration(np.ones(5), np.ones(5, bool))[0] == 0


def test_slices() -> None:
    images = np.zeros((6, 4, 4, 3), np.uint8)
    for i in range(6):
        images[i, : i % 4 + 1, :, :] = 40 * (i + 1)
    found = metrics.slices(images, np.array([False, True, True, True, True, True]))
    assert found["brightness"]["dark"] == {"from": 10.0, "to": 40.0, "accuracy": 0.5, "support": 2}
    assert found["object_size"]["large"]["to"] == 1.0
    assert sum(third["support"] for third in found["object_size"].values()) == 6
    assert list(metrics.slices(images[:1], np.array([True]))["brightness"]) == ["dark"]


def test_nearest_mean() -> None:
    train = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 10, 200, 210)])
    test = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (90, 120, 255)])
    assert metrics.nearest_mean(train, np.array([0, 0, 1, 1]), test, np.array([0, 1, 1]), 2) == 1.0
    assert metrics.nearest_mean(train, np.array([0, 0, 1, 1]), test, np.array([1, 1, 1]), 2) == 2 / 3


def test_a_cards_table_shows_any_name_as_it_is() -> None:
    assert card.cell("a|b\n<i>*c*") == r"a\|b \<i\>\*c\*"
