"""The model card: what the model is, how it was trained, how good it is, and its limitations.

The sections are those of Hugging Face's model cards (https://huggingface.co/docs/hub/model-card-annotated); their
text is in card.md. `train.py` stores the card without results in the archive's metadata, and `evaluate.py` writes the
complete card.
"""

from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from classifier.data.counts import count_warnings
from utils.markdown import code_span, escape, table

SPLIT_HEADERS = {"train": "training images", "validation": "validation images", "test": "test images"}
SHIFTS = "In each epoch, each image is shifted by up to a sixteenth of its size."
AUGMENTATION = "In each epoch, each image is changed at random, within the limits that the parameters `augment` set."
NO_RESULTS = "This copy of the card is part of the model archive, which was written before the evaluation."


def model_card(metadata: dict[str, Any], tag: str, metrics: dict[str, Any] | None = None) -> str:
    """Return the card in Markdown.

    Args:
        metadata: the archive's metadata: classes, image_size, grayscale, parameters, data, and backbone if any.
        tag: the model's tag, or its name while the version is not known.
        metrics: the content of metrics.json, if it is known.
    """
    classes, data = metadata["classes"], metadata["data"]
    height, width = metadata["image_size"]
    return _template().substitute(
        tag=tag,
        archive=f"{tag.partition(':')[0]}.bentomodel",
        num_classes=len(classes),
        class_names=", ".join(map(escape, classes)),
        backbone=_backbone(metadata["backbone"]) if "backbone" in metadata else "",
        training_method=_training_method(metadata["parameters"]),
        height=height,
        width=width,
        channels=1 if metadata["grayscale"] else 3,
        fewest_train_images=min(counts["train"] for counts in data["classes"].values()),
        count_warnings="".join(
            f"- {warning}\n" for warning in count_warnings(data["classes"], escape, data.get("leaks", 0))
        ),
        dataset_table=_dataset_table(data),
        hash_table=_hash_table(data),
        parameter_table=_parameter_table(metadata["parameters"]),
        use_of_test_images=(
            "The test images were used neither for training nor for validation."
            if "validation" in data
            else "The test images were not used for training, but for validation."
        ),
        use_of_identical_files="" if "leaks" in data else " Identical files are never in two splits.",
        results=_results(metrics) if metrics else NO_RESULTS,
    )


@cache
def _template() -> Template:
    return Template(Path(__file__).with_name("card.md").read_text("utf-8"))


def _backbone(backbone: dict[str, str]) -> str:
    return (
        f"- **Backbone:** {backbone['name']}, pretrained on {backbone['training_data']}, whose biases it may have;\n"
        f"  weights of {backbone['weights']} (licence {backbone['licence']}, SHA-256\n  `{backbone['sha256']}`)\n"
    )


def _training_method(parameters: dict[str, Any]) -> str:
    if "backbone" not in parameters:
        return AUGMENTATION if "augment.shift" in parameters else SHIFTS
    unfreeze = parameters["unfreeze"]
    if not unfreeze:
        return "Only the head, a linear classifier of the backbone's features, is trained, without augmentation."
    return (
        "The head, a linear classifier of the backbone's features, is trained first. Then the head and the last "
        f"{unfreeze} blocks of the backbone are trained, at a lower learning rate."
    )


def _dataset_table(data: dict[str, Any]) -> str:
    splits = {name: header for name, header in SPLIT_HEADERS.items() if name in data}
    rows = [(escape(name), *(counts[split] for split in splits)) for name, counts in data["classes"].items()]
    rows.append(("**all**", *(data[split]["pictures"] for split in splits)))
    return table(("class", *splits.values()), rows, align="right")


def _hash_table(data: dict[str, Any]) -> str:
    rows = [
        (f"`data/prepared/{split}/images.npy`", f"`{data[split]['sha256']}`")
        for split in SPLIT_HEADERS
        if split in data
    ]
    return table(("array", "SHA-256"), rows)


def _parameter_table(parameters: dict[str, Any]) -> str:
    rows = [(code_span(name), escape(value)) for name, value in parameters.items()]
    return table(("parameter", "value"), rows, align="right")


def _results(metrics: dict[str, Any]) -> str:
    return "\n\n".join(
        (
            _summary_table(metrics),
            _class_table(metrics["classes"]),
            _slice_table(metrics["slices"]),
            _unknown_table(metrics),
        )
    )


def _summary_table(metrics: dict[str, Any]) -> str:
    rows = (
        ("accuracy", f"{metrics['val_acc']:.1%}"),
        ("95 % confidence interval (bootstrap)", f"{metrics['val_acc_low']:.1%} to {metrics['val_acc_high']:.1%}"),
        ("balanced accuracy: recall, mean over classes", f"{metrics['balanced_acc']:.1%}"),
        ("accuracy of the majority-class baseline", f"{metrics['majority_acc']:.1%}"),
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


def _unknown_table(metrics: dict[str, Any]) -> str:
    rows = [("test images (known)", f"{metrics['rejected']:.1%}", "")]
    rows += [
        (kind, f"{values['rejected']:.1%}", f"{values['auroc']:.3f}") for kind, values in metrics["unknown"].items()
    ]
    return table(("images", "rejected as unknown", "AUROC"), rows, align="right")
