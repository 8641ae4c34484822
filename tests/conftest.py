"""Fixtures: one small trained project for all tests, made by `dvc repro`, with its own BentoML store.

`utils.seed` comes before NumPy, so that tests compute the same bits as the stages, also where there is AVX-512.
"""

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from utils import seed  # isort: split

import pytest
from filelock import FileLock

from classifier.reporting.snapshot import dvc_list_stale_inputs
from support.commands import ROOT, run_ok
from support.findings import Finding
from support.projects import ARCHIVE_PATH, SAMPLE_PARAMS, copy_project, has_results, has_sample
from support.server import SERVICE, Server
from utils.files import shorten_list


def pytest_configure() -> None:
    """Use a temporary BentoML store, and no model or folder of the user; BentoML reads its variable on import."""
    os.environ["BENTOML_HOME"] = tempfile.mkdtemp(prefix="bentoml-test-")
    for variable in ("MODEL", "PREDICTION_LOG", "KEEP_IMAGES"):
        os.environ.pop(variable, None)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def pytest_unconfigure() -> None:
    """Remove the temporary store."""
    shutil.rmtree(os.environ["BENTOML_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest tests, so that several processes end at about the same time."""
    items.sort(key=lambda item: item.path.name != "test_processors.py")


@pytest.fixture(scope="session")
def raw_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """132 rendered images of 11 classes. Tests only read it."""
    folder = tmp_path_factory.mktemp("raw") / "raw"
    run_ok(ROOT, "src/render.py", str(folder), "--per-class", "12", "--size", "48")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, raw_dir: Path) -> Path:
    """A Git and DVC project after `git commit`, `dvc add` and `dvc repro`. Tests only read it."""
    project = copy_project(tmp_path_factory.mktemp("trained") / "project")
    shutil.copytree(raw_dir, project / "data" / "raw")
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
        run_ok(project, *command)
    return project


@pytest.fixture
def project(tmp_path: Path, trained: Path) -> Path:
    """A copy of the trained project's files, without Git and DVC, that a test may change."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(".git", ".dvc", "__pycache__"))
    return folder


@pytest.fixture(scope="session")
def loaded(trained: Path):
    """The trained project's model: BentoML's and Keras's."""
    return _load_model(trained / ARCHIVE_PATH)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project where `dvc repro` has run on the sample dataset with its own parameters. Tests only read it."""
    if has_results(ROOT) and has_sample(ROOT):
        return ROOT
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "sample"
    with FileLock(f"{folder}.lock"):  # all processes of this run share it
        if not has_results(folder):
            shutil.rmtree(folder, ignore_errors=True)
            copy_project(folder, SAMPLE_PARAMS.read_text())
            for command in (
                ("git", "init", "-q"),
                ("dvc", "init", "-q"),
                ("src/render.py", "data/raw"),
                ("dvc", "add", "-q", "data/raw"),
                ("dvc", "repro"),
            ):
                run_ok(folder, *command)
    return folder


@pytest.fixture(scope="session")
def workspace(request: pytest.FixtureRequest) -> Path:
    """This folder if `dvc repro` has run, whatever its images; else the sample. Tests only read it."""
    if not has_results(ROOT):
        return request.getfixturevalue("sample")
    if names := dvc_list_stale_inputs(ROOT):
        pytest.fail(f"run `dvc repro` again; changed since it ran: {shorten_list(names)}", pytrace=False)
    return ROOT


@pytest.fixture(scope="session")
def expect(workspace: Path) -> Callable[[bool, str], None]:
    """A function that checks what is usual. If it is not so, this is an error for the sample; else a finding."""
    is_sample = workspace != ROOT or has_sample(ROOT)

    def check(is_usual: bool, finding: str) -> None:
        if not is_usual and is_sample:
            pytest.fail(finding)
        if not is_usual:
            warnings.warn(Finding(finding), stacklevel=2)

    return check


@pytest.fixture(scope="session")
def default_model(workspace: Path):
    """The workspace's model: BentoML's and Keras's."""
    return _load_model(workspace / ARCHIVE_PATH)


def _load_model(archive: Path):
    from classifier.model import store

    seed.set_seed(0)
    return store.load_model(archive)


@pytest.fixture(scope="session")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service of the trained project's model, with a prediction log; usage reports are not switched off."""
    folder = tmp_path_factory.mktemp("served")
    server = Server(
        SERVICE,
        ROOT,
        folder / "log",
        MODEL=str(trained / ARCHIVE_PATH),
        PREDICTION_LOG=str(folder / "predictions"),
        BENTOML_DO_NOT_TRACK="",
        __BENTOML_DEBUG_USAGE="True",  # reports would be printed, not sent
    )
    server.folder = folder
    assert "initialized" in (folder / "log").read_text(), "ready before the model was loaded"
    yield server
    server.stop()
    assert "Tracking Payload" not in (folder / "log").read_text()
