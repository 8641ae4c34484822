"""What the API takes and returns, for its OpenAPI description and for BentoML's own client."""

from pathlib import Path
from typing import Annotated, Any, Self

import bentoml
from bentoml.validators import ContentType
from starlette.requests import Request


class Prediction(bentoml.IODescriptor):
    """The predicted class of one image, the probability of each class, and whether the image is known.

    `novelty` is above 1 if the image is unlike the training images of all classes; then `known` is false. `kept` is the
    id of a kept image.
    """

    prediction: str
    probabilities: dict[str, float]
    known: bool
    novelty: float
    kept: str | None = None


class PredictionResponse(Prediction):
    """The response for one image; `model` is the model's tag."""

    model: str


class BatchPredictionResponse(bentoml.IODescriptor):
    """The response for several images, in their order."""

    predictions: list[Prediction]
    model: str


class RawForm(bentoml.IODescriptor):
    """A form that BentoML passes on unread; `classifier.serving.uploads` reads it."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:  # noqa: ARG003 (defined by BentoML)
        """Return an instance whose fields all are the request."""
        return cls.model_construct(**dict.fromkeys(cls.model_fields, request))


class ImageUpload(RawForm):
    """A form with one image."""

    image: Annotated[Path, ContentType("image/*")]


class ImageBatchUpload(RawForm):
    """A form with several images."""

    images: list[Annotated[Path, ContentType("image/*")]]
