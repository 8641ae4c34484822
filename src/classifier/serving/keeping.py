"""Uncertain images: the service keeps them, and takes their labels. An error here never makes a prediction fail."""

import contextlib
import functools
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import request_response
from starlette.types import ASGIApp

from classifier.kept_images.folder import FolderFullError, KeptImages
from classifier.kept_images.records import ID_PATTERN, DamagedRecordError, MissingImageError, describe_first
from classifier.serving.uploads import error_response
from utils.errors import UserError
from utils.files import printable

if TYPE_CHECKING:
    from prometheus_client import Counter

KEEP_BELOW = 0.8  # confidence
MAX_LABEL_BYTES = 4096
STORES_NOTHING = "Images are not stored."
STORES_UNCERTAIN = "Images that the model does not know or is unsure about are stored, to improve the model."
Body = TypeVar("Body", bound=BaseModel)

logger = logging.getLogger("bentoml.kept_images")  # a child of the logger that BentoML configures


class LabelRequest(BaseModel):
    """The body of POST /label; null is "none of these"."""

    model_config = ConfigDict(strict=True, extra="forbid")

    image: str = Field(pattern=f"^{ID_PATTERN}$")
    label: str | None


def check_keep_folder(folder: str) -> None:
    """Create the folder and check that files can be written there.

    Raises:
        UserError: they cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with KeptImages(folder).lock(), tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        where = printable(error.filename or folder)
        raise UserError(f"KEEP_IMAGES: {where}: {error.strerror}; set it to a folder that can be written") from None


def keep_uncertain(folder: str, model: str, contents: list[bytes], predictions: list[dict[str, Any]]) -> None:
    """Keep the images that are unknown, or predicted with a confidence below KEEP_BELOW.

    Their predictions get a key `kept` with the id of the image. Images that cannot be kept are counted.

    Args:
        folder: the folder of kept images.
        model: the model's tag.
        contents: the bytes of N image files.
        predictions: the N predictions, as `Predictor.predict` returns them.
    """
    for content, prediction in zip(contents, predictions, strict=True):
        confidence = prediction["probabilities"][prediction["prediction"]]
        if prediction["known"] and confidence >= KEEP_BELOW:
            continue
        try:
            prediction["kept"] = KeptImages(folder).keep(content, prediction, model)
        except FolderFullError as error:
            _count_lost_image(f"{error}; label or remove some")
        except (OSError, SyntaxError, ValueError) as error:
            _count_lost_image(getattr(error, "strerror", None) or type(error).__name__)


def label_route(folder: str, class_names: Collection[str], model: str) -> ASGIApp:
    """Return an ASGI application for POST /label.

    Args:
        folder: the folder of kept images.
        class_names: the classes of the model.
        model: the model's tag.
    """
    kept = KeptImages(folder)

    async def respond(request: Request) -> Response:
        try:
            body = await read_json(request, LabelRequest)
            if body.label is not None and body.label not in class_names:
                raise HTTPException(400, f"{printable(body.label)[:80]} is not a class of the model")
            with kept_image_errors():
                await run_in_threadpool(kept.label, body.image, body.label, model)
        except HTTPException as error:
            return error_response(error)
        return JSONResponse(body.model_dump())

    return request_response(respond)


@contextlib.contextmanager
def kept_image_errors() -> Iterator[None]:
    """Turn the errors of `KeptImages` into responses.

    Raises:
        HTTPException: the block raised one of them.
    """
    try:
        yield
    except MissingImageError as error:
        raise HTTPException(404, str(error)) from None
    except DamagedRecordError as error:
        raise HTTPException(500, str(error)) from None
    except OSError as error:
        raise HTTPException(500, f"the folder of kept images cannot be used: {error.strerror}") from None


async def read_json(request: Request, body_type: type[Body]) -> Body:
    """Read the body of a request.

    Browsers send JSON to another site only if it agrees, which this service never does. So no other site can label.

    Raises:
        HTTPException: it is not JSON, too large, or not a `body_type`.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, "the content type must be application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_LABEL_BYTES:
            raise HTTPException(413, f"the request is larger than {MAX_LABEL_BYTES} bytes")
    try:
        return body_type.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(400, f"the request cannot be read: {describe_first(error)}") from None


def _count_lost_image(reason: str) -> None:
    images_not_kept().inc()
    _log_once(reason)


@functools.cache
def images_not_kept() -> "Counter":
    """Return the metric of images that should be kept, but cannot be."""
    from prometheus_client import Counter  # in the worker only: see `bentoml.metrics`

    return Counter("images_not_kept", "Unknown or uncertain images that could not be kept: folder full or not writable")


@functools.cache
def _log_once(reason: str) -> None:
    logger.error("KEEP_IMAGES: images cannot be kept: %s. Lost images are counted in /metrics.", reason)
