"""What stands between the network and the service: known paths, forms within limits, refusals in one form."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from utils.stage import shown

MAX_BYTES = 16 * 2**20  # of a request; a phone's photograph has up to 12 MB
READ = ("GET", "HEAD")
METHODS = {
    **dict.fromkeys(("/predict", "/predict_batch"), ("POST",)),
    **dict.fromkeys(("/", "/docs", "/docs.json", "/schema.json"), READ),
    **dict.fromkeys(("/livez", "/readyz", "/healthz", "/metrics"), READ),
    **dict.fromkeys(("/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js"), READ),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self' data:; img-src 'self' blob: data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
DOCS = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>API of the celestial bodies classifier</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="static_content/swagger-ui.css"><div id="api"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "docs.json", dom_id: "#api", validatorUrl: null})</script></html>
"""


class Door:
    """An ASGI application in front of BentoML's, which serves `page` at / and lets no unknown path in.

    BentoML counts requests by path: whoever asks for many different ones would fill its memory.
    """

    def __init__(self, app: Any, page: bytes) -> None:
        self.app = app
        self.pages = {"/": HTMLResponse(page, headers=HEADERS), "/docs": HTMLResponse(DOCS, headers=HEADERS)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if path not in METHODS:
                app = refusal(404, f"there is no {shown(path)[:80]}; see /docs")
            elif method not in METHODS[path]:
                allowed = ", ".join(METHODS[path])
                app = refusal(405, f"{shown(method)[:80]} is not for {path}, which takes {allowed}", Allow=allowed)
            elif method == "POST" and (kind := content_type(scope)) != "multipart/form-data":
                sent = f"the content type is {shown(kind)[:80]}" if kind else "the content type is missing"
                app = refusal(415, f"{sent}; send a form, multipart/form-data, with the picture as a file; see /docs")
            else:
                app = self.pages.get(path, app)
        await app(scope, receive, send)


def content_type(scope: Any) -> str:
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


class Refused(Exception):
    """A request that the client has to change: HTTP status and one sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def refusal(status: int, reason: str, **headers: str) -> Response:
    """The one form of all errors."""
    if status == 413:
        headers["Connection"] = "close"  # else the server would read the rest, only to drop it
    return JSONResponse({"error": reason}, status, headers)


async def uploads(request: Request, field: str, most: int) -> list[tuple[str, bytes]]:
    """Name and content of the files in a field of a multipart form, at least one and at most `most`.

    Raises:
        Refused: the form is broken, has no such files, or is over MAX_BYTES; no more than that is ever read.
    """
    too_large = Refused(413, f"the request has over {MAX_BYTES // 2**20} MiB; send smaller or fewer pictures")
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise too_large

    async def body() -> AsyncIterator[bytes]:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > MAX_BYTES:
                raise too_large
            yield chunk

    parser = MultiPartParser(request.headers, body(), max_files=most, max_fields=most)
    parser.spool_max_size = MAX_BYTES  # never on disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"not a form that can be read: {error.message}") from None
    except ClientDisconnect:
        raise Refused(400, "the request broke off") from None
    parts = form.getlist(field)
    if not parts:
        names = ", ".join(f"'{shown(name)[:80]}'" for name in form) or "nothing"
        raise Refused(400, f"no file in the field '{field}'; the form has {names}")
    if any(isinstance(part, str) for part in parts):
        raise Refused(400, f"the field '{field}' is text; send the file itself, since no address is fetched")
    return [(part.filename or "", await part.read()) for part in parts]
