"""The trained model behaves as a classifier should: invariance, direction, consistency.

The tests use the model in this folder if `dvc repro` has run, for any dataset; else a model of the sample dataset.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.data.dataset import Split
from classifier.model.predictor import MAX_BATCH_SIZE, Predictor
from support.images import encode

pytestmark = pytest.mark.slow

MIN_UNCHANGED = 0.95  # share of predictions that usually do not change if the image changes in a way without meaning

Probabilities = Callable[[np.ndarray], np.ndarray]
ExpectUnchanged = Callable[[np.ndarray, str], None]


@pytest.fixture
def expect_unchanged(
    probabilities: Probabilities, chosen_images: np.ndarray, expect: Callable[[bool, str], None]
) -> ExpectUnchanged:
    """A function that compares the predictions for changed images with those for the images as they are."""

    def check(changed_images: np.ndarray, change: str) -> None:
        unchanged = probabilities(chosen_images).argmax(axis=1) == probabilities(changed_images).argmax(axis=1)
        expect(
            unchanged.mean() >= MIN_UNCHANGED,
            f"{1 - unchanged.mean():.0%} of the predictions change if the images {change}",
        )

    return check


def open_rgb(workspace: Path, file: str) -> Image.Image:
    with Image.open(workspace / "data/raw" / file) as image:
        return image.convert("RGB")


def test_stock_prediction_of_one_image_is_nearly_equal(
    default_model: Any, predictor: Predictor, test_split: Split
) -> None:
    _, model = default_model
    images = np.array(test_split.images[:64])
    single = np.concatenate([np.asarray(model(image[np.newaxis])) for image in images])
    assert np.abs(predictor.predict_arrays(images)[0] - single).max() < 1e-3


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 17, 64])
def test_outputs_in_batches_of_any_size_are_equal_bit_for_bit(
    predictor: Predictor, test_split: Split, batch_size: int
) -> None:
    images = np.array(test_split.images[: MAX_BATCH_SIZE + 3])
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    outputs = zip(*map(predictor.predict_arrays, batches), strict=True)  # logits, then features
    for parts, expected in zip(outputs, predictor.predict_arrays(images), strict=True):
        assert np.array_equal(np.concatenate(parts), expected)


def test_probabilities_are_a_distribution(predictor: Predictor, test_split: Split) -> None:
    result = predictor.predict(test_split.images[:1])[0]
    values = list(result["probabilities"].values())
    assert min(values) >= 0
    assert sum(values) == pytest.approx(1, abs=1e-12)
    assert result["prediction"] == max(result["probabilities"], key=result["probabilities"].get)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_predictions_do_not_depend_on_brightness(
    chosen_images: np.ndarray, expect_unchanged: ExpectUnchanged, factor: float
) -> None:
    changed = np.clip(np.rint(chosen_images * factor), 0, 255).astype(np.uint8)
    expect_unchanged(changed, f"are {'darker' if factor < 1 else 'brighter'} by a tenth")


@pytest.mark.parametrize(("y", "x"), [(2, 0), (-2, 0), (0, 2), (0, -2)])
def test_predictions_do_not_depend_on_position(
    chosen_images: np.ndarray, expect_unchanged: ExpectUnchanged, y: int, x: int
) -> None:
    _, height, width, _ = chosen_images.shape
    padded = np.pad(chosen_images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    changed = padded[:, 2 - y : 2 - y + height, 2 - x : 2 - x + width]
    expect_unchanged(changed, f"move by {y} pixels down and {x} to the right")


def test_predictions_do_not_depend_on_jpeg_quality(
    workspace: Path,
    predictor: Predictor,
    test_split: Split,
    chosen_ids: np.ndarray,
    expect_unchanged: ExpectUnchanged,
) -> None:
    files = [encode(open_rgb(workspace, test_split.files[i]), "JPEG", quality=60) for i in chosen_ids]
    expect_unchanged(np.concatenate([predictor.preprocess(file) for file in files]), "are saved as JPEG of quality 60")


def test_preprocess_of_equal_pixels_in_other_formats_is_equal(
    workspace: Path, predictor: Predictor, test_split: Split
) -> None:
    for file in test_split.files[:50]:
        image = open_rgb(workspace, file)
        png, tiff = (predictor.preprocess(encode(image, name)) for name in ("PNG", "TIFF"))
        assert np.array_equal(png, tiff), file


def test_confidence_falls_as_images_fade_to_black(
    probabilities: Probabilities, chosen_images: np.ndarray, expect: Callable[[bool, str], None]
) -> None:
    rows, predicted_ids = np.arange(len(chosen_images)), probabilities(chosen_images).argmax(axis=1)
    faded = [np.rint(chosen_images * factor).astype(np.uint8) for factor in (1, 0.5, 0)]
    means = [probabilities(images)[rows, predicted_ids].mean() for images in faded]
    shown = ", ".join(f"{mean:.0%}" for mean in means)
    expect(means[0] > means[-1], f"the confidence does not fall as the images fade to black: {shown}")
