"""The service under bad, large, slow and many requests."""

import asyncio
import contextlib
import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from classifier.serving.uploads import MAX_REQUEST_BYTES
from support.images import encode
from support.server import Server
from support.serving import NOISE_PNG, assert_error, assert_same_prediction, predict_with_keras

pytestmark = pytest.mark.slow
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
FILE_HEADER = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
MAX_MEMORY_MB = 1.5 * 2**30 / 1e6  # as stated in .github/DEPLOYMENT.md


def decompression_bomb() -> bytes:
    """Return a PNG of 21 kB with 13,000 x 13,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 13_000, 13_000, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1626 * 13_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# Name: (status, part of the message, request to /predict). The forms are tested in more detail in test_uploads.py.
BAD_REQUESTS = {
    "not an image": (400, "unknown format", {"files": {"image": b"some text"}}),
    "empty file": (400, "the file is empty", {"files": {"image": b""}}),
    "truncated": (400, "not a readable image", {"files": {"image": NOISE_PNG[: len(NOISE_PNG) // 2]}}),
    "decompression bomb": (400, "MiB of memory; the limit is 320 MiB", {"files": {"image": decompression_bomb()}}),
    "SVG": (400, "unknown format", {"files": {"image": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}}),
    "other field": (400, "it has 'file'", {"files": {"file": NOISE_PNG}}),
    "two images": (400, "Too many files", {"files": [("image", NOISE_PNG), ("image", NOISE_PNG)]}),
    "URL": (400, "URLs are not fetched", {"files": {"image": (None, "http://127.0.0.1:9/x.png")}}),
    "not a form": (400, "the form cannot be read", {"content": b"some text", "headers": FORM}),
    "cut form": (400, "the form", {"content": FILE_HEADER + b"ab", "headers": FORM}),
    "no content type": (415, "content type is missing", {"content": NOISE_PNG}),
    "JSON": (415, "application/json", {"json": {"image": "http://127.0.0.1:9/x.png"}}),
    "pickle": (415, "pickle", {"content": b"x", "headers": {"Content-Type": "application/vnd.bentoml+pickle"}}),
    "100 MB": (413, "16 MiB", {"content": bytes(10**8), "headers": FORM}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_predict_with_a_bad_request_responds_with_an_error(server: Server, name: str) -> None:
    status, message, request = BAD_REQUESTS[name]
    with httpx.Client(base_url=server.url) as client:  # not the shared one: 413 closes the connection
        assert_error(client.post("/predict", **request), status, message)
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("name", sorted(BAD_REQUESTS.keys() - {"two images", "cut form"}))
def test_predict_batch_with_a_bad_request_responds_with_an_error(server: Server, name: str) -> None:
    status, message, request = BAD_REQUESTS[name]
    if "files" in request:
        files = {"images" if field == "image" else field: content for field, content in request["files"].items()}
        request = {"files": files}
    with httpx.Client(base_url=server.url) as client:
        assert_error(client.post("/predict_batch", **request), status, message)


def test_predict_batch_with_bad_images_names_all_of_them(client: httpx.Client) -> None:
    files = [("images", (name, content)) for name, content in (("a", NOISE_PNG), ("b.png", b"x"), ("c.png", b""))]
    messages = ("image 2 (b.png): not a readable image", "; image 3 (c.png): not a readable image: the file is empty")
    assert_error(client.post("/predict_batch", files=files), 400, *messages)


def test_predict_batch_accepts_64_images(client: httpx.Client) -> None:
    assert_error(client.post("/predict_batch", files=[("images", NOISE_PNG)] * 65), 400, "Too many files")
    assert len(client.post("/predict_batch", files=[("images", NOISE_PNG)] * 64).json()["predictions"]) == 64


@contextlib.contextmanager
def open_request(server: Server, header: str) -> Iterator[socket.socket]:
    """Send the headers of a request, and yield the connection for its body."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30) as connection:
        lines = ("POST /predict HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=x", header, "", "")
        connection.sendall("\r\n".join(lines).encode())
        yield connection


