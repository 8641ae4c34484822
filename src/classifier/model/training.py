"""The training loop.

This module imports Keras, which takes 10 s; import it after `utils.seed.set_seed`.
"""

import math
import sys
from pathlib import Path
from typing import Any

import keras

from classifier.config import TrainParams
from classifier.data.dataset import validation_split
from classifier.model.batches import ImageBatches, as_fit_input
from classifier.model.distributed import ShardedImageBatches, get_topology
from utils.errors import UserError

VALIDATION_BATCH_SIZE = 256


class ProgressLogger(keras.callbacks.Callback):
    """Print one line per epoch, for output that is not a terminal."""

    def __init__(self, epochs: int) -> None:
        """Store the total number of epochs."""
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print the metrics."""
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"epoch {epoch + 1}/{self.epochs}: {metrics}", flush=True)


def train_model(
    model: "keras.Model", prepared_dir: Path, params: TrainParams, history_path: Path | None
) -> dict[str, float]:
    """Train the model and return the metrics of the last epoch, or with `patience` of the best one.

    With `patience`, training stops after that many epochs without a lower val_loss, and the model gets the weights of
    the epoch with the lowest val_loss.

    Args:
        model: from uint8 images to logits.
        prepared_dir: the prepared dataset.
        params: the section `train` of params.yaml.
        history_path: a CSV file that gets one line per epoch; None prints and writes nothing.

    Raises:
        UserError: the loss is not finite.
    """
    is_distributed = get_topology().device_count > 1
    batches = ShardedImageBatches if is_distributed else ImageBatches
    train = batches(prepared_dir / "train", params.batch_size, params.seed, params.class_weights, params.augment)
    validation = batches(prepared_dir / validation_split(prepared_dir), VALIDATION_BATCH_SIZE)
    train_ds, val_ds = as_fit_input(train), as_fit_input(validation)
    _compile(model, params, len(train), is_distributed)

    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN(raise_error=True)]
    is_terminal = sys.stdout.isatty()
    if history_path:
        callbacks.append(keras.callbacks.CSVLogger(history_path))
        if not is_terminal:
            callbacks.append(ProgressLogger(params.epochs))
    if params.patience:
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=params.patience, restore_best_weights=True)
        callbacks.append(stopping)
    fix = "use a smaller train.lr in params.yaml"
    try:
        history: Any = model.fit(
            train_ds,
            validation_data=val_ds,
            epochs=params.epochs,
            callbacks=callbacks,
            shuffle=train_ds is train,  # `fit` cannot shuffle a TensorFlow dataset
            verbose=1 if history_path and is_terminal else 0,
        )
    except RuntimeError as error:  # from TerminateOnNaN
        if "loss encountered" not in str(error):
            raise
        raise UserError(f"the loss is not finite; {fix}") from None
    val_losses = history.history["val_loss"]
    if not_finite := [loss for loss in val_losses if not math.isfinite(loss)]:
        raise UserError(f"val_loss is {not_finite[0]}, which is not finite; {fix}")
    epoch = val_losses.index(min(val_losses)) if params.patience else -1
    return {name: values[epoch] for name, values in history.history.items()}


def _compile(model: "keras.Model", params: TrainParams, steps_per_epoch: int, is_distributed: bool) -> None:
    # The learning rate falls to zero: at a constant rate, the accuracy of the last epochs varies by two points.
    schedule = keras.optimizers.schedules.CosineDecay(params.lr, params.epochs * steps_per_epoch)
    metrics: list[Any] = ["accuracy"]
    if is_distributed:  # Keras's own mean of the loss counts padding, which has sample weight 0
        metrics.append(keras.metrics.SparseCategoricalCrossentropy("loss", from_logits=True))
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        weighted_metrics=metrics,
        steps_per_execution=8,
    )
