"""Statistics of drift, against values computed by hand and by SciPy."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from classifier.monitoring import drift
from classifier.monitoring.drift import SIGNIFICANCE_LEVEL, ValueComparison, chi_squared_p_value, compare_values
from classifier.monitoring.log import Values
from classifier.monitoring.values import NUMBERS, logged_values


def make_values(num: int, seed: int, classes: str = "ab") -> Values:
    rng = np.random.default_rng(seed)
    return Values({name: rng.normal(size=num).tolist() for name in NUMBERS}, rng.choice(list(classes), num).tolist())


def psi(expected: list[float], actual: list[float]) -> float:
    return ValueComparison("", [], expected, actual, None, 1.0).psi


def test_psi_is_that_computed_by_hand() -> None:
    assert psi([0.5, 0.5], [0.5, 0.5]) == 0
    assert psi([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    assert psi([0.5, 0.5], [0, 1]) == pytest.approx((0.5 - 1e-4) * math.log(5000) + 0.5 * math.log(2))


def test_compare_values_tests_numbers_with_kolmogorov_smirnov_and_bins_them_by_deciles() -> None:
    reference, log = make_values(1000, 1), make_values(300, 2)
    log.numbers["contrast"] = [value + 5 for value in log.numbers["contrast"]]
    results = {result.name: result for result in compare_values(reference, log)}
    assert list(results) == [*NUMBERS, "prediction"] and len(results) == drift.NUM_TESTS
    for name in NUMBERS:
        expected = ks_2samp(reference.numbers[name], log.numbers[name], method="exact").pvalue
        assert results[name].p_value == pytest.approx(expected, abs=0.02)
        assert results[name].reference == pytest.approx([0.1] * 10, abs=0.0011)
        assert sum(results[name].log) == pytest.approx(1)
    assert [name for name, result in results.items() if result.has_drifted] == ["contrast"]
    assert results["contrast"].log == [0] * 9 + [1]
    assert results["contrast"].means == pytest.approx((0, 5), abs=0.2)


def test_compare_values_of_values_that_are_all_equal_finds_none_and_then_the_first_difference() -> None:
    reference, log = (Values({name: [1.0] * 150 for name in NUMBERS}, ["a"] * 150) for _ in range(2))
    assert {result.p_value for result in compare_values(reference, log)} == {1.0}
    log.numbers["confidence"] = [0.5] * 150
    assert [result.name for result in compare_values(reference, log) if result.has_drifted] == ["confidence"]


def test_has_drifted_uses_a_level_that_is_divided_by_the_number_of_tests() -> None:
    assert pytest.approx(0.002) == SIGNIFICANCE_LEVEL
    below, above = (ValueComparison("", [], [], [], None, p_value) for p_value in (0.0019, 0.0021))
    assert below.has_drifted and not above.has_drifted


def test_chi_squared_p_value_is_that_of_scipy() -> None:
    expected = chi2_contingency([[30, 40, 50], [50, 40, 30]], correction=False).pvalue
    assert chi_squared_p_value([30, 40, 50], [50, 40, 30]) == pytest.approx(expected)


def test_chi_squared_p_value_counts_rare_classes_as_one() -> None:
    merged = chi2_contingency([[2, 7, 100], [9, 5, 90]], correction=False).pvalue
    assert chi_squared_p_value([100, 3, 2, 4], [90, 1, 9, 4]) == pytest.approx(merged)
    assert chi_squared_p_value([100, 1], [100, 0]) == 1  # nothing is left to compare


def test_chi_squared_p_value_with_many_rare_classes_gives_few_false_alarms() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.9, *[0.1 / 50] * 50])
    p_values = [chi_squared_p_value(rng.multinomial(200, shares), rng.multinomial(100, shares)) for _ in range(500)]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_compare_values_of_samples_of_one_distribution_gives_an_alarm_in_less_than_5_percent() -> None:
    reference = make_values(500, 0)
    samples = (make_values(100, seed) for seed in range(1, 201))
    alarms = [any(result.has_drifted for result in compare_values(reference, sample)) for sample in samples]
    assert np.mean(alarms) < 0.05


def test_logged_values_are_mean_and_standard_deviation_to_six_decimals() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    values = logged_values(image, "Mars", 0.12345678, 1.0000004)
    assert values == {
        "brightness": pytest.approx(image.mean() / 255, abs=6e-7),
        "contrast": pytest.approx(image.std() / 255, abs=6e-7),
        "confidence": 0.123457,
        "novelty": 1.0,
        "prediction": "Mars",
    }
    white = logged_values(np.full((2000, 2000, 3), 255, np.uint8), "Mars", 1, 0)
    assert (white["brightness"], white["contrast"]) == (1.0, 0.0)
