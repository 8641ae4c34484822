"""The report of a pull request: what the workspace has that another revision has not, in GitHub's Markdown.

    python src/report.py main > report.md

Compares the workspace, after `dvc repro`, with any Git revision. All but the names of changed
pictures is read from Git; those come from the DVC cache or remote, if one of them has them.
"""

import csv
import io
import json
import math
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from utils import stage
from utils.stage import Failure, shown

LIMIT = 64_000  # bytes; GitHub takes 65,536 characters, and the workflow adds a line
ROWS, MORE = 20, 60  # of a table: in the open, and on a click
MATRIX = 15  # classes; of more, only the commonest confusions are listed
POINTS = 30  # of a curve
CHART = "---\nconfig: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}\n---"


@dataclass(frozen=True)
class Side:
    """One of the two that are compared. What it lacks is empty."""

    name: str
    metrics: dict[str, Any]  # metrics.json
    parameters: dict[str, Any]  # params.yaml, as "train.lr"
    answers: dict[str, tuple[str, str]]  # each test picture's actual and predicted class
    history: list[tuple[float, float]]  # loss and accuracy on the test pictures, an epoch each
    data: dict[str, Any]  # md5, size and nfiles of data/raw
    package: int  # bytes

    def score(self, *keys: str) -> float | None:
        """A number out of metrics.json, where it is there and finite."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def main(revision: Path) -> None:
    base, now = read_base(str(revision)), read_side("now", read_file)
    if now.score("val_acc") is None or not now.answers:
        raise Failure("evaluation/ has no metrics.json and predictions.csv to report on; run `dvc repro`")
    parts = (verdict, scores, parameters, dataset, classes, curves, confusion, pictures)
    print(fitted([text for part in parts if (text := part(base, now))]))


def read_base(revision: str) -> Side:
    commit = ("git", "rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    found = subprocess.run(commit, capture_output=True, text=True)
    if found.returncode:
        raise Failure(f"{shown(revision)} is no commit here; name a branch, tag or commit, or `git fetch` it first")
    name = found.stdout.strip()

    def read(path: str) -> str:
        show = ("git", "show", f"{name}:./{path}")  # from this folder, wherever the repository begins
        return subprocess.run(show, capture_output=True).stdout.decode("utf-8", "replace")

    return read_side(name, read)


def read_file(path: str) -> str:
    return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else ""


def read_side(name: str, read: Callable[[str], str]) -> Side:
    outs = mapping(read("dvc.lock")).get("stages", {}).get("train", {}).get("outs", [])
    answers = rows(read("evaluation/predictions.csv"), "file", "actual", "predicted")
    return Side(
        name=name,
        metrics=mapping(read("evaluation/metrics.json"), json.loads),
        parameters=flat(mapping(read("params.yaml"))),
        answers={file: (actual, predicted) for file, actual, predicted in answers},
        history=[(float(a), float(b)) for a, b in rows(read("model/history.csv"), "val_loss", "val_accuracy")],
        data=next(iter(mapping(read("data/raw.dvc")).get("outs", [])), {}),
        package=next((out["size"] for out in outs if out["path"].endswith(".bentomodel")), 0),
    )


def mapping(text: str, parse: Callable[[str], Any] = yaml.safe_load) -> dict[str, Any]:
    """A YAML or JSON object; one that is damaged is as good as missing."""
    try:
        value = parse(text)
    except (yaml.YAMLError, ValueError):
        value = None
    return value if isinstance(value, dict) else {}


def rows(text: str, *columns: str) -> list[tuple[str, ...]]:
    lines = csv.DictReader(io.StringIO(text, newline=""))
    return [tuple(line[name] for name in columns) for line in lines if all(line.get(name) for name in columns)]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, item in value.items() for k, v in flat(item, f"{name}.{key}" if name else str(key)).items()}


def verdict(base: Side, now: Side) -> str:
    """Better, worse or same, in one line; then by how many pictures."""
    accuracy, before, total = now.score("val_acc"), base.score("val_acc"), len(now.answers)
    if before is None:
        return f"### Nothing to compare with: {base.name} has no metrics\n\n{percent(accuracy, total)} right now."
    word = "Better than" if accuracy > before else "Worse than" if accuracy < before else "Same accuracy as"
    headline = f"### {word} {base.name}: {percent(accuracy, total)} right, before {percent(before, total)}"
    both = {file for file, (actual, _) in now.answers.items() if base.answers.get(file, ("",))[0] == actual}
    is_right, was_right = ({file for file in both if len(set(side.answers[file])) == 1} for side in (now, base))
    gained, lost = len(is_right - was_right), len(was_right - is_right)
    which = f"Of {total:,} test pictures"
    if not len(both) == total == len(base.answers):
        which = f"The test pictures differ, so compare with care. Of the {len(both):,} on both sides"
    text = f"{which} {len(is_right):,} are right, {len(was_right):,} were: {gained} newly right, {lost} newly wrong."
    if gained != lost and chance(gained, lost) > 0.05:
        text += " So small a difference can be chance."
    return f"{headline}\n\n{text}"


def chance(gained: int, lost: int) -> float:
    """How often a coin would split gained + lost pictures as unevenly: McNemar's test, with continuity correction."""
    return math.erfc((abs(gained - lost) - 1) / math.sqrt(2 * (gained + lost)))


