"""Faults: signals, kills, full disks, no memory, broken stores, two runs at once. Nothing is lost or half written."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import FILE, SMALL, fails, run, without_rights

from utils import package

STAGES = {
    "prepare": ("src/prepare.py", "data/raw", "data/prepared"),
    "train": ("src/train.py", "data/prepared", "model"),
    "evaluate": ("src/evaluate.py", "model", "data/prepared"),
}
OUTPUT = {"prepare": "data/prepared", "train": "model", "evaluate": "evaluation"}


def outputs(project: Path, *folders: str) -> dict[str, bytes]:
    """The stages' files; other than .gitignore, which DVC writes."""
    return {
        str(file.relative_to(project)): file.read_bytes()
        for folder in folders or OUTPUT.values()
        for file in sorted((project / folder).rglob("*"))
        if file.is_file() and file.name != ".gitignore"
    }


def start(project: Path, stage: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *STAGES[stage]],
        cwd=project,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job inherits SIGINT ignored.
        preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGTERM)],
    )


@pytest.mark.parametrize(
    ("stage", "moment", "signum"),
    [
        ("train", "importing", signal.SIGINT),
        ("train", "fitting", signal.SIGTERM),
        ("evaluate", "importing", signal.SIGTERM),
        ("evaluate", "writing", signal.SIGINT),
    ],
)
def test_a_signal_stops_a_stage_at_once_and_leaves_nothing(
    project: Path, stage: str, moment: str, signum: signal.Signals
) -> None:
    before = outputs(project)
    process = start(project, stage)
    if moment == "importing":
        time.sleep(3)
    else:
        # Scratch files: history.csv is new before the first epoch, metrics.json before the figures are drawn.
        history, scratch = project / "model/history.csv", project / ".evaluation.tmp/metrics.json"
        written = history.stat().st_mtime_ns
        while process.poll() is None and (
            history.stat().st_mtime_ns == written if moment == "fitting" else not scratch.exists()
        ):
            time.sleep(0.001)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signum, errors
    assert f"stopped by {signum.name}" in errors and "Traceback" not in errors
    assert not list(project.rglob(".*.tmp"))
    del before["model/history.csv"]  # it is watched while it grows, and of no use when it is not whole
    after = outputs(project)
    assert {name: content for name, content in after.items() if name != "model/history.csv"} == before


@pytest.mark.parametrize("stage", STAGES)
def test_after_kills_at_random_moments_the_stage_gives_the_same_bytes(trained: Path, project: Path, stage: str) -> None:
    chance = random.Random(stage)
    longest = 1.5 if stage == "prepare" else 9
    for _ in range(4 if stage == "prepare" else 2):
        process = start(project, stage)
        time.sleep(chance.uniform(0.1, longest))
        process.kill()
        process.communicate()
    assert run(project, *STAGES[stage]).returncode == 0
    assert outputs(project) == outputs(trained)
    assert not list(project.rglob(".*.tmp"))


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_full_disk_leaves_nothing(project: Path, stage: str) -> None:
    before = outputs(project)
    limited = f"trap '' XFSZ; ulimit -f 16; exec {sys.executable} {' '.join(STAGES[stage])}"
    fails(run(project, "bash", "-c", limited), f"{stage}.py: ", "File too large", "nothing was changed")
    assert not list(project.rglob(".*.tmp"))
    assert {**before, **outputs(project)} == before


def test_out_of_memory_is_said(project: Path, raw: Path) -> None:
    (project / "params.yaml").write_text(
        SMALL.replace("conv_size: 8, dense_size: 32", "conv_size: 512, dense_size: 65536")
    )
    for part, count in (("train", 99), ("test", 33)):  # 2048 x 2048 pixels that take no room on the disk
        shape = (count, 2048, 2048, 3)
        np.lib.format.open_memmap(project / f"data/prepared/{part}/images.npy", "w+", np.uint8, shape).flush()
    fails(run(project, *STAGES["train"]), "train.py: out of memory; use a smaller")
    (project / "params.yaml").write_text(SMALL.replace("[24, 20]", "[2048, 2048]"))
    shutil.copytree(raw, project / "data/raw", dirs_exist_ok=True)
    limited = f"ulimit -v 400000; exec {sys.executable} {' '.join(STAGES['prepare'])}"
    fails(run(project, "bash", "-c", limited), "prepare.py: out of memory; use a smaller image_size")


