"""The report's lines about unequal classes and baselines."""

from dataclasses import replace

import pytest

from classifier.reporting.class_sections import balance_section
from classifier.reporting.snapshot import Snapshot
from support.reports import Predictions, make_snapshot

ENOUGH = {f"{name}/{i}.jpg": (name, "cat") for name in ("cat", "dog") for i in range(6)}


def snapshot(predictions: Predictions, **metrics: float) -> Snapshot:
    made = make_snapshot(predictions)
    return replace(made, metrics={**made.metrics, **metrics})


def test_balance_section_shows_balanced_accuracy_and_majority_baseline() -> None:
    assert balance_section(snapshot(ENOUGH, balanced_acc=0.5, majority_acc=0.99)) == (
        "**Balance:** the balanced accuracy, the mean recall of all classes, is 50.0\u00a0%. "
        "A model that always predicts the most common class has an accuracy of 99.0\u00a0%."
    )


def test_balance_section_warns_about_unequal_classes_and_few_test_images() -> None:
    cats = {f"cat/{i}.jpg": ("cat", "cat") for i in range(100)}
    text = balance_section(snapshot({**cats, "dog/1.jpg": ("dog", "cat")}, balanced_acc=0.5, majority_acc=0.99))
    _, unequal, few = text.split("\n\n")
    assert unequal.startswith("⚠️ The classes are imbalanced: `cat` has 100 times as many test images as `dog`.")
    assert few == "⚠️ Classes with fewer than 5 test images: `dog` (1). Their scores say little."


@pytest.mark.parametrize("metrics", [{}, {"balanced_acc": 0.5}])
def test_balance_section_of_an_older_revision_is_empty(metrics: dict[str, float]) -> None:
    assert balance_section(snapshot(ENOUGH, **metrics)) == ""
