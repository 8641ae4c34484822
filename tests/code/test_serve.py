"""The service, over real HTTP: the right answers, and for every bad request the right refusal."""

import asyncio
import contextlib
import io
import json
import random
import re
import shutil
import signal
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import httpx
import hypothesis
import kubernetes_validate
import numpy as np
import pytest
import schemathesis
import yaml
from bench.serve import Server
from conftest import ROOT, SERVICE, fails, run
from PIL import Image
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from utils import dataset, web


@pytest.fixture(scope="module")
def client(server: Server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def answer(loaded, picture: bytes) -> dict:
    """What the package itself says."""
    packed, model = loaded
    preprocess, postprocess = (packed.custom_objects[name] for name in ("preprocess", "postprocess"))
    return postprocess(model.predict(preprocess(picture), verbose=0))


def same(got: dict, expected: dict) -> None:
    assert got["prediction"] == expected["prediction"]
    assert list(got["probabilities"]) == list(expected["probabilities"])
    assert np.allclose([*got["probabilities"].values()], [*expected["probabilities"].values()], rtol=0, atol=1e-6)


def test_every_test_picture_gets_what_evaluate_gave(client, trained: Path, loaded) -> None:
    packed, model = loaded
    _, test = dataset.load(trained / "data/prepared", "test")
    logits = model.predict(np.array(test.images), batch_size=256, verbose=0)  # as evaluate does
    expected = [packed.custom_objects["postprocess"](row[np.newaxis]) for row in logits]
    pictures = [(trained / "data/raw" / file).read_bytes() for file in test.files]
    for picture, right in zip(pictures, expected, strict=True):
        got = client.post("/predict", files={"image": picture}).json()
        same(got, right)
        assert got["model"] == str(packed.tag)
    reply = client.post("/predict_batch", files=[("images", picture) for picture in pictures]).json()
    assert reply["model"] == str(packed.tag)
    for got, right in zip(reply["predictions"], expected, strict=True):
        same(got, right)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def odd_pictures() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    upright = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = upright.copy()
    transparent.putalpha(Image.fromarray(noise[..., 0]))
    return {
        "rotated": encoded(upright, "JPEG", exif=exif),
        "sixteen bits": encoded(Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG"),
        "float": encoded(Image.fromarray(noise[..., 0].astype(np.float32)), "TIFF"),
        "pages": encoded(upright, "TIFF", save_all=True, append_images=[Image.new("RGB", (40, 60))]),
        "frames": encoded(upright, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 60))]),
        "transparent": encoded(transparent, "PNG"),
        "palette": encoded(upright.quantize(16), "PNG"),
        "cmyk": encoded(upright.convert("CMYK"), "JPEG"),
        "webp": encoded(upright, "WEBP"),
        "one pixel": encoded(Image.new("RGB", (1, 1), "red"), "BMP"),
    }


@pytest.mark.parametrize("name", odd_pictures())
def test_odd_pictures_are_read_as_in_training(client, loaded, name: str) -> None:
    picture = odd_pictures()[name]
    same(client.post("/predict", files={"image": ("x.jpg", picture, "image/jpeg")}).json(), answer(loaded, picture))


