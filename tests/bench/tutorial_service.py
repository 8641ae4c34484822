"""The service as the tutorial builds it, for the model with the tag MODEL_TAG."""

import json
import os
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image


@bentoml.service
class Tutorial:
    """Predicts the class of an image with `model.predict`."""

    stored = bentoml.keras.get(os.environ["MODEL_TAG"])

    def __init__(self) -> None:
        self.preprocess, self.postprocess = (self.stored.custom_objects[n] for n in ("preprocess", "postprocess"))
        self.model = self.stored.load_model()

    @bentoml.api
    def predict(self, image: Annotated[Image, ContentType("image/jpeg")]) -> Annotated[str, ContentType("text/json")]:
        """Predict the class of an image."""
        return json.dumps(self.postprocess(self.model.predict(self.preprocess(image))))
