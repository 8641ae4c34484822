"""Classify many pictures without a server, with the package in model/ or the one that the variable MODEL names.

    python src/predict.py picture.jpg other.png
    python src/predict.py data/raw --csv > predictions.csv

A folder stands for all pictures in it, at any depth. Loading takes about 10 s, then 2 cores do about 1,000 small
pictures a second. What cannot be read is named, and the rest goes on; the exit status is then 1.
"""

import argparse
import csv
import io
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from utils import seed  # first, see there

import numpy as np
from tqdm import tqdm

from utils import inference, package
from utils.stage import Failure, is_picture, shown

BATCH = inference.SIZES[-1]


def main(paths: list[Path], as_csv: bool) -> int:
    """Load the package and print an answer for each picture; return how many could not be read."""
    files = [file for path in paths for file in find(path)]
    tag = package.add(inference.package_path())  # before TensorFlow, which takes its time
    seed.start(0, threads=1)
    classifier = inference.Classifier(*package.load_tag(tag))
    if as_csv:
        print("file,prediction,confidence")
    return classify_all(classifier, files, as_csv)


def classify_all(classifier: inference.Classifier, files: list[Path], as_csv: bool) -> int:
    """Print an answer for each picture, in order, and name on stderr those that cannot be read; return their number."""
    batch, unread = [], 0
    with tqdm(total=len(files), unit=" pictures", disable=None) as bar:
        for number, (file, image) in enumerate(decoded(classifier, files), 1):
            if isinstance(image, str):
                unread += 1
                tqdm.write(f"predict.py: {shown(file)}: {image}", file=sys.stderr)
            else:
                batch.append((file, image))
            if len(batch) == BATCH or number == len(files):
                answer(classifier, batch, as_csv)
                batch.clear()
            bar.update()
    return unread


def find(path: Path) -> list[Path]:
    """The picture itself, or all pictures in a folder, in order; hidden ones and other endings are skipped."""
    if not path.is_dir():
        return [path]
    files = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in sorted(names) if is_picture(name) and not name.startswith(".")]
    if not files:
        raise Failure(f"{shown(path)} has no pictures")
    return files


def decoded(classifier: inference.Classifier, files: list[Path]) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Each file with its model input or with what is wrong with it, decoded some way ahead on all cores."""

    def read(file: Path) -> np.ndarray | str:
        try:
            return classifier.preprocess(file)
        except ValueError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pending: deque = deque()
        for file in files:
            pending.append((file, pool.submit(read, file)))
            if len(pending) > 2 * BATCH:
                first, future = pending.popleft()
                yield first, future.result()
        for file, future in pending:
            yield file, future.result()


def answer(classifier: inference.Classifier, batch: list[tuple[Path, np.ndarray]], as_csv: bool) -> None:
    """Classify up to BATCH pictures and print them."""
    if not batch:
        return
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    for (file, _), found in zip(batch, classifier.classify(np.concatenate([image for _, image in batch])), strict=True):
        name, confidence = found["prediction"], found["probabilities"][found["prediction"]]
        if as_csv:
            table.writerow((shown(file), name, f"{confidence:.6f}"))
        else:
            lines.write(f"{shown(file)}: {name} {confidence:.1%}\n")
    tqdm.write(lines.getvalue(), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PICTURE|FOLDER")
    parser.add_argument("--csv", action="store_true", help="a table: file, prediction, confidence")
    options = parser.parse_args()
    for signum in (signal.SIGINT, signal.SIGPIPE):  # end at once and quietly: nothing is half done
        signal.signal(signum, signal.SIG_DFL)
    try:
        failed = main(options.paths, options.csv)
    except Failure as failure:
        sys.exit(f"predict.py: {failure}")
    if failed:
        sys.exit(f"predict.py: {failed} could not be read")