def bomb() -> bytes:
    """A PNG of 12 kB with 10,000 x 10,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1251 * 10_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PICTURE = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8)), "PNG")
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
CUT = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nab'
BAD = {
    "no picture": (400, "unknown format", {"files": {"image": b"some text"}}),
    "empty file": (400, "empty", {"files": {"image": b""}}),
    "truncated": (400, "not a readable picture", {"files": {"image": PICTURE[: len(PICTURE) // 2]}}),
    "bomb": (400, "too many", {"files": {"image": bomb()}}),
    "svg": (400, "unknown format", {"files": {"image": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}}),
    "wrong field": (400, "the form has 'file'", {"files": {"file": PICTURE}}),
    "two pictures": (400, "Too many files", {"files": [("image", PICTURE), ("image", PICTURE)]}),
    "text": (400, "send the file itself", {"files": {"image": (None, "hello")}}),
    "url": (400, "no address is fetched", {"files": {"image": (None, "http://127.0.0.1:9/x.png")}}),
    "form without picture": (400, "nothing", {"content": b"--x--\r\n", "headers": FORM}),
    "no boundary": (400, "boundary", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
    "broken form": (400, "form", {"content": b"nothing of that kind", "headers": FORM}),
    "cut form": (400, "image", {"content": CUT, "headers": FORM}),
    "no content type": (415, "content type is missing", {"content": PICTURE}),
    "json": (415, "application/json", {"json": {"image": "http://127.0.0.1:9/x.png"}}),
    "bare picture": (415, "image/png", {"content": PICTURE, "headers": {"Content-Type": "image/png"}}),
    "pickle": (415, "pickle", {"content": b"x", "headers": {"Content-Type": "application/vnd.bentoml+pickle"}}),
    "urlencoded": (415, "urlencoded", {"data": {"image": "x"}}),
    "100 MB": (413, "16 MiB", {"content": bytes(10**8), "headers": FORM}),
}  # fmt: skip


def refused(response: httpx.Response, status: int, *parts: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    for part in parts:
        assert part in body["error"], body


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused(server, name: str) -> None:
    status, part, request = BAD[name]
    with httpx.Client(base_url=server.url) as client:  # its own, since a 413 ends the connection
        for path in ("/predict", "/predict_batch"):
            if path == "/predict_batch" and isinstance(request.get("files"), dict):
                request = {"files": {"images" if k == "image" else k: v for k, v in request["files"].items()}}
            elif path == "/predict_batch" and name in ("two pictures", "cut form"):
                continue
            refused(client.post(path, **request), status, part)
        assert client.get("/livez").status_code == 200


def test_a_batch_names_what_is_bad_in_it_and_has_a_limit(client) -> None:
    files = [("images", ("good.png", PICTURE)), ("images", ("bad.png", b"x")), ("images", ("empty.png", b""))]
    refused(
        client.post("/predict_batch", files=files), 400, "picture 2 (bad.png): not a readable", "3 (empty.png): the"
    )
    refused(client.post("/predict_batch", files=[("images", PICTURE)] * 65), 400, "Too many files")
    assert len(client.post("/predict_batch", files=[("images", PICTURE)] * 64).json()["predictions"]) == 64


@contextlib.contextmanager
def raw_connection(server: Server, *headers: str, path: str = "/predict"):
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30) as connection:
        lines = (f"POST {path} HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=x", *headers, "", "")
        connection.sendall("\r\n".join(lines).encode())
        yield connection


def read_reply(connection: socket.socket) -> bytes:
    """The head and the body, which is a JSON object."""
    reply = b""
    while not reply.endswith(b"}"):
        part = connection.recv(65536)
        assert part, reply
        reply += part
    return reply


def test_100_mb_in_chunks_are_refused_without_being_read(server) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    with raw_connection(server, "Transfer-Encoding: chunked") as connection:
        connection.sendall(b"%x\r\n%b\r\n" % (len(head), head))
        chunk, sent = b"10000\r\n" + bytes(65536) + b"\r\n", 0
        with contextlib.suppress(ConnectionError):
            while sent < 10**8:
                connection.sendall(chunk)
                sent += 65536
        assert sent < 60e6, f"{sent} bytes were taken"  # over 16 MiB, by what buffers hold
    with raw_connection(server, "Transfer-Encoding: chunked") as connection:
        connection.sendall(b"%x\r\n%b\r\n" % (len(head), head) + chunk * (web.MAX_BYTES // 65536 + 1))
        reply = read_reply(connection)
    assert b" 413 " in reply and b'{"error":' in reply and b"connection: close" in reply.lower()


def test_paths_and_methods(client) -> None:
    refused(client.get("/nowhere"), 404, "/nowhere")
    refused(client.get("/predict/"), 404)
    refused(client.get("/static_content/../../x"), 404)
    refused(client.get("/predict"), 405, "takes POST")
    assert client.get("/predict").headers["allow"] == "POST"
    refused(client.post("/metrics"), 405)
    for path in ("/", "/docs", "/docs.json", "/livez", "/readyz", "/static_content/swagger-ui-bundle.js"):
        assert client.get(path).status_code == client.head(path).status_code == 200


def test_cors_is_closed(client) -> None:
    origin = {"Origin": "http://other.example"}
    refused(client.options("/predict", headers={**origin, "Access-Control-Request-Method": "POST"}), 405)
    reply = client.post("/predict", files={"image": PICTURE}, headers=origin)
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_pages_name_no_address_outside(client) -> None:
    for path in ("/", "/docs", "/docs.json"):
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", client.get(path).text)) <= {"http://www.w3.org"}, path
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert f"{web.MAX_BYTES // 2**20} * 2 ** 20" in client.get("/").text, "the page knows another limit"


def test_metrics_count_classes_and_no_unknown_path(client) -> None:
    def counted() -> dict[str, float]:
        pattern = r'^prediction_confidence_count\{prediction="(.+)"\} (.+)$'
        return {name: float(n) for name, n in re.findall(pattern, client.get("/metrics").text, re.MULTILINE)}

    name = client.post("/predict", files={"image": PICTURE}).json()["prediction"]
    before = counted()
    client.post("/predict_batch", files=[("images", PICTURE)] * 3)
    client.get("/not-counted")
    after = counted()
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {name: 3}
    text = client.get("/metrics").text
    assert 'endpoint="/predict",http_response_code="200"' in text and "not-counted" not in text


def test_predictions_are_logged_without_the_picture(client, server, loaded) -> None:
    file = server.folder / "predictions/predictions/data/data.1.log"
    expected = client.post("/predict", files={"image": PICTURE}).json()
    line = json.loads(file.read_text().splitlines()[-1])
    assert {*line} == {"timestamp", "request_id", "trace_id", "model", "prediction", "confidence", "brightness"}
    assert (line["model"], line["prediction"]) == (expected["model"], expected["prediction"])
    assert line["confidence"] == expected["probabilities"][line["prediction"]]
    pixels = loaded[0].custom_objects["preprocess"](PICTURE)
    assert line["brightness"] == pytest.approx(pixels.mean() / 255)


def test_bentomls_own_client(server, trained: Path) -> None:
    import bentoml

    picture = next((trained / "data/raw").glob("*/*.jpg"))
    with bentoml.SyncHTTPClient(server.url) as client:
        one = client.predict(image=picture)
        assert client.predict_batch(images=[picture, picture])["predictions"][1]["prediction"] == one["prediction"]


def test_whatever_fits_the_description_gets_what_is_described(server) -> None:
    checks = (schemathesis.checks.not_a_server_error, status_code_conformance, response_schema_conformance)
    labels = set()
    for result in schemathesis.openapi.from_url(f"{server.url}/docs.json").get_all_operations():
        operation = result.ok()
        labels.add(operation.label)

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
        def fits(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks)

        fits()
    assert {"POST /predict", "POST /predict_batch"} < labels


def test_32_clients_with_good_and_bad_requests(server, trained: Path, loaded) -> None:
    files = sorted((trained / "data/raw").glob("*/*.jpg"))[::4]
    expected = {file: answer(loaded, file.read_bytes()) for file in files}

    async def ask(number: int, session: httpx.AsyncClient) -> None:
        chance = random.Random(number)
        for _ in range(25):
            if chance.random() < 0.3:
                status, part, request = BAD[chance.choice([name for name in BAD if name != "100 MB"])]
                refused(await session.post("/predict", **request), status, part)
            elif chance.random() < 0.2:
                chosen = chance.sample(files, 5)
                forms = [("images", file.read_bytes()) for file in chosen]
                reply = await session.post("/predict_batch", files=forms)
                for file, got in zip(chosen, reply.json()["predictions"], strict=True):
                    same(got, expected[file])
            else:
                file = chance.choice(files)
                same((await session.post("/predict", files={"image": file.read_bytes()})).json(), expected[file])

    async def all_clients() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as session:
            await asyncio.gather(*(ask(number, session) for number in range(32)))

    asyncio.run(all_clients())


def test_too_many_at_once_are_told_so_and_the_slow_are_let_go(server) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(raw_connection(server, "Content-Length: 1000")) for _ in range(64)]
        with httpx.Client(base_url=server.url) as client:
            deadline = time.monotonic() + 5
            while (reply := client.post("/predict", files={"image": PICTURE})).status_code == 200:
                assert time.monotonic() < deadline, "64 open requests, and no limit"
            refused(reply, 429)
            assert [client.get(path).status_code for path in ("/", "/livez", "/readyz", "/metrics")] == [200] * 4
        reply = read_reply(slow[0])
        assert b" 504 " in reply and b'{"error":' in reply


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    fails(run(ROOT, "bentoml", "serve", SERVICE, MODEL=str(tmp_path / "none")), "serve.py: ", "none is missing")


@pytest.fixture(scope="module")
def bento(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `bentoml export` writes of a Bento that `bentoml build` made in a copy of the project."""
    project = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(trained, project, ignore=shutil.ignore_patterns(".git", ".dvc", "__pycache__"))
    for name in (".bentoignore", "requirements-freeze.txt"):
        shutil.copy(ROOT / name, project)
    built = run(project, "bentoml", "build", SERVICE, "-o", "tag")
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().removeprefix("__tag__:")
    exported = run(project, "bentoml", "export", tag, str(project / "service.bento"))
    assert exported.returncode == 0, exported.stderr
    return project / "service.bento"


