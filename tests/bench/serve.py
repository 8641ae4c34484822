"""The service against one as the tutorial builds it, side by side; and a soak.

    python tests/bench/serve.py                 # about 4 minutes; prints a Markdown table
    python tests/bench/serve.py --soak 200000   # ours alone, at 16 clients: memory over time, errors

Needs model/ and data/raw. The tutorial's service loads the model as a class attribute, takes a Pillow image and calls
`model.predict`. Both run at once and take turns, so that what else the machine does hits both alike.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = """
import json
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image


@bentoml.service
class Tutorial:
    stored = bentoml.keras.get("{tag}")

    def __init__(self) -> None:
        self.preprocess, self.postprocess = (self.stored.custom_objects[n] for n in ("preprocess", "postprocess"))
        self.model = self.stored.load_model()

    @bentoml.api
    def predict(self, image: Annotated[Image, ContentType("image/jpeg")]) -> Annotated[str, ContentType("text/json")]:
        return json.dumps(self.postprocess(self.model.predict(self.preprocess(image))))
"""


class Server:
    """`bentoml serve` on a port of its own: `seconds` until it was ready, `memory` in MB of all its processes."""

    def __init__(self, target: str, folder: Path, log: Path = Path(os.devnull), **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = ("bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port))
        started = time.monotonic()
        with open(log, "w") as out:
            self.process = psutil.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=out)
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                break
            if self.process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended; try it by hand in {folder}")
            time.sleep(0.05)
        self.seconds = time.monotonic() - started

    @property
    def memory(self) -> float:
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 1e6

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def bodies(count: int = 200) -> list[bytes]:
    """Multipart forms with different pictures."""
    files = sorted((ROOT / "data/raw").glob("*/*.jpg"))
    if not files:
        sys.exit("bench: data/raw has no pictures; draw them with `python src/render.py data/raw`")
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return [head + file.read_bytes() + b"\r\n--x--\r\n" for file in random.Random(0).sample(files, count)]


async def load(url: str, clients: int, forms: Iterator[bytes], seconds: float = 1e9, requests: float = 1e9) -> list:
    """Ask for answers one after the other in each client; (seconds each took, those that failed)."""
    times, failed, end = [], [], time.monotonic() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < end and len(times) < requests:
            start = time.perf_counter()
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            async with session.post(f"{url}/predict", data=next(forms), headers=headers) as response:
                text = await response.text()
            times.append(time.perf_counter() - start)
            if response.status != 200 or '"prediction"' not in text:
                failed.append((response.status, text[:200]))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return [times, failed]


def compare(rounds: int, seconds: float) -> None:
    forms = itertools.cycle(bodies())
    ours = Server("src/serve.py:CelestialBodiesClassifierService", ROOT)
    with urllib.request.urlopen(urllib.request.Request(
        f"{ours.url}/predict", next(forms), {"Content-Type": "multipart/form-data; boundary=x"}
    )) as response:  # fmt: skip
        tag = response.read().decode().rpartition('"model":"')[2].rstrip('"}')
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tutorial.py").write_text(TUTORIAL.format(tag=tag))
        servers = {"tutorial's": Server("tutorial:Tutorial", Path(folder)), "ours": ours}
        results = {(name, clients): [] for name in servers for clients in (1, 16)}
        took = dict.fromkeys(results, 0.0)
        for turn in range(rounds + 1):
            for name, clients in results:
                start = time.monotonic()
                times, failed = asyncio.run(load(servers[name].url, clients, forms, seconds if turn else 2))
                if failed:
                    sys.exit(f"bench: {name} failed {len(failed)} times: {failed[0]}")
                if turn:  # the first warms up
                    results[name, clients] += times
                    took[name, clients] += time.monotonic() - start
        print("| service | start-up | memory | clients | requests/s | p50 | p99 |\n|---|---|---|---|---|---|---|")
        for (name, clients), times in results.items():
            cuts = statistics.quantiles(times, n=100)
            print(
                f"| {name} | {servers[name].seconds:.1f} s | {servers[name].memory:.0f} MB | {clients} | "
                f"{len(times) / took[name, clients]:.1f} | {cuts[49] * 1e3:.1f} ms | {cuts[98] * 1e3:.0f} ms |"
            )
        for server in servers.values():
            server.stop()


def soak(requests: int) -> None:
    forms, errors = itertools.cycle(bodies()), []
    server = Server("src/serve.py:CelestialBodiesClassifierService", ROOT)
    print(f"     0 requests: {server.memory:.0f} MB", flush=True)
    for done in range(requests // 20, requests + 1, requests // 20):
        start = time.monotonic()
        times, failed = asyncio.run(load(server.url, 16, forms, requests=requests // 20))
        errors += failed
        rate, p99 = len(times) / (time.monotonic() - start), statistics.quantiles(times, n=100)[98] * 1e3
        print(
            f"{done:6} requests: {server.memory:.0f} MB, {rate:.0f}/s, p99 {p99:.0f} ms, {len(errors)} errors",
            flush=True,
        )
    server.stop()
    sys.exit(f"bench: {errors[0]}" if errors else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--soak", type=int, metavar="REQUESTS")
    parser.add_argument("--rounds", type=int, default=3, help="turns for each service and number of clients (3)")
    parser.add_argument("--seconds", type=float, default=15, help="a turn's length (15)")
    args = parser.parse_args()
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    soak(args.soak) if args.soak else compare(args.rounds, args.seconds)
