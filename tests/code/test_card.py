"""The model card."""

import subprocess
import sys
from typing import Any

import pytest

from classifier.model.card import NO_RESULTS, model_card
from support.commands import ROOT

METADATA: dict[str, Any] = {
    "classes": ["Mars", "a|b\n<i>*c*"],
    "image_size": [24, 20],
    "grayscale": False,
    "parameters": {"lr": 0.002, "batch_size": 32},
    "data": {
        "train": {"pictures": 30, "sha256": "aa11"},
        "test": {"pictures": 9, "sha256": "bb22"},
        "classes": {"Mars": {"train": 18, "test": 5}, "a|b\n<i>*c*": {"train": 12, "test": 4}},
    },
}
THIRD = {"from": 8.811, "to": 33.168, "accuracy": 0.75, "support": 3}
METRICS: dict[str, Any] = {
    "val_loss": 0.03168,
    "val_acc": 0.9843,
    "val_acc_low": 0.9687,
    "val_acc_high": 0.9969,
    "balanced_acc": 0.9,
    "majority_acc": 0.5556,
    "baseline_acc": 0.5831,
    "calibration_error": 0.0112,
    "precision": 0.985,
    "recall": 0.984,
    "f1": 0.9843,
    "classes": {"Mars": {"precision": 1.0, "recall": 0.8, "f1": 0.889, "support": 5}},
    "slices": {"object_size": {"small": THIRD}},
    "rejected": 0.0125,
    "unknown": {"noise": {"rejected": 0.99, "auroc": 0.9987}},
}

TAG = "flowers_model:0123"


@pytest.mark.parametrize(
    "part",
    [
        "# Model card: flowers_model:0123\n",
        'os.path.abspath("flowers_model.bentomodel")',
        "a `uint8` array of shape (1, 24, 20, 3)\n",
        r"- **Classes:** Mars, a\|b \<i\>\*c\*",
        "- The smallest class has 12 training images.",
        "rare variants.\n- Classes with fewer than 5 test images: a\\|b \\<i\\>\\*c\\* (4). Their scores",
        "| Mars | 18 | 5 |",
        r"| a\|b \<i\>\*c\* | 12 | 4 |",
        "| **all** | 30 | 9 |",
        "| `data/prepared/test/images.npy` | `bb22` |",
        "| `batch_size` | 32 |",
        "| accuracy | 98.4% |",
        "| test images (known) | 1.2% |  |\n| noise | 99.0% | 0.999 |",
        "| 95 % confidence interval (bootstrap) | 96.9% to 99.7% |",
        "| balanced accuracy: recall, mean over classes | 90.0% |",
        "| accuracy of the majority-class baseline | 55.6% |",
        "| Mars | 1.000 | 0.800 | 0.889 | 5 |",
        "| object size: small (8.811 to 33.168) | 75.0% | 3 |",
    ],
)
def test_model_card_has_classes_parameters_and_metrics(part: str) -> None:
    assert part in model_card(METADATA, TAG, METRICS)


def test_model_card_without_metrics_differs_only_in_results() -> None:
    complete, packed = model_card(METADATA, TAG, METRICS), model_card(METADATA, TAG)
    before, _, results = packed.partition("### Results\n\n")
    assert results == f"{NO_RESULTS}\n"
    assert complete.startswith(before)


def test_model_card_of_many_images_per_class_has_no_warning_about_them() -> None:
    classes = {"Mars": {"train": 18, "test": 5}, "Moon": {"train": 12, "test": 5}}
    card = model_card({**METADATA, "data": {**METADATA["data"], "classes": classes}}, TAG)
    assert "rare variants.\n\nLoading a model" in card


BACKBONE = {
    "name": "net",
    "weights": "net-model==1.0",
    "sha256": "cc33",
    "licence": "MIT",
    "training_data": "Photos-1k",
}


@pytest.mark.parametrize(
    ("unfreeze", "part"), [(0, "Only the head, a linear classifier"), (3, "the last 3 blocks of the backbone")]
)
def test_model_card_names_the_backbone_and_its_training(unfreeze: int, part: str) -> None:
    metadata = METADATA | {"backbone": BACKBONE, "parameters": {"backbone": "net", "unfreeze": unfreeze}}
    card = model_card(metadata, TAG)
    assert part in card and "shifted" not in card and "shifted" in model_card(METADATA, TAG)
    for text in ("**Backbone:** net, pretrained on Photos-1k", "net-model==1.0 (licence MIT", "`cc33`"):
        assert text in card


def test_model_card_mentions_the_limits_of_the_augmentation_if_they_are_set() -> None:
    card = model_card(METADATA | {"parameters": {"augment.shift": 0.1, "augment.flip": True}}, TAG)
    assert "within the limits that the parameters `augment` set" in card and "sixteenth" not in card
    assert "| `augment.shift` | 0.1 |" in card and "| `augment.flip` | True |" in card


@pytest.mark.parametrize(("grayscale", "channels"), [(True, 1), (False, 3)])
def test_model_card_names_number_of_channels(grayscale: bool, channels: int) -> None:
    assert f"(1, 24, 20, {channels})" in model_card({**METADATA, "grayscale": grayscale}, TAG)


def test_importing_card_imports_no_large_library() -> None:
    code = "import sys, classifier.model.card; print(*sys.modules)"
    command = (sys.executable, "-c", code)
    modules = subprocess.run(command, cwd=ROOT / "src", check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "PIL", "matplotlib", "keras", "tensorflow", "bentoml", "dvc"} & set(modules)


def test_model_card_tells_of_near_duplicates_in_two_sets() -> None:
    sentence = "Identical files are never in two splits."
    assert f" {sentence} " in model_card(METADATA, TAG, METRICS)
    card = model_card({**METADATA, "data": {**METADATA["data"], "leaks": 3}}, TAG, METRICS)
    assert "- 3 of 9 test images are near-duplicates of training images." in card and sentence not in card
