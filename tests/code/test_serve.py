"""The service, over HTTP: predictions, pages, metrics and the prediction log."""

import csv
import gc
import json
import re
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import numpy as np
import pytest
import schemathesis
from PIL import Image
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from classifier.data.dataset import load_split
from classifier.model.predictor import Predictor
from classifier.serving.uploads import MAX_REQUEST_BYTES
from support.commands import ROOT, assert_fails, run
from support.images import encode, gradient_image
from support.server import SERVICE, Server
from support.serving import NOISE_PNG, assert_error, assert_same_prediction, predict_with_keras

pytestmark = pytest.mark.slow


def test_service_gives_the_predictions_of_the_evaluation(client: httpx.Client, trained: Path, loaded: Any) -> None:
    bento_model, model = loaded
    _, test = load_split(trained / "data/prepared", "test")
    expected = Predictor(bento_model, model).predict(np.array(test.images))
    logits = model.predict(np.array(test.images), batch_size=256, verbose=0)
    for row, prediction in zip(logits, expected, strict=True):
        assert_same_prediction(prediction, bento_model.custom_objects["postprocess"](row[np.newaxis]))
    images = [(trained / "data/raw" / file).read_bytes() for file in test.files]
    for image, prediction in zip(images, expected, strict=True):
        body = client.post("/predict", files={"image": image}).json()
        assert list(body) == ["prediction", "probabilities", "known", "novelty", "model"]
        assert {**body, "model": None} == {**prediction, "model": None}
        assert body["model"] == str(bento_model.tag)
    body = client.post("/predict_batch", files=[("images", image) for image in images]).json()
    assert list(body) == ["predictions", "model"] and body["model"] == str(bento_model.tag)
    for actual, prediction in zip(body["predictions"], expected, strict=True):
        assert actual == prediction


