"""Uploaded forms: which are read, which are errors, and how errors look. No TensorFlow, no server."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from classifier.serving.uploads import (
    MAX_REQUEST_BYTES,
    MAX_TEXT_FIELDS,
    BodyBudget,
    RequestError,
    error_response,
    read_uploads,
    time_limit,
)
from support.serving import send

MAX_FILES = 3
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
FILE_HEADER = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


async def list_uploads(request: Request) -> Response:
    try:
        uploads = await read_uploads(request, "image", MAX_FILES)
    except RequestError as error:
        return error_response(error)
    return JSONResponse([[upload.filename, upload.content.decode()] for upload in uploads])


def post(**options: Any) -> httpx.Response:
    return send(Starlette(routes=[Route("/", list_uploads, methods=["POST"])]), "POST", "/", **options)


def form(*dispositions: str) -> bytes:
    """Return a form whose parts all contain `abc`."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="image"{text}\r\n\r\nabc\r\n' for text in dispositions]
    return "".join([*parts, "--x--\r\n"]).encode()


def test_read_uploads_with_several_files_returns_them_in_order() -> None:
    files = [("image", ("b.png", b"first")), ("other", ("c.png", b"no")), ("image", ("a.png", b"second"))]
    assert post(files=files).json() == [["b.png", "first"], ["a.png", "second"]]


@pytest.mark.parametrize("num_fields", [1, 2, MAX_TEXT_FIELDS])
def test_read_uploads_with_other_text_fields_ignores_them(num_fields: int) -> None:
    fields = {f"field{number}": "text" for number in range(num_fields)}
    assert post(data=fields, files={"image": ("a.png", b"abc")}).json() == [["a.png", "abc"]]


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ("; filename*=UTF-8''x.jpg", "x.jpg"),
        ("; FileName* = utf-8'en'%C3%A4.jpg", "ä.jpg"),
        ("; filename*=iso-8859-1''%E4.jpg", "ä.jpg"),
        ("; filename*=UTF-8''%22.jpg", "'.jpg"),
        ("; filename*=UTF-8''%C3%A4.jpg; filename=\"a.jpg\"", "a.jpg"),
        ('; filename=""', ""),
    ],
)
def test_read_uploads_with_any_kind_of_filename_returns_a_file(disposition: str, filename: str) -> None:
    assert post(content=form(disposition), headers=FORM).json() == [[filename, "abc"]]


ERRORS = {
    "no form": (400, "the form cannot be read", {"content": b"abc", "headers": FORM}),
    "no boundary": (400, "Missing boundary", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
    "empty form": (400, "no file in the field 'image'; it has no fields", {"content": b"--x--\r\n", "headers": FORM}),
    "cut form": (400, "no file in the field 'image'", {"content": FILE_HEADER + b"abc", "headers": FORM}),
    "other field": (400, "it has 'file'", {"files": {"file": b"abc"}}),
    "text": (400, "send the image file itself", {"files": {"image": (None, "abc")}}),
    "text named *": (400, "send the image file", {"content": form("; filename*=x"), "headers": FORM}),
    "too many files": (400, "Too many files", {"files": [("image", b"abc")] * (MAX_FILES + 1)}),
    "too many fields": (400, "Too many fields", {"files": [("a", (None, "b"))] * (MAX_TEXT_FIELDS + 1)}),
    "unprintable field name": (400, r"it has 'a\x1b[2J'", {"files": {"a\x1b[2J": b"abc"}}),
    "too large": (413, "larger than 16 MiB", {"content": bytes(MAX_REQUEST_BYTES + 1), "headers": FORM}),
}


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile")  # Starlette does not close the file of a cut form
@pytest.mark.parametrize("name", ERRORS)
def test_read_uploads_with_a_bad_form_raises_request_error(name: str) -> None:
    status, message, request = ERRORS[name]
    response = post(**request)
    assert response.status_code == status and message in response.json()["error"], response.text


def test_read_uploads_with_a_large_body_of_unknown_length_raises_request_error() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield FILE_HEADER
        for _ in range(MAX_REQUEST_BYTES // 2**20 + 1):
            yield bytes(2**20)

    response = post(content=body(), headers=FORM)
    assert response.status_code == 413 and response.headers["connection"] == "close"


def test_read_uploads_with_a_client_that_disconnects_raises_request_error() -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
    with pytest.raises(RequestError) as error:
        asyncio.run(read_uploads(Request(scope, receive), "image", 1))
    assert (error.value.status_code, error.value.detail) == (400, "the client disconnected")


def test_time_limit_does_not_keep_the_context_of_the_block() -> None:
    variable: ContextVar[np.ndarray] = ContextVar("variable")

    async def run() -> "weakref.ref[np.ndarray]":
        variable.set(np.zeros(1))
        async with time_limit(60):
            return weakref.ref(variable.get())

    async def main() -> None:
        asyncio.get_running_loop().call_later(30, print)  # asyncio would remove the first timer at once
        task = asyncio.create_task(run())
        await asyncio.wait([task])
        reference = task.result()
        del task
        await asyncio.sleep(0)
        assert reference() is None

    asyncio.run(main())


def test_time_limit_cancels_the_block_and_raises_request_error() -> None:
    async def wait() -> None:
        async with time_limit(0.1):
            await asyncio.Event().wait()

    with pytest.raises(RequestError) as error:
        asyncio.run(wait())
    assert error.value.status_code == 504
    assert error.value.detail == "the request took longer than 0.1 seconds; try again later"


def test_error_response_has_status_headers_and_one_json_field() -> None:
    response = error_response(HTTPException(405, "not allowed", {"Allow": "POST"}))
    assert (response.status_code, response.headers["allow"], response.body) == (405, "POST", b'{"error":"not allowed"}')


@pytest.mark.parametrize(
    ("headers", "num_at_once"),
    [([(b"content-length", b"30")], 3), ([(b"content-length", b"100")], 1), ([(b"content-length", b"1")], 5)],
)
def test_body_budget_lets_only_as_many_requests_pass_as_fit(
    headers: list[tuple[bytes, bytes]], num_at_once: int
) -> None:
    open_requests, most = 0, 0

    async def handle(budget: BodyBudget) -> None:
        nonlocal open_requests, most
        async with budget.reserve(Request({"type": "http", "headers": headers})):
            open_requests += 1
            most = max(most, open_requests)
            try:
                await asyncio.sleep(0)
            finally:
                open_requests -= 1

    async def handle_five() -> int:
        budget = BodyBudget(100)
        cancelled = asyncio.create_task(handle(budget))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(*(handle(budget) for _ in range(5)))
        return budget.free_bytes

    assert asyncio.run(asyncio.wait_for(handle_five(), 60)) == 100
    assert most == num_at_once


def test_body_budget_takes_a_request_without_a_length_for_the_largest() -> None:
    async def reserve() -> int:
        budget = BodyBudget(MAX_REQUEST_BYTES + 1)
        async with budget.reserve(Request({"type": "http", "headers": []})):
            return budget.free_bytes

    assert asyncio.run(reserve()) == 1
