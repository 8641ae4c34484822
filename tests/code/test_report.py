"""The pull-request report: its text, hostile names, and the limits of GitHub."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

import report
from support.commands import ROOT, assert_fails, run, run_ok
from support.projects import commit_all
from support.reports import make_predictions, make_snapshot, write_results

BEFORE = make_predictions(num_wrong=8)
NEWLY_WRONG = {"Moon/3.jpg": ("Moon", "Mars")}
MakeReport = Callable[..., str]


@pytest.fixture
def make_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> MakeReport:
    """A function that returns the report about tmp_path; the hash of the base commit is replaced by BASE."""
    monkeypatch.chdir(tmp_path)

    def make(base: str = "HEAD") -> str:
        assert report.main(base, verify=False) == 0
        name = run_ok(tmp_path, "git", "rev-parse", "--short", base).strip()
        return capsys.readouterr().out.replace(name, "BASE").replace("\u00a0", " ")

    return make


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A repository with committed results."""
    return commit_results(tmp_path, BEFORE)


def commit_results(folder: Path, predictions: dict) -> Path:
    write_results(folder, make_snapshot(predictions))
    run_ok(folder, "git", "init", "-q")
    commit_all(folder, "base")
    return folder


def test_report_with_a_better_model_is_the_golden_text(committed: Path, make_report: MakeReport) -> None:
    better = make_predictions(num_wrong=0) | NEWLY_WRONG
    write_results(committed, make_snapshot(better, losses=(0.8, 0.3), lr=0.002, version="0b"))
    commit_all(committed, "better")
    assert make_report("HEAD^") == GOLDEN


def test_report_with_a_worse_model_marks_it(committed: Path, make_report: MakeReport) -> None:
    write_results(committed, make_snapshot({file: (actual, "Mars") for file, (actual, _) in BEFORE.items()}))
    commit_all(committed, "worse")
    text = make_report("HEAD^")
    assert text.startswith("🟢 **Reproduced to the byte:** ")
    assert "\n\n### No significant difference from BASE: 50.0 % correct, before 66.7 %\n" in text  # 8 better, 12 worse
    write_results(committed, make_snapshot({file: (actual, "Moon") for file, (actual, _) in BEFORE.items()}))
    text = make_report()
    assert "12 of 24 test images are correct, before 12: 12 newly correct, 12 newly wrong" in text

    all_correct = make_predictions(num_wrong=0)
    write_results(committed, make_snapshot(all_correct))
    commit_all(committed, "better")
    write_results(committed, make_snapshot(BEFORE))
    text = make_report()
    assert text.startswith("🔴 **Not reproduced:** the accuracy differs by more than 0.02; val_acc is 66.7 %, ")
    assert "\n\n### Worse than BASE: 66.7 % correct, before 100.0 %\n" in text
    assert (
        "16 of 24 test images are correct, before 24: 0 newly correct, 8 newly wrong (McNemar's test: p = 0.008).\n"
        in text
    )
    assert "| val_acc | 100.0 % | 66.7 % | ▼ 33.3 points | 🔴 **worse** |" in text
    assert "| `Mars` | 12 | 100.0 % → 33.3 % | 100.0 % | 100.0 % → 50.0 % | 🔴 **worse** |" in text
    assert "| 1 `Mars` | **12→4** | 0→8 |" in text
    assert "| `Mars/0.jpg` | `Mars` | `Mars` | `Moon` | 🔴 **newly wrong** |" in text
    assert "🟢" not in text


def test_report_with_a_small_difference_does_not_judge_it(committed: Path, make_report: MakeReport) -> None:
    write_results(committed, make_snapshot(make_predictions(num_wrong=7) | NEWLY_WRONG, losses=(0.9, 0.3)))
    text = make_report()
    assert (
        "### Same accuracy as BASE: 66.7 % correct, before 66.7 %\n\n16 of 24 test images are correct, before 16:"
        in text
    )
    write_results(committed, make_snapshot(make_predictions(num_wrong=4)))
    text = make_report()
    assert "### No significant difference from BASE: 83.3 % correct, before 66.7 %\n" in text
    assert "4 newly correct, 0 newly wrong (McNemar's test: p = 0.125).\n" in text
    assert "| val_acc | 66.7 % | 83.3 % | ▲ 16.7 points |  |" in text
    assert "🟢 better" not in text and "worse" not in text


