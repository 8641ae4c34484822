"""How often does monitor.py report drift without drift, and how many predictions does it need to notice a change?

    python tests/bench/drift.py data/raw

Run `dvc repro` first, on the sample dataset. Renders new images with another seed, predicts them once, unchanged and
changed, and draws samples from the predictions. Each sample is compared as monitor.py compares a log. For a new class,
the model is trained without it, and a fifth of the sample shows it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from project import ROOT, run_script, train_without

sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # isort: split

from classifier.model.archive import archive_name
from classifier.model.predictor import Predictor
from classifier.model.store import load_model
from classifier.monitoring.drift import compare_values
from classifier.monitoring.log import Values, read_reference
from classifier.monitoring.values import logged_values

NUM_SAMPLES = 200
REFERENCE_SIZE = 484  # the held-out images of the sample
SIZES = (100, 200, 300, 500, 1000, 2000)
DETECTED = 0.9  # share of the samples
NEW_CLASSES = ("Earth", "Mercury")
NEW_SHARE = 0.2
CHANGES = {
    "none": lambda image: image,
    "10 % darker": lambda image: image.point(lambda value: value * 0.9),
    "blur, radius 2 of 128 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "blur, radius 4 of 128 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
}


def predict(predictor: Predictor, paths: list[Path], change: str) -> Values:
    """Return what the service would log for changed images."""
    images = np.concatenate([predictor.preprocess(CHANGES[change](Image.open(path))) for path in paths])
    values = Values()
    for image, result in zip(images, predictor.predict(images), strict=True):
        name = result["prediction"]
        values.append(logged_values(image, name, result["probabilities"][name], result["novelty"]))
    return values


def take(values: Values, indices: np.ndarray) -> Values:
    """Return a sample."""
    numbers = {name: np.array(column)[indices].tolist() for name, column in values.numbers.items()}
    return Values(numbers, np.array(values.classes)[indices].tolist())


def alarm_rate(reference: Values | None, values: Values, size: int, weights: np.ndarray) -> float:
    """Return the share of samples with drift.

    Args:
        reference: None takes other images of `values` for each sample.
        values: the values to draw samples from.
        size: the number of predictions in a sample.
        weights: those of the images.
    """
    rng = np.random.default_rng(size)
    alarms = 0
    for _ in range(NUM_SAMPLES):
        if reference:
            sample = take(values, rng.choice(len(values), size, p=weights / weights.sum()))
            comparisons = compare_values(reference, sample)
        else:
            order = rng.permutation(len(values))
            first, second = order[:REFERENCE_SIZE], order[REFERENCE_SIZE:][:size]
            comparisons = compare_values(take(values, first), take(values, second))
        alarms += any(comparison.has_drifted for comparison in comparisons)
    return alarms / NUM_SAMPLES


def split_half_rate(values: Values) -> float:
    """Return the share of random halves of the held-out images that differ."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(NUM_SAMPLES):
        halves = np.array_split(rng.permutation(len(values)), 2)
        alarms += any(result.has_drifted for result in compare_values(*(take(values, half) for half in halves)))
    return alarms / NUM_SAMPLES


def print_row(title: str, reference: Values | None, values: Values, weights: np.ndarray, names: np.ndarray) -> None:
    """Print the accuracy, the alarm rate for each sample size, and the smallest size that detects the change."""
    accuracy = np.average(np.array(values.classes) == names, weights=weights)
    rates = [alarm_rate(reference, values, size, weights) for size in SIZES]
    detected = next((str(size) for size, rate in zip(SIZES, rates, strict=True) if rate >= DETECTED), "–")
    cells = " | ".join(f"{rate:.1%}" for rate in rates)
    print(f"| {title} | {accuracy:.1%} | {cells} | {detected} |", flush=True)


def main() -> None:
    """Print one row per change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("--per-class", type=int, default=400, help="new images per class")
    args = parser.parse_args()
    seed.set_seed(0, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        new_dir = Path(folder, "new")
        run_script(ROOT, "src/render.py", str(new_dir), "--seed", "5", "--per-class", str(args.per_class))
        paths = sorted(new_dir.glob("*/*"))
        names = np.array([path.parent.name for path in paths])
        even = np.ones(len(paths))
        _, reference = read_reference(ROOT / "evaluation")
        print(f"Halves of the {len(reference)} held-out images: {split_half_rate(reference):.1%}\n")
        print(f"| change | accuracy | {' | '.join(map(str, SIZES))} | detected |\n|---|{'---:|' * (len(SIZES) + 2)}")
        predictor = Predictor(*load_model(ROOT / "model" / archive_name(ROOT)))
        for change in CHANGES:
            print_row(change, reference, values := predict(predictor, paths, change), even, names)
            if change == "none":
                print_row("none, each sample with another reference", None, values, even, names)
                for more in (names[-1:], [names[-1], "Uranus"]):
                    weights = np.where(np.isin(names, more), 3, 1)
                    print_row(f"three times as many of {' and '.join(more)}", reference, values, weights, names)
        for name in NEW_CLASSES:
            project = train_without([name], args.raw_dir, Path(folder, name))
            _, reference = read_reference(project / "evaluation")
            values = predict(Predictor(*load_model(project / "model" / archive_name(project))), paths, "none")
            is_new = names == name
            weights = np.where(is_new, NEW_SHARE / is_new.sum(), (1 - NEW_SHARE) / (~is_new).sum())
            print_row(f"model without {name}: none", reference, values, (~is_new).astype(float), names)
            print_row(f"new class: {NEW_SHARE:.0%} {name}", reference, values, weights, names)


if __name__ == "__main__":
    main()
