"""Transfer learning: train a head on the features of the pretrained backbone, then fine-tune its last blocks.

The layers that do not change run once per image. Their outputs become a prepared dataset, with feature maps as images,
so the training loop is the same as without a backbone.

This module imports Keras, which takes 10 s; import it after `utils.seed.set_seed`.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from classifier.config import TrainParams
from classifier.data.dataset import validation_split
from classifier.model.backbone.efficientnet import Weights, get_backbone, split_backbone, write_features
from classifier.model.detector import fit_detector
from classifier.model.training import train_model

MIN_VARIANCE = 1e-3  # added to the variance of a feature, which may be 0 in a few images
# Of the learning rate: the pretrained weights change less than those of the head. Chosen on validation images, see
# tests/bench/README.md.
FINE_TUNING_FACTOR = 0.03


def train_with_backbone(
    prepared_dir: Path, weights: Weights, num_classes: int, params: TrainParams, history_path: Path, tmp_dir: Path
) -> tuple[keras.Model, dict[str, float], dict[str, Any]]:
    """Train a classifier with the backbone, and return it with the results of `train_model` and `fit_detector`.

    Args:
        prepared_dir: the prepared dataset.
        weights: the pretrained weights.
        num_classes: the number of logits.
        params: the section `train` of params.yaml.
        history_path: a CSV file that gets one line per epoch; with `unfreeze`, per epoch of fine-tuning.
        tmp_dir: a folder for the features.

    Raises:
        UserError: the loss is not finite.
    """
    images = np.load(prepared_dir / "train" / "images.npy", mmap_mode="r")
    backbone = get_backbone(images.shape[1:], weights)
    with tempfile.TemporaryDirectory(dir=tmp_dir) as folder:
        maps_dir, features_dir = prepared_dir, Path(folder, "features")
        upper = backbone
        if params.unfreeze:
            lower, upper = split_backbone(backbone, params.unfreeze)
            maps_dir = Path(folder, "maps")
            _write_dataset(lower, prepared_dir, maps_dir)
        _write_dataset(upper, maps_dir, features_dir)
        head = get_head(np.load(features_dir / "train" / "images.npy", mmap_mode="r"), num_classes)
        scores = train_model(head, features_dir, params, None if params.unfreeze else history_path)
        logits = fold_head(head)
        if params.unfreeze:
            network = keras.Model(upper.input, layers.Flatten()(logits(upper.output)))
            fine_tuning = params.model_copy(update={"lr": params.lr * FINE_TUNING_FACTOR})
            scores = train_model(network, maps_dir, fine_tuning, history_path)
        # Fine-tuning has changed the features. Else they are there already, as the inputs of the head.
        network, inputs_dir = (backbone, prepared_dir) if params.unfreeze else (head, features_dir)
        detector = fit_detector(network, inputs_dir, validation_split(prepared_dir), params.max_rejected)
    outputs = layers.Flatten(name="flatten")(logits(backbone.output))
    return keras.Model(backbone.input, outputs, name="classifier"), scores, detector


def get_head(features: np.ndarray, num_classes: int) -> keras.Model:
    """Return the untrained head: logits that are linear in the features, which it scales to mean 0 and variance 1.

    All weights are 0 at first, so the logits of few images do not depend on random weights.

    Args:
        features: the features of the training images, float32 of shape (N, 1, 1, features).
        num_classes: the number of logits.
    """
    # Sums over the first axis add rows one after the other, so they are equal on every processor.
    mean = features.mean(axis=0, dtype=np.float64).ravel()
    scale = 1 / np.sqrt(features.var(axis=0, dtype=np.float64).ravel() + MIN_VARIANCE)
    inputs = keras.Input(features.shape[1:], name="features")
    x = layers.Rescaling(scale.tolist(), offset=(-mean * scale).tolist(), name="standardize")(inputs)
    x = layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name="logits")(x)
    return keras.Model(inputs, layers.Flatten()(x))


def fold_head(head: keras.Model) -> layers.Layer:
    """Return the head as one convolution layer, which takes features that are not scaled."""
    kernel, bias = head.get_layer("logits").get_weights()  # (1, 1, features, classes) and (classes,)
    standardize = head.get_layer("standardize")
    scale, offset = (np.array(values)[:, np.newaxis] for values in (standardize.scale, standardize.offset))
    folded = layers.Conv2D(len(bias), 1, name="logits")
    folded.build((None, *head.input_shape[1:]))
    folded.set_weights([kernel * scale, bias + (kernel[0, 0] * offset).sum(axis=0)])
    return folded


def _write_dataset(network: keras.Model, source: Path, target: Path) -> None:
    """Write a prepared dataset with the outputs of a network for the training and validation images of another one."""
    for name in ("train", validation_split(source)):
        (target / name).mkdir(parents=True)
        shutil.copy(source / name / "labels.npy", target / name)
        write_features(network, np.load(source / name / "images.npy", mmap_mode="r"), target / name / "images.npy")