def test_report_without_changes_says_so(committed: Path, make_report: MakeReport) -> None:
    text = make_report()
    assert text.startswith("🟢 **Reproduced to the byte:** all committed results are identical; val_acc is 66.7 %")
    assert "\n\n### Same accuracy as BASE: 66.7 % correct, before 66.7 %\n" in text
    assert "16 of 24 test images are correct, before 16: 0 newly correct, 0 newly wrong.\n" in text
    assert "**Parameters:** no change." in text and "**Images:** no change (1,606 files, 7.3 MB)." in text
    for word in ("better", "worse", "changed", "different"):
        assert word not in text


@pytest.mark.parametrize("loss", ["0.3", "0.5"])
def test_report_judges_the_loss_by_its_direction(committed: Path, make_report: MakeReport, loss: str) -> None:
    write_results(committed, make_snapshot(make_predictions(num_wrong=0), losses=(0.9, 0.5, float(loss))))
    row = {"0.3": "| 0.3000 | ▼ 0.1000 | 🟢 better |", "0.5": "| 0.5000 | ▲ 0.1000 | 🔴 **worse** |"}[loss]
    assert f"| val_loss | 0.4000 {row}" in make_report()


@pytest.mark.parametrize("gone", ["everything", "metrics", "damaged"])
def test_report_against_a_base_without_metrics_shows_the_new_ones(
    tmp_path: Path, make_report: MakeReport, gone: str
) -> None:
    write_results(tmp_path, make_snapshot(BEFORE))
    if gone == "everything":
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (tmp_path / "README.md").write_text("new")
    elif gone == "metrics":
        shutil.rmtree(tmp_path / "evaluation")
    else:
        for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
            path.write_text("a: [\n}\0")
    run_ok(tmp_path, "git", "init", "-q")
    commit_all(tmp_path, "base")
    write_results(tmp_path, make_snapshot(BEFORE))
    text = make_report()
    assert text.startswith("🔴 **Not reproduced:** dvc.lock, evaluation/metrics.json or ")
    assert "\n\n### Nothing to compare with: BASE has no metrics\n\n66.7 % correct now.\n" in text
    assert "| val_acc | – | 66.7 % |  |  |" in text


def test_report_command_with_wrong_arguments_prints_one_line(committed: Path) -> None:
    script = str(ROOT / "src/report.py")
    for base in ("HEAD~7", "nothing", "--output=x", "HEAD:src"):
        assert_fails(
            run(committed, script, "--", base), f"report.py: {base} is not a commit in this repository; use a "
        )
    assert_fails(run(committed, script), "one of the arguments REVISION --verify is required", code=2)
    assert_fails(run(committed, script, "HEAD", "--verify"), "not allowed with argument", code=2)
    (committed / "evaluation/metrics.json").unlink()
    assert_fails(run(committed, script, "HEAD"), "run `dvc repro`")


def test_report_with_other_test_images_compares_the_common_ones(committed: Path, make_report: MakeReport) -> None:
    new = {file.replace("Moon/1.", "Moon/x."): pair for file, pair in make_predictions(num_wrong=1).items()}
    write_results(committed, make_snapshot(new))
    text = make_report()
    assert text.startswith("🔴 **Not reproduced:** the test images are not those of the commit; ")
    assert (
        "\n### Better than BASE on the 23 test images in both: 95.7 % correct, before 65.2 %\n\n22 of 23 test" in text
    )
    assert ". The test images differ: 95.8 % of all 24 are correct, before 66.7 % of 24.\n" in text
    assert "| val_acc | 66.7 % | 95.8 % | ▲ 29.2 points |  |" in text  # not the same images, so no mark
    write_results(committed, make_snapshot({f"new/{file}": pair for file, pair in BEFORE.items()}))
    assert (
        "\n### Not comparable with BASE: no test image is in both\n\n66.7 % correct, before 66.7 %.\n" in make_report()
    )


