"""How fast are the features of the pretrained backbone, compared with the same network in LiteRT?

    python tests/bench/backbone_speed.py

Needs the package of the weights (see model/README.md). Both use two threads and compute the features of the same random
images in turns; LiteRT one image at a time, and eight. Prints the images per second: the median of the rounds.
"""

import argparse
import contextlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # isort: split

import numpy as np

from classifier.model.backbone.checkpoint import load_weights

NUM_IMAGES = 96
BATCH_SIZE = 32  # of Keras


def images_per_second(predict: Callable[[np.ndarray], object], images: np.ndarray, batch_size: int) -> float:
    """Return the speed of `predict` with batches of this size."""
    start = time.perf_counter()
    for i in range(0, len(images), batch_size):
        predict(images[i : i + batch_size])
    return len(images) / (time.perf_counter() - start)


def make_lite_predict(model: bytes, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that predicts a batch with LiteRT."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=model, num_threads=seed.NUM_INTRA_OP_THREADS)
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(inputs["index"], [batch_size, *inputs["shape"][1:]])
    interpreter.allocate_tensors()

    def predict(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs["index"], images.astype(inputs["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return predict


def main() -> None:
    """Print one row per image size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 224])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # TensorFlow's interpreter will move to another package
    weights = load_weights()
    seed.set_seed(0)
    import tensorflow as tf

    from classifier.model.backbone import efficientnet

    print("| image size | Keras | LiteRT, 1 image | LiteRT, 8 images | Keras / LiteRT |\n|---:|---:|---:|---:|---:|")
    for size in args.sizes:
        images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, size, size, 3), np.uint8)
        backbone = efficientnet.get_backbone(images.shape[1:], weights)
        with contextlib.redirect_stdout(sys.stderr):
            lite = tf.lite.TFLiteConverter.from_keras_model(backbone).convert()
        ways = [
            (backbone.predict_on_batch, BATCH_SIZE),
            (make_lite_predict(lite, 1), 1),
            (make_lite_predict(lite, 8), 8),
        ]
        for predict, batch_size in ways:
            predict(images[:batch_size])
        rounds = [[images_per_second(predict, images, n) for predict, n in ways] for _ in range(args.rounds)]
        keras, *lites = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
        print(f"| {size} | {keras:.0f} | {lites[0]:.0f} | {lites[1]:.0f} | {keras / max(lites):.2f} |", flush=True)


if __name__ == "__main__":
    main()
