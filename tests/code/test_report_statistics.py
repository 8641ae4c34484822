"""The statistics of the report, against values worked out by hand."""

import math

import pytest

from classifier.reporting.statistics import PairedChange, compare_predictions, mcnemar_p_value
from support.reports import make_snapshot


@pytest.mark.parametrize(
    ("num_gained", "num_lost", "expected"),
    [
        (0, 0, 1),
        (1, 0, 1),  # 2 * 1/2
        (5, 0, 2 / 32),
        (6, 0, 2 / 64),
        (8, 1, 2 * (1 + 9) / 512),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (13, 12, 1),  # the tail is half of the distribution
        (12, 12, 1),
        (25, 0, 2 / 2**25),
        (32, 17, 2 * sum(math.comb(49, k) for k in range(18)) / 2**49),
        (59, 121, 2 * sum(math.comb(180, k) for k in range(60)) / 2**180),
        (500, 500, 1),
        (2000, 0, 0),
    ],
)
def test_mcnemar_p_value_is_as_worked_out_by_hand(num_gained: int, num_lost: int, expected: float) -> None:
    assert mcnemar_p_value(num_gained, num_lost) == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert mcnemar_p_value(num_lost, num_gained) == mcnemar_p_value(num_gained, num_lost)


@pytest.mark.parametrize(("num_gained", "num_lost", "expected"), [(5, 0, False), (6, 0, True), (0, 6, True)])
def test_paired_change_needs_six_changes_to_be_significant(num_gained: int, num_lost: int, expected: bool) -> None:
    assert PairedChange(num_gained, num_lost).is_significant == expected


def test_compare_predictions_counts_images_in_both_snapshots() -> None:
    base = {"1": ("a", "a"), "2": ("a", "b"), "3": ("a", "b"), "4": ("b", "b"), "5": ("c", "a"), "6": ("a", "a")}
    current = {"1": ("a", "a"), "2": ("a", "a"), "3": ("a", "c"), "4": ("b", "c"), "5": ("c", "a"), "6": ("b", "b")}
    result = compare_predictions(make_snapshot(base), make_snapshot(current | {"7": ("a", "a")}))
    assert (result.num_images, result.num_different) == (5, 3)  # 6 has another label, 7 is new
    assert (result.num_correct, result.num_correct_base) == (2, 2)
    assert result.total == PairedChange(num_gained=1, num_lost=1)
    # 2: a and b gain; 3: b gains (no longer predicted), c loses (wrongly predicted); 4: b and c lose.
    assert result.by_class == {"a": PairedChange(1, 0), "b": PairedChange(2, 1), "c": PairedChange(0, 2)}
    assert not result.is_same_test_set


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ({"1": ("a", "b"), "2": ("b", "b")}, True),
        ({"1": ("a", "a")}, False),
        ({"1": ("a", "a"), "3": ("b", "b")}, False),
        ({"1": ("a", "a"), "2": ("a", "b")}, False),
        ({}, False),
    ],
    ids=["other predictions", "fewer images", "other images", "other label", "none"],
)
def test_compare_predictions_knows_whether_the_test_set_is_the_same(current: dict, expected: bool) -> None:
    base = make_snapshot({"1": ("a", "a"), "2": ("b", "b")})
    snapshot = make_snapshot(current) if current else type(base)("now")
    assert compare_predictions(base, snapshot).is_same_test_set == expected
