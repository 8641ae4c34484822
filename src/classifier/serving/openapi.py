"""The OpenAPI description of the service."""

from collections.abc import Iterable
from typing import Any

import attrs

from classifier.serving.keeping import STORES_NOTHING, STORES_UNCERTAIN

DESCRIPTION = "Predicts the class of an image."
ERRORS = {
    400: "Not a readable image",
    413: "The request is too large",
    415: "Not a multipart form",
    429: "Too many requests at once",
    504: "Timeout",
}
ERROR_SCHEMA = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def describe_api(specification: Any, routes: Iterable[str], title: str, version: str, stores_images: bool) -> Any:
    """Return BentoML's specification with this service's title, version and error responses.

    BentoML describes other error responses than `classifier.serving.uploads.error_response` returns.

    Args:
        specification: the `openapi_spec` of a `bentoml.Service`.
        routes: the paths of the API's methods.
        title: the title of the service.
        version: the version of the model.
        stores_images: whether unknown and uncertain images are kept.
    """
    error_responses = {
        status: {"description": description, "content": {"application/json": {"schema": ERROR_SCHEMA}}}
        for status, description in ERRORS.items()
    }
    for route in routes:
        operation = specification.paths[route].post
        operation["responses"] = {200: operation["responses"][200], **error_responses}
    notice = STORES_UNCERTAIN if stores_images else STORES_NOTHING
    description = f"{DESCRIPTION} {notice} [The page](./)"
    info = attrs.evolve(specification.info, title=title, version=version, description=description, contact=None)
    return attrs.evolve(specification, info=info)
