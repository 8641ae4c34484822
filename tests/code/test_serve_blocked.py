"""The service when its decoder never returns."""

import contextlib
import threading
import time
from pathlib import Path

import httpx
import pytest

from support.commands import ROOT
from support.projects import ARCHIVE_PATH
from support.server import SERVICE, Server
from support.serving import NOISE_PNG

pytestmark = pytest.mark.slow

# Python imports this module at its start. It stands for a decoder that never returns.
BLOCKING_DECODER = """
import threading
from PIL import Image

def open_forever(file, *args, open=Image.open, **options):
    if file.getvalue() == b"block":
        threading.Event().wait()
    return open(file, *args, **options)

Image.open = open_forever
"""


def test_service_with_a_blocked_decoder_is_not_ready_and_then_recovers(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKING_DECODER)
    log = tmp_path / "log"
    server = Server(SERVICE, ROOT, log, MODEL=str(trained / ARCHIVE_PATH), PYTHONPATH=str(tmp_path))
    try:
        block_all_threads(server)
        wait_until_ready_is(server, 503)
        wait_until_ready_is(server, 200)
        response = httpx.post(f"{server.url}/predict", files={"image": NOISE_PNG}, timeout=30)
        assert response.status_code == 200
        assert "all decoding threads are blocked; this process ends" in log.read_text()
    finally:
        server.stop()


def block_all_threads(server: Server) -> None:
    """Send more requests that block than the service has threads, without waiting for their responses."""

    def send() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{server.url}/predict", files={"image": b"block"}, timeout=60)

    for _ in range(8):
        threading.Thread(target=send, daemon=True).start()


def wait_until_ready_is(server: Server, status: int) -> None:
    """Wait until /readyz responds with this status."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/readyz", timeout=5).status_code == status:
                return
        time.sleep(0.5)
    pytest.fail(f"/readyz does not respond with {status}")
