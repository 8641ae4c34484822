"""The label page: a local web application."""

import contextlib
import io
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from PIL import ExifTags, Image
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from classifier.decoding import open_image
from classifier.images import preprocess
from classifier.kept_images.folder import KeptImages
from classifier.kept_images.records import ID_PATTERN
from classifier.labelling.moving import MoveResult, check_class_name, list_dataset, move_labelled
from classifier.serving.keeping import LabelRequest, kept_image_errors, read_json
from classifier.serving.middleware import SECURITY_HEADERS
from classifier.serving.page import PAGE as SERVICE_PAGE
from classifier.serving.uploads import error_response
from utils.errors import UserError
from utils.files import printable

PAGE = Path(__file__).with_name("index.html")
HOST = "127.0.0.1"
ALLOWED_HOSTS = [HOST, "localhost"]
PREVIEW_SIDE = 640


class OptionalLabelRequest(LabelRequest):
    """The body of POST /label. Without `label`, the label is removed."""

    label: str | None = None


class MoveRequest(BaseModel):
    """The body of POST /move."""


class LabelApp:
    """The routes of the label page.

    Attributes:
        result: what was moved, after the person has finished.
    """

    def __init__(self, kept: KeptImages, raw_dir: Path) -> None:
        self.kept = kept
        self.raw_dir = raw_dir
        self.result: MoveResult | None = None
        self.on_finish: Callable[[], None] = lambda: None

    def to_asgi(self) -> Starlette:
        """Return the application. It refuses other host names, under which other web sites could reach it."""
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/images", self.images),
                Route("/images/{image_id}", self.image),
                Route("/label", self.label, methods=["POST"]),
                Route("/move", self.move, methods=["POST"]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS, www_redirect=False)],
            exception_handlers={
                HTTPException: lambda _, error: error_response(error),
                UserError: lambda _, error: error_response(HTTPException(400, str(error))),
            },
        )

    def page(self, _request: Request) -> Response:
        """Return the page, with the style of the service's page."""
        style = re.search("(?s)<style>.*?</style>", SERVICE_PAGE.read_text("utf-8"))
        assert style
        page = PAGE.read_text("utf-8").replace("<!-- style -->", style[0])
        return HTMLResponse(page, headers=SECURITY_HEADERS)

    def images(self, _request: Request) -> Response:
        """Return the images, the most uncertain first, and the classes."""
        with kept_image_errors():
            records, problems = self.kept.list_records()
        images = [{"id": record.id, **record.model_dump(mode="json", exclude_unset=True)} for record in records]
        classes = list_dataset(self.raw_dir).class_names
        labels = sorted({record.label for record in records if record.label is not None} - set(classes))
        body = {"images": images, "classes": classes + labels, "problems": problems, "target": printable(self.raw_dir)}
        return JSONResponse(body)

    def image(self, request: Request) -> Response:
        """Return one image as a JPEG that every browser shows."""
        image_id = request.path_params["image_id"]
        if not re.fullmatch(ID_PATTERN, image_id):
            raise HTTPException(404, "this is not the id of an image")
        with kept_image_errors():
            content = (self.kept.folder / self.kept.read(image_id).file).read_bytes()
        try:
            preview = make_preview(content)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return Response(preview, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def label(self, request: Request) -> Response:
        """Store or remove a label."""
        body = await read_json(request, OptionalLabelRequest)
        await run_in_threadpool(self._store_label, body)
        return JSONResponse(body.model_dump(exclude_unset=True))

    def _store_label(self, body: OptionalLabelRequest) -> None:
        with kept_image_errors():
            if "label" not in body.model_fields_set:
                self.kept.unlabel(body.image)
                return
            if body.label is not None:
                check_class_name(body.label, list_dataset(self.raw_dir).class_names)
            self.kept.label(body.image, body.label)

    async def move(self, request: Request) -> Response:
        """Move the labelled images, and stop the server."""
        await read_json(request, MoveRequest)
        with kept_image_errors():
            self.result = await run_in_threadpool(move_labelled, self.kept, self.raw_dir)
        self.on_finish()
        return JSONResponse({"moved": self.result.moved, "problems": self.result.problems})


def make_preview(content: bytes) -> bytes:
    """Return an image as a JPEG of at most PREVIEW_SIDE pixels, decoded within the limits of `preprocess`.

    Raises:
        ValueError: the image cannot be decoded.
    """
    width = height = PREVIEW_SIDE  # if only `preprocess` can read the image, without its metadata
    with contextlib.suppress(Exception):  # Pillow raises many types for damaged metadata
        image = open_image(content)
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9):
            width, height = height, width
    scale = min(1, PREVIEW_SIDE / max(width, height))
    pixels = preprocess(content, (max(1, round(height * scale)), max(1, round(width * scale))), grayscale=False)
    file = io.BytesIO()
    Image.fromarray(pixels[0]).save(file, "JPEG", quality=90)
    return file.getvalue()


def serve_until_finished(kept: KeptImages, raw_dir: Path) -> MoveResult | None:
    """Serve the label page until the person has finished, or stops the server, and return what was moved."""
    app = LabelApp(kept, raw_dir)
    with socket.create_server((HOST, 0)) as listener:
        config: Any = uvicorn.Config(app.to_asgi(), log_level="error", lifespan="off", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        app.on_finish = lambda: setattr(server, "should_exit", True)
        print(
            f"Open http://{HOST}:{listener.getsockname()[1]} in your browser. Ctrl+C stops without moving.", flush=True
        )
        server.run(sockets=[listener])
    return app.result
