"""The values that describe a prediction, the same in evaluation/reference.csv and in the prediction log."""

import math
from typing import Any

import numpy as np

DECIMALS = 6  # so that values are equal on every machine, as in predictions.csv
NUMBERS = ("brightness", "contrast", "confidence", "novelty")


def logged_values(image: np.ndarray, prediction: str, confidence: float, novelty: float) -> dict[str, Any]:
    """Return the values of one prediction, rounded: NUMBERS and the predicted class.

    Brightness and contrast are the mean and the standard deviation of all values of the image, from 0 to 1. Their sums
    are integers, so they are exact.

    Args:
        image: the model input, uint8 of shape (height, width, channels).
        prediction: the predicted class.
        confidence: its probability.
        novelty: how unlike the training images the image is; above 1 if it is unknown.
    """
    pixels = image.astype(np.int64)
    total, total_of_squares = int(pixels.sum()), int((pixels * pixels).sum())
    variance = image.size * total_of_squares - total**2  # times the square of the size
    return {
        "brightness": round(total / (255 * image.size), DECIMALS),
        "contrast": round(math.sqrt(variance) / (255 * image.size), DECIMALS),
        "confidence": round(confidence, DECIMALS),
        "novelty": round(novelty, DECIMALS),
        "prediction": prediction,
    }
