"""The prediction log: one JSON line per prediction, without the image. It never fails a prediction."""

import functools
import logging
import sys
import tempfile
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
import numpy as np

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
    """Append one line per prediction: BentoML's time and request id, model, class, confidence and brightness.

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
        record.log(name, name="prediction", role="prediction", data_type="categorical")
        record.log(prediction["probabilities"][name], name="confidence", role="prediction", data_type="numerical")
        record.log(float(image.mean()) / 255, name="brightness", role="feature", data_type="numerical")


class DailyFileHandler(TimedRotatingFileHandler):
    """A handler that counts the lines that it cannot write; the logging module prints a traceback for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 (defined by logging)
        """Count one lost line."""
        count_lost_lines(1, sys.exc_info()[1])


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
