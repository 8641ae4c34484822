"""Requests to the service, and what it must respond."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from packaging.requirements import Requirement
from PIL import Image

from support.images import encode

NOISE_PNG = encode(Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8)), "PNG")


def send(app: Callable[..., Any], method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request to an ASGI application, without a network."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(request())


def predict_with_keras(loaded: tuple[Any, Any], image: bytes) -> dict[str, Any]:
    """Return the prediction of a model (BentoML's and Keras's), computed with `model.predict`."""
    bento_model, model = loaded
    preprocess, postprocess = (bento_model.custom_objects[name] for name in ("preprocess", "postprocess"))
    return postprocess(model.predict(preprocess(image), verbose=0))


def assert_same_prediction(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check class and probabilities, to 1e-6."""
    assert actual["prediction"] == expected["prediction"]
    assert list(actual["probabilities"]) == list(expected["probabilities"])
    probabilities = [[*prediction["probabilities"].values()] for prediction in (actual, expected)]
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-6)


def assert_error(response: Any, status: int, *parts: str) -> None:
    """Check that a response is a JSON error with this status, and that its message contains all `parts`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    for part in parts:
        assert part in body["error"], body


def read_requirements(path: Path) -> list[tuple[str, list[str]]]:
    """Return each requirement of a compiled file, with its marker, and its hashes."""
    lines = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    requirements = [line for line in lines if re.match(r"\w", line)]
    return [(str(Requirement(line.partition("--hash")[0])), re.findall(r"sha256:\w+", line)) for line in requirements]
