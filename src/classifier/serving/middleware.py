"""ASGI middleware: the page, and only the routes of this service."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from classifier.serving.uploads import error_response
from utils.files import printable

READ_METHODS = ("GET", "HEAD")
ALLOWED_METHODS = {
    **dict.fromkeys(("/predict", "/predict_batch"), ("POST",)),
    **dict.fromkeys(("/", "/docs", "/docs.json", "/schema.json"), READ_METHODS),
    **dict.fromkeys(("/livez", "/readyz", "/healthz", "/metrics"), READ_METHODS),
    **dict.fromkeys(("/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js"), READ_METHODS),
}
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self' data:; img-src 'self' blob: data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
SWAGGER_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>API documentation</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="static_content/swagger-ui.css"><div id="api"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "docs.json", dom_id: "#api", validatorUrl: null})</script></html>
"""
MAX_SHOWN = 80  # characters of a client's text in an error message


class RouteAllowlistMiddleware:
    """Serve `page` at /, the API's description at /docs, and pass on only known routes.

    It must wrap BentoML's application, by overriding `bentoml.Service.to_asgi`. BentoML's `add_asgi_middleware` adds a
    middleware behind its metrics, which keep one time series per path: unknown paths would fill the memory.

    Args:
        app: an ASGI application, for the routes in ALLOWED_METHODS.
        page: the HTML page at /.
        label: an ASGI application for POST /label, which takes JSON; None if there is no such route.
    """

    def __init__(self, app: ASGIApp, page: str | bytes, label: ASGIApp | None = None) -> None:
        self.app = app
        self.allowed_methods = ALLOWED_METHODS | ({"/label": ("POST",)} if label else {})
        self.apps: dict[str, ASGIApp] = {"/label": label} if label else {}
        self.apps |= {
            "/": HTMLResponse(page, headers=SECURITY_HEADERS),
            "/docs": HTMLResponse(SWAGGER_HTML, headers=SECURITY_HEADERS),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, or pass it on."""
        app = self.app
        if scope["type"] == "http":
            try:
                _check_request(scope, self.allowed_methods)
                app = self.apps.get(scope["path"], app)
            except HTTPException as error:
                app = error_response(error)
        await app(scope, receive, send)


def _check_request(scope: Scope, allowed_methods: Mapping[str, tuple[str, ...]]) -> None:
    """Check path, method and content type.

    Raises:
        HTTPException: 404, 405 or 415.
    """
    path, method = scope["path"], scope["method"]
    if path not in allowed_methods:
        raise HTTPException(404, f"{printable(path)[:MAX_SHOWN]} not found; see /docs")
    if method not in allowed_methods[path]:
        allowed = ", ".join(allowed_methods[path])
        message = f"{printable(method)[:MAX_SHOWN]} is not allowed for {path}; use {allowed}"
        raise HTTPException(405, message, {"Allow": allowed})
    if method == "POST" and path != "/label":
        content_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "multipart/form-data":
            actual = f"is {printable(content_type)[:MAX_SHOWN]}" if content_type else "is missing"
            message = f"the content type {actual}; send the image as a file in a multipart/form-data form; see /docs"
            raise HTTPException(415, message)
