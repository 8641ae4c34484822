"""The model card: what the model is, on what it was trained, how good it is and where it is not.

Its sections are those of Hugging Face's model cards (https://huggingface.co/docs/hub/model-card-annotated).
train.py packs it without results, as metadata of the package; evaluate.py writes it whole.
"""

from collections.abc import Sequence
from typing import Any

LIMITS = """\
- It names one of the classes above for any picture, whatever the picture shows: nothing in it says "none of these".
- It was tested on pictures from the same collection that it was trained on. On pictures from elsewhere, expect less.
- A picture is stretched to {height} x {width} pixels, so finer detail than that does not count.
- Confidence is the softmax's; how far it can be believed stands under Results.
- {small}"""


def model_card(about: dict[str, Any], tag: str = "", metrics: dict[str, Any] | None = None) -> str:
    """Write the card in Markdown.

    Args:
        about: the package's metadata: classes, image_size, grayscale, parameters, data.
        tag: the package's tag, where it is known.
        metrics: the content of metrics.json, where there is one.
    """
    classes, parameters, data = about["classes"], about["parameters"], about["data"]
    height, width = about["image_size"]
    channels = 1 if about["grayscale"] else 3
    fewest = min(count["train"] for count in data["classes"].values())
    limits = LIMITS.format(
        height=height,
        width=width,
        small=f"The class with the fewest pictures had {fewest} to train on. What is rare among them is unknown to it.",
    )
    results = _results(metrics) if metrics else "Not part of this card, since it travels in the package: see metrics."
    name = tag or "celestial_bodies_classifier_model"
    return f"""\
---
library_name: keras
pipeline_tag: image-classification
tags: [keras, bentoml, image-classification]
---

# Model card: {name}

## Model Details

A convolutional network that names the one of {len(classes)} classes that a picture shows. It is packed with its own
preprocessing and postprocessing in one BentoML file, whose tag is a hash of its architecture, transforms, labels and
weights.

- **Input:** any picture; `preprocess` makes it a {height} x {width} x {channels} array of bytes
- **Output:** {len(classes)} logits; `postprocess` makes them a class and probabilities
- **Classes:** {", ".join(map(cell, classes))}

## Uses

### Direct Use

Sorting pictures of these classes, and learning how such a pipeline is built.

### Out-of-Scope Use

Pictures of anything else, several objects in one picture, and decisions in which a mistake does harm.

## Bias, Risks, and Limitations

{limits}

A package carries code, and loading one is running it: load only packages whose origin you trust.

## How to Get Started with the Model

```python
import bentoml

tag = bentoml.models.import_model("celestial_bodies_classifier_model.bentomodel").tag
model, objects = bentoml.keras.load_model(tag), bentoml.models.get(tag).custom_objects
print(objects["postprocess"](model.predict(objects["preprocess"]("picture.jpg"))))
```

## Training Details

### Training Data

{
        _table(
            ("pictures", "train", "test"),
            [
                *([cell(name), count["train"], count["test"]] for name, count in data["classes"].items()),
                ["**all**", data["train"]["pictures"], data["test"]["pictures"]],
            ],
        )
    }

{
        _table(
            ("array in data/prepared", "SHA-256"),
            [[f"{part}/images.npy", f"`{data[part]['sha256']}`"] for part in ("train", "test")],
        )
    }

The pictures themselves are named by the hash of `data/raw` in `dvc.lock`.

### Training Procedure

{_table(("hyperparameter", "value"), [[key, value] for key, value in parameters.items()])}

Optimizer: Adam, the learning rate falling to 0 as a cosine. Each epoch shifts each picture by up to a sixteenth of its
size. The same recipe gives the same weights, bit for bit, on every x86-64 processor with AVX2.

## Evaluation

### Testing Data, Factors & Metrics

The test pictures are those that training did not see. Equal files are never on both sides of the split. Factors are
class, brightness and the object's size in the frame. Brightness is the mean value of a pixel (0 to 255), size the share
of a picture's pixels that are brighter than a quarter of its brightest one; each is cut into thirds.

### Results

{results}
"""


def cell(text: object) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#|~!&$" else c for c in " ".join(str(text).split()))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _results(metrics: dict[str, Any]) -> str:
    sliced = [
        [f"{name.replace('_', ' ')}: {third} ({values['from']:g} to {values['to']:g})",
         f"{values['accuracy']:.1%}", values["support"]]
        for name, thirds in metrics["slices"].items()
        for third, values in thirds.items()
    ]  # fmt: skip
    return f"""\
{
        _table(
            ("metric", "value"),
            [
                ["accuracy", f"{metrics['val_acc']:.1%}"],
                ["its 95 % interval (bootstrap)", f"{metrics['val_acc_low']:.1%} to {metrics['val_acc_high']:.1%}"],
                ["accuracy of the nearest class mean, without learning", f"{metrics['baseline_acc']:.1%}"],
                ["cross-entropy", f"{metrics['val_loss']:.4f}"],
                ["expected calibration error", f"{metrics['calibration_error']:.4f}"],
                [
                    "precision, recall, F1 (mean over classes)",
                    ", ".join(f"{metrics[name]:.3f}" for name in ("precision", "recall", "f1")),
                ],
            ],
        )
    }

{
        _table(
            ("class", "precision", "recall", "F1", "test pictures"),
            [
                [cell(name), *(f"{scores[key]:.3f}" for key in ("precision", "recall", "f1")), scores["support"]]
                for name, scores in metrics["classes"].items()
            ],
        )
    }

{_table(("slice", "accuracy", "pictures"), sliced)}"""
