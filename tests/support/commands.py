"""Run the project's commands, and check how they fail."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREPARE = ("src/prepare.py", "data/raw", "data/prepared")
TRAIN = ("src/train.py", "data/prepared", "model")
EVALUATE = ("src/evaluate.py", "model", "data/prepared")
STAGES = (PREPARE, TRAIN, EVALUATE)


def run(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a project. A name that ends in .py runs with this Python; `environment` is added."""
    words = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    return subprocess.run(words, cwd=project, env={**os.environ, **environment}, capture_output=True, text=True)


def run_ok(project: Path, *command: str, **environment: str) -> str:
    """Run a command that must succeed, and return what it prints."""
    result = run(project, *command, **environment)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def assert_fails(result: subprocess.CompletedProcess[str], *parts: str, code: int = 1) -> None:
    """Check the exit status and that stderr contains all `parts` and no traceback."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


def without_root_rights() -> list[str]:
    """Return the beginning of a command that obeys file permissions, also where the tests run as root."""
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
