"""Stages that run in the background or with limited resources."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.projects import SMALL_PARAMS, copy_project, read_outputs


def unprepared_project(folder: Path, raw_dir: Path, params: str = SMALL_PARAMS) -> Path:
    """Copy the code and the images into a new folder where no stage has run."""
    project = copy_project(folder, params)
    shutil.copytree(raw_dir, project / "data" / "raw")
    return project


@contextmanager
def start(project: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python script in the background, and kill it at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=project,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The processes of a background job inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until a condition is true; fail if the process exits first."""
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def with_limit(limit: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command that runs a Python script under `ulimit`: "-f 64" (KiB per file) is like a full disk."""
    return ("bash", "-c", f"trap '' XFSZ; ulimit {limit}; exec {shlex.join([sys.executable, *command])}")


def copy_with_raw_data(trained: Path, folder: Path) -> Path:
    """Copy the trained project's images into a new project, in another order and with other times."""
    project = copy_project(folder)
    for file in sorted((trained / "data/raw").rglob("*.jpg"), reverse=True):
        target = project / file.relative_to(trained)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        os.utime(target, (1, 1))
    return project


def different_files(project: Path, trained: Path) -> set[str]:
    """Return the names of outputs that are not equal, or that only one of the two projects has."""
    outputs, expected = read_outputs(project), read_outputs(trained)
    return {name for name in outputs.keys() | expected.keys() if outputs.get(name) != expected.get(name)}
