"""The report of a pull request: golden cases, hostile names, and what GitHub takes."""

import csv
import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, fails, run

from utils.metrics import score
from markdown_it import MarkdownIt

Answers = dict[str, tuple[str, str]]
ANSWERS: Answers = {
    **{f"Mars/{i}.jpg": ("Mars", "Mars" if i < 7 else "Moon") for i in range(10)},
    **{f"Moon/{i}.jpg": ("Moon", "Moon") for i in range(10)},
}
LOSSES = [0.9, 0.5, 0.4]


def write(project: Path, answers: Answers, losses: list[float] = LOSSES, lr: float = 0.001, md5: str = "a") -> None:
    """What `dvc repro` leaves in Git, without training."""
    for folder in ("evaluation", "model", "data"):
        (project / folder).mkdir(exist_ok=True)
    labels = sorted({name for pair in answers.values() for name in pair})
    counts = np.zeros((len(labels), len(labels)), int)
    for actual, predicted in answers.values():
        counts[labels.index(actual), labels.index(predicted)] += 1
    metrics = {
        "model": f"celestial_bodies_classifier_model:{lr}",
        "val_loss": losses[-1],
        "val_acc": int(np.trace(counts)) / int(counts.sum()),
        **score(counts, labels),
    }
    (project / "evaluation/metrics.json").write_text(json.dumps(metrics))
    with open(project / "evaluation/predictions.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "actual", "predicted", "confidence"), *((f, a, p, 0.9) for f, (a, p) in answers.items())]
        )
    history = "".join(f"{i},0.5,{loss},{1 - loss:.2f},{loss}\n" for i, loss in enumerate(losses))
    (project / "model/history.csv").write_text(f"epoch,accuracy,loss,val_accuracy,val_loss\n{history}")
    (project / "params.yaml").write_text(f"train: {{lr: {lr}, epochs: {len(losses)}, image_size: [32, 32]}}\n")
    outs = [{"path": "model/x.bentomodel", "size": 1_190_000}]
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    data = {"hash": "md5", "md5": f"{md5}.dir", "size": 7_302_996, "nfiles": 1606, "path": "raw"}
    (project / "data/raw.dvc").write_text(yaml.safe_dump({"outs": [data]}))


def commit(project: Path) -> None:
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "before")):
        subprocess.run((*git, *command), cwd=project, check=True)


def report(project: Path, base: str = "HEAD", **environment: str) -> str:
    """The report, with the commit's hash, which is another in each run, as BASE."""
    result = run(project, str(ROOT / "src/report.py"), base, **environment)
    assert result.returncode == 0, result.stderr
    name = subprocess.run(("git", "rev-parse", "--short", base), cwd=project, capture_output=True, text=True).stdout
    return result.stdout.replace(name.strip(), "BASE").replace("\u00a0", " ")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    write(tmp_path, ANSWERS)
    commit(tmp_path)
    return tmp_path


def test_a_parameter_changed_and_better(before: Path) -> None:
    better = ANSWERS | {"Mars/7.jpg": ("Mars", "Mars"), "Mars/8.jpg": ("Mars", "Mars"), "Moon/3.jpg": ("Moon", "Mars")}
    write(before, better, losses=[0.8, 0.3], lr=0.002)
    assert report(before) == GOLDEN


def test_worse(before: Path) -> None:
    write(before, {file: (actual, "Moon") for file, (actual, _) in ANSWERS.items()})
    text = report(before)
    assert text.startswith("### Worse than BASE: 50.0 % right, before 85.0 %\n")
    assert "10 are right, 17 were: 0 newly right, 7 newly wrong.\n" in text  # 1 in 43 by chance: no word of that
    assert "| val_acc | 85.0 % | 50.0 % | ▼ 35.0 points | 🔴 **worse** |" in text
    assert "| `Mars` | 10 | 70.0 % → 0.0 % | 100.0 % → 0.0 % | 82.4 % → 0.0 % | 🔴 **worse** |" in text
    assert "| 1 `Mars` | **7→0** | 3→10 |" in text
    assert "🟢" not in text


def test_nothing_changed(before: Path) -> None:
    text = report(before)
    assert text.startswith("### Same accuracy as BASE: 85.0 % right, before 85.0 %\n")
    assert "17 are right, 17 were: 0 newly right, 0 newly wrong.\n" in text
    assert "**Parameters:** no change." in text and "**Pictures:** no change (1,606 files, 7.3 MB)." in text
    for word in ("better", "worse", "another", "changed", "chance"):
        assert word not in text


def test_a_lower_loss_is_better(before: Path) -> None:
    write(before, ANSWERS, losses=[0.9, 0.5, 0.3])
    assert "| val_loss | 0.4000 | 0.3000 | ▼ 0.1000 | 🟢 better |" in report(before)


