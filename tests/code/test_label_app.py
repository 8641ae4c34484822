"""The label page's routes, without a server or a browser: who may use them, and what they do."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from classifier.kept_images.folder import KeptImages
from classifier.labelling.app import PREVIEW_SIDE, LabelApp
from support.images import encode
from support.kept import MODEL, keep, make_dataset, png, prediction, read_json
from support.serving import assert_error, send


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "raw")


@pytest.fixture
def app(tmp_path: Path, raw_dir: Path) -> LabelApp:
    (tmp_path / "kept").mkdir()
    return LabelApp(KeptImages(tmp_path / "kept"), raw_dir)


def request(app: LabelApp, method: str, path: str, host: str = "127.0.0.1:1234", **options: Any) -> httpx.Response:
    return send(app.to_asgi(), method, path, **{"headers": {"Host": host}, **options})


@pytest.mark.parametrize("path", ["/", "/images", f"/images/{'0' * 32}"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", ""])
def test_label_app_refuses_other_host_names(app: LabelApp, path: str, host: str) -> None:
    assert request(app, "GET", path, host).status_code == 400


@pytest.mark.parametrize("path", ["/label", "/move"])
def test_label_app_refuses_what_other_sites_can_send(app: LabelApp, path: str) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    content = json.dumps({"image": image_id, "label": "Mars"})
    for headers in ({"Content-Type": "text/plain"}, {}):
        response = request(app, "POST", path, content=content, headers={"Host": "localhost", **headers})
        assert_error(response, 415, "must be application/json")
    assert request(app, "POST", path, "evil.example", json={}).status_code == 400
    assert request(app, "OPTIONS", path).status_code == 405
    assert "label" not in read_json(app.kept.folder, image_id) and app.result is None


def test_label_app_page_has_the_style_of_the_service_and_no_remote_content(app: LabelApp) -> None:
    response = request(app, "GET", "/", "localhost:1234")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "--page:" in response.text and "<!-- style -->" not in response.text
    assert "https://" not in response.text and response.text.replace("http://www.w3.org", "").count("http:") == 0


def test_label_app_lists_images_with_the_most_uncertain_first(app: LabelApp) -> None:
    first, second = keep(app.kept.folder, 0.4, 0.6)
    unknown = app.kept.keep(png(9), prediction(0.99, known=False, novelty=1.5), MODEL)
    app.kept.label(second, "Comet")
    body = request(app, "GET", "/images").json()
    assert [image["id"] for image in body["images"]] == [unknown, first, second]
    assert body["images"][2]["label"] == "Comet" and "label" not in body["images"][0]
    assert body["classes"] == ["Mars", "Moon", "Comet"] and body["problems"] == []


@pytest.mark.parametrize(
    ("format", "size", "shown"),
    [
        ("PNG", (300, 100), (300, 100)),
        ("JPEG", (3000, 1500), (PREVIEW_SIDE, PREVIEW_SIDE // 2)),
        ("TIFF", (300, 100), (300, 100)),
        ("JPEG2000", (300, 100), (300, 100)),
        ("PNG", (2000, 1), (PREVIEW_SIDE, 1)),
    ],
)
def test_label_app_shows_each_format_as_a_jpeg(app: LabelApp, format: str, size: Any, shown: Any) -> None:
    image_id = app.kept.keep(encode(Image.new("RGB", size, "red"), format), prediction(), MODEL)
    response = request(app, "GET", f"/images/{image_id}")
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == shown


def test_label_app_rotates_photographs(app: LabelApp) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image_id = app.kept.keep(encode(Image.new("RGB", (200, 100)), "JPEG", exif=exif), prediction(), MODEL)
    with Image.open(io.BytesIO(request(app, "GET", f"/images/{image_id}").content)) as image:
        assert image.size == (100, 200)


@pytest.mark.parametrize("image_id", ["%2e%2e", "%2e%2e%2fraw", "..%2F..%2Fx", "0" * 31, "A" * 32, "0" * 32 + "%0A"])
def test_label_app_with_a_hostile_id_responds_404(app: LabelApp, image_id: str) -> None:
    assert request(app, "GET", f"/images/{image_id}").status_code == 404


def test_label_app_with_a_damaged_image_responds_422(app: LabelApp) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    (app.kept.folder / f"{image_id}.png").write_bytes(b"damaged")
    assert_error(request(app, "GET", f"/images/{image_id}"), 422, "not a readable image")


def test_label_app_stores_and_removes_labels(app: LabelApp) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    for label in ("Moon", "Comet", None):
        response = request(app, "POST", "/label", json={"image": image_id, "label": label})
        assert response.json() == {"image": image_id, "label": label}
        assert read_json(app.kept.folder, image_id)["label"] == label
    assert request(app, "POST", "/label", json={"image": image_id}).json() == {"image": image_id}
    assert "label" not in read_json(app.kept.folder, image_id)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"image": "0" * 32, "label": "Mars"}, 404, "it was moved or removed"),
        ({"image": "../x", "label": "Mars"}, 400, "image: String should match"),
        ({"label": "../x"}, 400, "without slashes"),
        ({"label": ".x"}, 400, "no dot at the start"),
        ({"label": "MARS"}, 400, 'differs from the class "Mars" only in case'),
        ({"label": ""}, 400, "cannot be a class"),
    ],
)
def test_label_app_with_a_wrong_label_stores_nothing(
    app: LabelApp, body: dict[str, Any], status: int, message: str
) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    assert_error(request(app, "POST", "/label", json={"image": image_id, **body}), status, message)
    assert "label" not in read_json(app.kept.folder, image_id)


def test_label_app_moves_and_stops(app: LabelApp) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    app.kept.label(image_id, "Moon")
    stopped = []
    app.on_finish = lambda: stopped.append(True)
    assert request(app, "POST", "/move", json={}).json() == {"moved": {"Moon": 1}, "problems": []}
    assert (app.raw_dir / "Moon" / f"{image_id}.png").is_file() and stopped == [True]
    assert app.result is not None and app.result.moved == {"Moon": 1}


def test_label_app_without_the_dataset_responds_with_one_line(app: LabelApp) -> None:
    (image_id,) = keep(app.kept.folder, 0.5)
    app.raw_dir.rename(app.raw_dir.with_name("gone"))
    assert_error(request(app, "GET", "/images"), 400, "raw is not a folder")
    for path, body in (("/move", {}), ("/label", {"image": image_id, "label": "Mars"})):
        assert_error(request(app, "POST", path, json=body), 400, "raw is not a folder")


def test_label_app_without_the_folder_responds_with_one_line(app: LabelApp) -> None:
    app.kept.folder.rmdir()
    assert_error(request(app, "GET", "/images"), 500, "No such file or directory")
    assert_error(request(app, "POST", "/move", json={}), 500, "No such file or directory")
