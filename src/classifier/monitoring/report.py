"""The report about drift, as Markdown for an issue on GitHub."""

from classifier.monitoring.drift import ALARM_LEVEL, MIN_PREDICTIONS, NUM_BINS, Drift
from classifier.monitoring.log import PredictionLog
from classifier.reporting.formatting import format_p_value, percent
from utils.files import shorten_list
from utils.markdown import code_span, details, line_chart, table

MAX_CHART_CLASSES = 15


def drift_report(model: str, log: PredictionLog, num_reference: int, drifts: list[Drift]) -> str:
    """Return the report.

    Args:
        model: the model's tag.
        log: its prediction log.
        num_reference: the number of held-out images.
        drifts: the comparison of each value; empty if there are too few predictions.
    """
    alarms = [drift for drift in drifts if drift.is_alarm]
    if not drifts:
        headline = f"Too few predictions to detect drift: {len(log.values)} of at least {MIN_PREDICTIONS}"
    elif alarms:
        headline = f"Drift: {shorten_list([drift.name for drift in alarms])}"
    else:
        headline = "No drift"
    sections = [f"### {headline}", _describe_log(model, log, num_reference)]
    if drifts:
        sections += [_drift_table(drifts), _describe_tests(len(log.values), num_reference)]
        sections += [_chart(drift) for drift in alarms]
        others = "\n\n".join(_chart(drift) for drift in drifts if drift not in alarms)
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


def _drift_table(drifts: list[Drift]) -> str:
    rows = []
    for drift in drifts:
        before, after = map("{:.3f}".format, drift.means) if drift.means else _largest_change(drift)
        mark = "🔴 **drift**" if drift.is_alarm else ""
        rows.append((drift.name, before, after, f"{drift.psi:.2f}", format_p_value(drift.p_value), mark))
    return table(("", "held-out images", "log", "PSI", "test", ""), rows)


def _largest_change(drift: Drift) -> tuple[str, str]:
    pairs = zip(drift.labels, drift.expected, drift.actual, strict=True)
    name, before, after = max(pairs, key=lambda pair: abs(pair[2] - pair[1]))
    return f"{percent(before)} {code_span(name)}", f"{percent(after)} {code_span(name)}"


def _describe_tests(num_predictions: int, num_reference: int) -> str:
    random_psi = (NUM_BINS - 1) * (1 / num_predictions + 1 / num_reference)  # its mean: Yurdakul (2018)
    return (
        "The table has the means and, of the predicted classes, the one that changed most. There is drift if p is "
        f"below {ALARM_LEVEL:g} (Kolmogorov-Smirnov test; for the classes, chi-squared test). The PSI is the size of "
        "the change: below 0.1 small, above 0.25 large. With so many predictions, it is about "
        f"{random_psi:.2f} if nothing changed."
    )


def _chart(drift: Drift) -> str:
    bins = list(zip(drift.labels, drift.expected, drift.actual, strict=True))
    if not drift.means and len(bins) > MAX_CHART_CLASSES:
        bins = sorted(bins, key=lambda item: -abs(item[2] - item[1]))[:MAX_CHART_CLASSES]
    labels, expected, actual = zip(*bins, strict=True)
    chart = line_chart("Share of the predictions", drift.name, labels, [actual, expected], from_zero=True)
    text = "; the labels are the lower ends of the bins" if drift.means else ""
    return f"**{drift.name.capitalize()}:** 🟦 log, 🟧 held-out images{text}\n\n{chart}"
