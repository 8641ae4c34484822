"""Training with a validation set: its metrics in history.csv, and early stopping."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import train
from classifier.config import TrainParams
from support.datasets import constant_images, write_split
from support.projects import SMALL_PARAMS
from utils.errors import UserError

pytestmark = pytest.mark.slow  # imports TensorFlow

PARAMS = TrainParams(seed=1, lr=0.1, epochs=12, batch_size=4, conv_size=1, dense_size=2)
CLASS_NAMES = ["dark", "bright"]


@pytest.fixture
def prepared_dir(tmp_path: Path) -> Path:
    """Training and test images agree; the validation images have the opposite labels, so their loss rises."""
    for name, labels in (("train", [0] * 4 + [1] * 4), ("validation", [1] * 4 + [0] * 4), ("test", [0] * 4 + [1] * 4)):
        write_split(tmp_path, name, constant_images([0, 10, 20, 30, 225, 235, 245, 255]), labels, CLASS_NAMES)
    return tmp_path


def fit(keras: Any, prepared_dir: Path, **changes: int) -> tuple[Any, dict[str, float], list[list[float]]]:
    """Train a linear model; return it, its metrics, and the rows of history.csv."""
    from classifier.model.training import train_model

    keras.utils.set_random_seed(1)
    layers = [keras.Input((4, 3, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    metrics = train_model(model, prepared_dir, PARAMS.model_copy(update=changes), prepared_dir / "history.csv")
    rows = (prepared_dir / "history.csv").read_text().splitlines()[1:]
    return model, metrics, [[float(value) for value in row.split(",")] for row in rows]


def test_train_model_validates_on_the_validation_images(keras: Any, prepared_dir: Path) -> None:
    _, metrics, rows = fit(keras, prepared_dir)
    assert len(rows) == 12 and metrics["accuracy"] > 0.8 and metrics["val_accuracy"] == rows[-1][3] < 0.2


def test_train_model_without_validation_images_validates_on_the_test_images(keras: Any, prepared_dir: Path) -> None:
    shutil.rmtree(prepared_dir / "validation")
    _, metrics, _ = fit(keras, prepared_dir)
    assert metrics["val_accuracy"] > 0.8


def test_train_model_with_patience_stops_and_keeps_the_best_epoch(keras: Any, prepared_dir: Path) -> None:
    from classifier.data.dataset import load_split

    model, metrics, rows = fit(keras, prepared_dir, patience=3)
    val_losses = [row[4] for row in rows]
    best = val_losses.index(min(val_losses))
    assert len(rows) == best + 1 + 3 < 12
    assert metrics["val_loss"] == pytest.approx(val_losses[best])
    _, validation = load_split(prepared_dir, "validation")
    val_loss, _ = model.evaluate(validation.images, validation.labels, verbose=0)
    assert val_loss == pytest.approx(val_losses[best], abs=1e-6)


def test_train_model_with_patience_is_reproducible(keras: Any, prepared_dir: Path) -> None:
    (first, metrics, rows), (second, same_metrics, same_rows) = (fit(keras, prepared_dir, patience=3) for _ in range(2))
    assert (metrics, rows) == (same_metrics, same_rows)
    assert all((a == b).all() for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_main_with_patience_but_without_validation_images_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train", "test"):
        write_split(tmp_path, name, constant_images([0, 1]), [0, 1], CLASS_NAMES)
    monkeypatch.chdir(tmp_path)
    params = SMALL_PARAMS.replace("output_classes: 11", "output_classes: 2, patience: 3")
    Path("params.yaml").write_text(params)
    with pytest.raises(UserError, match=r"train\.patience: .* has no validation images to stop by; set prepare\.valid"):
        train.main(tmp_path, Path("model"))
