"""Read the prediction log, and the reference that it is compared with."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, NaiveDatetime, ValidationError

from classifier.monitoring.values import NUMBERS
from utils.errors import UserError
from utils.files import printable


class LogLine(BaseModel):
    """One line of the log. Its time is the local time of the service, without a time zone."""

    model_config = ConfigDict(strict=True)

    timestamp: NaiveDatetime
    model: str
    brightness: FiniteFloat
    contrast: FiniteFloat
    confidence: FiniteFloat
    novelty: FiniteFloat
    prediction: str


@dataclass
class Values:
    """The values of many predictions. Element i of each list belongs to prediction i."""

    numbers: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NUMBERS})
    classes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.classes)

    def append(self, row: dict[str, Any]) -> None:
        """Add one prediction."""
        for name, values in self.numbers.items():
            values.append(row[name])
        self.classes.append(row["prediction"])


@dataclass
class PredictionLog:
    """The values of one model in a log, and how many lines were skipped.

    Attributes:
        values: those of the model's predictions.
        times: their times.
        num_other_models: the number of lines of other models.
        num_damaged: the number of lines that are not complete predictions.
    """

    values: Values = field(default_factory=Values)
    times: list[datetime] = field(default_factory=list)
    num_other_models: int = 0
    num_damaged: int = 0


def read_log(folder: Path, model: str, since: datetime | None) -> PredictionLog:
    """Read all lines of a model; with `since`, only those that are not older.

    Args:
        folder: the folder that PREDICTION_LOG names, or one that contains several of them.
        model: the model's tag.
        since: a local time of the service.

    Raises:
        UserError: the folder contains no prediction log.
    """
    files = sorted(folder.rglob("predictions/data/*.log*"))
    if not files:
        raise UserError(
            f"{printable(folder)} contains no prediction log (predictions/data/*.log); "
            "give the folder that PREDICTION_LOG names"
        )
    log = PredictionLog()
    for line in _iter_lines(files):
        try:
            entry = LogLine.model_validate_json(line)
        except ValidationError:
            log.num_damaged += 1
            continue
        if since and entry.timestamp < since:
            continue
        if entry.model != model:
            log.num_other_models += 1
            continue
        log.values.append(entry.model_dump())
        log.times.append(entry.timestamp)
    return log


def _iter_lines(files: list[Path]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())


def read_reference(evaluation_dir: Path) -> tuple[str, Values]:
    """Return the tag of the evaluated model, and the values of the held-out images.

    Raises:
        UserError: metrics.json or reference.csv is missing or damaged.
    """
    fix = "run `dvc repro`"
    path = evaluation_dir / "metrics.json"
    values = Values()
    try:
        model = json.loads(path.read_text("utf-8"))["model"]
        path = evaluation_dir / "reference.csv"
        for row in csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""), strict=True):
            numbers = {name: float(row[name]) for name in NUMBERS}
            if not all(map(math.isfinite, numbers.values())) or not row["prediction"]:
                raise ValueError("a value is missing or not finite")
            values.append({**numbers, "prediction": row["prediction"]})
        if not len(values):
            raise ValueError("it has no rows")
    except FileNotFoundError:
        raise UserError(f"{printable(path)} is missing; {fix}") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{printable(path)} is damaged ({' '.join(str(error).split())}); {fix}") from None
    return str(model), values
