"""`train.class_weights`: sample weights in training, and none with 0."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from classifier.config import TrainParams
from support.datasets import constant_images, write_split

pytestmark = pytest.mark.slow  # imports TensorFlow

LABELS = [0, 0, 1, 0, 0, 0, 2, 0, 0, 1]


@pytest.fixture
def prepared_dir(tmp_path: Path) -> Path:
    """Ten black training images of three unequal classes, and three test images."""
    write_split(tmp_path, "train", constant_images([0] * len(LABELS)), LABELS, ["a", "b", "c"])
    write_split(tmp_path, "test", constant_images([0] * 3), [0, 1, 2], ["a", "b", "c"])
    return tmp_path


@pytest.mark.parametrize("exponent", [1, 0.5])
@pytest.mark.usefixtures("keras")
def test_get_sample_weights_is_a_power_of_the_balanced_weights_of_scikit_learn(exponent: float) -> None:
    from classifier.model.batches import get_sample_weights

    balanced = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = get_sample_weights(np.array(LABELS, np.int32), exponent)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, (balanced**exponent)[LABELS], rtol=1e-6)


@pytest.mark.usefixtures("keras")
def test_image_batches_have_sample_weights_only_with_class_weights(prepared_dir: Path) -> None:
    from classifier.model.batches import ImageBatches, get_sample_weights

    without, weighted = (ImageBatches(prepared_dir / "train", 4, 1, value) for value in (0, 1))
    for i in range(len(without)):
        images, labels = without[i]
        same_images, same_labels, weights = weighted[i]
        assert np.array_equal(images, same_images) and np.array_equal(labels, same_labels)
        assert np.array_equal(weights, get_sample_weights(without.labels, 1)[without.rows(i)])


@pytest.mark.parametrize(("class_weights", "first"), [(0, 1), (1, 10 / 21)])
@pytest.mark.usefixtures("keras")
def test_sharded_image_batches_have_class_weights_and_padding_of_weight_0(
    prepared_dir: Path, monkeypatch: pytest.MonkeyPatch, class_weights: float, first: float
) -> None:
    from classifier.model import distributed

    shards = []
    for index in range(2):
        topology = distributed.Topology(index, process_count=2, device_count=4)
        monkeypatch.setattr(distributed, "get_topology", lambda topology=topology: topology)
        shards.append(distributed.ShardedImageBatches(prepared_dir / "train", 10, None, class_weights)[0])
    labels, weights = (np.concatenate([shard[i] for shard in shards]) for i in (1, 2))
    assert labels.tolist() == [*LABELS, 1, 1]
    assert weights[:2] == pytest.approx([first] * 2) and weights[10:].tolist() == [0, 0]
    assert weights.sum() == pytest.approx(10)


@pytest.mark.parametrize(("class_weights", "expected"), [(0, [0.7, 0.2, 0.1]), (1, [1 / 3] * 3)])
def test_train_model_with_class_weights_gives_each_class_the_same_influence(
    keras: Any, prepared_dir: Path, class_weights: float, expected: list[float]
) -> None:
    from classifier.model.training import train_model

    # The images are black, so the network can only learn how frequent the classes are.
    model = keras.Sequential([keras.Input((4, 3, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    params = TrainParams(
        seed=1, lr=0.1, epochs=150, batch_size=10, conv_size=1, dense_size=2, class_weights=class_weights
    )
    train_model(model, prepared_dir, params, None)
    logits = model.predict(constant_images([0]), verbose=0)
    assert np.exp(logits[0]) / np.exp(logits[0]).sum() == pytest.approx(expected, abs=0.01)
