"""Training with the pretrained backbone: what is trained, what is saved, and what is refused."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import train
from classifier.config import TrainParams
from classifier.model import store
from classifier.model.archive import archive_name, read_archive
from classifier.model.backbone import checkpoint
from support.checkpoints import NUM_FEATURES, install_weights, narrow_weights
from support.datasets import constant_images, write_split
from utils.errors import UserError

pytestmark = pytest.mark.slow  # imports TensorFlow

WEIGHTS = narrow_weights()
SHAPE = (64, 80, 3)
PARAMS = TrainParams(seed=1, lr=0.05, epochs=3, batch_size=4, conv_size=1, dense_size=2, backbone="efficientnet-lite0")
TEXT = "train: {{seed: 1, lr: 0.05, epochs: 2, conv_size: 1, dense_size: 2, backbone: {}}}\n"


@pytest.fixture
def prepared_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with nine training images of different brightness and four test images."""
    folder = tmp_path / "data/prepared"
    for name, values in (("train", range(20, 200, 20)), ("test", (0, 10, 240, 255))):
        labels = [int(value > 100) for value in values]
        write_split(folder, name, constant_images(list(values), *SHAPE[:2]), labels, ["dark", "bright"])
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with narrow weights."""
    file = install_weights(tmp_path / "packages", WEIGHTS)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setattr(checkpoint, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.fixture
def transfer(keras: Any) -> Any:
    """The module, after TensorFlow is configured."""
    from classifier.model.backbone import transfer

    return transfer


def fit(transfer: Any, prepared_dir: Path, **changes: Any) -> tuple[Any, dict[str, float]]:
    transfer.keras.utils.set_random_seed(1)  # Keras shuffles the batches, too
    params = PARAMS.model_copy(update=changes)
    return transfer.train_with_backbone(prepared_dir, WEIGHTS, 2, params, Path("history.csv"), prepared_dir.parent)


def changed_layers(model: Any) -> set[str]:
    """Return the layers of the backbone whose weights are not the pretrained ones."""
    from classifier.model.backbone.efficientnet import get_backbone

    return {
        layer.name
        for layer in get_backbone(SHAPE, WEIGHTS).layers
        if any(map(np.any, map(np.subtract, layer.get_weights(), model.get_layer(layer.name).get_weights())))
    }


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of TensorFlow, when Keras saves
@pytest.mark.usefixtures("installed", "keras")
def test_main_with_backbone_saves_one_model_that_names_the_backbone(prepared_dir: Path) -> None:
    Path("params.yaml").write_text(TEXT.format("efficientnet-lite0, unfreeze: 1"))
    train.main(prepared_dir, Path("model"))
    archive = Path("model") / archive_name()  # this folder has no dvc.yaml, so not the name of the project
    metadata = yaml.safe_load(read_archive(archive)["model.yaml"])["metadata"]
    assert metadata["backbone"] == checkpoint.DESCRIPTION and metadata["parameters"]["unfreeze"] == 1
    assert "pretrained on ImageNet-1k" in metadata["model_card"]
    _, model = store.load_model(archive)
    assert model.input_shape == (None, *SHAPE) and model.output_shape == (None, 2)
    assert sorted(path.name for path in Path("model").iterdir()) == [archive.name, "history.csv"]


def test_train_with_backbone_trains_only_the_head(transfer: Any, prepared_dir: Path) -> None:
    model, scores, detector = fit(transfer, prepared_dir)
    assert detector == transfer.fit_detector(model, prepared_dir, "test", PARAMS.max_rejected)
    assert changed_layers(model) == set()
    rows = Path("history.csv").read_text().splitlines()[1:]
    assert len(rows) == 3 and float(rows[-1].split(",")[-1]) == pytest.approx(scores["val_loss"])
    # The model computes from images what the head computed from features.
    test, labels = (np.load(prepared_dir / "test" / name) for name in ("images.npy", "labels.npy"))
    logits = model.predict_on_batch(test).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), labels]
    assert losses.mean() == pytest.approx(scores["val_loss"], abs=1e-4)
    assert not list(prepared_dir.parent.glob("tmp*"))


@pytest.mark.parametrize(("unfreeze", "prefixes"), [(1, ("block16", "head")), (16, ("block", "head"))])
def test_train_with_backbone_and_unfreeze_trains_the_last_blocks(
    transfer: Any, prepared_dir: Path, unfreeze: int, prefixes: tuple[str, ...]
) -> None:
    changed = changed_layers(fit(transfer, prepared_dir, unfreeze=unfreeze)[0])
    assert changed and all(name.startswith(prefixes) for name in changed)
    assert {name.partition("_")[0] for name in changed} == {f"block{n}" for n in range(17 - unfreeze, 17)} | {"head"}


def test_train_with_backbone_computes_each_feature_once(
    transfer: Any, prepared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    write_features = transfer.write_features
    monkeypatch.setattr(transfer, "write_features", lambda *args: (counts.append(len(args[1])), write_features(*args)))
    fit(transfer, prepared_dir)
    assert counts == [9, 4]


@pytest.mark.parametrize("unfreeze", [0, 2])
def test_train_with_backbone_is_reproducible(transfer: Any, prepared_dir: Path, unfreeze: int) -> None:
    first, second = (fit(transfer, prepared_dir, unfreeze=unfreeze)[0].get_weights() for _ in range(2))
    assert all(map(np.array_equal, first, second))


def test_fold_head_gives_the_logits_of_the_head(transfer: Any) -> None:
    rng = np.random.default_rng(2)
    features = rng.uniform(0, 6, (50, 1, 1, NUM_FEATURES)).astype(np.float32)
    features[..., 3] = 0  # a feature that no image has
    head = transfer.get_head(features, 3)
    assert not head.predict_on_batch(features).any()
    weights = [rng.normal(size=array.shape) for array in head.get_layer("logits").get_weights()]
    head.get_layer("logits").set_weights(weights)
    standardized = (features - features.mean(axis=0)) / np.sqrt(features.var(axis=0) + 1e-3)
    expected = standardized.reshape(50, -1) @ weights[0][0, 0] + weights[1]
    np.testing.assert_allclose(head.predict_on_batch(features), expected, rtol=1e-3, atol=1e-4)
    folded = np.asarray(transfer.fold_head(head)(features)).reshape(50, 3)
    np.testing.assert_allclose(folded, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "size", "message"),
    [
        ("efficientnet-lite0", (63, 64), r"train\.backbone: expected images of 64 to 224 pixels, got 63 x 64; change "),
        (
            "efficientnet-lite0",
            (64, 225),
            r"train\.backbone: expected images of 64 to 224 pixels, got 64 x 225; change",
        ),
        (
            "none, unfreeze: 1",
            (64, 64),
            r"train\.unfreeze: needs a backbone; set train\.backbone, or remove train\.unfreeze",
        ),
        ("efficientnet-lite0", (64, 64), r"train\.backbone: .* is not installed; run `pip install -r src/"),
    ],
)
def test_main_with_backbone_that_cannot_be_used_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, size: tuple[int, int], message: str
) -> None:
    for name in ("train", "test"):
        write_split(tmp_path, name, constant_images([0, 255], *size), [0, 1], ["a", "b"])
    Path(tmp_path, "params.yaml").write_text(TEXT.format(backbone))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}"):
        train.main(tmp_path, Path("model"))
    assert not Path("model").exists()


@pytest.mark.usefixtures("installed")
def test_main_with_backbone_on_several_devices_fails(
    keras: Any, prepared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier.model import distributed

    monkeypatch.setattr(distributed, "get_topology", lambda: distributed.Topology(0, 2, 4))
    Path("params.yaml").write_text(TEXT.format("efficientnet-lite0"))
    with pytest.raises(UserError, match=r"train\.backbone: needs a single device, but there are 4"):
        train.main(prepared_dir, Path("model"))
