"""The report about drift, as Markdown for an issue on GitHub."""

from classifier.monitoring.drift import MIN_PREDICTIONS, NUM_BINS, SIGNIFICANCE_LEVEL, ValueComparison
from classifier.monitoring.log import PredictionLog
from classifier.reporting.formatting import format_p_value, percent
from utils.files import shorten_list
from utils.markdown import code_span, details, line_chart, table

MAX_CHART_CLASSES = 15


def drift_report(model: str, log: PredictionLog, num_reference: int, comparisons: list[ValueComparison]) -> str:
    """Return the report.

    Args:
        model: the model's tag.
        log: its prediction log.
        num_reference: the number of held-out images.
        comparisons: the comparison of each value; empty if there are too few predictions.
    """
    drifted = [comparison for comparison in comparisons if comparison.has_drifted]
    if not comparisons:
        headline = f"Too few predictions to detect drift: {len(log.values)} of at least {MIN_PREDICTIONS}"
    elif drifted:
        headline = f"Drift: {shorten_list([comparison.name for comparison in drifted])}"
    else:
        headline = "No drift"
    sections = [f"### {headline}", _describe_log(model, log, num_reference)]
    if comparisons:
        sections += [_drift_table(comparisons), _describe_tests(len(log.values), num_reference)]
        sections += [_chart(comparison) for comparison in drifted]
        others = "\n\n".join(_chart(comparison) for comparison in comparisons if comparison not in drifted)
        sections += [details("Values without drift", f"\n\n{others}").strip()] if others else []
    return "\n\n".join(sections)


def _describe_log(model: str, log: PredictionLog, num_reference: int) -> str:
    text = f"{len(log.values):,} predictions of {code_span(model, 80)}"
    if log.times:
        text += f" from {min(log.times):%Y-%m-%d %H:%M} to {max(log.times):%Y-%m-%d %H:%M}"
    text += f"; reference: its predictions for {num_reference:,} held-out images."
    skipped = {"of other models": log.num_other_models, "damaged or incomplete": log.num_damaged}
    if any(skipped.values()):
        text += f" Skipped lines: {', '.join(f'{number:,} {kind}' for kind, number in skipped.items() if number)}."
    return text


def _drift_table(comparisons: list[ValueComparison]) -> str:
    rows = []
    for comparison in comparisons:
        reference, log = map("{:.3f}".format, comparison.means) if comparison.means else _largest_change(comparison)
        mark = "🔴 **drift**" if comparison.has_drifted else ""
        rows.append(
            (comparison.name, reference, log, f"{comparison.psi:.2f}", format_p_value(comparison.p_value), mark)
        )
    return table(("", "held-out images", "log", "PSI", "test", ""), rows)


def _largest_change(comparison: ValueComparison) -> tuple[str, str]:
    pairs = zip(comparison.labels, comparison.reference, comparison.log, strict=True)
    name, before, after = max(pairs, key=lambda pair: abs(pair[2] - pair[1]))
    return f"{percent(before)} {code_span(name)}", f"{percent(after)} {code_span(name)}"


def _describe_tests(num_predictions: int, num_reference: int) -> str:
    random_psi = (NUM_BINS - 1) * (1 / num_predictions + 1 / num_reference)  # its mean: Yurdakul (2018)
    return (
        "The table has the means and, of the predicted classes, the one that changed most. There is drift if p is "
        f"below {SIGNIFICANCE_LEVEL:g} (Kolmogorov-Smirnov test; for the classes, chi-squared test). The PSI is the "
        "size of the change: below 0.1 small, above 0.25 large. With so many predictions, it is about "
        f"{random_psi:.2f} if nothing changed."
    )


def _chart(comparison: ValueComparison) -> str:
    bins = list(zip(comparison.labels, comparison.reference, comparison.log, strict=True))
    if not comparison.means and len(bins) > MAX_CHART_CLASSES:
        bins = sorted(bins, key=lambda item: -abs(item[2] - item[1]))[:MAX_CHART_CLASSES]
    labels, reference, log = zip(*bins, strict=True)
    chart = line_chart("Share of the predictions", comparison.name, labels, [log, reference], from_zero=True)
    text = "; the labels are the lower ends of the bins" if comparison.means else ""
    return f"**{comparison.name.capitalize()}:** 🟦 log, 🟧 held-out images{text}\n\n{chart}"
