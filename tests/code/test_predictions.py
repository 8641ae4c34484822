"""classifier.predictions: logits become a prediction and probabilities."""

import numpy as np
import pytest

from classifier.predictions import postprocess


def test_postprocess_returns_a_prediction_and_a_distribution() -> None:
    result = postprocess(np.array([[1.0, 3.0, -2000.0]], np.float32), ["a", "b", "c"])
    assert result["prediction"] == "b"
    assert sum(result["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("logits", [np.zeros((2, 3)), np.zeros((1, 2)), np.array([[1, np.nan, 2]])])
def test_postprocess_rejects_other_shapes_and_values_that_are_not_finite(logits: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected finite logits of shape \(1, 3\), got"):
        postprocess(logits, ["a", "b", "c"])
