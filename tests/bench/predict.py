"""Pictures a second without a server: src/predict.py against the tutorial's way, `model.predict` for each picture.

    python tests/bench/predict.py

Needs model/ and data/raw; loading, the same for both, is not counted.
"""

import contextlib
import io
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # first, see there

from PIL import Image

import predict
from utils import inference, package

if __name__ == "__main__":
    seed.start(0, threads=1)
    packed, model = package.load(inference.package_path())
    preprocess, postprocess = (packed.custom_objects[name] for name in ("preprocess", "postprocess"))
    files = predict.find(ROOT / "data/raw")

    start = time.perf_counter()
    for file in files[:100]:
        with contextlib.redirect_stdout(io.StringIO()):
            postprocess(model.predict(preprocess(Image.open(file))))
    tutorial = 100 / (time.perf_counter() - start)

    classifier = inference.Classifier(packed, model)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        predict.classify_all(classifier, files, as_csv=True)
    ours = len(files) / (time.perf_counter() - start)
    print(f"tutorial's {tutorial:.0f} pictures/s, ours {ours:.0f} pictures/s: {ours / tutorial:.0f} times")