@pytest.mark.parametrize("num_epochs", [1000, 31, 30, 1])
def test_report_with_long_training_draws_at_most_30_points(
    committed: Path, make_report: MakeReport, num_epochs: int
) -> None:
    write_results(committed, make_snapshot(BEFORE, losses=tuple(1 / (i + 1) for i in range(num_epochs))))
    text = make_report()
    (axis, _) = [yaml.safe_load(line.split("epoch ")[1]) for line in text.splitlines() if "x-axis epoch" in line]
    assert len(axis) <= 30 and axis[-1] == str(max(num_epochs, 3))
    counts = [line.count(",") + 1 for line in text.splitlines() if line.startswith("  line [")]
    assert counts[0] == len(axis) if num_epochs > 1 else counts == [1, 3, 1, 3]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["root", "subfolder", "subproject"])
def test_report_with_changed_images_lists_them_by_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_report: MakeReport, layout: str
) -> None:
    """In a monorepo, DVC's project is the whole repository, or only this folder (`dvc init --subdir`)."""
    project = tmp_path if layout == "root" else tmp_path / "models" / "bodies"
    project.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project)

    def write_image(name: str, content: str) -> None:
        path = project / "data/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    write_results(project, make_snapshot(BEFORE))
    for i in range(4):
        write_image(f"Mars/{i}.jpg", f"mars {i}")
        write_image(f"Moon/{i}.jpg", f"moon {i}")
    run_ok(tmp_path, "git", "init", "-q")
    run_ok(*((project, "dvc", "init", "-q", "--subdir") if layout == "subproject" else (tmp_path, "dvc", "init", "-q")))
    run_ok(project, "dvc", "add", "-q", "data/raw")
    md5 = yaml.safe_load((project / "data/raw.dvc").read_text())["outs"][0]["md5"]
    commit_all(tmp_path, "base")

    write_results(project, make_snapshot(BEFORE | {f"Pluto/{i}.jpg": ("Pluto", "Pluto") for i in range(5)}))
    for i in range(5):
        write_image(f"Pluto/{i}.jpg", f"pluto {i}")
    write_image("Mars/1.jpg", "changed")
    (project / "data/raw/Mars/2.jpg").unlink()
    (project / "data/raw/Mars/3.jpg").unlink()
    run_ok(project, "dvc", "add", "-q", "data/raw")
    text = make_report()
    assert "\n### Same accuracy as BASE on the 24 test images in both: 66.7 % correct, before 66.7 %\n" in text
    assert "**Images:** 11 files, 0.0 MB; before 8 files, 0.0 MB." in text
    assert "| `Mars` | 4 | 2 | 0 | 2 | 1 |  |" in text
    assert "| `Pluto` | 0 | 5 | 5 | 0 | 0 | **new class** |" in text
    assert "| `Pluto` | 5 | – → 100.0 % | – → 100.0 % | – → 100.0 % | **new class** |" in text
    assert "`Moon` | 4 |" not in text

    if layout == "root":
        cached_list = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        cached_list.chmod(0o644)
        cached_list.unlink()
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))  # DVC keeps another copy of the list there
        unknown = "The changed images are not known: neither DVC's cache nor its remote has the list of BASE."
        assert unknown in make_report()


