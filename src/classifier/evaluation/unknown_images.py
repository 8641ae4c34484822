"""Images that show none of the classes, to measure how well the model notices it."""

from typing import Any

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageDraw

from classifier.model.predictor import Predictor

NUM_IMAGES = 100  # of each kind
SIDE = 128  # pixels, before preprocess


def evaluate_unknown(predictor: Predictor, known_novelty: np.ndarray) -> dict[str, dict[str, float]]:
    """Return for each kind of unknown image the share that the model rejects, and the AUROC.

    The AUROC is the probability that an unknown image has a higher novelty than a test image.

    Args:
        predictor: a model that can detect unknown images.
        known_novelty: the novelty of the test images.
    """
    rng = np.random.default_rng(0)
    results = {}
    for kind, draw in KINDS.items():
        images = [predictor.preprocess(draw(rng)) for _ in range(NUM_IMAGES)]
        novelty = predictor.novelty(predictor.predict_arrays(np.concatenate(images))[1])
        results[kind] = {"rejected": rejected_share(novelty), "auroc": auroc(known_novelty, novelty)}
    return results


def rejected_share(novelty: np.ndarray) -> float:
    """Return the share of images that are unknown to the model."""
    return int((novelty > 1).sum()) / len(novelty)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return the area under the ROC curve, as `sklearn.metrics.roc_auc_score`: the share of pairs in order.

    Args:
        known: the novelty of known images, shape (N,).
        unknown: the novelty of unknown images, shape (M,). A tie counts half.
    """
    ranked = np.sort(known)
    num_below = np.searchsorted(ranked, unknown, "left") + np.searchsorted(ranked, unknown, "right")
    return int(num_below.sum()) / (2 * len(known) * len(unknown))


def _crop_photograph(rng: np.random.Generator) -> Image.Image:
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as photograph:
        side = int(rng.integers(SIDE // 2, min(photograph.size) // 2))
        left, top = (int(rng.integers(size - side)) for size in photograph.size)
        return photograph.convert("RGB").crop((left, top, left + side, top + side))


def _draw_noise(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8))


def _draw_flat_color(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(256, size=3).tolist()))


def _draw_text(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    letters = rng.integers(ord("a"), ord("z") + 1, size=(8, 16), dtype=np.uint8)
    text = "\n".join(row.tobytes().decode() for row in letters)
    ImageDraw.Draw(image).multiline_text((4, 4), text, fill="black")
    return image


KINDS: dict[str, Any] = {
    "crops of a photograph": _crop_photograph,
    "noise": _draw_noise,
    "a flat colour": _draw_flat_color,
    "text": _draw_text,
}
