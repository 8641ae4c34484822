"""Saving a trained model: the archive with the network, its transforms and its metadata."""

import functools
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from classifier import images
from classifier.evaluation import card
from classifier.model import store
from classifier.model.archive import FIXED_TIMESTAMP, canonical_json, content_version, drop_keys, write_archive

if TYPE_CHECKING:
    import keras


def save_model(
    model: "keras.Model",
    class_names: list[str],
    image_size: tuple[int, int],
    grayscale: bool,
    metadata: dict[str, Any],
    path: Path,
) -> str:
    """Write the model archive to `path`, add the model to the BentoML store, and return its tag.

    Args:
        model: from uint8 images of shape (N, height, width, channels) to logits of shape (N, classes).
        class_names: the class names, in the order of the logits.
        image_size: (height, width) in pixels.
        grayscale: the images have one channel instead of three.
        metadata: parameters, scores and data. `bentoml models get` shows it, with classes, image size and model card.
        path: the archive file.
    """
    metadata = {"classes": class_names, "image_size": list(image_size), "grayscale": grayscale, **metadata}
    # A copy without the optimizer, which is two thirds of the weights file.
    inference_model = type(model).from_config(model.get_config())
    inference_model.set_weights(model.get_weights())
    files = store.save_with_bentoml(
        inference_model,
        labels={
            "task": "image-classification",
            "classes": str(len(class_names)),
            "image_size": "x".join(map(str, image_size)),
            "color_mode": "grayscale" if grayscale else "rgb",
        },
        custom_objects={
            "preprocess": functools.partial(
                PickleBySource("preprocess"), image_size=list(image_size), grayscale=grayscale
            ),
            "postprocess": functools.partial(PickleBySource("postprocess"), labels=list(class_names)),
        },
        metadata={**metadata, "model_card": card.model_card(metadata)},
    )
    files["config.json"] = canonical_json(drop_keys(json.loads(files["config.json"]), "shared_object_id"))  # an address
    files["metadata.json"] = canonical_json({**json.loads(files["metadata.json"]), "date_saved": FIXED_TIMESTAMP})
    model_yaml = yaml.safe_load(files["model.yaml"])
    model_yaml["version"] = content_version(files)
    model_yaml["creation_time"] = FIXED_TIMESTAMP
    del model_yaml["context"]["python_version"]  # BentoML then shows the version of the reader
    files["model.yaml"] = yaml.safe_dump(model_yaml, sort_keys=False).encode()

    write_archive(path, files)
    return store.add_to_store(files)


class PickleBySource:
    """A function of `classifier.images` that pickles as source text.

    Bytecode does not load on another Python version, and an import would need this repository.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return getattr(images, self.name)(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        expression = f"exec(compile(source, 'images.py', 'exec'), scope) or scope['{self.name}']"
        return eval, (expression, {"source": inspect.getsource(images), "scope": {"__name__": "images"}})
