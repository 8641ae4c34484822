"""The Bento: what `bentoml build` puts into it, and that it serves on another machine."""

import contextlib
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest
import yaml
from PIL import Image

from support.commands import ROOT, run_ok
from support.images import encode
from support.projects import ARCHIVE_PATH
from support.server import SERVICE, Server
from support.serving import NOISE_PNG, assert_same_prediction, predict_with_keras, read_requirements

pytestmark = pytest.mark.slow

PROJECT_NAME = Path(ARCHIVE_PATH).name.removesuffix("_model.bentomodel")
TITLE = PROJECT_NAME.replace("_", " ").capitalize()


@pytest.fixture(scope="module")
def bento(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `bentoml export` writes of a Bento, built in a copy of the trained project."""
    project = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(trained, project, ignore=shutil.ignore_patterns(".git", ".dvc"))
    shutil.copy(ROOT / ".bentoignore", project)
    tag = run_ok(project, "bentoml", "build", SERVICE, "-o", "tag").strip().removeprefix("__tag__:")
    run_ok(project, "bentoml", "export", tag, str(project / "service.bento"))
    return project / "service.bento"


def test_bento_contains_the_service_its_model_and_pinned_requirements(bento: Path, loaded: Any, tmp_path: Path) -> None:
    shutil.unpack_archive(bento, tmp_path, "gztar")
    info = yaml.safe_load((tmp_path / "bento.yaml").read_text())
    assert [model["tag"] for model in info["services"][0]["models"]] == [str(loaded[0].tag)]
    assert info["name"] == info["services"][0]["name"] == f"{PROJECT_NAME}_service"
    files = {str(file.relative_to(tmp_path / "src")) for file in (tmp_path / "src").rglob("*") if file.is_file()}
    listed = tuple(re.findall(r"^!(.+)", (ROOT / ".bentoignore").read_text(), re.MULTILINE))
    assert {file for file in files if not file.startswith(listed)} == {"bentofile.yaml"}
    assert not [path for path in listed if not any(file.startswith(path) for file in files)]
    assert not [file for file in files if "__pycache__" in file]

    requirements = read_requirements(tmp_path / "env/python/requirements.txt")
    requirements.remove((f"bentoml=={bentoml.__version__}", []))  # BentoML adds itself a second time, without hashes
    assert requirements == read_requirements(ROOT / "src/classifier/serving/requirements.txt")


def test_bento_serves_in_an_empty_home_and_completes_open_requests(bento: Path, loaded: Any, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "bentoml")}
    empty = tmp_path / "empty"
    data_log = tmp_path / "log/predictions/data" / time.strftime("data.1.%Y-%m-%d.log")
    empty.mkdir()
    data_log.parent.mkdir(parents=True)
    data_log.symlink_to("/dev/full")
    tag = re.search(r'tag="([^"]+)"', run_ok(tmp_path, "bentoml", "import", str(bento), **home))[1]
    server = Server(tag, empty, tmp_path / "stderr", PREDICTION_LOG=str(tmp_path / "log"), **home)
    try:
        for _ in range(2):  # also if the prediction log cannot be written
            body = httpx.post(f"{server.url}/predict", files={"image": NOISE_PNG}).json()
            assert_same_prediction(body, predict_with_keras(loaded, NOISE_PNG))
        assert "\nprediction_log_lost_lines_total 2.0\n" in httpx.get(f"{server.url}/metrics").text
        assert (tmp_path / "stderr").read_text().count("The prediction log cannot be written") == 1
        assert f"<h1>{TITLE}</h1>" in httpx.get(server.url).text
        response = stop_during_a_request(server)
        assert response.status_code == 200 and len(response.json()["predictions"]) == 12
    finally:
        with contextlib.suppress(Exception):
            server.stop()
    assert not list(empty.iterdir())


def stop_during_a_request(server: Server) -> httpx.Response:
    """Send SIGTERM while the service works on a large batch, and return the response to the batch."""
    image = encode(Image.new("RGB", (6000, 6000)), "PNG", compress_level=1)
    form = {"files": [("images", image)] * 12, "timeout": 60}
    responses = []
    client = threading.Thread(target=lambda: responses.append(httpx.post(f"{server.url}/predict_batch", **form)))
    client.start()
    in_progress = re.compile(r'request_in_progress\{endpoint="/predict_batch".* 1\.0$', re.MULTILINE)
    while not in_progress.search(httpx.get(f"{server.url}/metrics").text):
        pass
    time.sleep(0.3)  # the form is read, the first images are being decoded
    server.process.send_signal(signal.SIGTERM)
    client.join()
    assert server.process.wait(60) == 0
    return responses[0]
