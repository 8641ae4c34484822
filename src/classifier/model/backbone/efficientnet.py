"""EfficientNet-Lite0 as a Keras network, and the features that it computes.

Sources: Tan and Le 2019 (arXiv:1905.11946); the Lite variant, without squeeze-and-excitation and with ReLU6, is
described in https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.

This module imports Keras, which takes 10 s; import it after `utils.seed.set_seed`.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from tqdm import tqdm

Weights = dict[str, np.ndarray]

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the 16 blocks
EPSILON = 1e-3  # of batch normalisation
FEATURES_BATCH_SIZE = 32


def get_backbone(image_shape: tuple[int, int, int], weights: Weights) -> keras.Model:
    """Return the pretrained network without its classifier: from images to 1,280 features.

    The batch normalisation of inference is a factor and an offset per channel, which are part of the convolutions here.
    So every layer gives the same bits on every x86-64 processor with AVX2; see `get_model` in train.py.

    Args:
        image_shape: (height, width, channels) of the uint8 images. One channel counts as three equal ones.
        weights: the arrays of the checkpoint. The shapes of the layers are theirs.

    Returns:
        A model from images of shape (N, height, width, channels) to features of shape (N, 1, 1, 1280).
    """
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(inputs)  # (x - 127) / 128
    if image_shape[2] == 1:
        x = layers.Concatenate(name="channels")([x, x, x])
    x = _convolve(x, "stem", fold_batch_normalization(weights, "_conv_stem", "_bn0"), strides=2)
    for number, strides in enumerate(STRIDES, 1):
        x = _block(x, weights, number, strides)
    x = _convolve(x, "head", fold_batch_normalization(weights, "_conv_head", "_bn1"))
    features = layers.GlobalAveragePooling2D(keepdims=True, name="features")(x)
    return keras.Model(inputs, features, name="efficientnet_lite0")


def split_backbone(backbone: keras.Model, num_blocks: int) -> tuple[keras.Model, keras.Model]:
    """Return the lower part of the backbone, and the upper part with the last `num_blocks` blocks and the rest.

    The parts share their layers with the backbone, so training the upper part changes the backbone.
    """
    number = len(STRIDES) - num_blocks
    names = [layer.name for layer in backbone.layers]
    last = next(name for name in (f"block{number}_add", f"block{number}_project", "stem") if name in names)
    boundary = backbone.get_layer(last).output
    return keras.Model(backbone.input, boundary), keras.Model(boundary, backbone.output)


def write_features(network: keras.Model, images: np.ndarray, path: Path) -> None:
    """Write the outputs of a network as a .npy file: float32, one row per image.

    All batches have the same size; the last one is padded. So the features of an image do not depend on the other
    images, and there is no batch of one image, for which TensorFlow uses another kernel.

    Args:
        network: the backbone, or a part of it.
        images: shape (N, height, width, channels); uint8 images, or the outputs of the lower part.
        path: the file. It can be larger than the memory.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), *network.output_shape[1:])}
    progress_bar = tqdm(total=len(images), unit=" images", desc="features", disable=None)
    with path.open("wb") as file, progress_bar:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images), FEATURES_BATCH_SIZE):
            batch = images[start : start + FEATURES_BATCH_SIZE]
            padding = ((0, FEATURES_BATCH_SIZE - len(batch)), (0, 0), (0, 0), (0, 0))
            computed = network.predict_on_batch(np.pad(batch, padding))
            file.write(computed[: len(batch)].tobytes())
            progress_bar.update(len(batch))


def _block(x: Any, weights: Weights, number: int, strides: int) -> Any:
    """Return the output of an inverted residual block (Sandler et al. 2018, arXiv:1801.04381)."""

    def fold(convolution: str, normalization: str) -> tuple[np.ndarray, np.ndarray]:
        prefix = f"_blocks.{number - 1}."
        return fold_batch_normalization(weights, prefix + convolution, prefix + normalization)

    inputs, name = x, f"block{number}"
    if number > 1:  # the first block does not add channels
        x = _convolve(x, f"{name}_expand", fold("_expand_conv", "_bn0"))
    x = _convolve(x, f"{name}_depthwise", fold("_depthwise_conv", "_bn1"), strides)
    x = _convolve(x, f"{name}_project", fold("_project_conv", "_bn2"), activation=None)
    return layers.Add(name=f"{name}_add")([x, inputs]) if x.shape == inputs.shape else x


def _convolve(
    x: Any, name: str, weights: tuple[np.ndarray, np.ndarray], strides: int = 1, activation: str | None = "relu6"
) -> Any:
    """Return the output of a new convolution layer with these weights: kernel and bias."""
    height, width, _, filters = weights[0].shape
    options = {"strides": strides, "padding": "same", "activation": activation, "name": name}
    if filters == 1:
        layer = layers.DepthwiseConv2D((height, width), **options)
    else:
        layer = layers.Conv2D(filters, (height, width), **options)
    outputs = layer(x)
    layer.set_weights(weights)
    return outputs


def fold_batch_normalization(weights: Weights, convolution: str, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a convolution that includes its batch normalisation.

    Returns:
        The kernel, float32 of shape (height, width, input channels, output channels), or (height, width, channels, 1)
        for a depthwise convolution; and the bias, float32 of shape (output channels,).
    """
    kernel = weights[f"{convolution}.weight"]  # (output channels, input channels, height, width)
    gamma, beta, mean, variance = (
        weights[f"{normalization}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    folded = kernel * scale[:, np.newaxis, np.newaxis, np.newaxis]
    axes = (2, 3, 0, 1) if kernel.shape[1] == 1 else (2, 3, 1, 0)
    return folded.transpose(axes).astype(np.float32), (beta - mean * scale).astype(np.float32)
