"""Images per second without a server: src/predict.py, and `model.predict` for each image as in the tutorial.

    python tests/bench/predict.py

Needs model/ and data/raw. The time to load the model is the same for both, and is not counted.
"""

import contextlib
import io
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # isort: split

from PIL import Image

import predict
from classifier.model.predictor import Predictor, default_archive_path
from classifier.model.store import load_model

BASELINE_IMAGES = 100


def main() -> None:
    """Measure both and print one line."""
    seed.set_seed(0, threads=1)
    bento_model, model = load_model(default_archive_path())
    preprocess, postprocess = (bento_model.custom_objects[name] for name in ("preprocess", "postprocess"))
    files = predict.expand_paths([ROOT / "data/raw"])
    predictor = Predictor(bento_model, model)

    with contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        for file in files[:BASELINE_IMAGES]:
            postprocess(model.predict(preprocess(Image.open(file))))
        baseline = len(files[:BASELINE_IMAGES]) / (time.perf_counter() - started)

        started = time.perf_counter()
        predict.predict_files(predictor, files, as_csv=True)
        rate = len(files) / (time.perf_counter() - started)
    print(f"tutorial {baseline:.0f} images/s, this project {rate:.0f} images/s: {rate / baseline:.0f} times as many")


if __name__ == "__main__":
    main()
