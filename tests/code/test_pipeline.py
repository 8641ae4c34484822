"""`dvc repro` from end to end, and what users do with its outputs."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from support.commands import EVALUATE, assert_fails, run, run_ok
from support.projects import ARCHIVE_PATH, read_outputs

pytestmark = pytest.mark.slow


def read_metrics(project: Path) -> dict:
    return json.loads((project / "evaluation/metrics.json").read_text())


@pytest.mark.parametrize(
    ("path", "header", "num_rows"),
    [
        ("model/history.csv", "epoch,accuracy,loss,val_accuracy,val_loss", 3),
        ("evaluation/predictions.csv", "file,actual,predicted,confidence", 33),
        ("evaluation/classes.csv", "class,precision,recall,f1,support", 11),
        ("evaluation/calibration.csv", "confidence,accuracy,perfect,pictures", None),
    ],
)
def test_repro_writes_table(trained: Path, path: str, header: str, num_rows: int | None) -> None:
    lines = (trained / path).read_text().splitlines()
    assert lines[0] == header
    assert num_rows in (None, len(lines) - 1)


def test_repro_writes_metrics_of_eleven_classes(trained: Path) -> None:
    metrics = read_metrics(trained)
    assert {"val_loss", "val_acc", "precision", "recall", "f1", "classes"} < metrics.keys()
    assert len(metrics["classes"]) == 11


def test_repro_writes_model_card_with_tag_accuracy_and_data_hash(trained: Path) -> None:
    card, metrics = (trained / "evaluation/model_card.md").read_text(), read_metrics(trained)
    assert metrics["model"] in card
    assert f"{metrics['val_acc']:.1%}" in card
    assert hashlib.sha256((trained / "data/prepared/test/images.npy").read_bytes()).hexdigest() in card


def test_repro_writes_figures(trained: Path) -> None:
    for name in ("training_history", "pred_preview", "mistakes", "confusion_matrix"):
        assert (trained / f"evaluation/plots/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_repro_adds_model_to_bentoml_store(trained: Path) -> None:
    models = json.loads(run_ok(trained, "bentoml", "models", "list", "-o", "json"))
    assert (read_metrics(trained)["model"], "bentoml.keras") in [(model["tag"], model["module"]) for model in models]


def test_repro_run_again_runs_no_stage(trained: Path) -> None:
    output = run_ok(trained, "dvc", "repro")
    assert "Data and pipelines are up to date" in output
    assert "Running" not in output
    assert run_ok(trained, "git", "status", "--porcelain") == ""


def test_repro_after_changed_parameter_runs_dependent_stages(trained: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project, symlinks=True)
    params = project / "params.yaml"
    for old, new, stages in (
        ("lr: 0.003", "lr: 0.004", {"train", "evaluate"}),
        ("split: 0.25", "split: 0.4", {"prepare", "train", "evaluate"}),
    ):
        params.write_text(params.read_text().replace(old, new))
        output = run_ok(project, "dvc", "repro")
        assert {name for name in ("prepare", "train", "evaluate") if f"Running stage '{name}'" in output} == stages
        assert new.split(": ")[1] in run_ok(project, "dvc", "params", "diff")


def test_revert_and_checkout_restore_the_earlier_model_without_training(trained: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project, symlinks=True)
    archive, metrics = project / ARCHIVE_PATH, project / "evaluation/metrics.json"
    archive.unlink()  # with DVC, it can be a link to the cache
    archive.write_bytes(b"a worse model")
    metrics.write_text("{}")
    run_ok(project, "dvc", "commit", "--force")
    run_ok(project, "git", "commit", "-qam", "worse")
    run_ok(project, "git", "revert", "--no-edit", "HEAD")
    run_ok(project, "dvc", "checkout")
    for path in (ARCHIVE_PATH, "evaluation/metrics.json"):
        assert (project / path).read_bytes() == (trained / path).read_bytes()
    assert "up to date" in run_ok(project, "dvc", "status")


def test_dvc_shows_metrics_and_pipeline(trained: Path) -> None:
    assert "val_acc" in run_ok(trained, "dvc", "metrics", "show")
    run_ok(trained, "dvc", "metrics", "diff")
    assert "evaluate" in run_ok(trained, "dvc", "dag")


def test_dvc_plots_show_contains_all_plots(trained: Path, tmp_path: Path) -> None:
    run_ok(trained, "dvc", "plots", "show", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text()
    for part in ("val_loss", "val_accuracy", "confusion", "pred_preview", "Calibration", "F1 of each class"):
        assert part in page


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data/prepared/labels.json", "data/prepared/labels.json is missing; run `dvc repro`"),
        (ARCHIVE_PATH, f"{ARCHIVE_PATH} is missing; fetch it again (`dvc checkout`, `dvc pull`)"),
    ],
)
def test_evaluate_with_missing_input_prints_one_line_and_changes_nothing(
    project: Path, path: str, message: str
) -> None:
    (project / path).unlink()
    before = read_outputs(project, "evaluation")
    result = run(project, *EVALUATE)
    assert_fails(result, f"evaluate.py: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert read_outputs(project, "evaluation") == before
