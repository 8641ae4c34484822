"""Training in this process: batches, and a loss that is not finite."""

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train
from classifier.config import AugmentParams, TrainParams
from support.datasets import constant_images, write_split
from support.projects import SMALL_PARAMS
from utils import files
from utils.errors import UserError

pytestmark = pytest.mark.slow  # imports TensorFlow

PARAMS = TrainParams(seed=1, lr=0.01, epochs=2, batch_size=4, conv_size=1, dense_size=2, output_classes=2)


@pytest.fixture
def prepared_dir(tmp_path: Path) -> Path:
    """Nine training images of different brightness, and four test images."""
    class_names = ["dark", "bright"]
    folder = tmp_path / "data/prepared"
    write_split(folder, "train", constant_images(list(range(20, 200, 20))), [0, 0, 0, 0, 1, 1, 1, 1, 1], class_names)
    write_split(folder, "test", constant_images([0, 10, 240, 255]), [0, 0, 1, 1], class_names)
    return folder


def linear_model(keras: Any, scale: float) -> Any:
    layers = [keras.Input((4, 3, 3)), keras.layers.Rescaling(scale), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


def test_train_model_returns_metrics_of_last_epoch_and_writes_history(
    keras: Any, prepared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from classifier.model.training import train_model

    metrics = train_model(linear_model(keras, 1 / 255), prepared_dir, PARAMS, tmp_path / "history.csv")
    assert set(metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert len(rows) == 2
    assert float(rows[-1].split(",")[2]) == pytest.approx(metrics["loss"])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_train_model_with_loss_that_is_not_finite_fails(keras: Any, prepared_dir: Path) -> None:
    from classifier.model.training import train_model

    with pytest.raises(UserError, match=r"the loss is not finite; use a smaller train\.lr"):
        train_model(linear_model(keras, 1e38), prepared_dir, PARAMS, None)


def test_train_model_with_validation_loss_that_is_not_finite_fails(keras: Any, tmp_path: Path) -> None:
    from classifier.model.training import train_model

    write_split(tmp_path, "train", constant_images([0] * 8), [0, 1] * 4, ["a", "b"])  # black: every scale is 0
    write_split(tmp_path, "test", constant_images([255] * 4), [0, 1] * 2, ["a", "b"])
    with pytest.raises(UserError, match=r"val_loss is (nan|inf), which is not finite"):
        train_model(linear_model(keras, 1e38), tmp_path, PARAMS, None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Keras leaves history.csv open
def test_main_with_loss_that_is_not_finite_leaves_no_files(
    keras: Any, prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "get_model", lambda *_: linear_model(keras, 1e38))
    Path("params.yaml").write_text(SMALL_PARAMS.replace("output_classes: 11", "output_classes: 2"))
    with pytest.raises(UserError, match="the loss is not finite"):
        train.main(prepared_dir, Path("model"))
    gc.collect()  # closes history.csv
    files.remove_incomplete()  # as `run_cli` does when it exits
    assert list(Path("model").iterdir()) == []
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("num_images", "batch_size", "expected_sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (3, 4, [3]), (1, 4, [2]), (5, 1, [2] * 5), (2, 2, [2])],
)
@pytest.mark.usefixtures("keras")
def test_image_batches_contain_each_image_and_never_one_alone(
    tmp_path: Path, num_images: int, batch_size: int, expected_sizes: list[int]
) -> None:
    from classifier.model.batches import ImageBatches

    write_split(tmp_path, "train", constant_images(list(range(num_images))), [0] * num_images, ["a", "b"])
    batches = ImageBatches(tmp_path / "train", batch_size, seed=1)
    images = [batches[i][0] for i in range(len(batches))]
    assert [len(batch) for batch in images] == expected_sizes
    assert {int(image.max()) for batch in images for image in batch} == set(range(num_images))


@pytest.mark.usefixtures("keras")
def test_image_batches_with_seed_are_shuffled_in_each_epoch(prepared_dir: Path) -> None:
    from classifier.model.batches import ImageBatches

    first, second = (ImageBatches(prepared_dir / "train", 4, seed=1) for _ in range(2))
    orders = [list(first.order)]
    first.on_epoch_end()
    orders.append(list(first.order))
    assert orders[0] == list(second.order)
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(9))


@pytest.mark.usefixtures("keras")
def test_image_batches_without_seed_are_in_order_and_unchanged(prepared_dir: Path) -> None:
    from classifier.model.batches import ImageBatches

    batches = ImageBatches(prepared_dir / "test", 256)
    images, labels = batches[0]
    assert np.array_equal(images, constant_images([0, 10, 240, 255]))
    assert labels.tolist() == [0, 0, 1, 1]


@pytest.mark.usefixtures("keras")
def test_image_batches_with_augment_params_are_augmented_differently_in_each_epoch(prepared_dir: Path) -> None:
    from classifier.model.batches import ImageBatches

    batches = ImageBatches(prepared_dir / "train", 9, seed=1, augment_params=AugmentParams(brightness=0.5))
    epochs = []
    for _ in range(2):
        images, _ = batches[0]
        epochs.append(images[:, 0, 0, 0].tolist())  # all rows, in ascending order
        batches.on_epoch_end()
    assert epochs[0] != epochs[1]
    for values in epochs:
        assert values != list(range(20, 200, 20))
        np.testing.assert_allclose(values, range(20, 200, 20), rtol=0.55)


@pytest.mark.parametrize("class_weights", [0, 1])
def test_fit_input_gives_the_same_weights_as_the_batches_themselves(
    keras: Any, prepared_dir: Path, class_weights: float
) -> None:
    from classifier.model.batches import ImageBatches, as_fit_input

    weights = []
    for convert in (as_fit_input, lambda batches: batches):
        keras.utils.set_random_seed(1)
        model = linear_model(keras, 1 / 255)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        augment_params = AugmentParams(brightness=0.5)
        batches = ImageBatches(prepared_dir / "train", 2, 1, class_weights, augment_params)
        dataset = convert(batches)
        model.fit(dataset, epochs=3, verbose=0, shuffle=dataset is batches)
        weights.append(model.layers[-1].kernel.numpy())
    assert not isinstance(as_fit_input(batches), ImageBatches)
    assert np.array_equal(*weights)


def test_main_with_augmentation_and_a_backbone_fails(
    prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "output_classes: 2, backbone: efficientnet-lite0, augment: {flip: true}"
    Path("params.yaml").write_text(SMALL_PARAMS.replace("output_classes: 11", options))
    with pytest.raises(UserError, match=r"train\.augment: is not supported with a backbone; remove one of them"):
        train.main(prepared_dir, Path("model"))


def test_main_with_wrong_number_of_classes_names_the_parameter(
    prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SMALL_PARAMS)
    with pytest.raises(UserError, match=r"params\.yaml: train\.output_classes: expected 2, .*, got 11"):
        train.main(prepared_dir, Path("model"))


def test_main_with_splits_of_different_image_shapes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SMALL_PARAMS.replace("output_classes: 11", "output_classes: 2"))
    write_split(tmp_path, "train", constant_images([0, 1]), [0, 1], ["a", "b"])
    write_split(tmp_path, "test", constant_images([0, 1], height=9), [0, 1], ["a", "b"])
    with pytest.raises(UserError, match="train and test images have different shapes"):
        train.main(tmp_path, Path("model"))


@pytest.mark.parametrize("image_shape", [(24, 20, 3), (32, 32, 1), (96, 64, 3), (1, 1, 3), (4, 4, 1)])
@pytest.mark.usefixtures("keras")
def test_get_model_maps_any_image_shape_to_logits(image_shape: tuple[int, int, int]) -> None:
    model = train.get_model(image_shape, conv_size=2, dense_size=3, output_classes=5)
    assert model.output_shape == (None, 5)
    assert model.predict_on_batch(np.zeros((4, *image_shape), np.uint8)).shape == (4, 5)
    # `Dense` after `Flatten` and Keras's normalisation layers give other bits on other processors.
    forbidden = {"Dense", "BatchNormalization", "LayerNormalization", "GroupNormalization"}
    assert not forbidden & {layer["class_name"] for layer in json.loads(model.to_json())["config"]["layers"]}