def unusual_images() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    image, gray, red = Image.fromarray(pixels), pixels[..., 0], Image.new("RGB", (40, 60), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = image.copy()
    transparent.putalpha(Image.fromarray(gray))
    return {
        "rotated": encode(image, "JPEG", exif=exif),
        "16-bit": encode(Image.fromarray(gray.astype(np.uint16) * 257), "PNG"),
        "float": encode(Image.fromarray(gray.astype(np.float32)), "TIFF"),
        "several pages": encode(image, "TIFF", save_all=True, append_images=[red]),
        "several frames": encode(image, "GIF", save_all=True, append_images=[red]),
        "transparent": encode(transparent, "PNG"),
        "palette": encode(image.quantize(16), "PNG"),
        "CMYK": encode(image.convert("CMYK"), "JPEG"),
        "WebP": encode(image, "WEBP"),
        "one pixel": encode(red.resize((1, 1)), "BMP"),
    }


def test_service_reads_unusual_images_as_in_training(client: httpx.Client, loaded: Any) -> None:
    for image in unusual_images().values():
        body = client.post("/predict", files={"image": ("x.jpg", image, "image/jpeg")}).json()
        assert_same_prediction(body, predict_with_keras(loaded, image))


def test_service_accepts_text_fields_and_extended_filenames(client: httpx.Client) -> None:
    expected = client.post("/predict", files={"image": NOISE_PNG}).json()
    assert client.post("/predict", files={"image": NOISE_PNG}, data={"a": "1", "b": "2"}).json() == expected
    head = b"--x\r\nContent-Disposition: form-data; name=\"image\"; filename*=UTF-8''x.png\r\n\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = client.post("/predict", content=head + NOISE_PNG + b"\r\n--x--\r\n", headers=headers)
    assert response.json() == expected


def test_service_with_other_routes_and_methods_responds_404_and_405(client: httpx.Client) -> None:
    assert_error(client.get("/nowhere"), 404, "/nowhere not found")
    assert_error(client.get("/static_content/../../x"), 404)
    assert_error(client.get("/predict"), 405, "use POST")
    for path in ("/", "/docs", "/docs.json", "/livez", "/readyz", "/static_content/swagger-ui-bundle.js"):
        assert client.get(path).status_code == client.head(path).status_code == 200


def test_service_allows_no_other_origins(client: httpx.Client) -> None:
    origin = {"Origin": "http://other.example"}
    assert_error(client.options("/predict", headers={**origin, "Access-Control-Request-Method": "POST"}), 405)
    response = client.post("/predict", files={"image": NOISE_PNG}, headers=origin)
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_pages_contain_no_external_urls(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/docs.json"):
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", client.get(path).text)) <= {"http://www.w3.org"}, path
    assert f"MAX_BYTES = {MAX_REQUEST_BYTES // 2**20} * 2 ** 20" in client.get("/").text, "the page has another limit"


def test_metrics_count_classes_and_contain_no_unknown_path(client: httpx.Client) -> None:
    def read_counts() -> dict[str, float]:
        pattern = r'^prediction_confidence_count\{prediction="(.+)"\} (.+)$'
        return {name: float(n) for name, n in re.findall(pattern, client.get("/metrics").text, re.MULTILINE)}

    name = client.post("/predict", files={"image": NOISE_PNG}).json()["prediction"]
    before = read_counts()
    client.post("/predict_batch", files=[("images", NOISE_PNG)] * 3)
    client.get("/not-counted")
    assert read_counts() == {**before, name: before[name] + 3}
    text = client.get("/metrics").text
    assert 'endpoint="/predict",http_response_code="200"' in text and "not-counted" not in text
    assert "\nprediction_log_lost_lines_total 0.0\n" in text


def test_prediction_log_has_the_values_of_reference_csv(client: httpx.Client, server: Server, trained: Path) -> None:
    """For the same images, equal to the last digit."""
    with (trained / "evaluation/reference.csv").open() as file:
        rows = list(csv.DictReader(file))
    files = json.loads((trained / "data/prepared/test/files.json").read_text())
    images = [("images", (trained / "data/raw" / name).read_bytes()) for name in files[:20]]
    client.post("/predict", files={"image": images[0][1]})
    client.post("/predict_batch", files=images)
    log = next((server.folder / "predictions/predictions/data").glob("data.1.*.log"))
    lines = [json.loads(line) for line in log.read_text().splitlines()[-21:]]
    assert [{name: str(line[name]) for name in rows[0]} for line in lines] == [rows[0], *rows[:20]]
    assert lines[0].keys() == {"timestamp", "request_id", "trace_id", "model", *rows[0]}
    assert {line["model"] for line in lines} == {json.loads((trained / "evaluation/metrics.json").read_text())["model"]}


# BentoML's client uses deprecated functions of Pydantic, and does not remove its temporary folder.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_service_works_with_bentoml_client(server: Server, tmp_path: Path) -> None:
    import bentoml

    image = tmp_path / "image.png"
    gradient_image().save(image)
    with bentoml.SyncHTTPClient(server.url) as client:
        response = client.predict(image=image)
        batch = client.predict_batch(images=[image, image])
    assert [prediction["prediction"] for prediction in batch["predictions"]] == [response["prediction"]] * 2
    del client
    gc.collect()  # remove the folder here, not in another test


def test_service_conforms_to_its_openapi_description(server: Server) -> None:
    checks = (schemathesis.checks.not_a_server_error, status_code_conformance, response_schema_conformance)
    labels = set()
    for result in schemathesis.openapi.from_url(f"{server.url}/docs.json").get_all_operations():
        operation = result.ok()
        labels.add(operation.label)

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
        def conforms(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks)

        conforms()
    assert {"POST /predict", "POST /predict_batch"} < labels


@pytest.mark.parametrize(
    ("variable", "path", "message"),
    [
        ("MODEL", "none", "none is missing"),
        ("MODEL", "file/none", "Not a directory"),
        ("PREDICTION_LOG", "file", "Not a directory; set it to a folder"),
    ],
)
def test_service_that_cannot_start_prints_one_line(tmp_path: Path, variable: str, path: str, message: str) -> None:
    (tmp_path / "file").touch()
    result = run(ROOT, "bentoml", "serve", SERVICE, **{variable: str(tmp_path / path)})
    assert_fails(result, "serve.py: ", message)
    assert len(result.stderr.splitlines()) == 1
