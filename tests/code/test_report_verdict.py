"""The verdict of the report: reproduced to the byte, in effect, or not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from classifier.reporting.reproduction import Level, judge_reproduction, stage_inputs
from classifier.reporting.sections import describe_verdict, reproduction_section
from classifier.reporting.snapshot import Snapshot
from support.commands import ROOT, run, run_ok
from support.projects import commit_all
from support.reports import make_predictions, make_snapshot, write_results
from utils.files import printable

RESULTS = ["dvc.lock", "evaluation/metrics.json", "evaluation/predictions.csv", "model/history.csv"]
COMMITTED = make_snapshot(make_predictions(num_wrong=12, num_images=400), "0123abc")


def make_result(num_wrong: int = 12, num_images: int = 400, **options: object) -> Snapshot:
    """Return new results; another backend gives another model."""
    return make_snapshot(make_predictions(num_wrong, num_images), **{"version": "0b", **options})


@pytest.mark.parametrize("changed_files", [[], ["README.md", "src/report.py", "tests/data/x.py", ".gitignore"]])
def test_judge_reproduction_with_the_same_results_is_to_the_byte(changed_files: list[str]) -> None:
    assert judge_reproduction(COMMITTED, replace(COMMITTED, name="now"), changed_files).level is Level.BYTES


@pytest.mark.parametrize(
    "new",
    [make_result(), make_result(num_wrong=15), make_result(num_wrong=7), make_result(losses=(0.9, 0.5, 0.41))],
    ids=["same predictions", "3 newly wrong", "5 newly correct", "another loss"],
)
def test_judge_reproduction_with_another_backend_is_in_effect(new: Snapshot) -> None:
    assert judge_reproduction(COMMITTED, new, RESULTS).level is Level.EFFECT


def test_judge_reproduction_with_another_tag_is_not_to_the_byte() -> None:
    new = replace(COMMITTED, metrics=COMMITTED.metrics | {"model": "x:other"})
    assert judge_reproduction(COMMITTED, new, []).level is Level.EFFECT


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (make_result(num_wrong=30), "the accuracy differs by more than 0.02"),
        (make_result(num_wrong=0), "the accuracy differs by more than 0.02"),
        (make_result(num_wrong=20), "the predictions differ significantly"),  # 8 newly wrong, accuracy 0.02 lower
        (make_result(num_images=398), "the test images are not those of the commit"),
        (make_result(lr=0.002), "the committed dvc.lock belongs to other inputs"),
        (make_result(code="c1"), "the committed dvc.lock belongs to other inputs"),
        (make_result(data="d1"), "the committed dvc.lock belongs to other inputs"),
        (replace(make_result(), predictions={}), "is missing in the workspace"),
        (replace(make_result(), metrics={}), "is missing in the workspace"),
        (replace(make_result(), lock={}), "is missing in the workspace"),
    ],
)
def test_judge_reproduction_with_other_results_fails(new: Snapshot, problem: str) -> None:
    verdict = judge_reproduction(COMMITTED, new, RESULTS)
    assert verdict.level is Level.NONE
    assert problem in verdict.problem
    assert set(RESULTS) <= set(verdict.changed)


@pytest.mark.parametrize("lacking", [{"predictions": {}}, {"metrics": {}}, {"lock": {}}])
def test_judge_reproduction_without_committed_evaluation_fails(lacking: dict) -> None:
    verdict = judge_reproduction(replace(COMMITTED, **lacking), make_result(), RESULTS)
    assert (verdict.level, "missing in HEAD" in verdict.problem) == (Level.NONE, True)


@pytest.mark.parametrize("path", ["src/train.py", "data/raw.dvc"])
def test_judge_reproduction_with_an_uncommitted_input_fails(path: str) -> None:
    verdict = judge_reproduction(COMMITTED, COMMITTED, [path])
    assert (verdict.level, verdict.changed) == (Level.NONE, (path,))


def test_judge_reproduction_with_parameters_that_were_not_run_fails() -> None:
    new = replace(COMMITTED, params=COMMITTED.params | {"train.lr": 0.5})
    verdict = judge_reproduction(COMMITTED, new, ["params.yaml"])
    assert (verdict.level, verdict.changed) == (Level.NONE, ("params.yaml: train.lr",))


def test_judge_reproduction_with_inputs_that_changed_since_the_run_fails() -> None:
    verdict = judge_reproduction(COMMITTED, replace(COMMITTED, name="now"), [], ["data/raw"])
    assert (verdict.level, verdict.changed) == (Level.NONE, ("data/raw",))


def test_stage_inputs_lists_commands_parameters_and_hashes_but_no_results() -> None:
    inputs = stage_inputs(COMMITTED.lock)
    assert list(inputs) == [
        "dvc.yaml: train", "data/raw", "src/train.py", "params.yaml: train.lr", "params.yaml: train.epochs",
        "params.yaml: train.image_size", "dvc.yaml: evaluate",
    ]  # fmt: skip
    assert inputs["src/train.py"] == {"train": "c0"}
    for damaged in ({}, {"stages": []}, {"stages": {"train": 1}}, {"stages": {"train": {"deps": 3, "params": [1]}}}):
        assert set(stage_inputs(damaged)) <= {"dvc.yaml: train"}


def test_describe_verdict_gives_the_numbers_and_names_at_most_eight_files() -> None:
    lines = {}
    for new in (COMMITTED, make_result(num_wrong=15), make_result(num_wrong=30), make_result(lr=2)):
        changed_files = [] if new is COMMITTED else [*RESULTS, *(f"model/history.csv/{i}" for i in range(6))]
        verdict = judge_reproduction(COMMITTED, new, changed_files)
        lines[verdict.problem or verdict.level] = describe_verdict(verdict, COMMITTED, new, printable)
    text = [[line.replace("\u00a0", " ") for line in pair] for pair in lines.values()]
    assert text == [
        ["all committed results are identical; val_acc is 97.0 %, committed 97.0 %, and 0 of 400 predictions differ "
         "(McNemar's test: p = 1.000)."],
        ["the files are not identical, but the difference is not significant; val_acc is 96.2 %, committed 97.0 %, and "
         "3 of 400 predictions differ (McNemar's test: p = 0.250)."],
        ["the accuracy differs by more than 0.02; val_acc is 92.5 %, committed 97.0 %, and 18 of 400 predictions "
         "differ (McNemar's test: p < 0.001).",
         "Run `dvc repro` and commit the result. Changed: dvc.lock, evaluation/metrics.json, "
         "evaluation/predictions.csv, model/history.csv, model/history.csv/0, model/history.csv/1, "
         "model/history.csv/2, model/history.csv/3, and 2 more."],
        ["the committed dvc.lock belongs to other inputs; val_acc is 97.0 %, committed 97.0 %, and "
         "0 of 400 predictions differ (McNemar's test: p = 1.000).",
         "Run `dvc repro` and commit the result. Changed: params.yaml: train.lr, dvc.lock, evaluation/metrics.json, "
         "evaluation/predictions.csv, model/history.csv, model/history.csv/0, model/history.csv/1, "
         "model/history.csv/2, and 3 more."],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("new", "start"),
    [
        (COMMITTED, "🟢 **Reproduced to the byte:** all"),
        (make_result(), "🟡 **Reproduced in effect:** the files are not identical"),
        (make_result(num_wrong=30), "🔴 **Not reproduced:** the accuracy differs by more than 0.02; val_acc is"),
    ],
)
def test_reproduction_section_is_one_line(new: Snapshot, start: str) -> None:
    verdict = judge_reproduction(COMMITTED, new, [] if new is COMMITTED else RESULTS)
    section = reproduction_section(verdict, COMMITTED, new)
    assert section.startswith(start)
    assert "\n" not in section


def verify(folder: Path) -> tuple[int, str]:
    """Return the exit status of `report.py --verify` and what it prints."""
    result = run(folder, str(ROOT / "src/report.py"), "--verify")
    return result.returncode, result.stdout


def test_verify_exits_with_1_only_if_the_results_are_not_reproduced(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/train.py").write_text("")
    write_results(tmp_path, COMMITTED)
    assert run(tmp_path, "git", "init", "-q").returncode == 0
    commit_all(tmp_path, "results")

    (tmp_path / "report.md").write_text("untracked")
    assert verify(tmp_path)[0] == 0 and verify(tmp_path)[1].startswith("Reproduced to the byte: all")
    write_results(tmp_path, make_result())
    run(tmp_path, "git", "add", "dvc.lock")  # as DVC's autostage does
    assert verify(tmp_path)[0] == 0 and verify(tmp_path)[1].startswith("Reproduced in effect: the files")
    write_results(tmp_path, make_result(num_wrong=30))
    status, text = verify(tmp_path)
    assert status == 1 and text.startswith("Not reproduced: the accuracy differs by more than 0.02")
    assert "\nRun `dvc repro` and commit the result. Changed: dvc.lock, evaluation/metrics.json, " in text
    assert "report.md" not in text and len(text.splitlines()) == 2

    # The commit holds other parameters than those that its results were made with.
    write_results(tmp_path, COMMITTED)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": {"lr": 1, "epochs": 3, "image_size": [32, 32]}}))
    commit_all(tmp_path, "parameters without results")
    write_results(tmp_path, make_result(lr=1))
    status, text = verify(tmp_path)
    assert status == 1 and "Changed: params.yaml: train.lr, dvc.lock, " in text


@pytest.mark.slow
def test_verify_without_dvc_repro_after_a_committed_change_names_it_and_exits_with_1(
    trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    assert verify(folder)[1].startswith("Reproduced to the byte: ")
    params = folder / "params.yaml"
    for path, change, named in (
        (params, params.read_text().replace("lr: 0.003", "lr: 0.004"), "params.yaml: train"),
        (folder / "src/train.py", "# another program\n", "src/train.py"),
    ):
        path.write_text(change)
        commit_all(folder, "a change without its results")
        status, text = verify(folder)
        assert status == 1 and text.startswith("Not reproduced: the committed dvc.lock belongs to other inputs")
        assert f"\nRun `dvc repro` and commit the result. Changed: {named}." in text
        run_ok(folder, "git", "reset", "-q", "--hard", "HEAD^")
    images = folder / "data/raw"
    shutil.rmtree(images / "Mars")
    assert verify(folder)[1].endswith("Changed: data/raw.\n")
    shutil.rmtree(images)  # as in a clone without images
    assert verify(folder)[0] == 0
