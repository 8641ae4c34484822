"""Stage 2: train the classifier, and save it with preprocess, postprocess and detect_unknown as one model archive.

    python src/train.py data/prepared model

Reads the prepared arrays and the section `train` of params.yaml. Writes the model archive and history.csv, which gets
one line per epoch while training runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils import seed  # isort: split

import numpy as np

from classifier.config import AugmentParams, TrainParams, load_params
from classifier.data.dataset import dataset_summary, load_split, validation_split
from classifier.model.archive import archive_name
from classifier.model.backbone import checkpoint
from classifier.model.saving import save_model
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import atomic_output_dir, cleanup_on_failure, printable

if TYPE_CHECKING:
    import keras

# Axes of (image, height, width, channel)
EACH_CHANNEL: tuple[int, ...] = (1, 2)
ALL_CHANNELS: tuple[int, ...] = (1, 2, 3)
BACKBONE_IMAGE_SIZES = (64, 224)  # the smallest and largest height and width in pixels


def main(prepared_dir: Path, model_dir: Path) -> None:
    """Train on the prepared dataset and write the outputs to `model_dir`."""
    params, archive_path = load_params(TrainParams), model_dir / archive_name()
    class_names, image_shape = check_dataset(prepared_dir, params)
    weights = load_backbone_weights(params, image_shape)

    seed.set_seed(params.seed)
    import keras

    from classifier.model.backbone.transfer import train_with_backbone
    from classifier.model.detector import fit_detector
    from classifier.model.distributed import get_topology
    from classifier.model.training import train_model

    topology = get_topology()
    if weights and topology.device_count > 1:
        raise UserError(
            f"params.yaml: train.backbone: needs a single device, but there are {topology.device_count}; set it to none"
        )
    size = image_shape, params.conv_size, params.dense_size, len(class_names)
    if topology.process_index > 0:  # only the main process saves the model
        train_model(get_model(*size), prepared_dir, params, None)
        return
    model_dir.mkdir(parents=True, exist_ok=True)
    history_path = model_dir / "history.csv"
    with atomic_output_dir(model_dir) as tmp_dir, cleanup_on_failure(history_path):
        if weights:
            model, scores, detector = train_with_backbone(
                prepared_dir, weights, len(class_names), params, history_path, tmp_dir
            )
        else:
            model = get_model(*size)
            scores = train_model(model, prepared_dir, params, history_path)
            keras.distribution.set_distribution(None)  # the other processes take part in nothing else
            detector = fit_detector(model, prepared_dir, validation_split(prepared_dir), params.max_rejected)
        metadata = {
            "parameters": params.effective(),
            "scores": scores,
            "data": dataset_summary(class_names, prepared_dir),
        }
        tag = save_model(
            model,
            class_names,
            image_size=image_shape[:2],
            grayscale=image_shape[2] == 1,
            detector=detector,
            metadata=metadata | ({"backbone": checkpoint.DESCRIPTION} if weights else {}),
            path=tmp_dir / archive_path.name,
        )
    print(f"{tag}: val_accuracy {scores['val_accuracy']:.4f}, in the BentoML store and in {printable(archive_path)}")


def check_dataset(prepared_dir: Path, params: TrainParams) -> tuple[list[str], tuple[int, int, int]]:
    """Return the class names, and the (height, width, channels) of the images.

    Raises:
        UserError: the prepared dataset is missing or damaged, or the parameters do not fit it.
    """
    class_names, train = load_split(prepared_dir, "train")
    val_name = validation_split(prepared_dir)
    where = printable(prepared_dir)
    for name in (val_name, "test"):
        _, split = load_split(prepared_dir, name)
        if split.images.shape[1:] != train.images.shape[1:]:
            raise UserError(f"{where}: train and {name} images have different shapes; run `dvc repro` again")
    if params.output_classes not in (None, len(class_names)):
        raise UserError(
            f"params.yaml: train.output_classes: expected {len(class_names)}, the number of classes in {where}, got "
            f"{params.output_classes}"
        )
    if params.patience and val_name == "test":
        raise UserError(
            f"params.yaml: train.patience: {where} has no validation images to stop by; set prepare.validation above "
            "0, or remove train.patience"
        )
    height, width, channels = train.images.shape[1:]
    return class_names, (height, width, channels)


def load_backbone_weights(params: TrainParams, image_shape: tuple[int, ...]) -> dict[str, np.ndarray] | None:
    """Return the pretrained weights, or None if `train.backbone` is none.

    Raises:
        UserError: the parameters and the images do not fit, or the weights are not installed.
    """
    height, width, _ = image_shape
    if params.backbone == "none":
        if params.unfreeze:
            raise UserError(
                "params.yaml: train.unfreeze: needs a backbone; set train.backbone, or remove train.unfreeze"
            )
        return None
    if params.augment != AugmentParams():
        raise UserError("params.yaml: train.augment: is not supported with a backbone; remove one of them")
    low, high = BACKBONE_IMAGE_SIZES
    if min(height, width) < low or max(height, width) > high:
        raise UserError(
            f"params.yaml: train.backbone: expected images of {low} to {high} pixels, got {height} x {width}; "
            "change prepare.image_size, to [128, 128] for example"
        )
    return checkpoint.load_weights()


def get_model(image_shape: tuple[int, int, int], conv_size: int, dense_size: int, output_classes: int) -> "keras.Model":
    """Return the untrained network: the tutorial's CNN, deeper and with normalisation.

    Each block halves the image until at most 4 x 4 positions are left, so a larger image gets more blocks.

    Every layer gives the same bits on every x86-64 processor with AVX2. So there is no `Dense` layer: its matrix
    product splits long sums by cache size. A convolution over the whole feature map computes the same. Keras's
    normalisation layers use `rsqrt`, and its GELU uses `erfc`; both differ between processors. `normalize` and SiLU
    do not.

    Args:
        image_shape: (height, width, channels) of the uint8 images.
        conv_size: the number of filters of the first convolution; the next have twice and four times as many.
        dense_size: the number of units of the layer "features", which a `Dense` layer is in the tutorial.
        output_classes: the number of logits.
    """
    import keras
    from keras import layers

    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(inputs)
    filters, axes = conv_size, EACH_CHANNEL
    while max(x.shape[1:3]) > 4:
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
        x = layers.Activation("silu")(normalize(x, axes))
        filters, axes = min(2 * filters, 4 * conv_size), ALL_CHANNELS
    x = layers.Conv2D(dense_size, x.shape[1:3], name="features")(x)  # also those of the detector of unknown images
    x = layers.Activation("silu")(normalize(x, ALL_CHANNELS))
    x = layers.Conv2D(output_classes, 1, name="logits")(x)
    return keras.Model(inputs, layers.Flatten()(x), name="classifier")


def normalize(x: Any, axes: tuple[int, ...]) -> Any:
    """Scale each image's features to mean 0 and variance 1 over these axes.

    Over each channel, this is instance normalisation (Ulyanov et al. 2016, arXiv:1607.08022); over all channels, layer
    normalisation (Ba et al. 2016, arXiv:1607.06450), here without scale and offset.
    """
    from keras import ops

    centered = x - ops.mean(x, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    return centered / ops.sqrt(variance + 1e-3)


if __name__ == "__main__":
    run_cli(main, make_parser(__doc__, "prepared_dir", "model_dir"))
