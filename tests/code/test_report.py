"""The pull-request report: its text."""

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, assert_fails, run, run_ok
from support.projects import commit_all
from support.reports import BEFORE, make_predictions, make_snapshot, write_results

GOLDEN = (ROOT / "tests/support/golden_report.txt").read_text("utf-8")
NEWLY_WRONG = {"Moon/3.jpg": ("Moon", "Mars")}
MakeReport = Callable[..., str]


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
    assert_fails(run(committed, script, "HEAD", "HEAD"), "unrecognized arguments: HEAD", code=2)
    (committed / "evaluation/metrics.json").unlink()
    assert_fails(run(committed, script), "run `dvc repro`")


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


def test_report_ends_quietly_when_the_reader_closes_the_pipe(committed: Path) -> None:
    command = f"'{sys.executable}' '{ROOT}/src/report.py' | true; exit ${{PIPESTATUS[0]}}"
    result = run(committed, "bash", "-c", command)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")