HOSTILE_NAMES = [
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


def test_report_with_hostile_names_shows_them_as_text(tmp_path: Path, make_report: MakeReport) -> None:
    commit_results(tmp_path, BEFORE | {f"{name}/1.jpg": (name, "Mars") for name in HOSTILE_NAMES})
    snapshot = make_snapshot(BEFORE | {f"{name}/1.jpg": (name, name) for name in HOSTILE_NAMES})
    write_results(tmp_path, snapshot)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": {name: name for name in HOSTILE_NAMES}}))
    text = make_report()
    tokens = walk(MarkdownIt("commonmark").enable("table").parse(text))
    code_spans = [token.content for token in tokens if token.type == "code_inline"]
    assert "@octocat" in code_spans and "a¦b¦c" in code_spans and "train.@octocat" in code_spans
    assert any(span.startswith("params.yaml: train.![x](http") for span in code_spans)  # of the verdict
    for token in tokens:
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


@pytest.mark.parametrize(("letter", "is_cut"), [("x", False), ("🌍", True)])
def test_report_with_a_thousand_classes_fits_into_a_comment(
    tmp_path: Path, make_report: MakeReport, letter: str, is_cut: bool
) -> None:
    names = [f"{i:04d}".ljust(50, letter) for i in range(1000)]
    commit_results(
        tmp_path, {f"{name}/{i}.jpg": (name, names[(n + i) % 1000]) for n, name in enumerate(names) for i in range(3)}
    )
    rng = random.Random(7)
    new = {f"{name}/{i}.jpg": (name, rng.choice((name, *names))) for name in names for i in range(3)}
    write_results(tmp_path, make_snapshot(new, lr=1))
    text = make_report()
    assert 30_000 < len(text.encode()) < 65_000
    assert "\n\n### Worse than BASE: 0." in text
    assert "more.\n\n</details>" in text
    assert ("*This section is left out" in text) == is_cut


GOLDEN = """\
🟢 **Reproduced to the byte:** all committed results are identical; val_acc is 95.8 %, committed 95.8 %, and 0 of 24 \
predictions differ (McNemar's test: p = 1.000).

### Better than BASE: 95.8 % correct, before 66.7 %

23 of 24 test images are correct, before 16: 8 newly correct, 1 newly wrong (McNemar's test: p = 0.039).

|  | BASE | now | change |  |
| --- | --- | --- | --- | --- |
| val_acc | 66.7 % | 95.8 % | ▲ 29.2 points | 🟢 better |
| val_loss | 0.4000 | 0.3000 | ▼ 0.1000 | 🟢 better |
| precision | 80.0 % | 96.2 % | ▲ 16.2 points | 🟢 better |
| recall | 66.7 % | 95.8 % | ▲ 29.2 points | 🟢 better |
| f1 | 62.5 % | 95.8 % | ▲ 33.3 points | 🟢 better |
| model | `0a` | `0b` | different |  |
| model archive | 1.19 MB | 1.19 MB |  |  |

**Parameters**

|  | BASE | now |
| --- | --- | --- |
| `train.epochs` | `3` | `2` |
| `train.lr` | `0.001` | `0.002` |

**Images:** no change (1,606 files, 7.3 MB).

**Classes** that changed, 2 of 2, BASE → now

| class | test images | recall | precision | F1 |  |
| --- | --- | --- | --- | --- | --- |
| `Moon` | 12 | 100.0 % → 91.7 % | 60.0 % → 100.0 % | 75.0 % → 95.7 % | 🟢 better |
| `Mars` | 12 | 33.3 % → 100.0 % | 100.0 % → 92.3 % | 50.0 % → 96.0 % | 🟢 better |

**Training:** 🟦 now, 🟧 BASE

```mermaid
---
config: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}
---
xychart-beta
  title "Loss on the test images"
  x-axis epoch ["1", "2", "3"]
  line [0.8000, 0.3000]
  line [0.9000, 0.5000, 0.4000]
```

```mermaid
---
config: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}
---
xychart-beta
  title "Accuracy on the test images"
  x-axis epoch ["1", "2", "3"]
  line [0.2000, 0.7000]
  line [0.1000, 0.5000, 0.6000]
```

<details><summary>Confusion matrix, BASE → now</summary>

| actual ↓ predicted → | 1 | 2 |
| --- | --- | --- |
| 1 `Mars` | **4→12** | 8→0 |
| 2 `Moon` | 0→1 | **12→11** |

</details>

<details><summary>Test images that became correct or wrong</summary>

| image | actual | BASE | now |  |
| --- | --- | --- | --- | --- |
| `Moon/3.jpg` | `Moon` | `Moon` | `Mars` | 🔴 **newly wrong** |
| `Mars/0.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/1.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/2.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/3.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/4.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/5.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/6.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |
| `Mars/7.jpg` | `Mars` | `Moon` | `Mars` | 🟢 newly correct |

</details>
"""
