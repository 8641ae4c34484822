"""Saving a trained model: the archive with the network, its transforms and its metadata."""

import functools
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from classifier import decoding
from classifier.images import preprocess
from classifier.model import card, store
from classifier.model.archive import FIXED_TIMESTAMP, canonical_json, content_version, drop_keys, write_archive
from classifier.predictions import postprocess
from classifier.unknown import detect_unknown

if TYPE_CHECKING:
    import keras


def save_model(
    model: "keras.Model",
    class_names: list[str],
    image_size: tuple[int, int],
    grayscale: bool,
    detector: dict[str, Any],
    metadata: dict[str, Any],
    path: Path,
) -> str:
    """Write the model archive to `path`, add the model to the BentoML store, and return its tag.

    Args:
        model: from uint8 images of shape (N, height, width, channels) to logits of shape (N, classes).
        class_names: the class names, in the order of the logits.
        image_size: (height, width) in pixels.
        grayscale: the images have one channel instead of three.
        detector: see `classifier.model.detector.fit_detector`.
        metadata: parameters, scores and data. `bentoml models get` shows it, with classes, image size and model card.
        path: the archive file; its name without the extension becomes the model's name.
    """
    metadata = {"classes": class_names, "image_size": list(image_size), "grayscale": grayscale, **metadata}
    # A copy without the optimizer, which is two thirds of the weights file.
    inference_model = type(model).from_config(model.get_config())
    inference_model.set_weights(model.get_weights())
    files = store.save_with_bentoml(
        path.stem,
        inference_model,
        labels={
            "task": "image-classification",
            "classes": str(len(class_names)),
            "image_size": "x".join(map(str, image_size)),
            "color_mode": "grayscale" if grayscale else "rgb",
        },
        custom_objects={
            "preprocess": functools.partial(
                PickleBySource(preprocess, decoding), image_size=list(image_size), grayscale=grayscale
            ),
            "postprocess": functools.partial(PickleBySource(postprocess), labels=list(class_names)),
            "detect_unknown": functools.partial(PickleBySource(detect_unknown), **detector),
        },
        metadata={**metadata, "model_card": card.model_card(metadata, path.stem)},
    )
    # A memory address, which differs between runs.
    files["config.json"] = canonical_json(drop_keys(json.loads(files["config.json"]), "shared_object_id"))
    files["metadata.json"] = canonical_json({**json.loads(files["metadata.json"]), "date_saved": FIXED_TIMESTAMP})
    model_yaml = yaml.safe_load(files["model.yaml"])
    model_yaml["version"] = content_version(files)
    model_yaml["creation_time"] = FIXED_TIMESTAMP
    del model_yaml["context"]["python_version"]  # BentoML then shows the version of the reader
    files["model.yaml"] = yaml.safe_dump(model_yaml, sort_keys=False).encode()

    write_archive(path, files)
    return store.add_to_store(files)


class PickleBySource:
    """A function that pickles as the source text of its module and of the modules that this one imports.

    Bytecode does not load on another Python version, and an import would need this repository. The texts run in one
    scope, so the imports between them are left out.
    """

    def __init__(self, function: Callable[..., Any], *modules: ModuleType) -> None:
        self.function = function
        self.files = [Path(inspect.getfile(module)) for module in modules] + [Path(inspect.getfile(function))]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        source = "\n\n".join(re.sub(r"(?m)^from classifier\..*\n", "", file.read_text("utf-8")) for file in self.files)
        name, module = self.function.__name__, self.files[-1]
        expression = f"exec(compile(source, '{module.name}', 'exec'), scope) or scope['{name}']"
        return eval, (expression, {"source": source, "scope": {"__name__": module.stem}})
