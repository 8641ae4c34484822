"""The prediction log: one JSON line per prediction, without the image. An error here never makes a prediction fail."""

import errno
import functools
import io
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
import numpy as np

from classifier.monitoring.values import logged_values
from utils.errors import UserError
from utils.files import printable

if TYPE_CHECKING:
    from prometheus_client import Counter

MONITOR_NAME = "predictions"
LOGGING_CONFIG = Path(__file__).with_suffix(".yaml")

logger = logging.getLogger("bentoml.prediction_log")  # a child of the logger that BentoML configures


def check_log_folder(folder: str) -> None:
    """Create the folders of the prediction log and check that files can be written there.

    Raises:
        UserError: they cannot.
    """
    log_dir = Path(folder, MONITOR_NAME)
    try:
        for subfolder in (log_dir / "data", log_dir / "schema"):
            subfolder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=subfolder) as file:
                file.write(b"\n")
            for path in subfolder.glob("*.log"):
                path.open("a").close()
    except OSError as error:
        where = printable(error.filename or log_dir)
        raise UserError(f"PREDICTION_LOG: {where}: {error.strerror}; set it to a folder that can be written") from None


def log_predictions(folder: str, model: str, images: np.ndarray, predictions: list[dict[str, Any]]) -> None:
    """Append one line per prediction: BentoML's time and request id, the model, and the values of the prediction.

    Args:
        folder: the folder of the prediction log.
        model: the model's tag.
        images: uint8 array of shape (N, height, width, channels).
        predictions: the N predictions, as `Predictor.predict` returns them.
    """
    for number, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        try:
            _log_prediction(folder, model, image, prediction)
        except (OSError, ValueError) as error:  # the folder was removed, for example
            count_lost_lines(len(predictions) - number, error)
            return  # after an error, BentoML accepts no other record in the same request


def _log_prediction(folder: str, model: str, image: np.ndarray, prediction: dict[str, Any]) -> None:
    name = prediction["prediction"]
    options = {"log_path": folder, "log_config_file": str(LOGGING_CONFIG)}
    with bentoml.monitor(MONITOR_NAME, monitor_options=options) as record:
        record.log(model, name="model", role="feature", data_type="categorical")
        values = logged_values(image, name, prediction["probabilities"][name], prediction["novelty"])
        for key, value in values.items():
            role = "feature" if key in ("brightness", "contrast") else "prediction"
            data_type = "categorical" if key == "prediction" else "numerical"
            record.log(value, name=key, role=role, data_type=data_type)


class DailyFileHandler(logging.Handler):
    """Appends each line to a file of the day with one system call, so that several services can share a folder.

    Those of the logging module rename files: the second service then overwrites what the first one renamed. They also
    print a traceback for a line that they cannot write; this one counts it.
    """

    def __init__(self, filename: str) -> None:
        """Write to `filename`, with the day before its extension."""
        super().__init__()
        self._stem, self._extension = os.path.splitext(filename)  # noqa: PTH122, because the name contains dots

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line, or count it as lost."""
        line = f"{self.format(record)}\n".encode()
        try:
            # Opened for each line: the file may be moved away at any time.
            with open(self._stem + time.strftime(".%Y-%m-%d") + self._extension, "a+b", buffering=0) as file:
                if _is_cut(file):
                    line = b"\n" + line
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            count_lost_lines(1, error)


def _is_cut(file: io.FileIO) -> bool:
    """Return whether the last line has no end: its service was killed or had a full disk, or is still writing.

    If it is still writing, the log gets an empty line, which `monitor.py` skips. A lock could block predictions.
    """
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def count_lost_lines(number: int, error: BaseException | None) -> None:
    """Add to the metric of lost lines, and log each reason once."""
    lost_lines().inc(number)
    _log_once(str(error))


@functools.cache
def lost_lines() -> "Counter":
    """Return the metric of lost lines."""
    from prometheus_client import Counter  # in the worker only: see `bentoml.metrics`

    return Counter("prediction_log_lost_lines", "Lines that could not be written to the prediction log")


@functools.cache
def _log_once(reason: str) -> None:
    logger.error("The prediction log cannot be written: %s. Lost lines are counted in /metrics.", reason)
