"""The middleware: which requests reach the application. No TensorFlow, no server."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from classifier.serving.middleware import ALLOWED_METHODS, RouteAllowlistMiddleware
from support.serving import send

FORM = {"Content-Type": "multipart/form-data; boundary=x"}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with method and path."""
    await PlainTextResponse(f"{scope['method']} {scope['path']}")(scope, receive, send)


def request(method: str, path: str, **options: Any) -> httpx.Response:
    return send(RouteAllowlistMiddleware(application, page="<h1>The page</h1>"), method, path, **options)


@pytest.mark.parametrize("path", sorted(ALLOWED_METHODS.keys() - {"/", "/docs"}))
def test_middleware_with_an_allowed_route_passes_the_request_on(path: str) -> None:
    for method in ALLOWED_METHODS[path]:
        response = request(method, path, headers=FORM if method == "POST" else None)
        assert response.status_code == 200
        assert method == "HEAD" or response.text == f"{method} {path}"


@pytest.mark.parametrize(("path", "text"), [("/", "The page"), ("/docs", "SwaggerUIBundle")])
def test_middleware_serves_the_pages_with_security_headers(path: str, text: str) -> None:
    response = request("GET", path)
    assert text in response.text and response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert request("HEAD", path).status_code == 200


def assert_error(response: httpx.Response, status: int, message: str) -> None:
    assert response.status_code == status
    assert response.json() == {"error": message}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/nowhere", "/nowhere"),
        ("/predict/", "/predict/"),
        ("/static_content/other.js", "/static_content/other.js"),
        ("/%1B%5B2J", r"/\x1b[2J"),
        ("/" + 1000 * "a", "/" + 79 * "a"),
    ],
)
def test_middleware_with_an_unknown_path_responds_404(path: str, shown: str) -> None:
    assert_error(request("GET", path), 404, f"{shown} not found; see /docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/predict", "POST"), ("POST", "/", "GET, HEAD"), ("PUT", "/predict", "POST"), ("TRACE", "/", "GET, HEAD")],
)
def test_middleware_with_another_method_responds_405(method: str, path: str, allowed: str) -> None:
    response = request(method, path)
    assert_error(response, 405, f"{method} is not allowed for {path}; use {allowed}")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("content_type", "start"),
    [
        (None, "the content type is missing; send the image as a file"),
        ("image/png", "the content type is image/png; send the image as a file"),
        ("application/vnd.bentoml+pickle", "the content type is application/vnd.bentoml+pickle; send"),
    ],
)
def test_middleware_with_another_content_type_responds_415(content_type: str | None, start: str) -> None:
    response = request(
        "POST", "/predict", content=b"x", headers={"Content-Type": content_type} if content_type else None
    )
    assert response.status_code == 415 and response.json()["error"].startswith(start)


def test_middleware_with_a_lifespan_event_passes_it_on() -> None:
    events = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(scope["type"])

    asyncio.run(RouteAllowlistMiddleware(lifespan, page="")({"type": "lifespan"}, None, None))
    assert events == ["lifespan"]
