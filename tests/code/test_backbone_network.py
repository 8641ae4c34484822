"""The pretrained network: compared with a computation in NumPy, layer by layer as in its checkpoint."""

from pathlib import Path

import numpy as np
import pytest

from support.checkpoints import KERNEL_SIZES, NUM_FEATURES, narrow_weights
from utils import seed

pytestmark = pytest.mark.slow

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
WEIGHTS = narrow_weights()


@pytest.fixture(scope="module")
def network():
    """The module of the network, after TensorFlow is configured."""
    seed.set_seed(0)
    from classifier.model.backbone import efficientnet

    return efficientnet


@pytest.fixture
def extract(network, tmp_path: Path):
    """A function that returns what `write_features` writes."""

    def extract(backbone, images: np.ndarray) -> np.ndarray:
        network.write_features(backbone, images, tmp_path / "features.npy")
        return np.load(tmp_path / "features.npy")

    return extract


def random_images(num: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (num, *shape), np.uint8)


def convolve(x: np.ndarray, kernel: np.ndarray, strides: int) -> np.ndarray:
    """Return the convolution (a depthwise one if the kernel has one input channel) with TensorFlow's padding.

    Args:
        x: shape (N, height, width, channels).
        kernel: shape (output channels, input channels, height, width).
        strides: the step in both directions.
    """
    size = kernel.shape[2]
    totals = [max((-(-n // strides) - 1) * strides + size - n, 0) for n in x.shape[1:3]]
    padded = np.pad(x, ((0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))[:, ::strides, ::strides]
    if kernel.shape[1] == 1:
        return np.einsum("nyxchw,chw->nyxc", windows, kernel[:, 0])
    return np.einsum("nyxchw,ochw->nyxo", windows, kernel)


def normalize(x: np.ndarray, name: str) -> np.ndarray:
    gamma, beta, mean, variance = (
        WEIGHTS[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def relu6(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 6)


def expected_features(images: np.ndarray) -> np.ndarray:
    x = (images.astype(np.float64) - 127) / 128
    x = relu6(normalize(convolve(x, WEIGHTS["_conv_stem.weight"], 2), "_bn0"))
    for i, strides in enumerate(STRIDES):
        inputs, block = x, f"_blocks.{i}"
        if i:
            x = relu6(normalize(convolve(x, WEIGHTS[f"{block}._expand_conv.weight"], 1), f"{block}._bn0"))
        x = relu6(normalize(convolve(x, WEIGHTS[f"{block}._depthwise_conv.weight"], strides), f"{block}._bn1"))
        x = normalize(convolve(x, WEIGHTS[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        x = x + inputs if x.shape == inputs.shape else x
    x = relu6(normalize(convolve(x, WEIGHTS["_conv_head.weight"], 1), "_bn1"))
    return x.mean(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("shape", [(64, 64), (96, 80), (65, 99), (224, 64)])
def test_backbone_gives_the_features_of_the_checkpoint(network, extract, shape: tuple[int, int]) -> None:
    images = random_images(3, *shape, 3)
    features = extract(network.get_backbone((*shape, 3), WEIGHTS), images)
    assert features.shape == (3, 1, 1, NUM_FEATURES) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected_features(images), rtol=1e-4, atol=1e-4)


def test_backbone_of_grayscale_images_gives_the_features_of_the_same_images_in_rgb(network, extract) -> None:
    images = random_images(2, 64, 64, 1)
    features = extract(network.get_backbone((64, 64, 1), WEIGHTS), images)
    rgb = extract(network.get_backbone((64, 64, 3), WEIGHTS), images.repeat(3, axis=3))
    np.testing.assert_array_equal(features, rgb)


@pytest.mark.parametrize(
    ("convolution", "normalization"),
    [("_conv_stem", "_bn0"), ("_blocks.3._depthwise_conv", "_blocks.3._bn1"), ("_conv_head", "_bn1")],
)
def test_fold_batch_normalization_gives_what_keras_gives_in_two_layers(
    network, convolution: str, normalization: str
) -> None:
    import keras

    weights = network.fold_batch_normalization(WEIGHTS, convolution, normalization)
    assert all(array.dtype == np.float32 for array in weights)
    height, width, channels, filters = weights[0].shape
    axes = (2, 3, 0, 1) if filters == 1 else (2, 3, 1, 0)
    keys = ("weight", "bias", "running_mean", "running_var")

    def apply(layer, arrays: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        layer.build(x.shape)
        layer.set_weights(arrays)
        return np.asarray(layer(x))

    def make_convolution(use_bias: bool):
        if filters == 1:
            return keras.layers.DepthwiseConv2D((height, width), use_bias=use_bias)
        return keras.layers.Conv2D(filters, (height, width), use_bias=use_bias)

    x = np.random.default_rng(4).normal(size=(2, 9, 9, channels)).astype(np.float32)
    convolved = apply(make_convolution(use_bias=False), [WEIGHTS[f"{convolution}.weight"].transpose(axes)], x)
    batch_normalization = keras.layers.BatchNormalization(epsilon=1e-3)
    expected = apply(batch_normalization, [WEIGHTS[f"{normalization}.{key}"] for key in keys], convolved)
    np.testing.assert_allclose(apply(make_convolution(use_bias=True), weights, x), expected, rtol=1e-4, atol=1e-5)


def test_backbone_has_a_named_layer_for_each_operation(network) -> None:
    names = [layer.name for layer in network.get_backbone((64, 64, 3), WEIGHTS).layers]
    assert names[:5] == ["image", "rescale", "stem", "block1_depthwise", "block1_project"]
    assert names[-5:] == ["block16_expand", "block16_depthwise", "block16_project", "head", "features"]
    assert sum(name.endswith("_depthwise") for name in names) == len(KERNEL_SIZES)
    assert [name for name in names if name.endswith("_add")] == [
        f"block{n}_add" for n in (3, 5, 7, 8, 10, 11, 13, 14, 15)
    ]


def test_backbone_uses_only_layers_with_the_same_bits_on_every_processor(network) -> None:
    kinds = {type(layer).__name__ for layer in network.get_backbone((64, 64, 1), WEIGHTS).layers}
    assert kinds == {
        "InputLayer", "Rescaling", "Concatenate", "Conv2D", "DepthwiseConv2D", "Add", "GlobalAveragePooling2D",
    }  # fmt: skip


@pytest.mark.parametrize("num_blocks", range(1, 17))
def test_split_backbone_gives_two_parts_that_compute_the_same(network, extract, num_blocks: int) -> None:
    images = random_images(2, 64, 64, 3)
    backbone = network.get_backbone((64, 64, 3), WEIGHTS)
    lower, upper = network.split_backbone(backbone, num_blocks)
    np.testing.assert_array_equal(extract(upper, extract(lower, images)), extract(backbone, images))
    blocks = {layer.name.partition("_")[0] for layer in upper.layers if layer.name.startswith("block")}
    assert blocks == {f"block{17 - n}" for n in range(1, num_blocks + 1)}


def test_write_features_of_an_image_does_not_depend_on_the_others(
    network, extract, capfd: pytest.CaptureFixture[str]
) -> None:
    size = network.FEATURES_BATCH_SIZE
    images = random_images(2 * size + 1, 64, 64, 3)
    backbone = network.get_backbone((64, 64, 3), WEIGHTS)
    features = extract(backbone, images)
    for rows in ([0], [2 * size], [size, 5, 2 * size], range(size)):
        np.testing.assert_array_equal(extract(backbone, images[rows]), features[rows])
    assert extract(backbone, images[:0]).shape == (0, 1, 1, NUM_FEATURES)
    assert "images" not in capfd.readouterr().err  # the progress bar is for terminals


def test_write_features_computes_batches_of_one_size_only(network, extract) -> None:
    class Backbone:
        output_shape = (None, 1, 1, 1)
        sizes: list[int] = []  # noqa: RUF012

        def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
            self.sizes.append(len(images))
            return images[:, :1, :1, :1].astype(np.float32)

    images = random_images(network.FEATURES_BATCH_SIZE + 1, 2, 2, 3)
    features = extract(Backbone(), images)
    np.testing.assert_array_equal(features, images[:, :1, :1, :1])
    assert Backbone.sizes == [network.FEATURES_BATCH_SIZE] * 2
