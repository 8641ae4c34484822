"""Classify images without a server, with the model archive in model/ or the one that MODEL names.

    python src/predict.py image.jpg other.png
    python src/predict.py data/raw --csv > predictions.csv

A folder stands for all images in it and in its subfolders; hidden files and other extensions are skipped, and counted
on stderr. Unreadable files are reported, and the exit status is then 1.
"""

import csv
import io
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from utils import seed  # isort: split

import numpy as np
from tqdm import tqdm

from classifier.data.class_folders import contains_itself, list_folder
from classifier.data.silence import silence_decoders
from classifier.data.skipped import describe_skipped, warn_about_skipped
from classifier.model import store
from classifier.model.predictor import MAX_BATCH_SIZE, Predictor, default_archive_path
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import printable
from utils.parallel import available_cores, bounded_map


def main(paths: list[Path], as_csv: bool) -> None:
    """Print the prediction for each image, in order.

    Raises:
        UserError: a folder contains no images, or some files cannot be read.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly in `predict.py ... | head`
    silence_decoders()
    files = expand_paths(paths)
    tag = store.import_model(default_archive_path())  # before the import of TensorFlow, which takes 10 s
    seed.set_seed(0, threads=1)
    predictor = Predictor(*store.load_from_store(tag))
    if as_csv:
        print("file,prediction,confidence,known")
    num_failed = predict_files(predictor, files, as_csv)
    if num_failed:
        raise UserError(f"{num_failed} of {len(files)} files cannot be read")


def expand_paths(paths: list[Path]) -> list[Path]:
    """Replace each folder by the images in it, sorted. Count its other files on stderr.

    Raises:
        UserError: a folder contains no images.
    """
    files = []
    for path in paths:
        files += find_images(path) if path.is_dir() else [path]
    return files


def find_images(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, sorted by name. Count its other files on stderr.

    Raises:
        UserError: there are no images.
    """
    images, skipped = [], Counter[str]()
    pending = [folder]
    while pending:
        parent = pending.pop(0)
        content = list_folder(parent)
        images += [parent / name for name in content.images]
        skipped += content.skipped
        pending[:0] = [path for name in content.folders if not contains_itself(path := parent / name)]
    if not images:
        others = f"; other files: {describe_skipped(skipped)}" if skipped else ""
        raise UserError(f"{printable(folder)} contains no images{others}")
    warn_about_skipped(folder, skipped)
    return images


def predict_files(predictor: Predictor, files: list[Path], as_csv: bool) -> int:
    """Print the predictions, report unreadable files on stderr, and return the number of unreadable files."""
    batch: list[tuple[Path, np.ndarray]] = []
    num_failed = 0
    with tqdm(total=len(files), unit=" images", disable=None) as progress_bar:
        for number, (file, image) in enumerate(iter_decoded(predictor, files), 1):
            if isinstance(image, str):
                num_failed += 1
                tqdm.write(f"predict.py: {printable(file)}: {image}", file=sys.stderr)
            else:
                batch.append((file, image))
            if batch and (len(batch) == MAX_BATCH_SIZE or number == len(files)):
                print_predictions(predictor, batch, as_csv)
                batch.clear()
            progress_bar.update()
    return num_failed


def iter_decoded(predictor: Predictor, files: list[Path]) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield each file with its model input, or with a message if it cannot be read. All cores decode ahead."""

    def decode(file: Path) -> tuple[Path, np.ndarray | str]:
        try:
            return file, predictor.preprocess(file)
        except ValueError as error:
            return file, str(error)
        except OSError as error:
            return file, error.strerror or str(error)

    with ThreadPoolExecutor(available_cores()) as executor:
        yield from bounded_map(executor, decode, files, limit=2 * MAX_BATCH_SIZE)


def print_predictions(predictor: Predictor, batch: list[tuple[Path, np.ndarray]], as_csv: bool) -> None:
    """Predict and print one batch: file, predicted class and confidence."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    predictions = predictor.predict(np.concatenate([image for _, image in batch]))
    for (file, _), prediction in zip(batch, predictions, strict=True):
        name = prediction["prediction"]
        confidence = prediction["probabilities"][name]
        if as_csv:
            writer.writerow((printable(file), name, f"{confidence:.6f}", str(prediction["known"]).lower()))
        else:
            unknown = "" if prediction["known"] else " (unknown)"
            text.write(f"{printable(file)}: {name} {confidence:.1%}{unknown}\n")
    tqdm.write(text.getvalue(), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="IMAGE|FOLDER")
    parser.add_argument(
        "--csv", action="store_true", dest="as_csv", help="print CSV: file, prediction, confidence, known"
    )
    run_cli(main, parser)