@pytest.mark.parametrize("gone", ["everything", "metrics", "damaged"])
def test_a_base_without_metrics(tmp_path: Path, gone: str) -> None:
    write(tmp_path, ANSWERS)
    if gone == "everything":
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        (tmp_path / "README.md").write_text("new")
    elif gone == "metrics":
        shutil.rmtree(tmp_path / "evaluation")
    else:
        for name in (
            "evaluation/metrics.json",
            "evaluation/predictions.csv",
            "dvc.lock",
            "params.yaml",
            "data/raw.dvc",
        ):
            (tmp_path / name).write_text("a: [\n}\0")
    commit(tmp_path)
    write(tmp_path, ANSWERS)
    text = report(tmp_path)
    assert text.startswith("### Nothing to compare with: BASE has no metrics\n\n85.0 % right now.\n")
    assert "| val_acc | – | 85.0 % |  |  |" in text


def test_what_the_user_can_mend_is_one_line(before: Path) -> None:
    for base in ("HEAD~7", "nothing", "--output=x", "HEAD:src"):
        fails(run(before, str(ROOT / "src/report.py"), "--", base), "report.py: ", "is no commit here")
    (before / "evaluation/metrics.json").unlink()
    fails(run(before, str(ROOT / "src/report.py"), "HEAD"), "run `dvc repro`")


def test_other_test_pictures_are_compared_with_care(before: Path) -> None:
    write(before, {file.replace("Moon/1", "Moon/x"): answer for file, answer in ANSWERS.items()})
    text = report(before)
    assert "The test pictures differ, so compare with care. Of the 19 on both sides 16 are right, 16 were:" in text


def test_a_class_added_and_what_dvc_knows_of_pictures(tmp_path: Path) -> None:
    def picture(name: str, content: str) -> None:
        path = tmp_path / "data/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def add() -> None:
        result = run(tmp_path, "dvc", "add", "-q", "data/raw")
        assert result.returncode == 0, result.stderr

    write(tmp_path, ANSWERS)
    for i in range(4):
        picture(f"Mars/{i}.jpg", f"mars {i}")
        picture(f"Moon/{i}.jpg", f"moon {i}")
    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        assert run(tmp_path, *command).returncode == 0
    add()
    listed = yaml.safe_load((tmp_path / "data/raw.dvc").read_text())["outs"][0]["md5"]
    commit(tmp_path)

    write(tmp_path, ANSWERS | {f"Pluto/{i}.jpg": ("Pluto", "Pluto") for i in range(5)})
    for i in range(5):
        picture(f"Pluto/{i}.jpg", f"pluto {i}")
    picture("Mars/1.jpg", "changed")
    (tmp_path / "data/raw/Mars/2.jpg").unlink()
    (tmp_path / "data/raw/Mars/3.jpg").unlink()
    add()
    text = report(tmp_path)
    assert text.startswith("### Better than BASE: 88.0 % right, before 85.0 %\n\nThe test pictures differ")
    assert "**Pictures:** 11 files, 0.0 MB; before 8 files, 0.0 MB." in text
    assert "| `Mars` | 4 | 2 | 0 | 2 | 1 |  |" in text
    assert "| `Pluto` | 0 | 5 | 5 | 0 | 0 | **new class** |" in text
    assert "| `Pluto` | 5 | – → 100.0 % | – → 100.0 % | – → 100.0 % | **new class** |" in text
    assert "`Moon` | 4 |" not in text

    cached = tmp_path / ".dvc/cache/files/md5" / listed[:2] / listed[2:]
    cached.chmod(0o644)
    cached.unlink()
    text = report(tmp_path, DVC_SITE_CACHE_DIR=str(tmp_path / ".site"))  # where DVC remembers the list as well
    assert "Which ones changed is not known: neither DVC's cache nor its remote has the list of BASE." in text


