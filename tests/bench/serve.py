"""The service beside two others, and a load test.

    python tests/bench/serve.py                 # about 7 minutes; prints a Markdown table
    python tests/bench/serve.py --soak 200000   # only this service, 16 clients: memory over time, errors

Needs model/ and data/raw. no_op_service.py accepts the same uploads and does nothing with them, and
tutorial_service.py is the service of the tutorial. All services run at once and are measured in turns, so that other
load on the machine affects all of them.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from photographs import draw_photographs

from classifier.model import store
from classifier.model.predictor import default_archive_path
from support.server import SERVICE, Server
from utils.markdown import table

NUM_IMAGES = 200
NUM_PHOTOGRAPHS = 4
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
Case = tuple[str, str, int]  # service, images and number of clients


class Measurement(NamedTuple):
    """The seconds that each request took, the errors (status and text), and the time of all clients together."""

    latencies: list[float]
    errors: list[tuple[int, str]]
    seconds: float


def read_forms(folder: Path, number: int) -> Iterator[bytes]:
    """Yield multipart forms with different images, again and again."""
    files = sorted(folder.glob("*/*.jpg"))
    if not files:
        sys.exit("bench: data/raw contains no images; run `python src/render.py data/raw`")
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    forms = [head + file.read_bytes() + b"\r\n--x--\r\n" for file in random.Random(0).sample(files, number)]
    return itertools.cycle(forms)


async def send_requests(
    url: str, num_clients: int, forms: Iterator[bytes], seconds: float = 1e9, num_requests: float = 1e9
) -> Measurement:
    """Send requests with several clients, one after the other in each, for some time or a number of requests."""
    latencies: list[float] = []
    errors: list[tuple[int, str]] = []
    started = time.monotonic()

    async def run_client(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < started + seconds and len(latencies) < num_requests:
            sent = time.perf_counter()
            async with session.post(f"{url}/predict", data=next(forms), headers=FORM) as response:
                text = await response.text()
            latencies.append(time.perf_counter() - sent)
            if response.status != 200 or '"prediction"' not in text:
                errors.append((response.status, text[:200]))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(run_client(session) for _ in range(num_clients)))
    return Measurement(latencies, errors, time.monotonic() - started)


def compare(rounds: int, seconds: float) -> None:
    """Measure all services in turns and print a table."""
    tag = store.import_model(default_archive_path())
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder, "photographs"), NUM_PHOTOGRAPHS)
        forms = {
            "sample": read_forms(ROOT / "data/raw", NUM_IMAGES),
            "photographs": read_forms(Path(folder, "photographs"), NUM_PHOTOGRAPHS),
        }
        bench = Path(__file__).parent
        servers = {
            "no-op": Server("no_op_service:NoOp", bench),
            "tutorial's": Server("tutorial_service:Tutorial", bench, MODEL_TAG=tag),
            "ours": Server(SERVICE, ROOT),
        }
        cases = itertools.product((("sample", 1), ("sample", 16), ("photographs", 16)), servers)
        results: dict[Case, list[Measurement]] = {(name, *rest): [] for rest, name in cases}
        for number in range(rounds + 1):
            for (name, images, num_clients), measurements in results.items():
                run = send_requests(servers[name].url, num_clients, forms[images], seconds if number else 2)
                measurement = asyncio.run(run)
                if measurement.errors:
                    sys.exit(f"bench: {name} failed {len(measurement.errors)} times: {measurement.errors[0]}")
                if number:  # the first round is a warm-up
                    measurements.append(measurement)
        print(format_table(servers, results))
        for server in servers.values():
            server.stop()


def format_table(servers: dict[str, Server], results: dict[Case, list[Measurement]]) -> str:
    rows = []
    for (name, images, num_clients), measurements in results.items():
        latencies = [latency for measurement in measurements for latency in measurement.latencies]
        percentiles = statistics.quantiles(latencies, n=100)
        rows.append(
            (
                name,
                f"{servers[name].startup_seconds:.1f} s",
                f"{servers[name].memory_mb:.0f} MB",
                images,
                num_clients,
                f"{len(latencies) / sum(measurement.seconds for measurement in measurements):.1f}",
                f"{percentiles[49] * 1e3:.1f} ms",
                f"{percentiles[98] * 1e3:.0f} ms",
            )
        )
    return table(
        ("service", "start-up", "memory", "images", "clients", "requests/s", "p50", "p99"), rows, align="right"
    )


def soak(num_requests: int) -> None:
    """Send many requests to this service, and print memory, speed and errors 20 times."""
    forms = read_forms(ROOT / "data/raw", NUM_IMAGES)
    errors: list[tuple[int, str]] = []
    server = Server(SERVICE, ROOT)
    print(f"     0 requests: {server.memory_mb:.0f} MB", flush=True)
    step = num_requests // 20
    for total in range(step, num_requests + 1, step):
        measurement = asyncio.run(send_requests(server.url, 16, forms, num_requests=step))
        errors += measurement.errors
        rate = len(measurement.latencies) / measurement.seconds
        p99 = statistics.quantiles(measurement.latencies, n=100)[98] * 1e3
        print(
            f"{total:6} requests: {server.memory_mb:.0f} MB, {rate:.0f}/s, p99 {p99:.0f} ms, {len(errors)} errors",
            flush=True,
        )
    server.stop()
    if errors:
        sys.exit(f"bench: {errors[0]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--soak", type=int, metavar="REQUESTS")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per service and number of clients (3)")
    parser.add_argument("--seconds", type=float, default=15, help="length of a round (15)")
    args = parser.parse_args()
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if args.soak:
        soak(args.soak)
    else:
        compare(args.rounds, args.seconds)
