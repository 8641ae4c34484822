"""The trained model as an HTTP service with a page.

    bentoml serve src/serve.py:CelestialBodiesClassifierService --host 127.0.0.1
    curl -F image=@data/raw/Mars/mars_0001.jpg http://127.0.0.1:3000/predict

It serves the package in model/, or the one that the variable MODEL names; a Bento serves its own. The page is at /,
the API's description at /docs, metrics at /metrics, /readyz answers once the model is warm.
"""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # BentoML imports this file as a module of the folder above

from utils import seed  # first, see there

import bentoml
import numpy as np
import yaml
from bentoml._internal.utils.analytics import usage_stats
from bentoml.validators import ContentType
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from utils import inference, package
from utils.stage import Failure, shown

MAX_BYTES = 16 * 2**20  # of a request; a phone's photograph has up to 12 MB
MAX_PICTURES = 64  # of a batch
CONCURRENT = 64  # requests at once; with their bytes, this bounds the memory
SECONDS = 10  # for a request; BentoML keeps what belongs to one for so long, so a long time piles up garbage
THREADS = len(os.sched_getaffinity(0))  # pictures decoded, or batches classified, at once

LOG = os.environ.get("PREDICTION_LOG")  # a folder; without it nothing is logged

usage_stats.do_not_track.cache_clear()  # the command asked before `package` opted out of usage reports


def tag_to_serve() -> str:
    """The exact tag: of the package that MODEL names, of the Bento around this file, or of model/."""
    bento = HERE.parents[1] / "bento.yaml"
    if "MODEL" not in os.environ and bento.is_file():
        return yaml.safe_load(bento.read_text("utf-8"))["models"][0]["tag"]
    return package.add(Path(os.environ.get("MODEL", HERE.parent / "model" / package.FILE)))


try:
    TAG = tag_to_serve()
except Failure as failure:
    sys.exit(f"serve.py: {failure}")


class Answer(bentoml.IODescriptor):
    prediction: str
    probabilities: dict[str, float]


class Prediction(Answer):
    model: str


class Predictions(bentoml.IODescriptor):
    predictions: list[Answer]
    model: str


class Form(bentoml.IODescriptor):
    """A multipart form that the service reads itself: BentoML's own reader has no limits, and fetches URLs."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> "Form":
        return cls.model_construct(**dict.fromkeys(cls.model_fields, request))


class OnePicture(Form):
    image: Annotated[Path, ContentType("image/*")]


class Pictures(Form):
    images: list[Annotated[Path, ContentType("image/*")]]


class Refused(Exception):
    """A request that the client has to change: HTTP status and one sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def uploads(request: Request, field: str, most: int) -> list[tuple[str, bytes]]:
    """Name and content of the files in a form's field, at least one and at most `most`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        sent = f"the content type is {shown(kind)[:80]}" if kind else "the content type is missing"
        raise Refused(415, f"{sent}; send multipart/form-data with a picture in the field '{field}'")
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


class Door:
    """Lets known paths in alone, so that nobody can fill BentoML's metrics with others; serves the static pages."""

    METHODS = {  # noqa: RUF012
        **dict.fromkeys(("/predict", "/predict_batch"), ("POST",)),
        **dict.fromkeys(("/", "/docs", "/docs.json", "/schema.json"), ("GET", "HEAD")),
        **dict.fromkeys(("/livez", "/readyz", "/healthz", "/metrics"), ("GET", "HEAD")),
        **{f"/static_content/swagger-ui{end}": ("GET", "HEAD") for end in (".css", "-bundle.js")},
    }
    HEADERS = {  # noqa: RUF012
        "Content-Security-Policy": "default-src 'none'; connect-src 'self' data:; img-src 'self' blob: data:; "
        "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    def __init__(self, app: Any) -> None:
        self.app = app
        self.pages = {
            "/": HTMLResponse((HERE / "serve.html").read_bytes(), headers=self.HEADERS),
            "/docs": HTMLResponse(DOCS, headers=self.HEADERS),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        answer = self.app
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if path not in self.METHODS:
                answer = JSONResponse({"error": f"there is no {shown(path)[:80]}; see /docs"}, 404)
            elif method not in self.METHODS[path]:
                allowed = ", ".join(self.METHODS[path])
                error = {"error": f"{shown(method)[:80]} is not for {path}, which takes {allowed}"}
                answer = JSONResponse(error, 405, {"Allow": allowed})
            else:
                answer = self.pages.get(path, self.app)
        await answer(scope, receive, send)


DOCS = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>API of the celestial bodies classifier</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="static_content/swagger-ui.css"><div id="api"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "docs.json", dom_id: "#api", validatorUrl: null})</script></html>
"""


class Service(bentoml.Service):
    """BentoML's service behind the door, and described as it is."""

    @property
    def openapi_spec(self) -> Any:
        spec = super().openapi_spec
        refusal = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        reasons = {400: "No readable picture", 413: "Too large", 415: "No form", 429: "Busy", 504: "Took too long"}
        refusals = {
            status: {"description": reason, "content": {"application/json": {"schema": refusal}}}
            for status, reason in reasons.items()
        }
        for method in self.apis.values():
            post = spec.paths[method.route].post
            post["responses"] = {200: post["responses"][200], **refusals}
        about = "Names the celestial body on a picture. Pictures are not stored. [The page](./)"
        info = type(spec.info)(title="Celestial bodies classifier", version=TAG.partition(":")[2], description=about)
        return type(spec)(spec.openapi, info, spec.paths, spec.servers, spec.tags, spec.components)

    def to_asgi(self, is_main: bool = True) -> Any:
        return Door(super().to_asgi(is_main))


