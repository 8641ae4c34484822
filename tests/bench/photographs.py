"""How fast is preparing photographs of 12 megapixels, compared with other ways to read them?

    python tests/bench/photographs.py

Draws 60 JPEG files of 4000 x 3000 pixels with EXIF data, and reads them alternately with prepare.py and with loops of
other libraries, on all cores. Imports are not counted. OpenCV is measured if it is installed
(`pip install opencv-python-headless`).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from project import make_project

NUM_IMAGES = 60
LOOP = """
import glob, os, sys, time
files, cores, size = sorted(glob.glob("data/raw/*/*")), len(os.sched_getaffinity(0)), {size}
{setup}
start = time.perf_counter()
worker = next((k for k in range(1, cores) if os.fork() == 0), 0)
for file in files[worker::cores]:
    read(file)
if worker:
    os._exit(0)
for _ in range(1, cores):
    os.wait()
print(time.perf_counter() - start)
"""
READERS = {
    "`preprocess` in a loop": """
sys.path.insert(0, "src")
from classifier.images import preprocess
def read(file):
    preprocess(file, (size, size), False)
""",
    "Pillow, at reduced scale": """
from PIL import Image
def read(file):
    with Image.open(file) as image:
        image.draft("RGB", (2 * size, 2 * size))
        image.resize((size, size), Image.Resampling.BILINEAR).tobytes()
""",
    "Pillow, in full": """
from PIL import Image
def read(file):
    with Image.open(file) as image:
        image.resize((size, size), Image.Resampling.BILINEAR).tobytes()
""",
    "OpenCV, reduced to 1/8": """
import cv2
cv2.setNumThreads(1)
def read(file):
    cv2.resize(cv2.imread(file, cv2.IMREAD_REDUCED_COLOR_8), (size, size), interpolation=cv2.INTER_AREA)
""",
}
KERAS = """
import time
import keras
start = time.perf_counter()
for _ in keras.utils.image_dataset_from_directory("data/raw", image_size=({size}, {size}), verbose=False):
    pass
print(time.perf_counter() - start)
"""
PREPARE = """
import sys, time, warnings
from pathlib import Path
sys.path.insert(0, "src")
import prepare
start = time.perf_counter()
prepare.main(Path("data/raw"), Path("data/prepared"))
print(time.perf_counter() - start)
"""


def draw_photographs(folder: Path, number: int = NUM_IMAGES) -> None:
    """Draw the files, in two classes: smooth colours with noise, about 1.2 MB each."""
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112] = 1
    for i in range(number):
        colors, noise = (
            Image.fromarray(rng.integers(0, high, size, np.uint8)).resize((4000, 3000))
            for high, size in ((256, (30, 40, 3)), (24, (1500, 2000, 3)))
        )
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.blend(colors, noise, 0.35).save(path, quality=87, exif=exif)


def measure(folder: Path, code: str) -> float | None:
    """Return the images per second, or None if a library is missing."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run((sys.executable, "-c", code), cwd=folder, env=environment, capture_output=True, text=True)
    if "ModuleNotFoundError" in result.stderr:
        return None
    if result.returncode:
        sys.exit(result.stderr)
    return NUM_IMAGES / float(result.stdout.splitlines()[-1])


def main() -> None:
    """Print a table of images per second: the median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        draw_photographs(Path(scratch, "raw"))
        print(f"| reader | {' | '.join(f'to {size} x {size}' for size in args.sizes)} |")
        print(f"|---|{'---:|' * len(args.sizes)}")
        rows: dict[str, list[str]] = {}
        for size in args.sizes:
            params = {
                "prepare": {"seed": 77, "split": 0.2, "image_size": [size, size], "grayscale": False},
                "train": {},
            }
            folder = make_project(Path(scratch, str(size)), Path(scratch, "raw"), params)
            codes = {"prepare.py": PREPARE}
            codes |= {name: LOOP.format(size=size, setup=setup) for name, setup in READERS.items()}
            codes["Keras, `image_dataset_from_directory`"] = KERAS.format(size=size)
            rounds = [{name: measure(folder, code) for name, code in codes.items()} for _ in range(args.rounds)]
            for name in codes:
                speeds = [speeds[name] for speeds in rounds if speeds[name]]
                rows.setdefault(name, []).append(f"{statistics.median(speeds):.0f}" if speeds else "")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
