"""The trained model as an HTTP service with a web page.

    bentoml serve src/serve.py:CelestialBodiesClassifierService --host 127.0.0.1
    curl -F image=@data/raw/Mars/mars_0001.jpg http://127.0.0.1:3000/predict

It serves the model archive in model/, or the one that the environment variable MODEL names. A Bento serves its own
model. The page is at /, the description of the API at /docs, and metrics for Prometheus at /metrics. /readyz responds
when the model is loaded. PREDICTION_LOG names a folder for the prediction log; without it there is no log. KEEP_IMAGES
names a folder for unknown and uncertain images; without it no image is stored.
"""

import gc
import os
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # BentoML adds only the current folder

from utils import seed  # isort: split

import bentoml
import numpy as np
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from classifier.model import store
from classifier.model.predictor import MAX_BATCH_SIZE, Predictor, default_archive_path
from classifier.serving.batcher import Batcher
from classifier.serving.image_decoder import ImageDecoder
from classifier.serving.keeping import check_keep_folder, images_not_kept, keep_uncertain, label_route
from classifier.serving.middleware import RouteAllowlistMiddleware
from classifier.serving.openapi import describe_api
from classifier.serving.page import render_page
from classifier.serving.prediction_log import check_log_folder, log_predictions, lost_lines
from classifier.serving.schemas import BatchPredictionResponse, ImageBatchUpload, ImageUpload, PredictionResponse
from classifier.serving.uploads import BodyBudget, RequestError, Upload, error_response, read_uploads, time_limit
from utils.errors import UserError
from utils.files import printable
from utils.parallel import available_cores

SRC_DIR = Path(__file__).resolve().parent
REQUIREMENTS = SRC_DIR / "classifier" / "serving" / "requirements.txt"
MAX_BATCH_FILES = 64
MAX_CONCURRENCY = 64  # requests
MAX_BODY_BYTES = 48 * 2**20  # of all open requests together; more of them wait
TIMEOUT_SECONDS = 10
NUM_THREADS = min(8, available_cores())  # that decode small images; half as many run the network
PREDICTION_LOG_DIR = os.environ.get("PREDICTION_LOG")
KEEP_IMAGES_DIR = os.environ.get("KEEP_IMAGES")

warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata in images
store.disable_usage_reports()
os.environ.setdefault("OTEL_SDK_DISABLED", "true")  # tracing takes a tenth of the time of a request


def resolve_model_tag() -> str:
    """Return the exact tag of the model in the Bento that contains this file, or else of the archive on disk."""
    bento_yaml = SRC_DIR.parents[1] / "bento.yaml"
    if bento_yaml.is_file():
        return str(yaml.safe_load(bento_yaml.read_text("utf-8"))["services"][0]["models"][0]["tag"])
    return store.import_model(default_archive_path())


try:
    if PREDICTION_LOG_DIR:
        check_log_folder(PREDICTION_LOG_DIR)
    if KEEP_IMAGES_DIR:
        check_keep_folder(KEEP_IMAGES_DIR)
    MODEL_TAG = resolve_model_tag()
except (UserError, OSError) as error:
    sys.exit(f"serve.py: {error}")
MODEL_NAME, _, MODEL_VERSION = MODEL_TAG.partition(":")
PROJECT_NAME = MODEL_NAME.removesuffix("_model")
TITLE = PROJECT_NAME.replace("_", " ").capitalize()


class Service(bentoml.Service):
    """BentoML service with route filtering and an accurate OpenAPI description."""

    def to_asgi(self, is_main: bool = True) -> RouteAllowlistMiddleware:
        """Return BentoML's application inside the middleware, which says why not with `add_asgi_middleware`."""
        class_names: Any = bentoml.models.get(MODEL_TAG).info.metadata["classes"]
        page = render_page(TITLE, class_names, stores_images=bool(KEEP_IMAGES_DIR))
        label = label_route(KEEP_IMAGES_DIR, class_names, MODEL_TAG) if KEEP_IMAGES_DIR else None
        return RouteAllowlistMiddleware(super().to_asgi(is_main), page, label)

    @property
    def openapi_spec(self) -> Any:
        """The OpenAPI description."""
        routes = [method.route for method in self.apis.values()]
        return describe_api(super().openapi_spec, routes, TITLE, MODEL_VERSION, stores_images=bool(KEEP_IMAGES_DIR))


