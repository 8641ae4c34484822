"""Fixtures for several tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import report
from support.browser import CHROMIUM
from support.commands import run_ok
from support.projects import ARCHIVE_PATH
from support.reports import BEFORE, commit_results
from support.server import Server
from utils import seed


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras as the stages load it. It imports TensorFlow, so tests that use it are slow."""
    seed.set_seed(0)
    import keras

    return keras


@pytest.fixture
def serve(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """serve.py in this process; it stores nothing. The metrics are forgotten, so that each test can have one."""
    monkeypatch.setenv("MODEL", str(trained / ARCHIVE_PATH))
    from prometheus_client import REGISTRY

    import serve

    before = set(REGISTRY._collector_to_names)
    yield serve
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Tests that use it have the marks NEEDS_CHROMIUM."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def make_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """A function that returns the report about tmp_path; the hash of the base commit is replaced by BASE."""
    monkeypatch.chdir(tmp_path)

    def make(base: str = "HEAD") -> str:
        assert report.main(base, verify=False) == 0
        name = run_ok(tmp_path, "git", "rev-parse", "--short", base).strip()
        return capsys.readouterr().out.replace(name, "BASE").replace("\u00a0", " ")

    return make


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A repository with committed results."""
    return commit_results(tmp_path, BEFORE)
