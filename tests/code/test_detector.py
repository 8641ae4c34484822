"""The detector of unknown images: its mathematics, compared with scikit-learn, and what training stores."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from classifier.unknown import detect_unknown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(keras: Any) -> Any:
    from classifier.model import detector

    return detector


def draw_features(num_images: int, num_features: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(num_features)
    mixing = rng.normal(size=(num_features, num_features))
    labels = np.arange(num_images) % num_classes
    centers = 5 * rng.normal(size=(num_classes, num_features))
    return rng.normal(size=(num_images, num_features)) @ mixing + centers[labels], labels


@pytest.mark.parametrize(("num_images", "num_values"), [(500, 3), (60, 40), (20, 64)])
def test_ledoit_wolf_covariance_equals_scikit_learn(detector: Any, num_images: int, num_values: int) -> None:
    samples, _ = draw_features(num_images, num_values, 1)
    expected, _ = ledoit_wolf(samples, assume_centered=True)
    assert detector.ledoit_wolf_covariance(samples) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_ledoit_wolf_covariance_of_equal_samples_is_zero(detector: Any) -> None:
    assert not detector.ledoit_wolf_covariance(np.zeros((5, 3))).any()


@pytest.mark.parametrize(("num_images", "num_features", "num_classes"), [(300, 2, 2), (400, 16, 3), (200, 64, 11)])
def test_novelty_is_the_mahalanobis_distance(
    detector: Any, num_images: int, num_features: int, num_classes: int
) -> None:
    features, labels = draw_features(num_images, num_features, num_classes)
    whitening, class_means = detector.fit_whitening(features, labels)

    means = np.array([features[labels == i].mean(axis=0) for i in range(num_classes)])
    residuals = features - means[labels]
    scale = residuals.std(axis=0)
    precision = np.linalg.inv(ledoit_wolf(residuals / scale, assume_centered=True)[0])
    for row in features[:5]:
        differences = (row - means) / scale
        expected = min(np.sqrt(difference @ precision @ difference) for difference in differences)
        result = detect_unknown(row, whitening.astype("<f4").tobytes(), class_means.astype("<f4").tobytes(), 2.0)
        assert result["novelty"] == pytest.approx(expected / 2, rel=1e-4)
        assert result["known"] == (result["novelty"] <= 1)


def test_fit_whitening_of_many_features_keeps_128_values_and_finds_outliers(detector: Any) -> None:
    features, labels = draw_features(300, 500, 3)
    whitening, class_means = detector.fit_whitening(features[:200], labels[:200])
    assert whitening.shape == (500, 128) and class_means.shape == (3, 128)

    def novelty(row: np.ndarray) -> float:
        arrays = (whitening.astype("<f4").tobytes(), class_means.astype("<f4").tobytes())
        return float(detect_unknown(row, *arrays, threshold=1.0)["novelty"])

    assert max(map(novelty, features[200:])) < min(novelty(row + 100) for row in features[200:])


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [0, 1, 1, 1]])
def test_fit_whitening_of_constant_features_is_finite(detector: Any, labels: list[int]) -> None:
    whitening, class_means = detector.fit_whitening(np.ones((4, 3)), np.array(labels))
    assert np.isfinite(whitening).all() and np.isfinite(class_means).all()


@pytest.mark.parametrize(("max_rejected", "num_rejected"), [(0.0, 0), (0.1, 1), (0.3, 3), (0.99, 10)])
def test_fit_detector_rejects_the_given_share_of_validation_images(
    detector: Any, trained: Path, loaded: Any, max_rejected: float, num_rejected: int
) -> None:
    _, model = loaded
    arguments = detector.fit_detector(model, trained / "data/prepared", "validation", max_rejected)
    features = detector.compute_features(model, trained / "data/prepared/validation")[0]
    rejected = [not detect_unknown(row, **arguments)["known"] for row in features]
    assert len(rejected) == 11
    assert sum(rejected) == num_rejected


def test_fit_detector_gives_the_arguments_in_the_archive(detector: Any, trained: Path, loaded: Any) -> None:
    bento_model, model = loaded
    arguments = detector.fit_detector(model, trained / "data/prepared", "validation", 0.01)
    assert bento_model.custom_objects["detect_unknown"].keywords == arguments


def test_predictor_says_whether_images_are_known(trained: Path, loaded: Any) -> None:
    from classifier.model.predictor import Predictor

    predictor = Predictor(*loaded)
    images = np.load(trained / "data/prepared/validation/images.npy")
    noise = np.random.default_rng(0).integers(256, size=images.shape, dtype=np.uint8)
    assert all(prediction["known"] for prediction in predictor.predict(images))
    assert sum(prediction["known"] for prediction in predictor.predict(noise)) <= 2


def test_predictor_of_an_archive_without_detector_says_what_to_do(loaded: Any) -> None:
    from classifier.model.predictor import Predictor
    from utils.errors import UserError

    bento_model, model = loaded

    objects = {name: bento_model.custom_objects[name] for name in ("preprocess", "postprocess")}
    older_model = SimpleNamespace(tag=bento_model.tag, custom_objects=objects)
    with pytest.raises(UserError, match="was trained by another version; run `dvc repro`"):
        Predictor(older_model, model)  # type: ignore[arg-type]
