"""Model archives for tests that need no network."""

import random

import yaml

from classifier.model.archive import FIXED_TIMESTAMP, content_version


def fake_files(
    custom_objects: bytes = b"transforms", weights_size: int = 10_000, **metadata: object
) -> dict[str, bytes]:
    """Return the files of a valid archive, by name; its model cannot be loaded."""
    files = {
        "config.json": b"{}\n",
        "custom_objects.pkl": custom_objects,
        "model.weights.h5": random.Random(0).randbytes(weights_size),
        "metadata.json": b"{}\n",
    }
    model_yaml = {
        "name": "fake_model",
        "version": content_version(files),
        "module": "bentoml.keras",
        "labels": {},
        "options": {},
        "metadata": metadata,
        "context": {"framework_name": "keras", "framework_versions": {}, "bentoml_version": "1.4.0"},
        "signatures": {},
        "api_version": "v1",
        "creation_time": FIXED_TIMESTAMP,
    }
    return {**files, "model.yaml": yaml.safe_dump(model_yaml, sort_keys=False).encode()}
