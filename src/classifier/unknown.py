"""The one definition of detect_unknown: does an image look like the training images?

The model archive contains the source of this module, as it contains that of `classifier/images.py`. `fit_detector` in
`classifier/model/detector.py` computes its arguments.
"""

import numpy as np


def detect_unknown(
    features: np.ndarray, whitening: bytes, class_means: bytes, threshold: float
) -> dict[str, bool | float]:
    """Return whether an image looks like one of the classes (out-of-distribution detection).

    The measure is the Mahalanobis distance of its features to the nearest class (Lee et al. 2018, arXiv:1807.03888).

    Args:
        features: the output of the layer "features" for one image, a float array with D values.
        whitening: a float32 array of shape (D, K), little-endian. It turns features into values whose covariance within
            a class is the identity, so that the Mahalanobis distance is the Euclidean distance.
        class_means: a float32 array of shape (number of classes, K), little-endian: the means of these values.
        threshold: the largest distance to the nearest class mean at which an image is known.

    Returns:
        {"known": whether the image looks like one of the classes, "novelty": distance / threshold, above 1 if not}

    Raises:
        ValueError: the features have another size or are not finite.
    """
    means = np.frombuffer(class_means, "<f4").astype(np.float64)
    transform = np.frombuffer(whitening, "<f4").astype(np.float64)
    column = np.asarray(features, np.float64).reshape(-1, 1)
    num_values = transform.size // max(1, column.size) or 1
    is_fitting = num_values * column.size == transform.size and means.size % num_values == 0
    if not is_fitting or not np.isfinite(column).all():
        raise ValueError(f"expected the finite features of this model, got {column.size} values: {features}")
    # Not with `@`: these sums add row after row, in the same order on every processor.
    values = (column * transform.reshape(-1, num_values)).sum(axis=0)
    distances = ((means.reshape(-1, num_values) - values).T ** 2).sum(axis=0)
    novelty = float(np.sqrt(distances.min())) / threshold
    return {"known": novelty <= 1, "novelty": novelty}
