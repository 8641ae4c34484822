"""Many processes and machines: the same results as one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import SMALL, copy_project, fails, run

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
            images = fresh / "data" / ".prepared.tmp" / "train" / "images.npy"
            while not images.exists() or not images.stat().st_size:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.005)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            assert process.poll() is None and not images.with_name("labels.npy").exists()  # it came on the way
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
