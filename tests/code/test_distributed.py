"""Many processes and machines: the same results as one."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import SMALL, copy_project, fails, run, written

PREPARE = ("src/prepare.py", "data/raw", "data/prepared")


@contextmanager
def started(folder: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen]:
    """A Python process in a folder, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def fresh(tmp_path: Path, raw: Path) -> Path:
    """A project whose prepare stage takes about a second in many tasks."""
    project = copy_project(tmp_path / "project", SMALL.replace("[24, 20]", "[512, 512]"))
    shutil.copytree(raw, project / "data" / "raw")
    return project


def prepared(project: Path) -> dict[str, bytes]:
    folder = project / "data" / "prepared"
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_dask_cluster_gives_the_same_bytes_though_a_worker_is_killed(fresh: Path, tmp_path: Path) -> None:
    import distributed

    assert run(fresh, *PREPARE).returncode == 0
    alone = prepared(fresh)
    shutil.rmtree(fresh / "data" / "prepared")
    cluster = tmp_path / "cluster"  # the workers see none of this project's code
    cluster.mkdir()
    place = ("--scheduler-file", "scheduler.json")
    scheduler = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *place)
    worker = ("-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", *place)
    with started(cluster, *scheduler), started(cluster, *worker) as victim, started(cluster, *worker) as other:
        with distributed.Client(scheduler_file=str(cluster / "scheduler.json"), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        with started(fresh, *PREPARE, DASK_SCHEDULER_ADDRESS=address) as process:
            while not written(fresh):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.005)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            labels = fresh / "data" / ".prepared.tmp" / "train" / "labels.npy"
            assert process.poll() is None and not labels.exists()  # it came on the way
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and other.poll() is None, errors
    assert output.startswith("132 pictures") and errors == ""
    assert prepared(fresh) == alone
    assert sorted(f.name for f in (fresh / "data").iterdir()) == ["prepared", "raw"]


def test_a_cluster_that_is_not_there_is_named(fresh: Path) -> None:
    result = run(fresh, *PREPARE, DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    fails(result, "prepare.py: DASK_SCHEDULER_ADDRESS is tcp://127.0.0.1:9", "no cluster works there")
    assert result.stderr.count("\n") == 1
    assert sorted(f.name for f in (fresh / "data").iterdir()) == ["raw"]


# Trains as a user does, and then writes down the weights that this very process ended with.
TRAIN = """
import hashlib, sys
sys.path.insert(0, "src")
import train
from utils import stage
def fit(model, *args, fit=train.fit):
    scores = fit(model, *args)
    digest = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
    print("weights", len(model.get_weights()), digest, file=sys.stderr)
    return scores
train.fit = fit
stage.run(train.main, "", "prepared", "model")
"""


def weights(errors: str) -> str:
    return next(line for line in errors.splitlines() if line.startswith("weights 8 "))


def history(folder: Path) -> list[dict[str, float]]:
    with open(folder / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_train_as_one_does_and_tensorflow_scores_what_they_pack(project: Path) -> None:
    def train(folder: str, **environment: str):
        # One thread a process: XLA rounds otherwise with several, and training makes much of that.
        environment |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
        return started(project, "-c", TRAIN, "data/prepared", folder, **environment)

    together = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    with train("model", **together, KERAS_DISTRIBUTION_PROCESS_ID="0") as first:
        with train("nowhere", **together, KERAS_DISTRIBUTION_PROCESS_ID="1") as second:
            second_output, second_errors = second.communicate(timeout=300)
        output, errors = first.communicate(timeout=300)
    assert (first.returncode, second.returncode) == (0, 0), errors + second_errors
    assert weights(errors) == weights(second_errors)
    assert "epoch " not in second_output and not (project / "nowhere").exists()
    assert output.count("epoch ") == 3

    with train("alone") as alone:
        errors = alone.communicate(timeout=300)[1]
    assert alone.returncode == 0, errors
    for two, one in zip(history(project / "model"), history(project / "alone"), strict=True):
        assert two.keys() == one.keys()
        for name in ("loss", "val_loss"):
            assert two[name] == pytest.approx(one[name], abs=1e-4)

    result = run(project, "src/evaluate.py", "model", "data/prepared")
    assert result.returncode == 0, result.stderr
    scores = json.loads((project / "evaluation" / "metrics.json").read_text())
    assert scores["model"] in output
    assert scores["val_loss"] == pytest.approx(history(project / "model")[-1]["val_loss"], abs=1e-4)


def test_processes_that_cannot_meet_and_a_backend_that_is_not_there_are_named(project: Path) -> None:
    command = ("src/train.py", "data/prepared", "model")
    before = (project / "model" / "history.csv").read_bytes()
    lost = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "127.0.0.1:9", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    result = run(project, *command, KERAS_BACKEND="jax", **lost)
    fails(result, "train.py: KERAS_DISTRIBUTION_", "process id of the current process must be defined")
    fails(run(project, *command, KERAS_BACKEND="torch"), "train.py: KERAS_BACKEND is torch, which is not installed")
    assert (project / "model" / "history.csv").read_bytes() == before