HOSTILE = [
    "@octocat",
    "<img src=x onerror=alert(1)>",
    "a|b|c",
    "a` [x](http://evil.example) **bold** #1 `b",
    "![x](http://evil.example/x.png)",
    "</details></summary>",
    "---\n\n# line\r\n```mermaid",
    "\\|\\`\u202e",
    " ",
    "$x$ --> http://evil.example octocat/hello#1 " + "9" * 300,
]


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    write(tmp_path, ANSWERS | {f"{name}/1.jpg": (name, "Mars") for name in HOSTILE})
    commit(tmp_path)
    write(tmp_path, ANSWERS | {f"{name}/1.jpg": (name, name) for name in HOSTILE})
    params = {"train": {name: name for name in HOSTILE}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    text = report(tmp_path)
    names = [
        token for token in walk(MarkdownIt("commonmark").enable("table").parse(text)) if token.type == "code_inline"
    ]
    assert "@octocat" in [token.content for token in names]
    assert "a¦b¦c" in [token.content for token in names]
    outside = [
        token for token in walk(MarkdownIt("commonmark").enable("table").parse(text)) if token.type != "code_inline"
    ]
    for token in outside:
        assert token.type not in ("link_open", "image", "html_inline", "code_block"), token
        assert token.type != "html_block" or token.content.strip().startswith(("<details><summary>", "</details>"))
        if token.type in ("text", "html_block", "fence"):
            for part in ("@", "evil", "octocat", "<img", "alert", "9999"):
                assert part not in token.content, token
    for table in text.split("\n\n"):
        if table.startswith("| "):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table


def walk(tokens: list) -> list:
    return [inner for token in tokens for inner in (token, *walk(token.children or []))]


@pytest.mark.parametrize(("letter", "cut"), [("x", False), ("🌍", True)])
def test_a_thousand_classes_fit(tmp_path: Path, letter: str, cut: bool) -> None:
    names = [f"{i:04d}".ljust(50, letter) for i in range(1000)]
    answers = {f"{name}/{i}.jpg": (name, names[(n + i) % 1000]) for n, name in enumerate(names) for i in range(3)}
    write(tmp_path, answers)
    commit(tmp_path)
    chance = random.Random(7)
    write(tmp_path, {file: (actual, chance.choice((actual, *names))) for file, (actual, _) in answers.items()}, lr=1)
    text = report(tmp_path)
    assert 30_000 < len(text.encode()) < 65_000
    assert text.startswith("### Worse than BASE: 0.")
    assert "more.\n\n</details>" in text
    assert ("a part is left out here" in text) == cut


def test_long_training_is_thinned(before: Path) -> None:
    write(before, ANSWERS, losses=[1 / (i + 1) for i in range(1000)])
    lines = [line for line in report(before).splitlines() if line.startswith("  line [")]
    assert [line.count(",") + 1 for line in lines] == [30, 30]  # three epochs of a thousand do not show


GOLDEN = """\
### Better than BASE: 90.0 % right, before 85.0 %

Of 20 test pictures 18 are right, 17 were: 2 newly right, 1 newly wrong. So small a difference can be chance.

|  | BASE | now | change |  |
| --- | --- | --- | --- | --- |
| val_acc | 85.0 % | 90.0 % | ▲ 5.0 points | 🟢 better |
| val_loss | 0.4000 | 0.3000 | ▼ 0.1000 | 🟢 better |
| precision | 88.5 % | 90.0 % | ▲ 1.5 points | 🟢 better |
| recall | 85.0 % | 90.0 % | ▲ 5.0 points | 🟢 better |
| f1 | 84.7 % | 90.0 % | ▲ 5.3 points | 🟢 better |
| model | `0.001` | `0.002` | another |  |
| package | 1.19 MB | 1.19 MB |  |  |

**Parameters**

|  | BASE | now |
| --- | --- | --- |
| `train.lr` | `0.001` | `0.002` |
| `train.epochs` | `3` | `2` |

**Pictures:** no change (1,606 files, 7.3 MB).

**Classes** that changed, 2 of 2, BASE → now

| class | test pictures | recall | precision | F1 |  |
| --- | --- | --- | --- | --- | --- |
| `Moon` | 10 | 100.0 % → 90.0 % | 76.9 % → 90.0 % | 87.0 % → 90.0 % | 🟢 better |
| `Mars` | 10 | 70.0 % → 90.0 % | 100.0 % → 90.0 % | 82.4 % → 90.0 % | 🟢 better |

**Training:** 🟦 now, 🟧 BASE

```mermaid
---
config: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}
---
xychart-beta
  title "Loss on the test pictures"
  x-axis epoch ["1", "2", "3"]
  line [0.8000, 0.3000]
  line [0.9000, 0.5000, 0.4000]
```

```mermaid
---
config: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}
---
xychart-beta
  title "Accuracy on the test pictures"
  x-axis epoch ["1", "2", "3"]
  line [0.2000, 0.7000]
  line [0.1000, 0.5000, 0.6000]
```

<details><summary>Confusion matrix, BASE → now</summary>

| actual ↓ predicted → | 1 | 2 |
| --- | --- | --- |
| 1 `Mars` | **7→9** | 3→1 |
| 2 `Moon` | 0→1 | **10→9** |

</details>

<details><summary>Test pictures with another answer</summary>

| picture | actual | BASE | now |  |
| --- | --- | --- | --- | --- |
| `Moon/3.jpg` | `Moon` | `Moon` | `Mars` | 🔴 **worse** |
| `Mars/7.jpg` | `Mars` | `Moon` | `Mars` | 🟢 better |
| `Mars/8.jpg` | `Mars` | `Moon` | `Mars` | 🟢 better |

</details>
"""
