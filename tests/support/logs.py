"""Prediction logs, and the reference that they are compared with."""

import json
from datetime import datetime
from pathlib import Path

MODEL = "bodies_model:0123456789abcdef"
TIME = datetime(2026, 11, 20, 8, 30)  # noqa: DTZ001, because the log has no time zones
HEADER = "brightness,contrast,confidence,novelty,prediction\n"


def spread(number: int, center: float) -> float:
    """Return the i-th of values that are spread evenly from center - 0.1 to center + 0.1."""
    return round(center - 0.1 + 0.2 * (number * 37 % 100) / 100, 6)


def log_line(number: int, time: datetime = TIME, brightness: float = 0.5, **values: object) -> str:
    """Return the i-th line of a log without drift; arguments change it."""
    line = {
        "model": MODEL,
        "brightness": spread(number, brightness),
        "contrast": spread(number, 0.3),
        "confidence": spread(number, 0.9),
        "novelty": spread(number, 0.6),
        "prediction": ("Mars", "Moon")[number % 2],
        "timestamp": time.isoformat(),
        "request_id": "1",
        "trace_id": "2",
    }
    return json.dumps({**line, **values})


def write_log(
    folder: Path, num_lines: int, time: datetime = TIME, name: str = "data.1.2026-11-20", **values: object
) -> Path:
    """Append predictions to a log, and return its file."""
    file = folder / f"predictions/data/{name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.writelines(f"{log_line(number, time, **values)}\n" for number in range(num_lines))
    return file


def write_reference(folder: Path, num_images: int = 200) -> None:
    """Write metrics.json and reference.csv."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"model": MODEL}))
    lines = [json.loads(log_line(number)) for number in range(num_images)]
    rows = [",".join(str(line[name]) for name in HEADER.strip().split(",")) for line in lines]
    (folder / "reference.csv").write_text(HEADER + "\n".join(rows) + "\n")
