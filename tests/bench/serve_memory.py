"""How much memory does the service need at most?

    python tests/bench/serve_memory.py            # 2 minutes

Needs model/. 64 clients send the largest images that the service accepts, of all formats, and damaged ones, alone and
in batches. The memory is that of the service and its child processes (resident, with the shared libraries).
"""

import argparse
import asyncio
import io
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from classifier.serving.uploads import MAX_REQUEST_BYTES
from support.server import SERVICE, Server
from utils.markdown import table

NUM_CLIENTS = 64
MAX_BATCH_FILES = 64
BATCH_SHARE = 0.15  # of the requests
SETTLE_SECONDS = 15  # longer than the time limit of a request
# Name: mode, side in pixels, format, options. All but the baseline JPEGs and the BMP need 250 to 320 MiB.
IMAGES = {
    "JPEG of a camera": ("RGB", 3500, "JPEG", {"quality": 92}),
    "JPEG of 200 megapixels": ("RGB", 14_100, "JPEG", {}),
    "progressive JPEG": ("RGB", 7200, "JPEG", {"progressive": True}),
    "PNG": ("RGB", 7900, "PNG", {"compress_level": 1}),
    "PNG with alpha": ("RGBA", 5900, "PNG", {"compress_level": 1}),
    "PNG with grey values and alpha": ("LA", 4900, "PNG", {"compress_level": 1}),
    "TIFF of floats": ("F", 4500, "TIFF", {"compression": "tiff_adobe_deflate"}),
    "JPEG 2000": ("RGB", 3800, "JPEG2000", {"quality_layers": [50]}),
    "WebP with alpha": ("RGBA", 3800, "WEBP", {"lossless": True, "method": 0}),
    "AVIF": ("RGB", 3800, "AVIF", {"quality": 60, "speed": 9}),
    "BMP of 15 MiB": ("RGB", 2200, "BMP", {}),
}


def draw_image(mode: str, side: int) -> Image.Image:
    """Return an image with smooth colours and some noise."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    ramp = np.linspace(0, 200, side)
    noise = np.random.default_rng(0).integers(0, 4, (side, 1, bands))
    pixels = np.add.outer(ramp, ramp)[..., np.newaxis] / 2 + noise
    return Image.fromarray(pixels.astype(np.float32 if mode == "F" else np.uint8).squeeze())


def draw_files() -> dict[str, bytes]:
    """Return the files by name; those that are cut are not readable."""
    files = {}
    for name, (mode, side, image_format, options) in IMAGES.items():
        file = io.BytesIO()
        draw_image(mode, side).save(file, image_format, **options)
        files[name] = file.getvalue()
    cut = {f"{name}, cut": files[name][:-200] for name in ("PNG", "WebP with alpha", "JPEG of a camera")}
    return {**files, **cut, "no image": os.urandom(15 * 2**20)}


async def send_requests(server: Server, files: list[bytes], seconds: float) -> tuple[float, Counter[str]]:
    """Return the largest memory, in MB, and the number of responses by status."""
    largest, statuses = 0.0, Counter[str]()
    end = time.monotonic() + seconds

    async def watch_memory() -> None:
        nonlocal largest
        while time.monotonic() < end + SETTLE_SECONDS:
            largest = max(largest, server.memory_mb)
            await asyncio.sleep(0.05)

    async def run_client(session: aiohttp.ClientSession, rng: random.Random) -> None:
        while time.monotonic() < end:
            content = rng.choice(files)
            is_batch = rng.random() < BATCH_SHARE and len(content) * MAX_BATCH_FILES < MAX_REQUEST_BYTES
            form = aiohttp.FormData()
            for _ in range(MAX_BATCH_FILES if is_batch else 1):
                form.add_field("images" if is_batch else "image", content, filename="a")
            try:
                async with session.post(f"{server.url}/predict{'_batch' * is_batch}", data=form) as response:
                    await response.read()
                    statuses[str(response.status)] += 1
            except aiohttp.ClientError as error:
                statuses[type(error).__name__] += 1

    watch = asyncio.create_task(watch_memory())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(run_client(session, random.Random(seed)) for seed in range(NUM_CLIENTS)))
    await watch
    return largest, statuses


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    seconds = parser.parse_args().seconds
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    files = draw_files()
    server = Server(SERVICE, ROOT, BENTOML_DO_NOT_TRACK="True")
    idle = server.memory_mb
    largest, statuses = asyncio.run(send_requests(server, list(files.values()), seconds))
    values = (f"{number * 1e6 / 2**20:.0f} MiB" for number in (idle, largest, server.memory_mb))
    responses = ", ".join(f"{number} with {status}" for status, number in sorted(statuses.items()))
    print(table(("idle", "at most", "afterwards", "responses"), [(*values, responses)]))
    server.stop()


if __name__ == "__main__":
    main()