@pytest.mark.parametrize(
    ("case", "message"),
    [("locked", "Permission denied"), ("a file", "is not a directory"), ("full", "File too large"), ("missing", "")],
)
def test_a_store_that_fails_is_named_or_made(project: Path, tmp_path: Path, case: str, message: str) -> None:
    before, store, command = outputs(project), tmp_path / "store", (sys.executable, *STAGES["evaluate"])
    if case == "locked":
        store.mkdir(0o500)
        command = (*without_rights(), *command)
    elif case == "a file":
        store.touch()
    elif case == "full":
        command = ("bash", "-c", f"trap '' XFSZ; ulimit -f 4; exec {' '.join(command)}")
    result = run(project, *command, BENTOML_HOME=str(store / "deeper" if case == "missing" else store))
    if case == "missing":
        assert result.returncode == 0, result.stderr
    else:
        fails(result, "evaluate.py: ", str(store), message)
    assert outputs(project) == before


def test_another_projects_package_is_refused(project: Path, tmp_path: Path) -> None:
    labels = project / "data/prepared/labels.json"
    labels.write_text(labels.read_text().replace("Mars", "Barsoom"))
    fails(run(project, *STAGES["evaluate"]), "was trained on other classes or another image size")


def test_a_clock_that_was_set_back_changes_nothing(trained: Path, project: Path) -> None:
    for file in project.rglob("*"):
        os.utime(file, (4e9, 4e9))  # the year 2096
    for stage in ("prepare", "evaluate"):
        assert run(project, *STAGES[stage]).returncode == 0
    assert outputs(project) == outputs(trained)


def belongs_together(project: Path) -> str:
    """The tag in metrics.json, which is that of the package's content."""
    tag = json.loads((project / "evaluation/metrics.json").read_text())["model"]
    assert tag.split(":")[1] == package._version(package._read(project / "model" / FILE))
    return tag


def test_two_clones_at_once_with_one_store(trained: Path, tmp_path: Path) -> None:
    clones = [tmp_path / "a", tmp_path / "b"]
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "store")}
    for clone in clones:
        shutil.copytree(trained, clone, symlinks=True)
    (clones[1] / "params.yaml").write_text(SMALL.replace("lr: 0.003", "lr: 0.001"))
    running = [subprocess.Popen(["dvc", "repro", "--force", "--quiet"], cwd=clone, env=environment) for clone in clones]
    assert [process.wait() for process in running] == [0, 0]
    assert outputs(clones[0]) == outputs(trained)
    assert belongs_together(clones[0]) != belongs_together(clones[1])


def test_a_grid_of_experiments_two_at_a_time(trained: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project, symlinks=True)
    grid = ("-S", "train.lr=0.003,0.001", "-S", "train.conv_size=8,4")
    assert run(project, "dvc", "exp", "run", "--queue", *grid).returncode == 0
    assert run(project, "dvc", "queue", "start", "-j", "2").returncode == 0
    for _ in range(600):
        rows = list(csv.DictReader(run(project, "dvc", "exp", "show", "--csv").stdout.splitlines()))
        rows = [row for row in rows if row["rev"] not in ("workspace", "master", "main")]
        if all(row["val_acc"] for row in rows) or any(row["State"] == "Failed" for row in rows):
            break
        time.sleep(1)
    assert len(rows) == 4 and len({row["model"] for row in rows}) == 4, rows
    expected = json.loads((trained / "evaluation/metrics.json").read_text())
    for row in rows:
        same = (float(row["train.lr"]), int(row["train.conv_size"])) == (0.003, 8)
        assert (row["model"] == expected["model"]) is same
        if not same:
            applied = run(project, "dvc", "exp", "apply", row["Experiment"])
            assert applied.returncode == 0, applied.stderr
            assert belongs_together(project) == row["model"]
            lr = f"lr: {row['train.lr']}"
            assert lr in (project / "params.yaml").read_text()
    assert "val_loss" in run(project, "dvc", "exp", "diff", rows[0]["Experiment"], rows[1]["Experiment"]).stdout
