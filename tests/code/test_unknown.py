"""detect_unknown, which the archive contains, and the evaluation with images that show no class."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from classifier.evaluation.unknown_images import KINDS, SIDE, auroc, rejected_share
from classifier.unknown import detect_unknown

WHITENING = np.array([[0.5, 0.0], [0.0, 2.0], [0.0, 0.0]], "<f4").tobytes()
CLASS_MEANS = np.array([[0.0, 0.0], [10.0, 0.0]], "<f4").tobytes()


@pytest.mark.parametrize(
    ("features", "novelty"),
    [([0, 0, 99], 0), ([6, 2, 0], 5 / 4), ([20, 0, -5], 0), ([26, -2, 0], 5 / 4), ([8, 0, 0], 1)],
)
def test_detect_unknown_measures_the_distance_to_the_nearest_class(features: list[float], novelty: float) -> None:
    for shape in ((3,), (1, 3), (1, 1, 1, 3)):
        array = np.array(features, np.float32).reshape(shape)
        result = detect_unknown(array, WHITENING, CLASS_MEANS, threshold=4.0)
        assert result == {"known": novelty <= 1, "novelty": novelty}
        assert isinstance(result["known"], bool)


@pytest.mark.parametrize("features", [[], [1.0], [1.0] * 4, [1.0, 2.0, math.nan], [1.0, 2.0, math.inf]])
def test_detect_unknown_with_other_or_infinite_features_raises_value_error(features: list[float]) -> None:
    with pytest.raises(ValueError, match=f"^expected the finite features of this model, got {len(features)} values"):
        detect_unknown(np.array(features), WHITENING, CLASS_MEANS, threshold=4.0)


def test_auroc_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        known, unknown = (rng.integers(10, size=rng.integers(1, 30)) / 10 + shift for shift in (0, 0.2))
        is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
        assert auroc(known, unknown) == pytest.approx(roc_auc_score(is_unknown, np.concatenate([known, unknown])))


def test_rejected_share_counts_novelty_above_one() -> None:
    assert rejected_share(np.array([0.5, 1.0, 1.1, 3.0])) == 0.5


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_unknown_images_are_different_and_reproducible(kind: str) -> None:
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    images = [np.asarray(KINDS[kind](rng)) for _ in range(3)]
    assert all(min(image.shape[:2]) >= SIDE // 2 and image.dtype == np.uint8 for image in images)
    assert images[0].tobytes() != images[1].tobytes()
    assert images[0].tobytes() == np.asarray(KINDS[kind](other)).tobytes()
