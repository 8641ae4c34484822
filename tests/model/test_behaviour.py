"""The trained package behaves as a classifier should: invariance, direction, minimum functionality.

On the model of this folder where `dvc repro` has run in it, whatever its data; else on the sample dataset's.
"""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from utils import dataset, params
from utils.package import FILE

KEPT = 0.95  # share of predictions that a change which means nothing has to leave alone


@pytest.fixture(scope="module")
def test(workspace):
    return dataset.load(workspace / "data/prepared", "test")[1]


@pytest.fixture(scope="module")
def train(workspace):
    return dataset.load(workspace / "data/prepared", "train")[1]


@pytest.fixture(scope="module")
def probabilities(default):
    """A function from uint8 pictures, N x height x width x channels, to N x classes."""

    def of(images: np.ndarray) -> np.ndarray:
        packed, model = default
        logits = model.predict(images, batch_size=256, verbose=0)
        answers = [packed.custom_objects["postprocess"](row[np.newaxis]) for row in logits]
        return np.array([list(answer["probabilities"].values()) for answer in answers])

    return of


@pytest.fixture(scope="module")
def predicted(probabilities, test):
    return probabilities(test.images).argmax(axis=1)


def test_accuracy_file_by_file_is_val_acc_exactly(workspace, default, test) -> None:
    packed, model = default
    preprocess, postprocess = (packed.custom_objects[name] for name in ("preprocess", "postprocess"))
    right = 0
    for file in test.files:
        answer = postprocess(np.asarray(model(preprocess(workspace / "data/raw" / file))))
        right += answer["prediction"] == file.split("/")[0]
    metrics = json.loads((workspace / "evaluation/metrics.json").read_text())
    assert right / len(test.files) == metrics["val_acc"]
    assert metrics["model"] == str(packed.tag)


def test_one_picture_gives_what_a_batch_gives(probabilities, test) -> None:
    images = np.array(test.images[:64])
    single = np.concatenate([probabilities(image[np.newaxis]) for image in images])
    assert np.abs(probabilities(images) - single).max() < 1e-5


def test_the_output_is_a_distribution(default, test) -> None:
    packed, model = default
    answer = packed.custom_objects["postprocess"](np.asarray(model(np.array(test.images[:1]))))
    values = list(answer["probabilities"].values())
    assert min(values) >= 0 and sum(values) == pytest.approx(1, abs=1e-12)
    assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_brightness_within_a_tenth_means_nothing(probabilities, predicted, test, factor: float) -> None:
    changed = np.clip(np.rint(test.images * factor), 0, 255).astype(np.uint8)
    assert (probabilities(changed).argmax(axis=1) == predicted).mean() >= KEPT


@pytest.mark.parametrize(("down", "right"), [(2, 0), (-2, 0), (0, 2), (0, -2)])
def test_a_shift_by_two_pixels_means_nothing(probabilities, predicted, test, down: int, right: int) -> None:
    _, height, width, _ = test.images.shape
    padded = np.pad(test.images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    changed = padded[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]
    assert (probabilities(changed).argmax(axis=1) == predicted).mean() >= KEPT


def encoded(image: Image.Image, format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, format, **options)
    return stream.getvalue()


def test_jpeg_quality_means_nothing(workspace, default, probabilities, predicted, test) -> None:
    preprocess = default[0].custom_objects["preprocess"]
    pictures = [Image.open(workspace / "data/raw" / file) for file in test.files]
    changed = np.concatenate([preprocess(encoded(picture, "JPEG", quality=60)) for picture in pictures])
    assert (probabilities(changed).argmax(axis=1) == predicted).mean() >= KEPT


def test_the_format_of_the_same_pixels_means_nothing_at_all(workspace, default, test) -> None:
    preprocess = default[0].custom_objects["preprocess"]
    for file in test.files[:50]:
        picture = Image.open(workspace / "data/raw" / file).convert("RGB")
        assert np.array_equal(preprocess(encoded(picture, "PNG")), preprocess(encoded(picture, "TIFF")))
        jpeg = encoded(picture, "JPEG")
        assert np.array_equal(preprocess(encoded(Image.open(io.BytesIO(jpeg)), "PNG")), preprocess(jpeg))


def test_a_picture_faded_to_black_loses_confidence(probabilities, predicted, test) -> None:
    everyone = np.arange(len(predicted))
    faded = [probabilities(np.rint(test.images * f).astype(np.uint8))[everyone, predicted] for f in (1, 0.5, 0.25, 0)]
    means = [confidence.mean() for confidence in faded]
    assert means == sorted(means, reverse=True) and means[0] - means[-1] > 0.5
    assert (faded[-1] < faded[0]).mean() >= KEPT


def test_the_most_typical_picture_of_each_class_is_right(workspace, probabilities, train) -> None:
    labels, _ = dataset.load(workspace / "data/prepared", "train")
    means, typical = [], []
    for i in range(len(labels)):
        members = train.images[train.labels == i].astype(np.float64)
        mean = members.mean(axis=0)
        means.append(np.rint(mean).astype(np.uint8))
        typical.append(members[((members - mean) ** 2).sum(axis=(1, 2, 3)).argmin()].astype(np.uint8))
    found = probabilities(np.stack(typical)).argmax(axis=1)
    assert [labels[i] for i in found] == labels
    # A mean of pictures is a blur that shows no surface; where bodies differ in that alone it cannot be told.
    found = probabilities(np.stack(means)).argmax(axis=1)
    assert (found == np.arange(len(labels))).mean() >= 0.7, [labels[i] for i in found]


def test_training_lowered_the_loss(workspace) -> None:
    with open(workspace / "model/history.csv", newline="") as file:
        losses = [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]
    assert losses[-1][0] < losses[0][0] / 3 and losses[-1][1] < losses[0][1] / 2


def test_the_network_can_learn_one_batch_by_heart(default, train) -> None:
    import keras
    from train import get_model

    images, labels = np.array(train.images[:32]), train.labels[:32]
    keras.utils.set_random_seed(1)
    model = get_model(images.shape[1:], 8, 32, int(train.labels.max()) + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss, metrics=["accuracy"])
    history = model.fit(images, labels, epochs=80, verbose=0).history
    assert history["accuracy"][-1] == 1.0


def test_it_is_better_than_no_learning(workspace) -> None:
    metrics = json.loads((workspace / "evaluation/metrics.json").read_text())
    assert metrics["val_acc_low"] > metrics["baseline_acc"]
    assert metrics["val_acc_low"] <= metrics["val_acc"] <= metrics["val_acc_high"]


def test_it_is_good_everywhere(workspace) -> None:
    metrics = json.loads((workspace / "evaluation/metrics.json").read_text())
    assert metrics["val_acc"] > 0.95 and metrics["calibration_error"] < 0.05
    assert min(scores["f1"] for scores in metrics["classes"].values()) > 0.85
    assert min(third["accuracy"] for thirds in metrics["slices"].values() for third in thirds.values()) > 0.9
    assert len(metrics["classes"]) == params.load(params.Train, workspace / "params.yaml").output_classes


def test_the_package_is_small_and_carries_its_card(workspace, default) -> None:
    assert (workspace / "model" / FILE).stat().st_size < 5e6
    card = default[0].info.metadata["model_card"]
    for line in (workspace / "evaluation/model_card.md").read_text().split("### Results")[0].splitlines():
        assert line in card or str(default[0].tag) in line
