"""Parameters that the tutorial's params.yaml does not have: their defaults, and their ranges."""

from pathlib import Path

import pytest

from classifier.config import AugmentParams, PrepareParams, TrainParams, load_params
from utils.errors import UserError

PREPARE = {"seed": "77", "split": "0.2", "image_size": "[32, 32]", "grayscale": "false"}
TRAIN = {"seed": "77", "lr": "0.1", "epochs": "5", "conv_size": "32", "dense_size": "64"}


def load(tmp_path: Path, key: str, value: str) -> object:
    """Load params.yaml with one more key, and return its value."""
    name, _, option = key.partition(".")
    section, values = (PrepareParams, PREPARE) if name == "prepare" else (TrainParams, TRAIN)
    lines = "".join(f"  {key}: {value}\n" for key, value in {**values, option: value}.items())
    (tmp_path / "params.yaml").write_text(f"{name}:\n{lines}")
    return getattr(load_params(section, tmp_path / "params.yaml"), option)


def test_options_have_defaults(tmp_path: Path) -> None:
    text = "".join(f"  {key}: {value}\n" for key, value in PREPARE.items())
    (tmp_path / "params.yaml").write_text(f"prepare:\n{text}")
    prepare = load_params(PrepareParams, tmp_path / "params.yaml")
    assert (prepare.validation, prepare.unreadable, prepare.fold, prepare.test_share) == (0.1, "refuse", None, 0.2)
    text = "".join(f"  {key}: {value}\n" for key, value in TRAIN.items())
    (tmp_path / "params.yaml").write_text(f"train:\n{text}")
    params = load_params(TrainParams, tmp_path / "params.yaml")
    assert (params.batch_size, params.patience, params.output_classes) == (32, None, None)
    assert (params.backbone, params.unfreeze, params.class_weights) == ("none", 0, 0)
    assert params.augment == AugmentParams(shift=0.0625, flip=False, rotate=0, zoom=0, brightness=0)


def test_effective_with_a_backbone_leaves_out_the_sizes_of_the_cnn() -> None:
    values = {"seed": 77, "lr": 0.1, "epochs": 5}
    params = TrainParams(**values, conv_size=32, dense_size=64, backbone="efficientnet-lite0", unfreeze=2)
    others = {"batch_size": 32, "max_rejected": 0.01, "backbone": "efficientnet-lite0", "unfreeze": 2}
    assert params.effective() == values | others


@pytest.mark.parametrize("value", [0, 0.5])
def test_effective_has_class_weights_only_above_0(value: float) -> None:
    params = TrainParams(seed=77, lr=0.1, epochs=5, conv_size=32, dense_size=64, class_weights=value)
    assert params.effective().get("class_weights") == (value or None)


def test_effective_names_all_limits_of_the_augmentation_unless_they_are_the_default() -> None:
    values = {"seed": 77, "lr": 0.1, "epochs": 5, "conv_size": 32, "dense_size": 64}
    default = TrainParams(**values, augment=AugmentParams(shift=1 / 16)).effective()
    assert default == TrainParams(**values).effective() and not [name for name in default if "augment" in name]
    limits = {"shift": 0, "flip": True, "rotate": 15, "zoom": 0, "brightness": 0}
    changed = TrainParams(**values, augment=AugmentParams(shift=0, flip=True, rotate=15)).effective()
    assert changed == default | {f"augment.{key}": value for key, value in limits.items()}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("prepare.validation", "0", 0),
        ("prepare.validation", "0.3", 0.3),
        ("prepare.unreadable", "skip", "skip"),
        ("prepare.fold", "null", None),
        ("prepare.fold", "[1, 2]", (1, 2)),
        ("prepare.fold", "[100, 100]", (100, 100)),
        ("train.patience", "null", None),
        ("train.patience", "3", 3),
        ("train.output_classes", "2", 2),
        ("train.output_classes", "null", None),
        ("train.backbone", "none", "none"),
        ("train.backbone", "efficientnet-lite0", "efficientnet-lite0"),
        ("train.unfreeze", "16", 16),
        ("train.class_weights", "0", 0),
        ("train.class_weights", "1", 1),
        ("train.augment", "{}", AugmentParams()),
        ("train.augment", "{shift: 0, flip: true}", AugmentParams(shift=0, flip=True)),
        ("train.augment", "{rotate: 180, zoom: 0.9, brightness: 1}", AugmentParams(rotate=180, zoom=0.9, brightness=1)),
    ],
)
def test_option_in_its_range_is_accepted(tmp_path: Path, key: str, text: str, value: object) -> None:
    assert load(tmp_path, key, text) == value


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("prepare.validation", "1", "expected a number from 0 to below 1, got 1"),
        ("prepare.validation", "-0.1", "expected a number from 0 to below 1, got -0.1"),
        ("prepare.validation", "null", "expected a number from 0 to below 1, got None"),
        ("prepare.unreadable", "ignore", "expected refuse or skip, got 'ignore'"),
        *(
            (
                "prepare.fold",
                text,
                f"expected [i, k] for fold i of k, with i from 1 to k and k from 2 to 100, got {got}",
            )
            for text, got in (("[0, 5]", "[0, 5]"), ("[6, 5]", "[6, 5]"), ("[1, 1]", "[1, 1]"), ("1/5", "'1/5'"))
        ),
        ("train.patience", "0", "expected a whole number from 1 to 100000, got 0"),
        ("train.patience", "2.5", "expected a whole number from 1 to 100000, got 2.5"),
        ("train.backbone", "resnet50", "expected none or efficientnet-lite0, got 'resnet50'"),
        ("train.unfreeze", "17", "expected a whole number from 0 to 16, got 17"),
        ("train.unfreeze", "-1", "expected a whole number from 0 to 16, got -1"),
        ("train.class_weights", "1.1", "expected a number from 0 to 1, got 1.1"),
        ("train.class_weights", "balanced", "expected a number from 0 to 1, got 'balanced'"),
        ("train.output_classes", "1", "expected a whole number from 2 to 100000, got 1"),
    ],
)
def test_option_out_of_range_is_an_error_that_names_it(tmp_path: Path, key: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, key, text)
    assert str(error.value) == f"{tmp_path}/params.yaml: {key}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", ": expected keys and values (shift, flip, rotate, zoom, brightness), got None"),
        ("[1]", ": expected keys and values (shift, flip, rotate, zoom, brightness), got [1]"),
        ("{5: 1}", ": unknown key 5; expected shift, flip, rotate, zoom, brightness"),
        (
            "{rotation: 1}",
            ": unknown key 'rotation' (did you mean 'rotate'?); expected shift, flip, rotate, zoom, brightness",
        ),
        ("{shift: 1}", ".shift: expected a number from 0 to below 1, got 1"),
        ("{flip: 1}", ".flip: expected true or false, got 1"),
        ("{rotate: 181}", ".rotate: expected degrees, a number from 0 to 180, got 181"),
        ("{rotate: .nan}", ".rotate: expected degrees, a number from 0 to 180, got nan"),
        ("{zoom: -0.1}", ".zoom: expected a number from 0 to below 1, got -0.1"),
        ("{brightness: {}}", ".brightness: expected a number from 0 to 1, got {}"),
    ],
)
def test_augment_with_a_wrong_key_or_value_is_an_error_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, "train.augment", text)
    assert str(error.value) == f"{tmp_path}/params.yaml: train.augment{message}"
