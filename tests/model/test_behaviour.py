"""The trained model behaves as a classifier should: invariance, direction, minimum functionality.

The tests use the model in this folder if `dvc repro` has run, for any dataset; else a model of the sample dataset.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.config import TrainParams, load_params
from classifier.data.dataset import Split, load_split
from classifier.model.predictor import MAX_BATCH_SIZE, Predictor
from support.images import encode
from support.projects import ARCHIVE_PATH

pytestmark = pytest.mark.slow

MIN_UNCHANGED = 0.95  # share of predictions that must not change if the image changes in a way without meaning

Probabilities = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def class_names(workspace: Path) -> list[str]:
    return load_split(workspace / "data/prepared", "test")[0]


@pytest.fixture(scope="module")
def test_split(workspace: Path) -> Split:
    return load_split(workspace / "data/prepared", "test")[1]


@pytest.fixture(scope="module")
def train_split(workspace: Path) -> Split:
    return load_split(workspace / "data/prepared", "train")[1]


@pytest.fixture(scope="module")
def metrics(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "evaluation/metrics.json").read_text())


@pytest.fixture(scope="module")
def predictor(default_model: Any) -> Predictor:
    return Predictor(*default_model)


@pytest.fixture(scope="module")
def probabilities(predictor: Predictor) -> Probabilities:
    """A function from uint8 images to probabilities of shape (N, classes)."""

    def predict(images: np.ndarray) -> np.ndarray:
        return np.array([list(result["probabilities"].values()) for result in predictor.predict(images)])

    return predict


@pytest.fixture(scope="module")
def predicted_ids(probabilities: Probabilities, test_split: Split) -> np.ndarray:
    return probabilities(test_split.images).argmax(axis=1)


def open_rgb(workspace: Path, file: str) -> Image.Image:
    with Image.open(workspace / "data/raw" / file) as image:
        return image.convert("RGB")


def test_accuracy_of_raw_files_is_val_acc(
    workspace: Path, predictor: Predictor, test_split: Split, metrics: dict[str, Any]
) -> None:
    num_correct = 0
    for file in test_split.files:
        result = predictor.predict(predictor.preprocess(workspace / "data/raw" / file))[0]
        num_correct += result["prediction"] == file.split("/")[0]
    assert num_correct / len(test_split.files) == metrics["val_acc"]
    assert metrics["model"] == predictor.tag


def test_stock_prediction_of_one_image_is_nearly_equal(
    default_model: Any, predictor: Predictor, test_split: Split
) -> None:
    _, model = default_model
    images = np.array(test_split.images[:64])
    single = np.concatenate([np.asarray(model(image[np.newaxis])) for image in images])
    assert np.abs(predictor.predict_logits(images) - single).max() < 1e-3


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 17, 64])
def test_logits_in_batches_of_any_size_are_equal_bit_for_bit(
    predictor: Predictor, test_split: Split, batch_size: int
) -> None:
    images = np.array(test_split.images[: MAX_BATCH_SIZE + 3])
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    logits = np.concatenate([predictor.predict_logits(batch) for batch in batches])
    assert np.array_equal(logits, predictor.predict_logits(images))


def test_probabilities_are_a_distribution(predictor: Predictor, test_split: Split) -> None:
    result = predictor.predict(test_split.images[:1])[0]
    values = list(result["probabilities"].values())
    assert min(values) >= 0
    assert sum(values) == pytest.approx(1, abs=1e-12)
    assert result["prediction"] == max(result["probabilities"], key=result["probabilities"].get)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_predictions_do_not_depend_on_brightness(
    probabilities: Probabilities, predicted_ids: np.ndarray, test_split: Split, factor: float
) -> None:
    changed = np.clip(np.rint(test_split.images * factor), 0, 255).astype(np.uint8)
    assert (probabilities(changed).argmax(axis=1) == predicted_ids).mean() >= MIN_UNCHANGED


@pytest.mark.parametrize(("y", "x"), [(2, 0), (-2, 0), (0, 2), (0, -2)])
def test_predictions_do_not_depend_on_position(
    probabilities: Probabilities, predicted_ids: np.ndarray, test_split: Split, y: int, x: int
) -> None:
    _, height, width, _ = test_split.images.shape
    padded = np.pad(test_split.images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    changed = padded[:, 2 - y : 2 - y + height, 2 - x : 2 - x + width]
    assert (probabilities(changed).argmax(axis=1) == predicted_ids).mean() >= MIN_UNCHANGED


def test_predictions_do_not_depend_on_jpeg_quality(
    workspace: Path, predictor: Predictor, probabilities: Probabilities, predicted_ids: np.ndarray, test_split: Split
) -> None:
    files = [encode(open_rgb(workspace, file), "JPEG", quality=60) for file in test_split.files]
    changed = np.concatenate([predictor.preprocess(file) for file in files])
    assert (probabilities(changed).argmax(axis=1) == predicted_ids).mean() >= MIN_UNCHANGED


def test_preprocess_of_equal_pixels_in_other_formats_is_equal(
    workspace: Path, predictor: Predictor, test_split: Split
) -> None:
    preprocess = predictor.preprocess
    for file in test_split.files[:50]:
        image = open_rgb(workspace, file)
        assert np.array_equal(preprocess(encode(image, "PNG")), preprocess(encode(image, "TIFF")))
        jpeg = encode(image, "JPEG")
        assert np.array_equal(preprocess(encode(Image.open(io.BytesIO(jpeg)), "PNG")), preprocess(jpeg))


def test_confidence_falls_as_images_fade_to_black(
    probabilities: Probabilities, predicted_ids: np.ndarray, test_split: Split
) -> None:
    rows = np.arange(len(predicted_ids))
    faded = [np.rint(test_split.images * factor).astype(np.uint8) for factor in (1, 0.5, 0.25, 0)]
    confidence = [probabilities(images)[rows, predicted_ids] for images in faded]
    means = [values.mean() for values in confidence]
    assert means == sorted(means, reverse=True)
    assert means[0] - means[-1] > 0.5
    assert (confidence[-1] < confidence[0]).mean() >= MIN_UNCHANGED


def test_most_typical_image_of_each_class_is_predicted_correctly(
    probabilities: Probabilities, class_names: list[str], train_split: Split
) -> None:
    mean_images, typical_images = [], []
    for class_id in range(len(class_names)):
        members = train_split.images[train_split.labels == class_id].astype(np.float64)
        mean = members.mean(axis=0)
        mean_images.append(np.rint(mean).astype(np.uint8))
        typical_images.append(members[((members - mean) ** 2).sum(axis=(1, 2, 3)).argmin()].astype(np.uint8))
    assert [class_names[i] for i in probabilities(np.stack(typical_images)).argmax(axis=1)] == class_names
    # A mean image is blurred, so classes that differ only in their surface cannot be told apart.
    mean_ids = probabilities(np.stack(mean_images)).argmax(axis=1)
    assert (mean_ids == np.arange(len(class_names))).mean() >= 0.7, [class_names[i] for i in mean_ids]


def test_training_lowered_the_loss(workspace: Path) -> None:
    with (workspace / "model/history.csv").open(newline="") as file:
        losses = [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]
    assert losses[-1][0] < losses[0][0] / 3
    assert losses[-1][1] < losses[0][1] / 2


@pytest.mark.usefixtures("default_model")  # sets the seed before Keras is imported
def test_network_can_memorise_one_batch(train_split: Split) -> None:
    import keras

    from train import get_model

    images, labels = np.array(train_split.images[:32]), train_split.labels[:32]
    keras.utils.set_random_seed(1)
    model = get_model(images.shape[1:], conv_size=8, dense_size=32, output_classes=int(train_split.labels.max()) + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss, metrics=["accuracy"])
    history = model.fit(images, labels, epochs=80, verbose=0).history
    assert history["accuracy"][-1] == 1.0


def test_model_is_better_than_nearest_centroid(metrics: dict[str, Any]) -> None:
    assert metrics["val_acc_low"] > metrics["baseline_acc"]
    assert metrics["val_acc_low"] <= metrics["val_acc"] <= metrics["val_acc_high"]


def test_model_is_good_on_every_class_and_slice(workspace: Path, metrics: dict[str, Any]) -> None:
    assert metrics["val_acc"] > 0.95
    assert metrics["calibration_error"] < 0.05
    assert min(scores["f1"] for scores in metrics["classes"].values()) > 0.85
    assert min(third["accuracy"] for thirds in metrics["slices"].values() for third in thirds.values()) > 0.9
    assert len(metrics["classes"]) == load_params(TrainParams, workspace / "params.yaml").output_classes


def test_archive_is_small_and_contains_its_card(workspace: Path, default_model: Any) -> None:
    bento_model, _ = default_model
    assert (workspace / ARCHIVE_PATH).stat().st_size < 5e6
    card = bento_model.info.metadata["model_card"]
    for line in (workspace / "evaluation/model_card.md").read_text().split("### Results")[0].splitlines():
        assert line in card or str(bento_model.tag) in line
