"""Statistics of drift: is one set of predictions distributed as another one?"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

from classifier.monitoring.log import Values
from classifier.monitoring.values import NUMBERS

MIN_PREDICTIONS = 100  # with fewer, only large changes can be noticed
NUM_TESTS = len(NUMBERS) + 1  # and the classes
SIGNIFICANCE_LEVEL = 0.01 / NUM_TESTS  # Bonferroni: about 1 % of reports give a false alarm
NUM_BINS = 10
MIN_EXPECTED = 5  # images of a class in each sample; rarer classes are one class for the test (Cochran 1954)
MIN_SHARE = 0.0001  # replaces the share of an empty bin, whose logarithm is infinite


@dataclass(frozen=True)
class ValueComparison:
    """The comparison of one value: is it distributed in the log as in the reference?

    Attributes:
        name: the value.
        labels: the bins: for a number their lower ends, but "lowest" for the first one; otherwise the classes.
        reference: the share of the reference in each bin.
        log: the share of the log in each bin.
        means: the means of the reference and of the log; None for classes.
        p_value: that of the two-sample test.
    """

    name: str
    labels: list[str]
    reference: list[float]
    log: list[float]
    means: tuple[float, float] | None
    p_value: float

    @property
    def psi(self) -> float:
        """The population stability index: the sum of (log - reference) * ln(log / reference) over the bins."""
        pairs = [(max(p, MIN_SHARE), max(q, MIN_SHARE)) for p, q in zip(self.reference, self.log, strict=True)]
        return math.fsum((q - p) * math.log(q / p) for p, q in pairs)

    @property
    def has_drifted(self) -> bool:
        """Whether the difference is more than random."""
        return self.p_value < SIGNIFICANCE_LEVEL


def compare_values(reference: Values, log: Values) -> list[ValueComparison]:
    """Return the comparison of each value."""
    numbers = [_compare_numbers(name, reference.numbers[name], log.numbers[name]) for name in reference.numbers]
    return [*numbers, _compare_classes(reference.classes, log.classes)]


def _compare_numbers(name: str, reference: Sequence[float], log: Sequence[float]) -> ValueComparison:
    """Compare with the Kolmogorov-Smirnov test. The bins for the PSI are the deciles of the reference."""
    edges = np.unique(np.quantile(reference, np.arange(1, NUM_BINS) / NUM_BINS, method="inverted_cdf"))

    def bin_shares(values: Sequence[float]) -> list[float]:
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        return [count / len(values) for count in counts.tolist()]

    return ValueComparison(
        name,
        ["lowest", *(f"{edge:.4g}" for edge in edges)],
        bin_shares(reference),
        bin_shares(log),
        means=(float(np.mean(reference)), float(np.mean(log))),
        p_value=float(ks_2samp(reference, log, method="asymp").pvalue),
    )


def _compare_classes(reference: Sequence[str], log: Sequence[str]) -> ValueComparison:
    """Compare with the chi-squared test of homogeneity."""
    counts = Counter(reference), Counter(log)
    names = sorted(counts[0] | counts[1])
    rows = [[count[name] for name in names] for count in counts]
    return ValueComparison(
        "prediction",
        names,
        [number / len(reference) for number in rows[0]],
        [number / len(log) for number in rows[1]],
        means=None,
        p_value=chi_squared_p_value(*rows),
    )


def chi_squared_p_value(before: Sequence[int], after: Sequence[int]) -> float:
    """Return the p-value of the chi-squared test for two rows of counts.

    The rarest classes count as one, as many as are needed that each expected count is at least MIN_EXPECTED.

    Args:
        before: the number of images of each class in the first sample.
        after: the same in the second sample.
    """
    pairs = sorted(zip(before, after, strict=True), key=sum)  # rarest first
    min_total = MIN_EXPECTED * (sum(before) + sum(after)) / min(sum(before), sum(after))
    while len(pairs) > 1 and sum(pairs[0]) < min_total:
        (a, b), (c, d), *rest = pairs
        pairs = sorted([(a + c, b + d), *rest], key=sum)
    return float(chi2_contingency(np.array(pairs).T, correction=False).pvalue) if len(pairs) > 1 else 1.0
