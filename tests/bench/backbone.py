"""How accurate is a pretrained backbone with few photographs per class, compared with the CNN?

    python tests/bench/backbone.py FOLDER

FOLDER has one folder of photographs per class. The last `--test` images of each class, in a random order, are the test
images. For each number of training images and each seed, other images of the rest are drawn. The CNN sees 32 x 32
pixels and the backbone 128 x 128. Prints the accuracy: mean over the seeds, and 95 % interval (Student's t).
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # isort: split

import numpy as np

from classifier.config import TrainParams
from classifier.images import preprocess
from classifier.model.backbone.checkpoint import load_weights

SEEDS = (77, 1, 2)
STUDENT_T = 4.303  # 97.5 % quantile, 2 degrees of freedom
CNN_SIZE, BACKBONE_SIZE = 32, 128


def read_images(files: list[Path], size: int) -> np.ndarray:
    """Return the images, uint8 of shape (N, size, size, 3)."""
    return np.concatenate([preprocess(file, (size, size), False) for file in files])


def write_dataset(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write the images as training and as validation images, which training needs but does not learn from."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "labels.npy", labels.astype(np.int32))


def parse_args() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-class", type=int, nargs="+", default=[5, 10, 30, 100])
    parser.add_argument("--test", type=int, default=50, help="test images per class")
    parser.add_argument("--epochs", type=int, default=20)
    return parser.parse_args()


def main() -> None:
    """Print one row per number of training images."""
    args = parse_args()
    rng = np.random.default_rng(0)
    classes = [sorted(path.iterdir()) for path in sorted(args.folder.iterdir())]
    num = args.test + max(args.per_class)
    classes = [[files[i] for i in rng.permutation(len(files))[:num]] for files in classes]
    files, labels = list(itertools.chain(*classes)), np.repeat(np.arange(len(classes)), num)
    rank = np.tile(np.arange(num), len(classes))  # of an image in its class
    is_test = rank >= max(args.per_class)

    weights = load_weights()
    seed.set_seed(0)
    import keras

    from classifier.model.backbone import efficientnet, transfer
    from classifier.model.training import train_model
    from train import get_model

    def accuracy(model: keras.Model, inputs: np.ndarray) -> float:
        predicted = model.predict(inputs[is_test], batch_size=50, verbose=0).argmax(axis=1)
        return 100 * float((predicted == labels[is_test]).mean())

    with tempfile.TemporaryDirectory() as scratch:
        small, large = (read_images(files, size) for size in (CNN_SIZE, BACKBONE_SIZE))
        backbone = efficientnet.get_backbone(large.shape[1:], weights)
        start = time.perf_counter()
        efficientnet.write_features(backbone, large, Path(scratch, "features.npy"))
        print(f"{len(large) / (time.perf_counter() - start):.0f} images/s of features\n", flush=True)
        features = np.load(Path(scratch, "features.npy"))
        print("| images per class | CNN | seconds | backbone | seconds of the head |\n|---:|---:|---:|---:|---:|")
        for per_class in args.per_class:
            results: list[tuple[float, ...]] = []
            for number in SEEDS:
                chosen = np.random.default_rng(number).permutation(max(args.per_class))[:per_class]
                rows = np.flatnonzero(np.isin(rank, chosen))
                params = TrainParams(seed=number, lr=0.002, epochs=args.epochs, conv_size=32, dense_size=64)
                result = []
                for name, inputs in (("cnn", small), ("backbone", features)):
                    keras.utils.set_random_seed(number)
                    folder = Path(scratch, f"{name}{per_class}-{number}")
                    write_dataset(folder, inputs[rows], labels[rows])
                    start = time.perf_counter()
                    if name == "cnn":
                        model = get_model(inputs.shape[1:], 32, 64, len(classes))
                    else:
                        model = transfer.get_head(inputs[rows], len(classes))
                    train_model(model, folder, params, None)
                    seconds = time.perf_counter() - start
                    result += [accuracy(model, inputs), seconds]
                results.append(tuple(result))
            cells = []
            for i, values in enumerate(zip(*results, strict=True)):
                interval = STUDENT_T * statistics.stdev(values) / len(values) ** 0.5
                mean = statistics.mean(values)
                cells.append(f"{mean:.1f}" if i % 2 else f"{mean:.1f} ± {interval:.1f}")
            print(f"| {per_class} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
