"""Uploaded files: multipart forms within limits, and errors as JSON.

BentoML's own form parser has no limits, and it fetches URLs that it finds in a form.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from utils.files import printable

MAX_REQUEST_BYTES = 16 * 2**20  # a photo from a phone has up to 12 MB
MAX_TEXT_FIELDS = 32  # text fields are ignored, but some clients send them
EXTENDED_FILENAME = re.compile(rb"(?i);\s*filename\*\s*=\s*[\w-]+'[\w-]*'([^;]*)")  # RFC 5987


class RequestError(HTTPException):
    """An error response to a request. `detail` is the message."""


class Upload(NamedTuple):
    """One uploaded file."""

    filename: str
    content: bytes


def error_response(error: HTTPException) -> JSONResponse:
    """Return the response for an error. All errors of the service have this form."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


class BodyBudget:
    """Lets requests wait until their bodies fit into memory together. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """Allow bodies of `max_bytes` in total."""
        self.free_bytes = max_bytes
        self.released = asyncio.Event()

    @asynccontextmanager
    async def reserve(self, request: Request) -> AsyncIterator[None]:
        """Wait until there is room for the body of a request, at most MAX_REQUEST_BYTES."""
        num_bytes = min(int(request.headers.get("content-length", MAX_REQUEST_BYTES)), MAX_REQUEST_BYTES)
        while self.free_bytes < num_bytes:
            self.released.clear()
            await self.released.wait()
        self.free_bytes -= num_bytes
        try:
            yield
        finally:
            self.free_bytes += num_bytes
            self.released.set()


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cancel the block after a time. BentoML's own limit keeps the images in memory until the next garbage collection.

    Raises:
        RequestError: the block took longer.
    """
    try:
        async with asyncio.timeout(None) as timeout:
            # In an empty context: asyncio keeps a timer with its context until its time, even if it was cancelled, and
            # the current context refers to the request.
            Context().run(timeout.reschedule, asyncio.get_running_loop().time() + seconds)
            yield
    except TimeoutError:
        raise RequestError(504, f"the request took longer than {seconds} seconds; try again later") from None


async def read_uploads(request: Request, field: str, max_files: int) -> list[Upload]:
    """Read the files in one field of a multipart form. Other fields are ignored.

    Args:
        request: a request with the content type multipart/form-data.
        field: the name of the field.
        max_files: the largest number of files in the whole form.

    Returns:
        At least one and at most `max_files` files, in the order of the form.

    Raises:
        RequestError: the form is damaged, has no file in the field, or is larger than MAX_REQUEST_BYTES. The rest of a
            request that is too large is not read.
    """
    if int(request.headers.get("content-length", 0)) > MAX_REQUEST_BYTES:
        raise _too_large()
    parser = _FormParser(request.headers, _limited_body(request), max_files=max_files, max_fields=MAX_TEXT_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(400, f"the form cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise RequestError(400, "the client disconnected") from None
    try:
        return await _read_files(form, field)
    finally:
        await form.close()


async def _read_files(form: FormData, field: str) -> list[Upload]:
    parts = form.getlist(field)
    if not parts:
        names = ", ".join(f"'{printable(name)[:80]}'" for name in form) or "no fields"
        raise RequestError(400, f"the form has no file in the field '{field}'; it has {names}")
    uploads = []
    for part in parts:
        if isinstance(part, str):
            raise RequestError(400, f"the field '{field}' is text; send the image file itself (URLs are not fetched)")
        uploads.append(Upload(part.filename or "", await part.read()))
    return uploads


async def _limited_body(request: Request) -> AsyncGenerator[bytes, None]:
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > MAX_REQUEST_BYTES:
            raise _too_large()
        yield chunk


def _too_large() -> RequestError:
    message = f"the request is larger than {MAX_REQUEST_BYTES // 2**20} MiB; send smaller or fewer images"
    return RequestError(413, message, {"Connection": "close"})  # else the server would read the rest of the request


class _FormParser(MultiPartParser):
    """Starlette's parser, without temporary files, and with file names as `filename*=UTF-8''x.jpg`.

    RFC 7578 does not allow the latter in a form, so Starlette takes such a part for text. But some clients send it.
    """

    spool_max_size = MAX_REQUEST_BYTES

    def on_headers_finished(self) -> None:
        part = self._current_part
        part.content_disposition = EXTENDED_FILENAME.sub(_plain_filename, part.content_disposition or b"")
        super().on_headers_finished()


def _plain_filename(match: re.Match[bytes]) -> bytes:
    return b'; filename="%b"' % unquote_to_bytes(match[1].strip()).replace(b'"', b"'")
