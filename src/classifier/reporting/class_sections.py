"""The sections of the report about single classes and images, each as Markdown."""

from collections import Counter
from dataclasses import dataclass

from classifier.data.counts import count_warnings
from classifier.reporting.formatting import NEW_CLASS, REMOVED_CLASS, better_or_worse, collapsible_table, percent
from classifier.reporting.snapshot import Snapshot
from classifier.reporting.statistics import Comparison, PairedChange
from utils.markdown import code_span, details

MAX_MATRIX_CLASSES = 15  # with more classes, only the most common confusions are listed


@dataclass(frozen=True)
class ClassDelta:
    """The metrics of one class, (base, current); None if a snapshot does not have the class.

    Attributes:
        name: the class.
        num_images: the number of its test images now.
        recall: as in metrics.json.
        precision: as in metrics.json.
        f1: as in metrics.json.
        change: the paired change of correctness of "is it this class?".
    """

    name: str
    num_images: int
    recall: tuple[float | None, float | None]
    precision: tuple[float | None, float | None]
    f1: tuple[float | None, float | None]
    change: PairedChange

    @property
    def has_changed(self) -> bool:
        """Whether a metric changed."""
        return any(old != new for old, new in (self.recall, self.precision, self.f1))

    @property
    def f1_change(self) -> float:
        """The change of F1; a missing class counts as 0."""
        old, new = self.f1
        return (new or 0.0) - (old or 0.0)

    @property
    def note(self) -> str:
        """The mark of the change: new, removed, or better or worse if F1 and the paired test say so."""
        old, new = self.f1
        if old is None:
            return NEW_CLASS
        if new is None:
            return REMOVED_CLASS
        agrees = self.f1_change * (self.change.num_gained - self.change.num_lost) > 0
        return better_or_worse(self.f1_change > 0) if agrees and self.change.is_significant else ""


def balance_section(current: Snapshot) -> str:
    """Return a line with the balanced accuracy and the majority-class baseline, then warnings about the classes."""
    balanced, majority = current.metric("balanced_acc"), current.metric("majority_acc")
    if balanced is None or majority is None:
        return ""
    supports = {name: {"test": int(current.metric("classes", name, "support") or 0)} for name in current.class_names}
    lines = [
        f"**Balance:** the balanced accuracy, the mean recall of all classes, is {percent(balanced)}. A model that "
        f"always predicts the most common class has an accuracy of {percent(majority)}.",
        *(f"⚠️ {warning}" for warning in count_warnings(supports, code_span, counted="test images")),
    ]
    return "\n\n".join(lines)


def classes_section(base: Snapshot, current: Snapshot, comparison: Comparison) -> str:
    """Return a table of the classes whose metrics changed, worst first."""
    if not base.class_names:
        return ""
    names = sorted({*base.class_names, *current.class_names})
    deltas = []
    for name in names:
        recall, precision, f1 = (
            (base.metric("classes", name, key), current.metric("classes", name, key))
            for key in ("recall", "precision", "f1")
        )
        num_images = int(current.metric("classes", name, "support") or 0)
        change = comparison.by_class.get(name, PairedChange())
        deltas.append(ClassDelta(name, num_images, recall, precision, f1, change))
    changed = sorted((delta for delta in deltas if delta.has_changed), key=lambda delta: delta.f1_change)
    if not changed:
        return ""
    rows = [
        (code_span(d.name), d.num_images, _from_to(d.recall), _from_to(d.precision), _from_to(d.f1), d.note)
        for d in changed
    ]
    header = ("class", "test images", "recall", "precision", "F1", "")
    title = f"**Classes** that changed, {len(changed)} of {len(names)}, {base.name} → now"
    return title + collapsible_table(header, rows)


def _from_to(values: tuple[float | None, float | None]) -> str:
    texts = ["–" if value is None else percent(value) for value in dict.fromkeys(values)]
    return " → ".join(texts)


def confusion_section(base: Snapshot, current: Snapshot) -> str:
    """Return the confusion matrix or, for many classes, the most common confusions."""
    before, after = (Counter(snapshot.predictions.values()) for snapshot in (base, current))
    names = sorted({name for pair in before | after for name in pair})
    if len(names) > MAX_MATRIX_CLASSES:
        confusions = [pair for pair in before | after if pair[0] != pair[1]]
        confusions.sort(key=lambda pair: (-after[pair], -before[pair], pair))
        rows = [(*map(code_span, pair), before[pair], after[pair]) for pair in confusions]
        return details("Most common confusions", collapsible_table(("actual", "predicted", base.name, "now"), rows))

    def cell(pair: tuple[str, str]) -> str:
        has_changed = before and before[pair] != after[pair]
        text = f"{before[pair]}→{after[pair]}" if has_changed else str(after[pair] or "")
        return f"**{text}**" if text and pair[0] == pair[1] else text

    header = ("actual ↓ predicted →", *range(1, len(names) + 1))
    matrix = [
        (f"{i} {code_span(actual)}", *(cell((actual, predicted)) for predicted in names))
        for i, actual in enumerate(names, 1)
    ]
    return details(f"Confusion matrix, {base.name} → now", collapsible_table(header, matrix))


def predictions_section(base: Snapshot, current: Snapshot) -> str:
    """Return a table of the test images that became wrong, then of those that became correct."""
    newly_wrong, newly_correct = [], []
    for file, (actual, predicted) in current.predictions.items():
        base_actual, base_predicted = base.predictions.get(file, ("", ""))
        if base_actual != actual:
            continue
        cells = tuple(map(code_span, (file, actual, base_predicted, predicted)))
        if base_predicted == actual != predicted:
            newly_wrong.append((*cells, "🔴 **newly wrong**"))
        elif base_predicted != actual == predicted:
            newly_correct.append((*cells, "🟢 newly correct"))
    rows = newly_wrong + newly_correct
    header = ("image", "actual", base.name, "now", "")
    return details("Test images that became correct or wrong", collapsible_table(header, rows)) if rows else ""
