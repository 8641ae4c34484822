"""Statistics of paired predictions: two models, the same test images."""

from collections import Counter
from dataclasses import dataclass

from scipy.stats import binomtest

from classifier.reporting.snapshot import Snapshot

SIGNIFICANCE_LEVEL = 0.05


def mcnemar_p_value(num_gained: int, num_lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: would a fair coin split the pairs as unevenly?

    Sources: McNemar (1947), "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12; to use it for classifiers: Dietterich (1998), Neural Computation 10.

    Args:
        num_gained: the number of images that only the new predictions classify correctly.
        num_lost: the number of images that only the old predictions classify correctly.
    """
    num_pairs = num_gained + num_lost
    return float(binomtest(num_gained, num_pairs).pvalue) if num_pairs else 1.0


@dataclass(frozen=True)
class PairedChange:
    """How many images became correct and wrong, with the test whether this is more than chance."""

    num_gained: int = 0
    num_lost: int = 0

    @property
    def p_value(self) -> float:
        """The p-value of McNemar's test."""
        return mcnemar_p_value(self.num_gained, self.num_lost)

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p_value < SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Comparison:
    """The predictions of two snapshots for the test images that both have, with the same actual class.

    Attributes:
        num_images: the number of these images.
        num_correct: how many of them the current model predicts correctly.
        num_correct_base: how many of them the base model predicts correctly.
        num_different: how many of them have different predicted classes.
        total: the change of correctness.
        by_class: the change of correctness of "is it this class?" (one versus rest), for each class that changed.
        is_same_test_set: whether both snapshots have the same test images, with the same actual classes.
    """

    num_images: int
    num_correct: int
    num_correct_base: int
    num_different: int
    total: PairedChange
    by_class: dict[str, PairedChange]
    is_same_test_set: bool


def compare_predictions(base: Snapshot, current: Snapshot) -> Comparison:
    """Compare the predictions of two snapshots image by image."""
    num_images = num_different = num_correct = num_correct_base = 0
    gained: Counter[str | None] = Counter()  # by class; None is the multi-class prediction
    lost: Counter[str | None] = Counter()
    for file, (actual, predicted) in current.predictions.items():
        base_actual, base_predicted = base.predictions.get(file, (None, ""))
        if base_actual != actual:
            continue
        num_images += 1
        num_correct += predicted == actual
        num_correct_base += base_predicted == actual
        if base_predicted == predicted:
            continue
        num_different += 1
        if predicted == actual:
            gained.update((None, predicted, base_predicted))
        elif base_predicted == actual:
            lost.update((None, predicted, base_predicted))
        else:  # both are wrong: another class was taken for this one
            gained[base_predicted] += 1
            lost[predicted] += 1
    changes = {name: PairedChange(gained[name], lost[name]) for name in gained | lost}
    return Comparison(
        num_images=num_images,
        num_correct=num_correct,
        num_correct_base=num_correct_base,
        num_different=num_different,
        total=changes.pop(None, PairedChange()),
        by_class={name: change for name, change in changes.items() if name is not None},
        is_same_test_set=num_images == len(current.predictions) == len(base.predictions),
    )
