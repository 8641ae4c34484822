"""The trained model as an HTTP service with a page.

    bentoml serve src/serve.py:CelestialBodiesClassifierService --host 127.0.0.1
    curl -F image=@data/raw/Mars/mars_0001.jpg http://127.0.0.1:3000/predict

It serves the package in model/, or the one that the variable MODEL names; a Bento serves its own. The page is at /,
the API's description at /docs, metrics at /metrics, and /readyz answers once the model is warm.
"""

import asyncio
import gc
import os
import re
import sys
from collections.abc import Callable
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
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from utils import inference, package, web
from utils.stage import Failure, shown
from utils.web import Refused

MAX_PICTURES = 64  # of a batch
CONCURRENT = 64  # requests at once; with the bytes of each, this bounds the memory
SECONDS = 10  # for a request; BentoML keeps what belongs to one for so long, so a long time piles up garbage
THREADS = min(8, len(os.sched_getaffinity(0)))  # pictures decoded, or batches classified, at once
LOG = os.environ.get("PREDICTION_LOG")  # a folder; without it nothing is logged
NEEDS = {"bentoml", "numpy", "pillow", "pyyaml", "tensorflow"}  # of requirements.txt, to serve

usage_stats.do_not_track.cache_clear()  # the command asked before `package` opted out of usage reports


def tag_to_serve() -> str:
    """The exact tag: of the model in the Bento around this file, or else of the package on disk."""
    bento = HERE.parents[1] / "bento.yaml"
    if bento.is_file():
        return yaml.safe_load(bento.read_text("utf-8"))["services"][0]["models"][0]["tag"]
    return package.add(inference.package_path())


def image() -> bentoml.images.Image | None:
    """What `bentoml build` installs: of requirements-freeze.txt, with its hashes, just what NEEDS need."""
    freeze = HERE.parent / "requirements-freeze.txt"
    if not freeze.is_file():
        return None  # inside a Bento, which is built already
    entries = re.split(r"\n(?=[a-z])", freeze.read_text("utf-8"))[1:]
    # Each says at its end for whom it is there: "# via dvc", or one name a line.
    asked = [(re.match(r"[\w.-]+", entry)[0], set(re.findall(r"#\s+(?:via )?([\w.-]+)", entry))) for entry in entries]
    wanted = set(NEEDS)
    while more := {name for name, whom in asked if whom & wanted} - wanted:
        wanted |= more
    kept = [
        entry.partition("\n    # via")[0] for entry, (name, _) in zip(entries, asked, strict=True) if name in wanted
    ]
    return bentoml.images.Image(lock_python_packages=False).python_packages(*kept)


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
    """A multipart form that `web.uploads` reads: BentoML's own reader has no limits, and fetches URLs."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> "Form":
        return cls.model_construct(**dict.fromkeys(cls.model_fields, request))


class OnePicture(Form):
    image: Annotated[Path, ContentType("image/*")]


class Pictures(Form):
    images: list[Annotated[Path, ContentType("image/*")]]


class Service(bentoml.Service):
    """BentoML's service behind a door, and described as it is."""

    def to_asgi(self, is_main: bool = True) -> web.Door:
        return web.Door(super().to_asgi(is_main), (HERE / "serve.html").read_bytes())

    @property
    def openapi_spec(self) -> Any:
        spec = super().openapi_spec
        error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        reasons = {400: "No readable picture", 413: "Too large", 415: "No form", 429: "Busy", 504: "Took too long"}
        refusals = {
            status: {"description": reason, "content": {"application/json": {"schema": error}}}
            for status, reason in reasons.items()
        }
        for method in self.apis.values():
            post = spec.paths[method.route].post
            post["responses"] = {200: post["responses"][200], **refusals}
        about = "Names the celestial body on a picture. Pictures are not stored. [The page](./)"
        info = type(spec.info)(title="Celestial bodies classifier", version=TAG.partition(":")[2], description=about)
        return type(spec)(spec.openapi, info, spec.paths, spec.servers, spec.tags, spec.components)


@bentoml.service(
    service_class=Service,
    image=image(),
    envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
    traffic={"timeout": SECONDS, "max_concurrency": CONCURRENT},
)
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
    async def predict(self, image: Request) -> Response:
        """The class of one picture: JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF or JPEG 2000, whatever its name says."""
        return await self.respond(image, "image", 1, lambda answers: answers[0])

    @bentoml.api(input_spec=Pictures, output_spec=Predictions)
    async def predict_batch(self, images: Request) -> Response:
        """The classes of up to 64 pictures, in their order; all or none."""
        return await self.respond(images, "images", MAX_PICTURES, lambda answers: {"predictions": answers})

    async def respond(self, request: Request, field: str, most: int, body: Callable[[list], dict]) -> Response:
        try:
            answers = await self.classify(await web.uploads(request, field, most))
        except Refused as refused:
            return web.refusal(refused.status, str(refused))
        return JSONResponse({**body(answers), "model": TAG})

    async def classify(self, pictures: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
        """The answers for pictures, given as name and bytes, decoded in parallel."""
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self.pool, self.classifier.preprocess, content) for _, content in pictures]
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
                log(image, answer["prediction"], confidence)
        return answers


def log(image: np.ndarray, prediction: str, confidence: float) -> None:
    """Append a line to the prediction log; BentoML adds the time."""
    with bentoml.monitor("predictions", monitor_options={"log_path": LOG}) as line:
        line.log(TAG, name="model", role="feature", data_type="categorical")
        line.log(prediction, name="prediction", role="prediction", data_type="categorical")
        line.log(confidence, name="confidence", role="prediction", data_type="numerical")
        line.log(float(image.mean()) / 255, name="brightness", role="feature", data_type="numerical")