@bentoml.service(
    name=f"{PROJECT_NAME}_service",
    service_class=Service,
    # Not `requirements_file`, which accepts only files below the current folder.
    image=bentoml.images.Image(python_requirements=REQUIREMENTS.read_text("utf-8"), lock_python_packages=False),
    envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
    traffic={"timeout": TIMEOUT_SECONDS + 5, "max_concurrency": MAX_CONCURRENCY},  # `time_limit` comes first
)
class CelestialBodiesClassifierService:
    """Predicts the class of an image."""

    bento_model = bentoml.models.BentoModel(MODEL_TAG)

    def __init__(self) -> None:
        """Load the model and create the metrics."""
        from prometheus_client import Counter, Histogram  # in the worker only: see `bentoml.metrics`

        seed.set_seed(0, threads=1)
        self.predictor = Predictor(*store.load_from_store(MODEL_TAG))
        self.batcher = Batcher(self.predictor.predict, MAX_BATCH_SIZE, max(1, NUM_THREADS // 2))
        self.decoder = ImageDecoder(self.predictor.preprocess, NUM_THREADS, max_blocked_seconds=2 * TIMEOUT_SECONDS)
        self.body_budget = BodyBudget(MAX_BODY_BYTES)
        self.confidence_histogram = Histogram(
            name="prediction_confidence",
            documentation="Confidence of predictions, 0 to 1, by predicted class",
            labelnames=["prediction"],
            buckets=[0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0],
        )
        self.predictions_by_known = Counter("prediction_known", "Predictions by whether the image is known", ["known"])
        lost_lines()  # so that it is in /metrics from the start
        images_not_kept()
        # About every thousand requests, garbage collection stops all requests for 0.9 s. Without the loaded libraries,
        # which `freeze` excludes, it takes 0.1 s (on two busy cores).
        gc.collect()
        gc.freeze()

    async def __is_ready__(self) -> bool:
        """Return whether /readyz responds 200: not all threads are blocked."""
        return self.decoder.blocked_seconds() < TIMEOUT_SECONDS

    @bentoml.api(input_spec=ImageUpload, output_spec=PredictionResponse)
    async def predict(self, image: Request) -> Response:
        """Predict the class of one image. Its format is recognised by its content, not by its name."""
        try:
            predictions = await self._predict_uploads(image, "image", max_files=1)
        except RequestError as error:
            return error_response(error)
        return JSONResponse({**predictions[0], "model": MODEL_TAG})

    @bentoml.api(input_spec=ImageBatchUpload, output_spec=BatchPredictionResponse)
    async def predict_batch(self, images: Request) -> Response:
        """Predict the classes of up to 64 images, in their order. If one cannot be read, the request fails."""
        try:
            predictions = await self._predict_uploads(images, "images", max_files=MAX_BATCH_FILES)
        except RequestError as error:
            return error_response(error)
        return JSONResponse({"predictions": predictions, "model": MODEL_TAG})

    async def _predict_uploads(self, request: Request, field: str, max_files: int) -> list[dict[str, Any]]:
        """Return the predictions for the images in one field of a form, and record them."""
        async with time_limit(TIMEOUT_SECONDS), self.body_budget.reserve(request):
            uploads = await read_uploads(request, field, max_files)
            images = await self._preprocess(uploads)
            predictions = await self.batcher.predict(images)
            for prediction in predictions:
                name = prediction["prediction"]
                self.confidence_histogram.labels(prediction=name).observe(prediction["probabilities"][name])
                self.predictions_by_known.labels(known=str(prediction["known"]).lower()).inc()
            if PREDICTION_LOG_DIR:
                log_predictions(PREDICTION_LOG_DIR, MODEL_TAG, images, predictions)
            if KEEP_IMAGES_DIR:
                arguments = KEEP_IMAGES_DIR, MODEL_TAG, [upload.content for upload in uploads], predictions
                await self.decoder.pool.run(keep_uncertain, *arguments)
            return predictions

    async def _preprocess(self, uploads: list[Upload]) -> np.ndarray:
        """Return the model input for the uploads: uint8 of shape (N, height, width, channels).

        Raises:
            RequestError: one or more are not readable images; the message names all of them.
        """
        results = await self.decoder.decode([upload.content for upload in uploads])
        arrays, errors = [], []
        for number, (upload, result) in enumerate(zip(uploads, results, strict=True), 1):
            if isinstance(result, str):
                which = f"image {number} ({printable(upload.filename)[:80]}): " if len(uploads) > 1 else ""
                errors.append(f"{which}{result}")
            else:
                arrays.append(result)
        if errors:
            raise RequestError(400, "; ".join(errors))
        return np.concatenate(arrays)
