"""The service with KEEP_IMAGES, in this process: it keeps images, and says so."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier.serving import keeping
from support.commands import ROOT, assert_fails, run
from support.kept import png, read_json
from support.server import SERVICE
from support.serving import NOISE_PNG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # BentoML's import uses a deprecated function of Pydantic
]


def test_service_keeps_uncertain_images_and_takes_their_labels(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "KEEP_IMAGES_DIR", str(tmp_path))
    monkeypatch.setattr(keeping, "KEEP_BELOW", 1.1)
    app = serve.CelestialBodiesClassifierService.to_asgi()

    async def send_requests() -> list[httpx.Response]:
        async with app.app.router.lifespan_context(app.app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                one = await client.post("/predict", files={"image": NOISE_PNG})
                images = [("images", NOISE_PNG), ("images", png(1))]
                batch = await client.post("/predict_batch", files=images)
                label = await client.post("/label", json={"image": one.json()["kept"], "label": "Moon"})
                return [one, batch, label, await client.get("/"), await client.get("/docs.json")]

    one, batch, label, page, docs = asyncio.run(send_requests())
    image_id = one.json()["kept"]
    assert batch.json()["predictions"][0]["kept"] == image_id
    assert (tmp_path / f"{image_id}.png").read_bytes() == NOISE_PNG and len(list(tmp_path.glob("*.png"))) == 2
    assert label.json() == {"image": image_id, "label": "Moon"}
    record = read_json(tmp_path, image_id)
    assert record["label"] == "Moon" and record["model"] == record["labelled_model"] == serve.MODEL_TAG
    assert record["confidence"] == one.json()["probabilities"][record["prediction"]]
    assert keeping.STORES_UNCERTAIN in page.text and keeping.STORES_UNCERTAIN in docs.json()["info"]["description"]


def test_service_whose_folder_of_kept_images_is_a_file_prints_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(ROOT, "bentoml", "serve", SERVICE, KEEP_IMAGES=str(tmp_path / "file"))
    assert_fails(result, "serve.py: KEEP_IMAGES: ", "File exists; set it to a folder")
    assert len(result.stderr.splitlines()) == 1
