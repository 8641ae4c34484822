"""The prediction log: what it contains, and that it never fails a prediction. No server."""

import contextlib
import contextvars
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from classifier.serving import prediction_log
from support.commands import ROOT, without_root_rights
from support.serving import NOISE_PNG, send
from utils.errors import UserError

PREDICTIONS = [{"prediction": "Mars", "probabilities": {"Mars": 0.75, "Moon": 0.25}, "known": True, "novelty": 0.5}] * 2
VALUES = {"brightness": 0.2, "contrast": 0.0, "confidence": 0.75, "novelty": 0.5, "prediction": "Mars"}
IMAGES = np.full((2, 4, 4, 3), 51, np.uint8)


@pytest.fixture(autouse=True)
def new_monitor() -> Iterator[None]:
    """Forget the log of the previous test, as a new process would."""
    from bentoml._internal.monitoring.api import _MONITOR_INSTANCES

    _MONITOR_INSTANCES.clear()
    prediction_log._log_once.cache_clear()
    yield
    for name in ("bentoml_monitor_data", "bentoml_monitor_schema"):
        for handler in logging.getLogger(name).handlers[:]:
            logging.getLogger(name).removeHandler(handler)
            with contextlib.suppress(OSError):  # the disk is still full
                handler.close()


def log_two_predictions(folder: Path) -> None:
    """Log in a new context, as each request has one."""
    arguments = (str(folder), "model:1", IMAGES, PREDICTIONS)
    contextvars.Context().run(prediction_log.log_predictions, *arguments)


def num_lost_lines() -> float:
    return prediction_log.lost_lines()._value.get()


def read_lines(folder: Path) -> list[dict]:
    lines = [line for file in folder.glob("predictions/data/*.log") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", ["log", "a new/folder", "it's {odd}: #1"])
def test_log_predictions_appends_one_line_per_prediction(tmp_path: Path, name: str) -> None:
    prediction_log.check_log_folder(str(tmp_path / name))
    assert read_lines(tmp_path / name) == []
    log_two_predictions(tmp_path / name)
    lines = read_lines(tmp_path / name)
    assert len(lines) == 2
    assert lines[1].keys() == {"timestamp", "request_id", "trace_id", "model", *VALUES}
    assert {**lines[1], "model": "model:1", **VALUES} == lines[1]
    schema = json.loads((tmp_path / name / "predictions/schema/schema.0.log").read_text())
    assert [column["name"] for column in schema["columns"]] == ["model", *VALUES]


def test_log_predictions_on_a_full_disk_counts_lost_lines_and_logs_one_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    prediction_log.check_log_folder(str(tmp_path))
    (tmp_path / "predictions/data" / time.strftime("data.0.%Y-%m-%d.log")).symlink_to("/dev/full")
    before = num_lost_lines()
    with caplog.at_level(logging.ERROR, "bentoml.prediction_log"):
        logging.getLogger("bentoml").propagate = True
        log_two_predictions(tmp_path)
        log_two_predictions(tmp_path)
    assert num_lost_lines() == before + 4
    assert [record.getMessage() for record in caplog.records] == [
        "The prediction log cannot be written: [Errno 28] No space left on device. Lost lines are counted in /metrics."
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_log_predictions_after_the_folder_is_replaced_counts_lost_lines(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    prediction_log.check_log_folder(str(folder))
    shutil.rmtree(folder)
    folder.touch()
    before = num_lost_lines()
    log_two_predictions(folder)
    log_two_predictions(folder)
    assert num_lost_lines() == before + 4
    folder.unlink()
    log_two_predictions(folder)
    assert len(read_lines(folder)) == 2 and num_lost_lines() == before + 4


def test_log_predictions_after_a_line_was_cut_begins_a_new_one(tmp_path: Path) -> None:
    """As on a full disk, which takes a part of a line. Python ignores SIGXFSZ."""
    log_two_predictions(tmp_path)
    file, before = next(tmp_path.glob("predictions/data/*.log")), num_lost_lines()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))
    try:
        log_two_predictions(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log_two_predictions(tmp_path)
    lines = file.read_text().splitlines()
    assert num_lost_lines() == before + 2 and len(lines) == 5
    assert [len(line) for line in lines if not line.endswith("}")] == [10]


def test_log_predictions_after_another_service_was_killed_in_a_line_begins_a_new_one(tmp_path: Path) -> None:
    handler = prediction_log.DailyFileHandler(str(tmp_path / "data.log"))
    handler.emit(logging.makeLogRecord({"msg": "first"}))
    file = next(tmp_path.glob("*.log"))
    with file.open("a") as other_service:
        other_service.write('{"cut')
    handler.emit(logging.makeLogRecord({"msg": "second"}))
    assert file.read_text().splitlines() == ["first", '{"cut', "second"]


def test_log_predictions_of_two_services_in_one_folder_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the day changes; handlers that rename files lose the lines of one service."""
    file = tmp_path / "data.1.log"
    handlers = [prediction_log.DailyFileHandler(str(file)) for _ in range(2)]
    for day in ("2026-11-25", "2026-11-26"):
        monkeypatch.setattr(time, "strftime", lambda text, day=day: text.replace("%Y-%m-%d", day))
        for number, handler in enumerate(handlers * 2):
            handler.emit(logging.makeLogRecord({"msg": f"{day} {number}"}))
    for day in ("2026-11-25", "2026-11-26"):
        lines = (tmp_path / f"data.1.{day}.log").read_text().splitlines()
        assert lines == [f"{day} {number}" for number in range(4)]


def test_check_log_folder_with_a_file_as_folder_raises_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"PREDICTION_LOG: .*file.*: Not a directory; set it to a folder"):
        prediction_log.check_log_folder(str(tmp_path / "file"))


@pytest.mark.parametrize("path", [".", "predictions", "predictions/data", "predictions/data/data.1.log"])
def test_check_log_folder_without_write_permission_raises_user_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "predictions/data").mkdir(parents=True)
    (tmp_path / "predictions/data/data.1.log").touch()
    if path == ".":
        shutil.rmtree(tmp_path / "predictions")
    (tmp_path / path).chmod(0o555)
    check = "import sys; from classifier.serving import prediction_log as log; log.check_log_folder(sys.argv[1])"
    command = [*without_root_rights(), sys.executable, "-c", check, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    (tmp_path / path).chmod(0o755)
    assert "UserError: PREDICTION_LOG: " in result.stderr and "Permission denied" in result.stderr, result.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's import uses a deprecated function of Pydantic
def test_service_without_prediction_log_writes_nothing(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, because the servers of other tests have a log."""
    monkeypatch.chdir(tmp_path)  # BentoML's default is a folder in the current one
    service = serve.CelestialBodiesClassifierService.inner()

    async def predict(request: Request) -> Response:
        return await service.predict(request)

    app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    assert send(app, "POST", "/predict", files={"image": NOISE_PNG}).status_code == 200
    assert not list(tmp_path.iterdir())
