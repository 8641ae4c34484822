"""A real S3 server on this machine."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

S3_KEYS = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_MAX_ATTEMPTS": "1"}


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def s3_server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the URL and the process of an S3 server whose bucket is the folder `folder / "bucket"`."""
    (folder / "bucket").mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "KEY,SECRET", *options, folder]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", server
        finally:
            server.kill()
