"""Stage 2: train the classifier and pack it, with its preprocess and postprocess, into one file.

    python src/train.py data/prepared model

Reads the prepared arrays and the section `train` of params.yaml. With the default parameters
and 1,600 pictures: about 40 s of fitting on 2 cores.
`model/history.csv` grows by a line an epoch and can be watched.
"""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from utils import seed  # first, see there

import numpy as np

from utils import dataset, package, params, stage
from utils.stage import Failure

if TYPE_CHECKING:
    import keras


def main(prepared: Path, folder: Path) -> None:
    p = params.load(params.Train)
    labels, train = dataset.load(prepared, "train")
    _, test = dataset.load(prepared, "test")
    if p.output_classes != len(labels):
        raise Failure(
            f"params.yaml: train.output_classes is {p.output_classes}, but {prepared} has {len(labels)} classes; "
            f"set it to {len(labels)}"
        )
    shape = train.images.shape[1:]
    if test.images.shape[1:] != shape:
        raise Failure(f"{prepared}: train and test pictures differ in shape; run `dvc repro` again")

    seed.start(p.seed)
    model = get_model(shape, p.conv_size, p.dense_size, p.output_classes)
    if share()[0] > 0:  # one of many processes, of which the first writes
        fit(model, prepared, p, None)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with stage.output(folder) as scratch, stage.removed_on_failure(folder / "history.csv"):
        scores = fit(model, prepared, p, folder / "history.csv")
        tag = package.save(
            model,
            labels,
            image_size=shape[:2],
            grayscale=shape[2] == 1,
            metadata={"parameters": vars(p), "scores": scores, "data": dataset.describe(labels, prepared)},
            path=scratch / package.FILE,
        )
    print(f"{tag}: val_accuracy {scores['val_accuracy']:.4f}, in the BentoML store and in {folder / package.FILE}")


def get_model(shape: tuple[int, int, int], conv_size: int, dense_size: int, output_classes: int) -> "keras.Model":
    """The tutorial's CNN with a second convolution, untrained.

    Args:
        shape: (height, width, channels) of the uint8 pictures that go in.
        conv_size: filters of the first convolution; the second has twice as many.
        dense_size: units of the hidden dense layer.
        output_classes: number of logits that come out.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            layers.Rescaling(1 / 255, name="rescale"),
            layers.Conv2D(conv_size, 3, padding="same", activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, padding="same", name="pool_1"),
            layers.Conv2D(2 * conv_size, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(2, padding="same", name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(dense_size, activation="relu", name="dense"),
            layers.Dense(output_classes, name="logits"),
        ],
        name="classifier",
    )


def share() -> tuple[int, int, int]:
    """Which process this is, out of how many, with how many devices in all: (0, 1, 1), but for JAX on many."""
    import keras

    everybody = keras.distribution.distribution()
    if everybody is None:
        return 0, 1, 1
    return everybody.data_shard_id, everybody.num_processes, everybody.num_model_replicas


def fit(model: "keras.Model", prepared: Path, p: params.Train, history: Path | None) -> dict[str, float]:
    """Train the model, write a line an epoch to the CSV file `history`, and return the last epoch's scores."""
    import keras

    process, processes, devices = share()

    class Batches(keras.utils.PyDataset):
        """Batches of one part, cut from its memory-mapped file; with a seed, shuffled and shifted anew each epoch."""

        def __init__(self, part: str, size: int, seed: int | None = None) -> None:
            super().__init__()
            self.path, self.size, self.seed, self.epoch = prepared / part / "images.npy", size, seed, -1
            self.labels = np.load(prepared / part / "labels.npy")
            self.order = np.arange(len(self.labels))
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(self.labels) / self.size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
            rows = np.sort(self.order[index * self.size : (index + 1) * self.size])
            # Every device takes equally many, so a last batch is filled up with a picture that then weighs nothing.
            places = np.pad(np.arange(len(rows)), (0, -len(rows) % devices), mode="edge")
            weights = np.pad(np.ones(len(rows), np.float32), (0, -len(rows) % devices))
            mine = np.split(places, processes)[process]
            # Mapped anew for each batch, since pages once read count as the process's memory.
            images = np.load(self.path, mmap_mode="r")[rows[mine]]
            if self.seed is not None:
                images = shifted(images, mine, len(rows), np.random.default_rng((self.seed, self.epoch, index)))
            batch = images, self.labels[rows[mine]]
            return batch if devices == 1 else (*batch, np.split(weights, processes)[process])

        def on_epoch_end(self) -> None:
            self.epoch += 1
            if self.seed is not None:
                self.order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.labels))

    class Report(keras.callbacks.Callback):
        """Stop at once when the loss is no number any more; a line an epoch where there is no terminal."""

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            if not all(map(math.isfinite, logs.values())):
                raise Failure(f"the loss is {logs['loss']} after epoch {epoch + 1}; train with a smaller train.lr")
            if history and not sys.stdout.isatty():
                scores = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
                print(f"epoch {epoch + 1}/{p.epochs}: {scores}", flush=True)

    train = Batches("train", p.batch_size, p.seed)
    model.compile(
        # Falling to zero over the run: at a constant rate the last epochs jump by two points of accuracy.
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(p.lr, p.epochs * len(train))),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        # With weights, Keras's own mean of the loss would count the pictures that weigh nothing.
        weighted_metrics=["accuracy"]
        + [keras.metrics.SparseCategoricalCrossentropy("loss", from_logits=True)] * (devices > 1),
        steps_per_execution=8,
    )
    fitted = model.fit(
        train,
        validation_data=Batches("test", 256),
        epochs=p.epochs,
        callbacks=[Report(), *([keras.callbacks.CSVLogger(history)] if history else [])],
        verbose=1 if history and sys.stdout.isatty() else 0,
    )
    keras.distribution.set_distribution(None)  # packing is one process's
    return {name: values[-1] for name, values in fitted.history.items()}


def shifted(images: np.ndarray, places: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Move each picture (N x height x width x channels) by up to a sixteenth of its size; its edge fills the gap.

    What is in a picture does not depend on where it is, and the network alone would learn that it does.
    `places` says which of the batch's `count` pictures these are, so that many processes move them as one does.
    """
    height, width = images.shape[1:3]
    y, x = height // 16, width // 16
    padded = np.pad(images, ((0, 0), (y, y), (x, x), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = random.integers(2 * y + 1, size=count)[places], random.integers(2 * x + 1, size=count)[places]
    chosen = windows[np.arange(len(images)), down, right]
    return np.moveaxis(chosen, 1, 3)


if __name__ == "__main__":
    stage.run(main, __doc__, "prepared", "model")
