"""Training over several devices and processes with JAX and `keras.distribution`.

`MultiWorkerMirroredStrategy` fails under Keras 3's `fit` (keras-team/keras issue 20585).
"""

from typing import NamedTuple

import keras
import numpy as np

from classifier.model.batches import ImageBatches


class Topology(NamedTuple):
    """The position of this process among all processes of a run."""

    process_index: int
    process_count: int
    device_count: int  # of all processes


def get_topology() -> Topology:
    """Return the topology of this run; (0, 1, 1) unless training is distributed."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Topology(0, 1, 1)
    return Topology(distribution.data_shard_id, distribution.num_processes, distribution.num_model_replicas)


class ShardedImageBatches(ImageBatches):
    """Batches of (images, labels, sample weights); each process reads its shard of each batch.

    Every batch is padded to a multiple of the device count. Padding has sample weight 0.
    """

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return this process's shard of a batch."""
        topology = get_topology()
        rows = self.rows(index)
        padding = (0, -len(rows) % topology.device_count)
        positions = np.pad(np.arange(len(rows)), padding, mode="edge")
        ones = np.ones(len(rows), np.float32)
        weights = np.pad(ones if self.sample_weights is None else self.sample_weights[rows], padding)
        local, sample_weight = (
            np.split(values, topology.process_count)[topology.process_index] for values in (positions, weights)
        )
        return self.load(index, rows, local), self.labels[rows[local]], sample_weight
