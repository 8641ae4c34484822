"""A service that accepts an image and does nothing with it: the least that BentoML needs for a request."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType


@bentoml.service
class NoOp:
    """Accepts an image."""

    @bentoml.api
    def predict(self, image: Annotated[Path, ContentType("image/jpeg")]) -> dict[str, None]:  # noqa: ARG002
        """Predict nothing."""
        return {"prediction": None}
