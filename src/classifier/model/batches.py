"""Batches of images for training: reading and shuffling.

This module imports Keras, which takes 10 s; import it after `utils.seed.set_seed`.
"""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classifier.config import AugmentParams
from classifier.model.augmentation import augment


class ImageBatches(keras.utils.PyDataset):
    """Batches of (images, labels), read from a memory-mapped file; with class weights also sample weights."""

    def __init__(
        self,
        split_dir: Path,
        batch_size: int,
        seed: int | None = None,
        class_weight_exponent: float = 0,
        augment_params: AugmentParams | None = None,
    ) -> None:
        """If `seed` is given, images are shuffled and, with `augment_params`, augmented, differently in each epoch.

        Args:
            split_dir: a folder with images.npy (uint8) and labels.npy.
            batch_size: the number of images of each batch but the last.
            seed: an integer from 0 to 2**32 - 1.
            class_weight_exponent: see `get_sample_weights`; 0 gives no sample weights.
            augment_params: how much images may change, see `augment`; None does not augment.
        """
        super().__init__()
        self.path, self.batch_size, self.seed, self.epoch = split_dir / "images.npy", batch_size, seed, -1
        self.augment_params = augment_params
        self.labels = np.load(split_dir / "labels.npy")
        self.sample_weights = get_sample_weights(self.labels, class_weight_exponent) if class_weight_exponent else None
        self.order = np.arange(len(self.labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        """Return the number of batches. If one image remains, it is added to the last batch."""
        num_images = len(self.labels)
        return max(1, math.ceil(num_images / self.batch_size) - (num_images % self.batch_size == 1))

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return images, uint8 of shape (N, height, width, channels), and labels, int32 of shape (N,).

        With class weights, also return sample weights, float32 of shape (N,).
        """
        rows = self.rows(index)
        batch = self.load(index, rows, np.arange(len(rows))), self.labels[rows]
        return batch if self.sample_weights is None else (*batch, self.sample_weights[rows])

    def rows(self, index: int) -> np.ndarray:
        """Return the indices of the images of a batch, in ascending order. A single image is repeated."""
        end = None if index == len(self) - 1 else (index + 1) * self.batch_size
        rows = np.sort(self.order[index * self.batch_size : end])
        # TensorFlow uses another kernel for a batch of one image, and its results differ between processors.
        return np.repeat(rows, 2) if len(rows) == 1 else rows

    def load(self, index: int, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Read and augment some images of a batch.

        Args:
            index: the number of the batch.
            rows: the indices of all its images, as `rows` returns them.
            positions: those of `rows` to read.
        """
        # Mapped again for each batch, because pages that were read count as memory of the process.
        images = np.load(self.path, mmap_mode="r")[rows[positions]]
        if self.seed is None or self.augment_params is None:
            return images
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return augment(images, positions, len(rows), self.augment_params, rng)

    def on_epoch_end(self) -> None:
        """Shuffle the images for the next epoch."""
        self.epoch += 1
        if self.seed is not None:
            self.order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.labels))

    def read_next_epoch(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the batches of the next epoch, in the order in which `fit` reads a `PyDataset`.

        `fit` shuffles the batches too, with Python's random number generator.
        """
        self.on_epoch_end()
        indices = list(range(len(self)))
        if self.seed is not None:
            random.shuffle(indices)
        for index in indices:
            yield self[index]


def as_fit_input(batches: ImageBatches) -> Any:
    """Return batches in the form that `fit` reads fastest: with TensorFlow, a `tf.data.Dataset`.

    With TensorFlow 2.21, `fit` waits at the end of each epoch of a `PyDataset`: 0.1 s for its workers, or without
    workers for TensorFlow's autotuning thread, which can take half of the time.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in batches[0])
    dataset = tf.data.Dataset.from_generator(batches.read_next_epoch, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def get_sample_weights(labels: np.ndarray, exponent: float) -> np.ndarray:
    """Return the weight of each image, float32: (N / (C * n)) ** exponent, where n images have its class.

    N is the number of images and C the number of classes. An exponent of 1 gives each class the same total weight, as
    scikit-learn's `compute_class_weight("balanced")` does.
    """
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Python's power: NumPy's differs between processors.
    weights = [(len(labels) / (len(classes) * count)) ** exponent for count in counts.tolist()]
    return np.array(weights, np.float32)[inverse]
