"""Signals, kills, a full disk and missing memory during prepare.py: no file and no worker is left behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from support.commands import PREPARE, assert_fails, run
from support.projects import SMALL_PARAMS, has_written_images
from support.stages import start, unprepared_project, wait_until, with_limit


@pytest.fixture
def large_project(tmp_path: Path, raw_dir: Path) -> Path:
    """A project where no stage has run and whose prepare stage takes seconds."""
    return unprepared_project(tmp_path / "project", raw_dir, SMALL_PARAMS.replace("[24, 20]", "[2048, 2048]"))


def children(process: subprocess.Popen[str]) -> list[Path]:
    """Return the folders in /proc of the child processes."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path("/proc", pid) for pid in pids]


def all_exit(processes: list[Path]) -> bool:
    """Wait up to 10 s until the processes have exited."""
    for _ in range(1000):
        if not any(folder.exists() for folder in processes):
            return True
        time.sleep(0.01)
    return False


def data_folders(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "data").iterdir())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_prepare_after_a_signal_leaves_no_file_and_no_worker(large_project: Path, signum: signal.Signals) -> None:
    with start(large_project, *PREPARE) as process:
        wait_until(lambda: has_written_images(large_project), process)
        workers = children(process)
        assert len(workers) == len(os.sched_getaffinity(0))
        process.send_signal(signum)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert errors.count(f"stopped by {signum.name}") == 1 and "Traceback" not in errors
    assert all_exit(workers)
    assert data_folders(large_project) == ["raw"]


def test_prepare_workers_exit_when_the_parent_is_killed(large_project: Path) -> None:
    with start(large_project, *PREPARE) as process:
        wait_until(lambda: has_written_images(large_project), process)
        workers = children(process)
        process.kill()
        process.wait()
        assert workers and all_exit(workers)


def test_prepare_with_a_crashed_worker_fails_with_one_line(large_project: Path) -> None:
    with start(large_project, *PREPARE) as process:
        wait_until(lambda: has_written_images(large_project), process)
        os.kill(int(children(process)[0].name), signal.SIGKILL)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == "prepare.py: a worker process crashed; is there enough memory?\n"
    assert data_folders(large_project) == ["raw"]


def test_prepare_with_a_full_disk_leaves_nothing(large_project: Path) -> None:
    (large_project / "params.yaml").write_text(SMALL_PARAMS)
    assert_fails(run(large_project, *with_limit("-f 64", PREPARE)), "prepare.py: ", "File too large")
    assert data_folders(large_project) == ["raw"]


def test_prepare_without_enough_memory_says_so(large_project: Path) -> None:
    (large_project / "params.yaml").write_text(SMALL_PARAMS)
    Image.new("1", (9000, 9000)).save(large_project / "data/raw/Mars/large.png")  # 324 MB as RGB
    result = run(large_project, *with_limit("-v 400000", PREPARE))
    assert_fails(result, "prepare.py: out of memory; use a smaller image_size")
    assert data_folders(large_project) == ["raw"]
