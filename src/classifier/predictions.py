"""The one definition of postprocess, for evaluation and serving.

The model archive contains the source of this module, as it contains that of `classifier/images.py`.
"""

from collections.abc import Sequence

import numpy as np


def postprocess(logits: np.ndarray, labels: Sequence[str]) -> dict[str, str | dict[str, float]]:
    """Turn one model output into a prediction.

    Args:
        logits: a float array of shape (1, number of classes).
        labels: the class names, in the order of the logits.

    Returns:
        {"prediction": class name, "probabilities": {class name: probability}}. The probabilities are the softmax of
        the logits in float64.

    Raises:
        ValueError: the logits have another shape or are not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape != (1, len(labels)) or not np.isfinite(logits).all():
        raise ValueError(f"expected finite logits of shape (1, {len(labels)}), got {logits}")
    exp_logits = np.exp(logits[0] - logits.max())
    probabilities = (exp_logits / exp_logits.sum()).tolist()
    return {
        "prediction": labels[int(np.argmax(logits))],
        "probabilities": dict(zip(labels, probabilities, strict=True)),
    }
