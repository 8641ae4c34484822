"""Signals, kills, full disks, missing memory, broken stores, simultaneous runs: no file is lost or incomplete."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.model.archive import content_version, read_archive
from support.commands import EVALUATE, PREPARE, TRAIN, assert_fails, run, run_ok, without_root_rights
from support.projects import ARCHIVE_PATH, SMALL_PARAMS, read_outputs
from support.stages import start, wait_until, with_limit

pytestmark = pytest.mark.slow

STAGES = {"prepare": PREPARE, "train": TRAIN, "evaluate": EVALUATE}


@pytest.mark.parametrize(
    ("stage", "moment", "signum"),
    [
        ("train", "importing", signal.SIGINT),
        ("train", "fitting", signal.SIGTERM),
        ("evaluate", "importing", signal.SIGTERM),
        ("evaluate", "writing", signal.SIGINT),
    ],
)
def test_stage_after_a_signal_exits_and_changes_nothing(
    project: Path, stage: str, moment: str, signum: signal.Signals
) -> None:
    before = read_outputs(project)
    history, tmp_metrics = project / "model/history.csv", project / ".evaluation.tmp/metrics.json"
    old_time = history.stat().st_mtime_ns
    with start(project, *STAGES[stage]) as process:
        if moment == "importing":
            time.sleep(3)
        elif moment == "fitting":  # history.csv is new before the first epoch
            wait_until(lambda: history.stat().st_mtime_ns != old_time, process)
        else:  # metrics.json is written before the figures
            wait_until(tmp_metrics.exists, process)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signum, errors
    assert f"stopped by {signum.name}" in errors and "Traceback" not in errors
    assert not list(project.rglob(".*.tmp"))
    # history.csv grows during training, and is removed if it is incomplete.
    before.pop("model/history.csv")
    after = read_outputs(project)
    after.pop("model/history.csv", None)
    assert after == before


@pytest.mark.parametrize("stage", STAGES)
def test_stage_after_kills_at_random_moments_writes_the_same_bytes(trained: Path, project: Path, stage: str) -> None:
    rng = random.Random(stage)
    longest = 1.5 if stage == "prepare" else 9
    for _ in range(4 if stage == "prepare" else 2):
        with start(project, *STAGES[stage]) as process:
            time.sleep(rng.uniform(0.1, longest))
            process.kill()
    run_ok(project, *STAGES[stage])
    assert read_outputs(project) == read_outputs(trained)
    assert not list(project.rglob(".*.tmp"))


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_stage_with_a_full_disk_changes_nothing(project: Path, stage: str) -> None:
    before = read_outputs(project)
    result = run(project, *with_limit("-f 16", STAGES[stage]))
    assert_fails(result, f"{stage}.py: ", "File too large", "no incomplete output is left")
    assert not list(project.rglob(".*.tmp"))
    assert {**before, **read_outputs(project)} == before


def test_train_without_enough_memory_says_so(project: Path) -> None:
    large = SMALL_PARAMS.replace("conv_size: 8, dense_size: 32", "conv_size: 2048, dense_size: 65536")
    (project / "params.yaml").write_text(large)  # one layer has 19 GB of weights
    assert_fails(run(project, *with_limit("-v 12000000", TRAIN)), "train.py: out of memory; use a smaller")


def locked_store(store: Path) -> tuple[str, ...]:
    store.mkdir(0o500)
    return (*without_root_rights(), sys.executable, *EVALUATE)


def store_that_is_a_file(store: Path) -> tuple[str, ...]:
    store.touch()
    return EVALUATE


def store_on_a_full_disk(store: Path) -> tuple[str, ...]:
    return with_limit("-f 4", EVALUATE)


@pytest.mark.parametrize(
    ("prepare_store", "message"),
    [
        (locked_store, "Permission denied"),
        (store_that_is_a_file, "is not a directory"),
        (store_on_a_full_disk, "File too large"),
    ],
)
def test_evaluate_with_a_broken_store_names_it_and_changes_nothing(
    project: Path, tmp_path: Path, prepare_store: Callable[[Path], tuple[str, ...]], message: str
) -> None:
    before, store = read_outputs(project), tmp_path / "store"
    result = run(project, *prepare_store(store), BENTOML_HOME=str(store))
    assert_fails(result, "evaluate.py: ", str(store), message)
    assert read_outputs(project) == before


def test_evaluate_creates_a_missing_store(project: Path, tmp_path: Path) -> None:
    before = read_outputs(project)
    run_ok(project, *EVALUATE, BENTOML_HOME=str(tmp_path / "store" / "deeper"))
    assert read_outputs(project) == before


def test_evaluate_rejects_a_model_of_other_classes(project: Path) -> None:
    labels = project / "data/prepared/labels.json"
    labels.write_text(labels.read_text().replace("Mars", "Barsoom"))
    assert_fails(run(project, *EVALUATE), "was trained on other classes or another image size")


def test_stages_ignore_modification_times(trained: Path, project: Path) -> None:
    for file in project.rglob("*"):
        os.utime(file, (4e9, 4e9))  # in the year 2096
    for stage in (PREPARE, EVALUATE):
        run_ok(project, *stage)
    assert read_outputs(project) == read_outputs(trained)


def evaluated_tag(project: Path) -> str:
    """Return the tag in metrics.json, which must be that of the model archive."""
    tag = json.loads((project / "evaluation/metrics.json").read_text())["model"]
    assert tag.split(":")[1] == content_version(read_archive(project / ARCHIVE_PATH))
    return tag


def test_repro_in_two_clones_at_once_shares_one_store(trained: Path, tmp_path: Path) -> None:
    clones = [tmp_path / "a", tmp_path / "b"]
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "store")}
    for clone in clones:
        shutil.copytree(trained, clone, symlinks=True)
    (clones[1] / "params.yaml").write_text(SMALL_PARAMS.replace("lr: 0.003", "lr: 0.001"))
    running = [subprocess.Popen(["dvc", "repro", "--force", "--quiet"], cwd=clone, env=environment) for clone in clones]
    assert [process.wait() for process in running] == [0, 0]
    assert read_outputs(clones[0]) == read_outputs(trained)
    assert evaluated_tag(clones[0]) != evaluated_tag(clones[1])


def wait_for_experiments(project: Path) -> list[dict[str, str]]:
    """Return the rows of `dvc exp show` when all experiments have finished."""
    for _ in range(600):
        rows = list(csv.DictReader(run(project, "dvc", "exp", "show", "--csv").stdout.splitlines()))
        rows = [row for row in rows if row["rev"] not in ("workspace", "master", "main")]
        if all(row["val_acc"] for row in rows) or any(row["State"] == "Failed" for row in rows):
            break
        time.sleep(1)
    return rows


def test_queued_experiments_run_two_at_a_time(trained: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project, symlinks=True)
    run_ok(project, "dvc", "exp", "run", "--queue", "-S", "train.lr=0.003,0.001", "-S", "train.conv_size=8,4")
    run_ok(project, "dvc", "queue", "start", "-j", "2")
    rows = wait_for_experiments(project)
    assert len(rows) == 4 and len({row["model"] for row in rows}) == 4, rows
    expected = json.loads((trained / "evaluation/metrics.json").read_text())
    for row in rows:
        is_unchanged = (float(row["train.lr"]), int(row["train.conv_size"])) == (0.003, 8)
        assert (row["model"] == expected["model"]) is is_unchanged
        if not is_unchanged:
            run_ok(project, "dvc", "exp", "apply", row["Experiment"])
            assert evaluated_tag(project) == row["model"]
            assert f"lr: {row['train.lr']}" in (project / "params.yaml").read_text()
    assert "val_loss" in run_ok(project, "dvc", "exp", "diff", rows[0]["Experiment"], rows[1]["Experiment"])