def test_a_bento_holds_the_service_its_model_and_pinned_requirements(bento: Path, loaded, tmp_path: Path) -> None:
    shutil.unpack_archive(bento, tmp_path, "gztar")
    info = yaml.safe_load((tmp_path / "bento.yaml").read_text())
    assert [model["tag"] for model in info["services"][0]["models"]] == [str(loaded[0].tag)]
    files = {str(file.relative_to(tmp_path / "src")) for file in (tmp_path / "src").rglob("*") if file.is_file()}
    wanted = set(re.findall("^!(.+)", (ROOT / ".bentoignore").read_text(), re.MULTILINE))
    assert files == wanted | {"bentofile.yaml"}

    def pins(text: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+==[^\s;]+).*((?:\n    --hash=\S+.*)*)", text, re.MULTILINE))

    installs = pins((tmp_path / "env/python/requirements.txt").read_text())
    assert installs.pop("bentoml==1.4.39") == "", "BentoML adds itself a second time; drop this line when it stops"
    frozen = pins((ROOT / "requirements-freeze.txt").read_text())
    assert installs and all(frozen[pin] == hashes and hashes for pin, hashes in installs.items())


def test_a_bento_serves_in_an_empty_home_and_finishes_what_runs(bento: Path, loaded, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "bentoml")}
    (tmp_path / "empty").mkdir()
    imported = run(tmp_path, "bentoml", "import", str(bento), **home)
    assert imported.returncode == 0, imported.stderr
    tag = re.search(r'tag="([^"]+)"', imported.stdout)[1]
    server = Server(tag, tmp_path / "empty", tmp_path / "log", **home)
    try:
        same(httpx.post(f"{server.url}/predict", files={"image": PICTURE}).json(), answer(loaded, PICTURE))
        assert "Which celestial body" in httpx.get(server.url).text
        large = encoded(Image.new("RGB", (6000, 6000)), "PNG", compress_level=1)
        replies = []
        form = {"files": [("images", large)] * 12, "timeout": 60}
        asking = threading.Thread(target=lambda: replies.append(httpx.post(f"{server.url}/predict_batch", **form)))
        asking.start()
        in_progress = 'request_in_progress{endpoint="/predict_batch"'
        while not re.search(in_progress + r".* 1\.0$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE):
            pass
        time.sleep(0.3)  # the form is read, the first pictures are being decoded
        server.process.send_signal(signal.SIGTERM)
        asking.join()
        assert server.process.wait(60) == 0
        assert replies[0].status_code == 200 and len(replies[0].json()["predictions"]) == 12
    finally:
        with contextlib.suppress(Exception):
            server.stop()
    assert not list((tmp_path / "empty").iterdir()) and not list(tmp_path.rglob("data.*.log")), "who asked for a log?"


def test_the_readmes_manifests_fit_kubernetes_schema() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    manifests = [part for block in blocks for part in yaml.safe_load_all(block) if "kind" in part]
    assert {part["kind"] for part in manifests} == {"Deployment", "Job", "Service"}
    for part in manifests:
        kubernetes_validate.validate(part, "1.33", strict=True)
    deployment = next(part for part in manifests if part["kind"] == "Deployment")["spec"]
    container = deployment["template"]["spec"]["containers"][0]
    assert deployment["replicas"] == 2 and {"requests", "limits"} <= container["resources"].keys()
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"]["path"] == path
