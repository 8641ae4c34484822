"""Several processes and machines give the same results as one."""

import csv
import json
import shutil
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

import pytest

from support.commands import EVALUATE, PREPARE, TRAIN, assert_fails, run, run_ok
from support.projects import SMALL_PARAMS, has_written_images, read_outputs
from support.s3 import free_port
from support.stages import start, unprepared_project, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def unprepared(tmp_path: Path, raw_dir: Path) -> Path:
    """A project whose prepare stage takes about a second, in many chunks."""
    return unprepared_project(tmp_path / "project", raw_dir, SMALL_PARAMS.replace("[24, 20]", "[512, 512]"))


def test_prepare_on_dask_writes_the_same_bytes_even_if_a_worker_is_killed(unprepared: Path, tmp_path: Path) -> None:
    import distributed

    run_ok(unprepared, *PREPARE)
    expected = read_outputs(unprepared)
    shutil.rmtree(unprepared / "data" / "prepared")
    cluster = tmp_path / "cluster"  # a folder without this project's code
    cluster.mkdir()
    file = ("--scheduler-file", "scheduler.json")
    scheduler = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *file)
    worker = ("-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", *file)
    with start(cluster, *scheduler), start(cluster, *worker) as victim, start(cluster, *worker) as other:
        with distributed.Client(scheduler_file=str(cluster / "scheduler.json"), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        with start(unprepared, *PREPARE, DASK_SCHEDULER_ADDRESS=address) as process:
            wait_until(lambda: has_written_images(unprepared), process)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            labels = unprepared / "data" / ".prepared.tmp" / "train" / "labels.npy"
            assert process.poll() is None and not labels.exists()  # it was killed while images were decoded
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and other.poll() is None, errors
    assert output.startswith("132 images")
    assert errors.startswith("prepare.py: warning: Classes with fewer than 5") and errors.count("\n") == 1
    assert read_outputs(unprepared) == expected
    assert sorted(path.name for path in (unprepared / "data").iterdir()) == ["prepared", "raw"]


def test_prepare_without_a_cluster_at_the_address_fails_with_one_line(unprepared: Path) -> None:
    result = run(unprepared, *PREPARE, DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    assert_fails(result, "prepare.py: DASK_SCHEDULER_ADDRESS is tcp://127.0.0.1:9", "no cluster responds there")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in (unprepared / "data").iterdir()) == ["raw"]


# Runs train.py, and prints the hash of the weights that this process has after training.
TRAIN_AND_PRINT_WEIGHTS = """
import hashlib, sys
sys.path.insert(0, "src")
import train
import keras
from utils.cli import make_parser, run_cli

fit = keras.Model.fit

def fit_and_print(model, *args, **options):
    history = fit(model, *args, **options)
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
    print("weights", digest.hexdigest(), file=sys.stderr)
    return history

keras.Model.fit = fit_and_print
run_cli(train.main, make_parser("", "prepared_dir", "model_dir"))
"""


def start_jax_training(project: Path, model_dir: str, **environment: str) -> AbstractContextManager[Popen[str]]:
    # One thread per process: sums over several threads are rounded differently, and training amplifies that.
    environment |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    return start(project, "-c", TRAIN_AND_PRINT_WEIGHTS, "data/prepared", model_dir, **environment)


def read_weights_line(errors: str) -> str:
    return next(line for line in errors.splitlines() if line.startswith("weights "))


def read_history(model_dir: Path) -> list[dict[str, float]]:
    with (model_dir / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_train_in_two_processes_equals_one_process_and_evaluates_on_tensorflow(project: Path) -> None:
    distribution = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    with (
        start_jax_training(project, "model", **distribution, KERAS_DISTRIBUTION_PROCESS_ID="0") as first,
        start_jax_training(project, "unused", **distribution, KERAS_DISTRIBUTION_PROCESS_ID="1") as second,
    ):
        second_output, second_errors = second.communicate(timeout=300)
        output, errors = first.communicate(timeout=300)
    assert (first.returncode, second.returncode) == (0, 0), errors + second_errors
    assert read_weights_line(errors) == read_weights_line(second_errors)
    assert "epoch " not in second_output and not (project / "unused").exists()
    assert output.count("epoch ") == 3

    with start_jax_training(project, "alone") as alone:
        _, errors = alone.communicate(timeout=300)
    assert alone.returncode == 0, errors
    history = read_history(project / "model")
    for two, one in zip(history, read_history(project / "alone"), strict=True):
        assert two.keys() == one.keys()
        for name in ("loss", "val_loss"):
            assert two[name] == pytest.approx(one[name], abs=1e-4)

    run_ok(project, *EVALUATE)
    metrics = json.loads((project / "evaluation" / "metrics.json").read_text())
    assert metrics["model"] in output
    assert metrics["validation"]["loss"] == pytest.approx(history[-1]["val_loss"], abs=1e-4)


def test_train_names_processes_that_do_not_connect_and_a_missing_backend(project: Path) -> None:
    before = (project / "model" / "history.csv").read_bytes()
    incomplete = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "127.0.0.1:9", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    result = run(project, *TRAIN, KERAS_BACKEND="jax", **incomplete)
    assert_fails(result, "train.py: KERAS_DISTRIBUTION_", "process id of the current process must be defined")
    message = "train.py: KERAS_BACKEND is torch, which is not installed"
    assert_fails(run(project, *TRAIN, KERAS_BACKEND="torch"), message)
    assert (project / "model" / "history.csv").read_bytes() == before