def scores(base: Side, now: Side) -> str:
    """The metrics, and the model."""
    lines = []
    for key in ("val_acc", "val_loss", "precision", "recall", "f1"):
        a, b = base.score(key), now.score(key)
        if b is None:
            continue
        loss = key == "val_loss"
        show = "{:.4f}".format if loss else lambda value: percent(value, len(now.answers))
        if a is None or a == b:
            lines.append((key, "–" if a is None else show(a), show(b), "", ""))
        else:
            step = ("▲ " if b > a else "▼ ") + show(abs(b - a)).replace("%", "points")
            lines.append((key, show(a), show(b), step, judged(a > b if loss else b > a)))
    tags = [str(side.metrics.get("model", "")).rpartition(":")[2] for side in (base, now)]
    lines.append(("model", *map(code, tags), "another" if tags[0] and tags[0] != tags[1] else "", ""))
    sizes = [f"{side.package / 1e6:.2f} MB" if side.package else "–" for side in (base, now)]
    lines.append(("package", *sizes, "", ""))
    return table(("", base.name, "now", "change", ""), lines)


def judged(better: bool) -> str:
    return "🟢 better" if better else "🔴 **worse**"


def parameters(base: Side, now: Side) -> str:
    keys = dict.fromkeys((*base.parameters, *now.parameters))
    lines = [(code(key), *(code(side.parameters.get(key, "–")) for side in (base, now))) for key in keys]
    changed = [line for line in lines if line[1] != line[2]]
    return f"**Parameters**{table(('', base.name, 'now'), changed)}" if changed else "**Parameters:** no change."


def dataset(base: Side, now: Side) -> str:
    """Classes and pictures that were added, removed or changed."""
    before, count = (f"{s.data.get('nfiles', 0):,} files, {s.data.get('size', 0) / 1e6:.1f} MB" for s in (base, now))
    if base.data.get("md5") == now.data.get("md5"):
        return f"**Pictures:** no change ({count})."
    text = f"**Pictures:** {count}; before {before}."
    old, new = listing("--rev", base.name), listing()
    if old is None or new is None:
        which = base.name if old is None else "now"
        return f"{text} Which ones changed is not known: neither DVC's cache nor its remote has the list of {which}."
    folders: dict[str, Counter] = {}
    for file in old.keys() | new.keys():
        kind = "added" if file not in old else "removed" if file not in new else "changed"
        folder = folders.setdefault(file.rpartition("/")[0], Counter())
        folder.update(before=file in old, now=file in new)
        folder[kind] += old.get(file) != new.get(file)
    lines = []
    for name, n in sorted(folders.items()):
        if n["added"] or n["removed"] or n["changed"]:
            note = "**new class**" if not n["before"] else "**class removed**" if not n["now"] else ""
            lines.append((code(name), n["before"], n["now"], n["added"], n["removed"], n["changed"], note))
    return text + table(("class", base.name, "now", "added", "removed", "changed", ""), lines)


def listing(*revision: str) -> dict[str, str] | None:
    """Each picture's hash, from DVC; None where neither the cache nor the remote has the list."""
    command = ("dvc", "list", ".", "data/raw", *revision, "--dvc-only", "--recursive", "--json", "--show-hash")
    found = subprocess.run(command, capture_output=True, text=True)
    return None if found.returncode else {entry["path"]: entry["md5"] for entry in json.loads(found.stdout)}


def classes(base: Side, now: Side) -> str:
    """The scores of each class where they changed, worst first."""
    names = sorted({*base.metrics.get("classes", ()), *now.metrics.get("classes", ())})
    lines = []
    for name in names if base.metrics.get("classes") else ():
        pairs = [[side.score("classes", name, key) for side in (base, now)] for key in ("recall", "precision", "f1")]
        a, b = pairs[-1]
        if any(before != after for before, after in pairs):
            cells = (" → ".join("–" if v is None else percent(v) for v in dict.fromkeys(pair)) for pair in pairs)
            note = "**new class**" if a is None else "**class removed**" if b is None else judged(b > a) * (a != b)
            count = int(now.score("classes", name, "support") or 0)
            lines.append(((b or 0) - (a or 0), (code(name), count, *cells, note)))
    if not lines:
        return ""
    header = ("class", "test pictures", "recall", "precision", "F1", "")
    ordered = [cells for _, cells in sorted(lines, key=lambda line: line[0])]
    return f"**Classes** that changed, {len(lines)} of {len(names)}, {base.name} → now{table(header, ordered)}"


