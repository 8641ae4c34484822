"""One small trained project for all tests, made by `dvc repro`, with a BentoML store of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE = "celestial_bodies_classifier_model.bentomodel"
SERVICE = "src/serve.py:CelestialBodiesClassifierService"
SMALL = """\
prepare: {seed: 77, split: 0.25, image_size: [24, 20], grayscale: false}
train: {seed: 77, lr: 0.003, epochs: 3, batch_size: 16, conv_size: 8, dense_size: 32, output_classes: 11}
"""

os.environ["BENTOML_HOME"] = tempfile.mkdtemp(prefix="bentoml-test-")  # never the user's; before BentoML is imported
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["BENTOML_HOME"], ignore_errors=True)


def run(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command in a project; environment variables come on top of the caller's."""
    words = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    return subprocess.run(words, cwd=project, env={**os.environ, **environment}, capture_output=True, text=True)


def fails(result: subprocess.CompletedProcess, *parts: str, code: int = 1) -> None:
    """It failed with a message that says all of `parts`, and without a traceback."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


def without_rights() -> list[str]:
    """The beginning of a command that obeys file permissions even where root runs it."""
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []


def written(project: Path) -> bool:
    """Whether a running prepare has written pixels; the file has its whole size from the start."""
    return any(file.stat().st_blocks > 100 for file in (project / "data" / ".prepared.tmp" / "train").glob("*.npy"))


def copy_project(folder: Path, params: str = SMALL) -> Path:
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(params)
    return folder


@contextlib.contextmanager
def s3_server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """A real S3 server whose bucket is `folder / "bucket"`, with the key KEY and the secret SECRET: URL and process."""
    (folder / "bucket").mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        "rclone",
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        "KEY,SECRET",
        *options,
        str(folder),
    )
    with open(os.devnull, "wb") as nothing, subprocess.Popen(command, stdout=nothing, stderr=nothing) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """132 rendered pictures of 11 classes. Tests only read it."""
    folder = tmp_path_factory.mktemp("raw") / "raw"
    assert run(ROOT, "src/render.py", str(folder), "--per-class", "12", "--size", "48").returncode == 0
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Path:
    """A Git and DVC project after `git commit`, `dvc add` and `dvc repro`. Tests leave it as it is."""
    project = copy_project(tmp_path_factory.mktemp("trained") / "project")
    shutil.copytree(raw, project / "data" / "raw")
    for command in (
        ("git", "init", "-q"),
        ("git", "config", "user.name", "Test"),
        ("git", "config", "user.email", "test@example.invalid"),
        ("dvc", "init", "-q"),
        ("dvc", "add", "-q", "data/raw"),
        ("dvc", "repro"),
        ("git", "add", "-A"),
        ("git", "commit", "-qm", "trained"),
    ):
        result = run(project, *command)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return project


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This folder where `dvc repro` has run; else a copy where it does, on the sample dataset. Tests only read it."""
    outputs = ("data/raw", "data/prepared/labels.json", "model/history.csv", "evaluation/metrics.json")
    if all((ROOT / path).exists() for path in (*outputs, f"model/{FILE}")):
        return ROOT
    project = copy_project(tmp_path_factory.mktemp("workspace") / "project", (ROOT / "params.yaml").read_text())
    (project / "data").mkdir()
    for name in ("dvc.lock", "data/raw.dvc"):
        shutil.copy(ROOT / name, project / name)
    for command in (
        ("git", "init", "-q"),
        ("dvc", "init", "-q"),
        ("src/render.py", "data/raw"),
        ("dvc", "repro"),
    ):
        result = run(project, *command)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return project


@pytest.fixture(scope="session")
def default(workspace: Path):
    """The workspace's package: BentoML's model and the Keras model."""
    from utils import package, seed

    seed.start(0)
    return package.load(workspace / "model" / FILE)


@pytest.fixture
def project(tmp_path: Path, trained: Path) -> Path:
    """A copy of the trained project's files, without Git and DVC, to change at will."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(".git", ".dvc", "__pycache__"))
    return folder


@pytest.fixture(scope="session")
def loaded(trained: Path):
    """The trained project's package: BentoML's model and the Keras model."""
    from utils import package, seed

    seed.start(0)
    return package.load(trained / "model" / package.FILE)


@pytest.fixture(scope="session")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory):
    """The service of the trained project's package, with a prediction log; nobody has switched usage reports off."""
    from bench.serve import Server

    from utils import package

    folder = tmp_path_factory.mktemp("served")
    server = Server(
        SERVICE,
        ROOT,
        folder / "log",
        MODEL=str(trained / "model" / package.FILE),
        PREDICTION_LOG=str(folder / "predictions"),
        BENTOML_DO_NOT_TRACK="",
        __BENTOML_DEBUG_USAGE="True",  # reports would be printed, not sent
    )
    server.folder = folder
    assert "initialized" in (folder / "log").read_text(), "ready before it was warm"
    yield server
    server.stop()
    assert "Tracking Payload" not in (folder / "log").read_text()
