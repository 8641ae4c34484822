"""Labels of kept images: stored one after the other, and what is damaged or missing. No TensorFlow."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from classifier.kept_images.folder import KeptImages
from classifier.kept_images.records import MissingImageError
from classifier.serving.keeping import MAX_LABEL_BYTES, label_route
from classifier.serving.middleware import RouteAllowlistMiddleware
from support.commands import ROOT
from support.kept import MODEL, keep, png, prediction, read_json
from support.serving import assert_error, send

JSON = {"Content-Type": "application/json"}


def test_labels_of_two_processes_are_all_stored(tmp_path: Path) -> None:
    ids = keep(tmp_path, *[0.5] * 40)
    code = """
import sys
from classifier.kept_images.folder import KeptImages
for image_id in sys.argv[3:]:
    KeptImages(sys.argv[1]).label(image_id, sys.argv[2])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    arguments = [("Mars", *ids[:30]), ("Moon", *reversed(ids[10:]))]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *words], env=environment) for words in arguments
    ]
    assert [process.wait() for process in processes] == [0, 0]
    labels = [read_json(tmp_path, image_id)["label"] for image_id in ids]
    assert labels[:10] == ["Mars"] * 10 and labels[30:] == ["Moon"] * 10 and set(labels[10:30]) <= {"Mars", "Moon"}


def test_label_and_unlabel_change_only_the_label(tmp_path: Path) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    before = (tmp_path / f"{image_id}.json").read_bytes()
    kept = KeptImages(tmp_path)
    kept.label(image_id, None)
    assert kept.read(image_id).is_labelled and read_json(tmp_path, image_id)["label"] is None
    kept.unlabel(image_id)
    assert (tmp_path / f"{image_id}.json").read_bytes() == before and not kept.read(image_id).is_labelled
    with pytest.raises(MissingImageError):
        kept.label("0" * 32, "Mars")


def test_list_records_sorts_by_uncertainty_and_names_what_is_damaged(tmp_path: Path) -> None:
    kept = KeptImages(tmp_path)
    ids = keep(tmp_path, 0.7, 0.5, 0.6, 0.4, 0.3, 0.2)
    unknown = kept.keep(png(99), prediction(0.99, known=False), MODEL)
    (tmp_path / f"{ids[3]}.png").unlink()
    (tmp_path / f"{ids[4]}.json").write_text('{"file": ')
    (tmp_path / f"{ids[5]}.json").unlink()
    (tmp_path / "notes.json").write_text("not a record")
    records, problems = kept.list_records()
    assert [record.id for record in records] == [unknown, ids[1], ids[2], ids[0]]
    missing, damaged = sorted(problems[:2], key=lambda problem: "damaged" in problem)
    assert f"its image {ids[3]}.png is missing" in missing and f"{ids[4]}.json is damaged (Invalid JSON" in damaged
    assert problems[2:] == [f"{tmp_path}: 1 images have no .json, such as {ids[5]}.png"]


@pytest.mark.parametrize(
    "change",
    [{"file": "../../x.png"}, {"file": f"{'0' * 32}.json"}, {"file": f"{'0' * 32}.png"}, {"label": 1}, {"known": None}],
)
def test_list_records_with_a_hostile_record_names_it(tmp_path: Path, change: dict[str, Any]) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    (tmp_path / f"{image_id}.json").write_text(json.dumps({**read_json(tmp_path, image_id), **change}))
    records, problems = KeptImages(tmp_path).list_records()
    assert records == [] and f"{image_id}.json is damaged" in problems[0]


async def no_app(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the request was passed on")


def post_label(folder: Path | None, body: Any, **options: Any) -> Any:
    """Send a request to the route of the service, inside its middleware."""
    label = label_route(str(folder), ["Mars", "Moon"], "model:2") if folder else None
    app = RouteAllowlistMiddleware(no_app, page="", label=label)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(app, "POST", "/label", content=content, **{"headers": JSON, **options})


@pytest.mark.parametrize("label", ["Moon", None])
def test_label_route_stores_the_label_and_the_model(tmp_path: Path, label: str | None) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    before = read_json(tmp_path, image_id)
    body = {"image": image_id, "label": label}
    response = post_label(tmp_path, body)
    assert response.status_code == 200 and response.json() == body
    assert read_json(tmp_path, image_id) == {**before, "label": label, "labelled_model": "model:2"}


def test_label_route_without_keep_images_does_not_exist() -> None:
    assert_error(post_label(None, {"image": "0" * 32, "label": None}), 404, "/label not found")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"image": "0" * 32, "label": "Mars"}, 404, "there is no image 0000"),
        ({"image": "../" * 10 + "aa", "label": "Mars"}, 400, "image: String should match"),
        ({"image": "0" * 32 + "\n", "label": "Mars"}, 400, "image: String should match"),
        ({"image": "A" * 32, "label": "Mars"}, 400, "image: String should match"),
        ({"image": "0" * 32, "label": "../Mars"}, 400, "../Mars is not a class of the model"),
        ({"image": "0" * 32, "label": "Comet"}, 400, "Comet is not a class of the model"),
        ({"image": "0" * 32, "label": 1}, 400, "label: Input should be a valid string"),
        ({"image": "0" * 32}, 400, "label: Field required"),
        ({"image": "0" * 32, "label": None, "more": 1}, 400, "more: Extra inputs are not permitted"),
        ([], 400, "Input should be an object"),
        (b"{", 400, "Invalid JSON"),
        (b"\xff", 400, "Invalid JSON"),
        (b"1" * (MAX_LABEL_BYTES + 1), 413, "larger than 4096 bytes"),
    ],
)
def test_label_route_with_a_hostile_request_stores_nothing(
    tmp_path: Path, body: Any, status: int, message: str
) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    before = read_json(tmp_path, image_id)
    assert_error(post_label(tmp_path, body), status, message)
    assert read_json(tmp_path, image_id) == before and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_label_route_with_a_form_of_another_site_responds_415(tmp_path: Path, content_type: str) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    body = {"image": image_id, "label": "Moon"}
    assert_error(post_label(tmp_path, body, headers={"Content-Type": content_type}), 415, "must be application/json")
    assert "label" not in read_json(tmp_path, image_id)


def test_label_route_with_damaged_files_responds_with_one_line(tmp_path: Path) -> None:
    missing, damaged, good = keep(tmp_path, 0.5, 0.5, 0.5)
    (tmp_path / f"{missing}.png").unlink()
    (tmp_path / f"{damaged}.json").write_bytes(b"\0" * 200)
    assert_error(post_label(tmp_path, {"image": missing, "label": "Mars"}), 404, f"its image {missing}.png is missing")
    assert_error(post_label(tmp_path, {"image": damaged, "label": "Mars"}), 500, f"{damaged}.json is damaged")
    (tmp_path / f".{good}.json.tmp").mkdir()  # as if the disk were full
    assert_error(
        post_label(tmp_path, {"image": good, "label": "Mars"}), 500, "folder of kept images cannot be used: Is a d"
    )


def test_label_routes_at_once_store_all_labels(tmp_path: Path) -> None:
    import httpx

    ids = keep(tmp_path, *[0.5] * 30)
    app = RouteAllowlistMiddleware(no_app, page="", label=label_route(str(tmp_path), ["Mars"], MODEL))

    async def label_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            requests = [client.post("/label", json={"image": image_id, "label": "Mars"}) for image_id in ids]
            return await asyncio.gather(*requests)

    assert {response.status_code for response in asyncio.run(label_all())} == {200}
    assert {read_json(tmp_path, image_id)["label"] for image_id in ids} == {"Mars"}