def curves(base: Side, now: Side) -> str:
    """Loss and accuracy on the test pictures over the epochs."""
    epochs = max(len(base.history), len(now.history))
    chosen = range(epochs - 1, -1, -math.ceil(epochs / POINTS))[::-1] if epochs else ()
    charts = []
    for column, name in enumerate(("Loss", "Accuracy") if chosen else ()):
        charts += [f'```mermaid\n{CHART}\nxychart-beta\n  title "{name} on the test pictures"']
        charts += [f"  x-axis epoch {json.dumps([str(i + 1) for i in chosen])}"]
        for side in (now, base):
            values = [f"{side.history[i][column]:.4f}" for i in chosen if i < len(side.history)]
            charts += [f"  line [{', '.join(values)}]"] if values else []
        charts += ["```\n"]
    return f"**Training:** 🟦 now, 🟧 {base.name}\n\n" + "\n".join(charts) if charts else ""


def confusion(base: Side, now: Side) -> str:
    """Which classes are taken for which: a matrix, or of many classes the commonest mistakes."""
    before, after = (Counter(side.answers.values()) for side in (base, now))

    def cell(pair: tuple[str, str]) -> str:
        text = f"{before[pair]}→{after[pair]}" if before and before[pair] != after[pair] else str(after[pair] or "")
        return f"**{text}**" if text and pair[0] == pair[1] else text

    names = sorted({name for pair in before | after for name in pair})
    if len(names) <= MATRIX:
        header = ("actual ↓ predicted →", *range(1, len(names) + 1))
        lines = [(f"{i} {code(actual)}", *(cell((actual, p)) for p in names)) for i, actual in enumerate(names, 1)]
        return details(f"Confusion matrix, {base.name} → now", table(header, lines))
    mistakes = sorted((pair for pair in before | after if pair[0] != pair[1]), key=lambda p: (-after[p], -before[p], p))
    lines = [(*map(code, pair), before[pair], after[pair]) for pair in mistakes]
    return details("Commonest confusions", table(("actual", "predicted", base.name, "now"), lines))


def pictures(base: Side, now: Side) -> str:
    """The test pictures whose answer became wrong, then those whose answer became right."""
    lines = []
    for file, (actual, predicted) in now.answers.items():
        was, before = base.answers.get(file, ("", ""))
        if was == actual and (before == actual) != (predicted == actual):
            lines.append((code(file), *map(code, (actual, before, predicted)), judged(predicted == actual)))
    lines.sort(key=lambda line: line[-1] == judged(True))
    header = ("picture", "actual", base.name, "now", "")
    return details("Test pictures with another answer", table(header, lines)) if lines else ""


def table(header: Iterable, lines: list[Iterable]) -> str:
    """A Markdown table; its long tail opens on a click, and a longer one is cut."""

    def text(part: list[Iterable]) -> str:
        lined = (header, ["---"] * len(header), *part)
        return "\n\n" + "\n".join(f"| {' | '.join(map(str, line))} |" for line in lined)

    tail, cut = lines[ROWS : ROWS + MORE], len(lines) - ROWS - MORE
    note = f"\n\n… and {cut:,} more." if cut > 0 else ""
    return text(lines[:ROWS]) + (details(f"{len(lines) - ROWS:,} more", text(tail) + note) if tail else "")


def details(title: str, content: str) -> str:
    return f"\n\n<details><summary>{title}</summary>{content}\n\n</details>"


def percent(value: float, total: int = 0) -> str:
    """A share, with as many digits as `total` pictures can give."""
    return f"{value:.{2 if total >= 1000 else 1}%}".replace("%", " %")


def code(value: Any) -> str:
    """Anything, however hostile, as a code span that fits a table: no Markdown, HTML, mention or link in it."""
    text = shown(str(value)).replace("|", "¦").replace("`", "'") or "–"
    return f"`{text if len(text) <= 40 else text[:39] + '…'}`"


def fitted(parts: list[str]) -> str:
    """All parts, or as many as GitHub takes: the longest go first."""
    while len("\n\n".join(parts).encode()) > LIMIT:
        parts[parts.index(max(parts, key=len))] = "*The report would be too long for GitHub: a part is left out here.*"
    return "\n\n".join(part.strip() for part in parts)


if __name__ == "__main__":
    stage.run(main, __doc__, "base")
