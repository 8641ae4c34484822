"""A running `bentoml serve`."""

import contextlib
import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil

from support.s3 import free_port

SERVICE = "src/serve.py:CelestialBodiesClassifierService"


class Server:
    """`bentoml serve` on a free port.

    Attributes:
        url: the address, without a slash at the end.
        startup_seconds: the time until /readyz answered.
    """

    def __init__(self, target: str, folder: Path, log: Path = Path(os.devnull), **environment: str) -> None:
        """Start the service in a folder and wait until it is ready."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = ("bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port))
        started = time.monotonic()
        with log.open("w") as out:
            self.process = psutil.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=out)
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                break
            if self.process.poll() is not None:
                raise SystemExit(f"`{' '.join(command)}` in {folder} exited; its log is {log}")
            time.sleep(0.05)
        self.startup_seconds = time.monotonic() - started

    @property
    def memory_mb(self) -> float:
        """Resident memory of the service and its child processes, in MB."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 1e6

    def stop(self) -> None:
        """Stop the service and wait until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
