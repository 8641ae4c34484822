"""Statistics of paired predictions: two models, the same test images."""

import math
from collections import Counter
from dataclasses import dataclass

from classifier.reporting.snapshot import Snapshot

SIGNIFICANCE_LEVEL = 0.05
MAX_EXACT = 25  # discordant pairs up to which the exact test is used


def mcnemar_p_value(num_gained: int, num_lost: int) -> float:
    """Return the two-sided p-value of McNemar's test: would a fair coin split the pairs as unevenly?

    Up to MAX_EXACT pairs the test is exact (binomial). Above, it is the chi-squared test with continuity correction:
    chi2 = (|num_gained - num_lost| - 1)^2 / (num_gained + num_lost), with one degree of freedom.

    Sources: McNemar (1947), "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12; the correction: Edwards (1948), Psychometrika 13; to use it for classifiers:
    Dietterich (1998), Neural Computation 10.

    Args:
        num_gained: the number of images that only the new predictions get right.
        num_lost: the number of images that only the old predictions get right.
    """
    num_pairs = num_gained + num_lost
    if num_gained == num_lost:
        return 1.0
    if num_pairs <= MAX_EXACT:
        tail = sum(math.comb(num_pairs, k) for k in range(min(num_gained, num_lost) + 1))
        return math.ldexp(tail, 1 - num_pairs)  # 2 * tail / 2**num_pairs
    # P(chi2 > x) with one degree of freedom is erfc(sqrt(x / 2)).
    return math.erfc((abs(num_gained - num_lost) - 1) / math.sqrt(2 * num_pairs))


@dataclass(frozen=True)
class PairedChange:
    """How many images became correct and wrong, with the test whether this is more than randomness."""

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
        num_correct: how many of them the head predicts correctly.
        num_correct_base: how many of them the base predicts correctly.
        num_different: how many of them have different predicted classes.
        total: the change of correctness.
        by_class: the change of correctness of "is it this class?" (one versus rest), for each class that changed.
        is_same_test_set: whether no snapshot has other test images.
    """

    num_images: int
    num_correct: int
    num_correct_base: int
    num_different: int
    total: PairedChange
    by_class: dict[str, PairedChange]
    is_same_test_set: bool


def compare_predictions(base: Snapshot, head: Snapshot) -> Comparison:
    """Compare the predictions of two snapshots image by image."""
    num_images = num_different = num_correct = num_correct_base = 0
    gained: Counter[str | None] = Counter()  # by class; None is the multi-class prediction
    lost: Counter[str | None] = Counter()
    for file, (actual, predicted) in head.predictions.items():
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
        else:
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
        is_same_test_set=num_images == len(head.predictions) == len(base.predictions),
    )
