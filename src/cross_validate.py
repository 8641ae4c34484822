"""Cross-validate: prepare, train and evaluate once per fold, and print the mean and deviation of the accuracy.

    python src/cross_validate.py data/raw
    python src/cross_validate.py data/raw --folds 10

Reads the images, params.yaml and dvc.yaml. `prepare.fold` is set to each fold in turn, so each image is a test image
once. The stages run in a temporary folder with a BentoML store of its own; nothing else is written.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ruamel.yaml import YAML

from classifier.config import MAX_FOLDS, PrepareParams, TrainParams, load_params
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import cleanup_on_failure
from utils.parallel import DASK_ADDRESS_VAR

METRICS = ("val_acc", "balanced_acc")


def main(raw_dir: Path, folds: int) -> None:
    """Print one row per fold, then the mean and the sample standard deviation."""
    for section in (PrepareParams, TrainParams):
        load_params(section)  # finds an error before the first stage starts
    if not 2 <= folds <= MAX_FOLDS:
        raise UserError(f"--folds: expected a number from 2 to {MAX_FOLDS}, got {folds}")
    print_row("fold", "test images", METRICS)
    results = []
    for number in range(1, folds + 1):
        with tempfile.TemporaryDirectory() as name, cleanup_on_failure(Path(name)):
            metrics = run_fold(raw_dir.resolve(), Path(name), number, folds)
        results.append([metrics[name] for name in METRICS])
        num_test = sum(scores["support"] for scores in metrics["classes"].values())
        print_row(f"{number} of {folds}", num_test, results[-1])
    columns = list(zip(*results, strict=True))
    print_row("mean", "", map(statistics.mean, columns))
    print_row("standard deviation", "", map(statistics.stdev, columns))


def print_row(label: str, num_test: object, values: Iterable[object]) -> None:
    """Print one row of the table."""
    cells = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in values)
    print(f"{label:<18}  {num_test:>11}  {'  '.join(f'{cell:>12}' for cell in cells)}", flush=True)


def run_fold(raw_dir: Path, folder: Path, number: int, num_folds: int) -> dict[str, Any]:
    """Run the three stages in a folder, and return the content of metrics.json.

    Raises:
        UserError: a stage failed.
    """
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(Path("params.yaml").read_text("utf-8"))
    params["prepare"]["fold"] = [number, num_folds]
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    with contextlib.suppress(FileNotFoundError):
        shutil.copy("dvc.yaml", folder)  # the project's name
    for stage in (
        ("prepare.py", str(raw_dir), "data/prepared"),
        ("train.py", "data/prepared", "model"),
        ("evaluate.py", "model", "data/prepared"),
    ):
        if error := run_stage(folder, *stage):
            raise UserError(f"fold {number} of {num_folds}: {error}")
    metrics: dict[str, Any] = json.loads((folder / "evaluation/metrics.json").read_text("utf-8"))
    return metrics


def run_stage(folder: Path, script: str, *arguments: str) -> str:
    """Run a stage in a folder, and return its error, "" if it succeeded. Its warnings are not shown."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name(script)), *arguments],
        cwd=folder,
        # Not on Dask: its workers may not see the temporary folder.
        env={**os.environ, "BENTOML_HOME": str(folder / "bentoml"), DASK_ADDRESS_VAR: ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with _killed_by_signals(process.pid):
        _, errors = process.communicate()
    if not process.returncode:
        return ""
    lines = re.findall(rf"^{re.escape(script)}: (?!warning: ).*(?:\n  .*)*", errors, re.MULTILINE)
    return lines[-1] if lines else f"{script} failed with exit status {process.returncode}"


@contextmanager
def _killed_by_signals(session: int) -> Iterator[None]:
    """Kill the processes of a session if this process gets a signal, before the handler of `run_cli` exits."""

    def stop(signum: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has just ended
            os.killpg(session, signal.SIGKILL)
            os.waitpid(session, 0)
        handlers[signum](signum, frame)

    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, stop)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


if __name__ == "__main__":
    parser = make_parser(__doc__, "raw_dir")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="number of folds, at least 2 (default: 5)")
    run_cli(main, parser)