def read_response(connection: socket.socket) -> bytes:
    """Return headers and body of a response with a JSON object."""
    response = b""
    while not response.endswith(b"}"):
        received = connection.recv(65536)
        assert received, response
        response += received
    return response


def test_predict_with_100_mb_in_chunks_stops_reading_and_responds_413(server: Server) -> None:
    header = b"%x\r\n%b\r\n" % (len(FILE_HEADER), FILE_HEADER)
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    with open_request(server, "Transfer-Encoding: chunked") as connection:
        connection.sendall(header)
        num_bytes = 0
        with contextlib.suppress(ConnectionError):
            while num_bytes < 10**8:
                connection.sendall(chunk)
                num_bytes += 65536
        assert num_bytes < 60e6, "more than 16 MiB and the buffers of the connection"
    with open_request(server, "Transfer-Encoding: chunked") as connection:
        connection.sendall(header + chunk * (MAX_REQUEST_BYTES // 65536 + 1))
        response = read_response(connection)
    assert b" 413 " in response and b'{"error":' in response and b"connection: close" in response.lower()


def test_service_with_32_clients_responds_to_each_request_correctly(server: Server, trained: Path, loaded: Any) -> None:
    files = sorted((trained / "data/raw").glob("*/*.jpg"))[::4]
    expected = {file: predict_with_keras(loaded, file.read_bytes()) for file in files}
    bad_requests = [request for name, request in BAD_REQUESTS.items() if name != "100 MB"]

    async def send_requests(seed: int, session: httpx.AsyncClient) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            if rng.random() < 0.3:
                status, message, request = rng.choice(bad_requests)
                assert_error(await session.post("/predict", **request), status, message)
            elif rng.random() < 0.2:
                chosen = rng.sample(files, 5)
                form = [("images", file.read_bytes()) for file in chosen]
                body = (await session.post("/predict_batch", files=form)).json()
                for file, prediction in zip(chosen, body["predictions"], strict=True):
                    assert_same_prediction(prediction, expected[file])
            else:
                file = rng.choice(files)
                response = await session.post("/predict", files={"image": file.read_bytes()})
                assert_same_prediction(response.json(), expected[file])

    async def run_clients() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as session:
            await asyncio.gather(*(send_requests(seed, session) for seed in range(32)))

    asyncio.run(run_clients())


def test_service_with_64_open_requests_responds_429_and_then_504(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_request(server, "Content-Length: 1000")) for _ in range(64)]
        with httpx.Client(base_url=server.url) as client:
            deadline = time.monotonic() + 5
            while (response := client.post("/predict", files={"image": NOISE_PNG})).status_code == 200:
                assert time.monotonic() < deadline, "64 open requests are not limited"
            assert_error(response, 429)
            assert [client.get(path).status_code for path in ("/", "/livez", "/readyz", "/metrics")] == [200] * 4
        timeout = read_response(connections[0])
        assert b" 504 " in timeout and b'{"error":"the request took longer than 10 seconds' in timeout


def test_predict_batch_with_64_large_unreadable_images_keeps_none_of_them_in_memory(server: Server) -> None:
    png = encode(Image.new("RGB", (7900, 7900)), "PNG")[:-200]  # 180 kB, and 240 MiB while it is decoded
    largest = 0.0

    async def watch_memory() -> None:
        nonlocal largest
        while True:
            largest = max(largest, server.memory_mb)
            await asyncio.sleep(0.1)

    async def send_batch() -> None:
        watch = asyncio.create_task(watch_memory())
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as session:
            response = await session.post("/predict_batch", files=[("images", png)] * 64)
            assert response.status_code in (400, 504)  # it may take longer than the time limit
        watch.cancel()

    asyncio.run(send_batch())
    assert largest < MAX_MEMORY_MB
