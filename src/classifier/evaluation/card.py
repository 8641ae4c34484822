"""The model card: what the model is, how it was trained, how good it is, and its limitations.

The sections are those of Hugging Face's model cards (https://huggingface.co/docs/hub/model-card-annotated); their
text is in card.md. `train.py` stores the card without results in the archive's metadata, and `evaluate.py` writes the
complete card.
"""

from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from utils.markdown import code_span, escape, table

DEFAULT_NAME = "celestial_bodies_classifier_model"
NO_RESULTS = "This copy of the card is part of the model archive, which was written before the evaluation."


def model_card(metadata: dict[str, Any], tag: str = "", metrics: dict[str, Any] | None = None) -> str:
    """Return the card in Markdown.

    Args:
        metadata: the archive's metadata: classes, image_size, grayscale, parameters, data.
        tag: the model's tag, if it is known.
        metrics: the content of metrics.json, if it is known.
    """
    classes, data = metadata["classes"], metadata["data"]
    height, width = metadata["image_size"]
    return _template().substitute(
        name=tag or DEFAULT_NAME,
        num_classes=len(classes),
        class_names=", ".join(map(escape, classes)),
        height=height,
        width=width,
        channels=1 if metadata["grayscale"] else 3,
        fewest_train_images=min(counts["train"] for counts in data["classes"].values()),
        dataset_table=_dataset_table(data),
        hash_table=_hash_table(data),
        parameter_table=_parameter_table(metadata["parameters"]),
        results=_results(metrics) if metrics else NO_RESULTS,
    )


@cache
def _template() -> Template:
    return Template(Path(__file__).with_name("card.md").read_text("utf-8"))


def _dataset_table(data: dict[str, Any]) -> str:
    rows = [(escape(name), counts["train"], counts["test"]) for name, counts in data["classes"].items()]
    rows.append(("**all**", data["train"]["pictures"], data["test"]["pictures"]))
    return table(("class", "training images", "test images"), rows, align="right")


def _hash_table(data: dict[str, Any]) -> str:
    rows = [(f"`data/prepared/{split}/images.npy`", f"`{data[split]['sha256']}`") for split in ("train", "test")]
    return table(("array", "SHA-256"), rows)


def _parameter_table(parameters: dict[str, Any]) -> str:
    rows = [(code_span(name), escape(value)) for name, value in parameters.items()]
    return table(("parameter", "value"), rows, align="right")


def _results(metrics: dict[str, Any]) -> str:
    return "\n\n".join((_summary_table(metrics), _class_table(metrics["classes"]), _slice_table(metrics["slices"])))


def _summary_table(metrics: dict[str, Any]) -> str:
    rows = (
        ("accuracy", f"{metrics['val_acc']:.1%}"),
        ("95 % confidence interval (bootstrap)", f"{metrics['val_acc_low']:.1%} to {metrics['val_acc_high']:.1%}"),
        ("accuracy of the nearest-centroid baseline", f"{metrics['baseline_acc']:.1%}"),
        ("cross-entropy loss", f"{metrics['val_loss']:.4f}"),
        ("expected calibration error", f"{metrics['calibration_error']:.4f}"),
        ("precision, mean over classes", f"{metrics['precision']:.3f}"),
        ("recall, mean over classes", f"{metrics['recall']:.3f}"),
        ("F1, mean over classes", f"{metrics['f1']:.3f}"),
    )
    return table(("metric", "value"), rows, align="right")


def _class_table(classes: dict[str, Any]) -> str:
    rows = [
        (escape(name), *(f"{scores[key]:.3f}" for key in ("precision", "recall", "f1")), scores["support"])
        for name, scores in classes.items()
    ]
    return table(("class", "precision", "recall", "F1", "test images"), rows, align="right")


def _slice_table(slices: dict[str, Any]) -> str:
    rows = [
        (
            f"{name.replace('_', ' ')}: {third} ({values['from']:g} to {values['to']:g})",
            f"{values['accuracy']:.1%}",
            values["support"],
        )
        for name, thirds in slices.items()
        for third, values in thirds.items()
    ]
    return table(("slice", "accuracy", "test images"), rows, align="right")