@bentoml.service(service_class=Service, traffic={"timeout": SECONDS, "max_concurrency": CONCURRENT})
class CelestialBodiesClassifierService:
    bento_model = bentoml.models.BentoModel(TAG)

    def __init__(self) -> None:
        seed.start(0, threads=1)
        self.classifier = inference.Classifier(*package.load_tag(TAG))
        self.pool = ThreadPoolExecutor(THREADS)
        self.confidence = bentoml.metrics.Histogram(
            name="prediction_confidence",
            documentation="Confidence of predictions, 0 to 1, by predicted class",
            labelnames=["prediction"],
            buckets=[0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0],
        )
        gc.collect()
        gc.freeze()  # what is loaded stays: no collection has to walk through it again

    @bentoml.api(input_spec=OnePicture, output_spec=Prediction)
    async def predict(self, image: Request) -> Any:
        """The class of one picture: JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF or JPEG 2000, whatever its name says."""
        return await self.respond(image, "image", 1, lambda answers: answers[0])

    @bentoml.api(input_spec=Pictures, output_spec=Predictions)
    async def predict_batch(self, images: Request) -> Any:
        """The classes of up to 64 pictures, in their order; all or none."""
        return await self.respond(images, "images", MAX_PICTURES, lambda answers: {"predictions": answers})

    async def respond(self, request: Request, field: str, most: int, body: Any) -> Response:
        try:
            answers = await self.classify(await uploads(request, field, most))
            return JSONResponse({**body(answers), "model": TAG})
        except Refused as refusal:
            headers = {"Connection": "close"} if refusal.status == 413 else None  # the rest is not even read
            return JSONResponse({"error": str(refusal)}, refusal.status, headers)

    async def classify(self, pictures: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self.pool, self.classifier.read, content) for _, content in pictures]
        arrays = await asyncio.gather(*work, return_exceptions=True)
        bad = []
        for number, ((name, content), array) in enumerate(zip(pictures, arrays, strict=True), 1):
            if isinstance(array, ValueError):
                which = f"picture {number} ({shown(name)[:80]}): " if len(pictures) > 1 else ""
                bad.append(which + (str(array) if content else "the file is empty"))
            elif isinstance(array, BaseException):
                raise array
        if bad:
            raise Refused(400, "; ".join(bad))
        images = np.concatenate(arrays)
        answers = await loop.run_in_executor(self.pool, self.classifier.classify, images)
        for image, answer in zip(images, answers, strict=True):
            confidence = answer["probabilities"][answer["prediction"]]
            self.confidence.labels(prediction=answer["prediction"]).observe(confidence)
            if LOG:
                self.log(image, answer["prediction"], confidence)
        return answers

    def log(self, image: np.ndarray, prediction: str, confidence: float) -> None:
        """Append a line to the prediction log; BentoML adds the time."""
        with bentoml.monitor("predictions", monitor_options={"log_path": LOG}) as line:
            line.log(TAG, name="model", role="feature", data_type="categorical")
            line.log(prediction, name="prediction", role="prediction", data_type="categorical")
            line.log(confidence, name="confidence", role="prediction", data_type="numerical")
            line.log(float(image.mean()) / 255, name="brightness", role="feature", data_type="numerical")
