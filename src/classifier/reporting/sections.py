"""The sections of the report, each as Markdown.

`dvc metrics diff --md` and `dvc params diff --md` do not fit (tried with DVC 3.67): they do not escape names, so that
`|`, HTML or an @mention in params.yaml becomes part of the comment; they print five digits, whatever the number of
images, and one row for each of the many metrics; they do not say which changes are good or significant; and each call
takes a second.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable

from classifier.reporting.formatting import (
    NEW_CLASS,
    REMOVED_CLASS,
    better_or_worse,
    collapsible_table,
    format_p_value,
    percent,
)
from classifier.reporting.reproduction import Level, Verdict
from classifier.reporting.snapshot import Snapshot, dvc_list_hashes
from classifier.reporting.statistics import Comparison, compare_predictions
from utils.markdown import code_span, line_chart

MAX_CURVE_POINTS = 30
MAX_NAMES = 8
METRICS = ("val_acc", "val_loss", "precision", "recall", "f1")
LEVEL_MARKS = {Level.BYTES: "🟢", Level.EFFECT: "🟡", Level.NONE: "🔴"}


def reproduction_section(verdict: Verdict, committed: Snapshot, new: Snapshot) -> str:
    """Return one line: whether the committed results are reproduced."""
    text = " ".join(describe_verdict(verdict, committed, new, code_span))
    return f"{LEVEL_MARKS[verdict.level]} **{verdict.level.value}:** {text}"


def describe_verdict(verdict: Verdict, committed: Snapshot, new: Snapshot, quote: Callable[[str], str]) -> list[str]:
    """Return the reason for a verdict and, if the results are not reproduced, what to do; one sentence each."""
    reasons = {
        Level.BYTES: "all committed results are identical",
        Level.EFFECT: "the files are not identical, but the difference is not significant",
        Level.NONE: verdict.problem,
    }
    reason = reasons[verdict.level]
    old_accuracy, new_accuracy = committed.metric("val_acc"), new.metric("val_acc")
    comparison = compare_predictions(committed, new)
    if old_accuracy is not None and new_accuracy is not None and comparison.num_images:
        shown = [percent(value, comparison.num_images) for value in (new_accuracy, old_accuracy)]
        reason += (
            f"; val_acc is {shown[0]}, committed {shown[1]}, and {comparison.num_different:,} of "
            f"{comparison.num_images:,} predictions differ (McNemar's test: {format_p_value(comparison.total.p_value)})"
        )
    if verdict.level is not Level.NONE:
        return [f"{reason}."]
    names = [quote(name) for name in verdict.changed[:MAX_NAMES]]
    if len(verdict.changed) > MAX_NAMES:
        names.append(f"and {len(verdict.changed) - MAX_NAMES} more")
    advice = "Run `dvc repro` and commit the result."
    return [f"{reason}.", f"{advice} Changed: {', '.join(names)}." if names else advice]


def summary_section(base: Snapshot, current: Snapshot, comparison: Comparison) -> str:
    """Return a headline, better or worse, and the number of images that became correct or wrong."""
    total, base_total = len(current.predictions), len(base.predictions)
    accuracy = percent(current.metric("val_acc") or 0.0, total)
    base_accuracy = base.metric("val_acc")
    if base_accuracy is None:
        return f"### Nothing to compare with: {base.name} has no metrics\n\n{accuracy} correct now."
    before = percent(base_accuracy, base_total)
    if not comparison.num_images:
        return f"### Not comparable with {base.name}: no test image is in both\n\n{accuracy} correct, before {before}."

    change, num_images = comparison.total, comparison.num_images
    headline = "No significant difference from"
    if change.num_gained == change.num_lost:
        headline = "Same accuracy as"
    elif change.is_significant:
        headline = "Better than" if change.num_gained > change.num_lost else "Worse than"
    scope = "" if comparison.is_same_test_set else f" on the {num_images:,} test images in both"
    shares = [
        percent(count / num_images, num_images) for count in (comparison.num_correct, comparison.num_correct_base)
    ]
    text = (
        f"{comparison.num_correct:,} of {num_images:,} test images are correct, before "
        f"{comparison.num_correct_base:,}: {change.num_gained:,} newly correct, {change.num_lost:,} newly wrong"
    )
    if change.num_gained or change.num_lost:
        text += f" (McNemar's test: {format_p_value(change.p_value)})"
    if not comparison.is_same_test_set:
        text += f". The test images differ: {accuracy} of all {total:,} are correct, before {before} of {base_total:,}"
    return f"### {headline} {base.name}{scope}: {shares[0]} correct, before {shares[1]}\n\n{text}."


def metrics_section(base: Snapshot, current: Snapshot, comparison: Comparison) -> str:
    """Return a table of the metrics, the model and its archive. Changes are judged only if the test is significant."""
    is_judged = comparison.is_same_test_set and comparison.total.is_significant
    rows = []
    for key in METRICS:
        old, new = base.metric(key), current.metric(key)
        if new is not None:
            rows.append((key, *_metric_cells(key, old, new, len(current.predictions), is_judged)))
    versions = [base.model_version, current.model_version]
    is_other_model = versions[0] and versions[0] != versions[1]
    rows.append(("model", *map(code_span, versions), "different" if is_other_model else "", ""))
    sizes = [f"{size / 1e6:.2f} MB" if size else "–" for size in (base.archive_size, current.archive_size)]
    rows.append(("model archive", *sizes, "", ""))
    return collapsible_table(("", base.name, "now", "change", ""), rows)


def _metric_cells(key: str, old: float | None, new: float, num_images: int, is_judged: bool) -> tuple[str, ...]:
    def show(value: float) -> str:
        return f"{value:.4f}" if key == "val_loss" else percent(value, num_images)

    if old is None:
        return "–", show(new), "", ""
    if old == new:
        return show(old), show(new), "", ""
    change = f"{'▲' if new > old else '▼'} {show(abs(new - old)).replace('%', 'points')}"
    is_better = new < old if key == "val_loss" else new > old
    return show(old), show(new), change, better_or_worse(is_better) if is_judged else ""


def params_section(base: Snapshot, current: Snapshot) -> str:
    """Return a table of the parameters that changed."""
    rows = []
    for key in dict.fromkeys((*base.params, *current.params)):
        old, new = (snapshot.params.get(key, "–") for snapshot in (base, current))
        if old != new:
            rows.append((code_span(key), code_span(old), code_span(new)))
    return f"**Parameters**{collapsible_table(('', base.name, 'now'), rows)}" if rows else "**Parameters:** no change."


def dataset_section(base: Snapshot, current: Snapshot) -> str:
    """Return a table of the images that were added, removed or changed, by class, or by folder if these differ."""
    before, count = (
        f"{dataset.get('nfiles', 0):,} files, {dataset.get('size', 0) / 1e6:.1f} MB"
        for dataset in (base.dataset, current.dataset)
    )
    if base.dataset.get("md5") == current.dataset.get("md5"):
        return f"**Images:** no change ({count})."
    text = f"**Images:** {count}; before {before}."
    if not base.dataset or not current.dataset:
        return text
    old, new = dvc_list_hashes(base.name), dvc_list_hashes()
    if old is None or new is None:
        missing = base.name if old is None else "the workspace"
        return f"{text} The changed images are not known: neither DVC's cache nor its remote has the list of {missing}."
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in old.keys() | new.keys():
        kind = "added" if path not in old else "removed" if path not in new else "changed"
        folder = counts[path.rpartition("/")[0]]
        folder.update(before=int(path in old), now=int(path in new))
        folder[kind] += old.get(path) != new.get(path)
    is_by_class = counts.keys() - {""} <= {*base.class_names, *current.class_names}
    rows = [
        (
            code_span(name),
            *(n[key] for key in ("before", "now", "added", "removed", "changed")),
            _class_note(n) if is_by_class else "",
        )
        for name, n in sorted(counts.items())
        if n["added"] or n["removed"] or n["changed"]
    ]
    kind = "class" if is_by_class else "folder"
    return text + collapsible_table((kind, base.name, "now", "added", "removed", "changed", ""), rows)


def _class_note(counts: Counter[str]) -> str:
    if not counts["before"]:
        return NEW_CLASS
    return "" if counts["now"] else REMOVED_CLASS


def curves_section(base: Snapshot, current: Snapshot) -> str:
    """Return charts of the validation loss and accuracy over the epochs, as history.csv has them."""
    num_epochs = max(len(base.history), len(current.history))
    if not num_epochs:
        return ""
    step = math.ceil(num_epochs / MAX_CURVE_POINTS)
    epochs = range((num_epochs - 1) % step, num_epochs, step)  # ends with the last epoch
    charts = []
    for column, metric in enumerate(("loss", "accuracy")):
        lines = [
            [snapshot.history[i][column] for i in epochs if i < len(snapshot.history)] for snapshot in (current, base)
        ]
        charts.append(line_chart(f"Validation {metric}", "epoch", [str(i + 1) for i in epochs], lines))
    return f"**Training:** 🟦 now, 🟧 {base.name}\n\n" + "\n\n".join(charts)
