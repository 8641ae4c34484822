"""`evaluate.py` in this process, with a stand-in for the network: predictions, metrics, files and errors."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evaluate
from classifier import images
from classifier.data.dataset import Split
from classifier.evaluation import results
from classifier.model.archive import ARCHIVE_NAME
from support.datasets import constant_images, write_split
from utils.errors import UserError

CLASS_NAMES = ["dark", "bright"]
HISTORY = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.5,0.25,2.0\n1,0.75,0.5,0.5,1.0\n"
TEST_VALUES = [10, 90, 200, 250, 100]  # brightness of each test image
TEST_LABELS = [0, 0, 1, 1, 1]  # the last image is dark for its class
METRIC_NAMES = [
    *("model", "val_loss", "val_acc", "val_acc_low", "val_acc_high", "baseline_acc", "calibration_error"),
    *("precision", "recall", "f1", "classes", "slices"),
]
TAG = "celestial_bodies_classifier_model:0123456789abcdef"


class BrightnessModel:
    """A stand-in for the Keras model: images brighter than 128 are probably of class 1."""

    input_shape = (None, 4, 3, 3)

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def predict_on_batch(self, batch: np.ndarray) -> np.ndarray:
        self.batch_sizes.append(len(batch))
        score = (batch.mean(axis=(1, 2, 3)) - 128) / 20
        return np.stack([np.zeros(len(batch)), score], axis=1).astype(np.float32)


def bento_model(class_names: list[str]) -> Any:
    split = {"pictures": 4, "sha256": "00"}
    metadata = {
        "classes": class_names,
        "image_size": [4, 3],
        "grayscale": False,
        "parameters": {"lr": 0.002},
        "data": {"train": split, "test": split, "classes": {name: {"train": 2, "test": 2} for name in class_names}},
    }
    transforms = {
        "preprocess": None,
        "postprocess": lambda logits: images.postprocess(logits, class_names),
    }
    return SimpleNamespace(tag=TAG, info=SimpleNamespace(metadata=metadata), custom_objects=transforms)


def write_project(folder: Path) -> None:
    """Write a small prepared dataset and a history."""
    prepared_dir = folder / "data/prepared"
    write_split(prepared_dir, "train", constant_images([0, 40, 220, 240]), [0, 0, 1, 1], CLASS_NAMES)
    write_split(prepared_dir, "test", constant_images(TEST_VALUES), TEST_LABELS, CLASS_NAMES)
    (folder / "model").mkdir()
    (folder / "model/history.csv").write_text(HISTORY)


def run_main(project: Path, model: BrightnessModel | None = None, class_names: list[str] = CLASS_NAMES) -> None:
    """Run `evaluate.main` in a project; with a model, without loading the archive."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(project)
        monkeypatch.setattr(evaluate.seed, "set_seed", lambda *_, **__: None)
        if model:
            monkeypatch.setattr(evaluate, "import_model", lambda _: TAG)
            monkeypatch.setattr(evaluate, "load_from_store", lambda _: (bento_model(class_names), model))
        evaluate.main(Path("model"), Path("data/prepared"))


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def model() -> BrightnessModel:
    return BrightnessModel()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, model: BrightnessModel) -> Path:
    """A project after `evaluate.main`. Tests only read it."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_project(folder)
    run_main(folder, model)
    return folder / "evaluation"


def test_main_writes_all_files(evaluated: Path) -> None:
    tables = {"metrics.json", "model_card.md", "predictions.csv", "calibration.csv", "classes.csv"}
    figures = {f"plots/{name}.png" for name in ("training_history", "pred_preview", "mistakes", "confusion_matrix")}
    assert set(read_all(evaluated)) == tables | figures
    for name in figures:
        with Image.open(evaluated / name) as image:
            image.verify()
    assert f"# Model card: {TAG}" in (evaluated / "model_card.md").read_text()


@pytest.mark.usefixtures("evaluated")
def test_main_never_predicts_single_images(model: BrightnessModel) -> None:
    assert 1 not in model.batch_sizes


def test_main_writes_known_metrics(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert list(metrics) == METRIC_NAMES
    assert (metrics["model"], metrics["val_acc"], metrics["baseline_acc"]) == (TAG, 0.8, 0.8)
    assert metrics["classes"]["dark"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2}
    assert metrics["slices"]["brightness"]["medium"]["accuracy"] == 0.5  # the images of 100 and 200
    margins = np.array([118, 38, 72, 122, -28]) / 20  # the logit of the actual class minus the other
    assert metrics["val_loss"] == pytest.approx(np.log(1 + np.exp(-margins)).mean(), abs=1e-6)


def test_main_writes_tables_in_documented_formats(evaluated: Path) -> None:
    assert (evaluated / "predictions.csv").read_text() == (
        "file,actual,predicted,confidence\n"
        "dark/0.png,dark,dark,0.997268\n"
        "dark/1.png,dark,dark,0.869892\n"
        "bright/2.png,bright,bright,0.973403\n"
        "bright/3.png,bright,bright,0.997762\n"
        "bright/4.png,bright,dark,0.802184\n"
    )
    assert (evaluated / "calibration.csv").read_text() == (
        "confidence,accuracy,perfect,pictures\n0.836038,0.5,0.836038,2\n0.989478,1.0,0.989478,3\n"
    )
    assert (evaluated / "classes.csv").read_text() == (
        "class,precision,recall,f1,support\ndark,0.6666666666666666,1.0,0.8,2\nbright,1.0,0.6666666666666666,0.8,3\n"
    )


def test_main_run_again_writes_equal_bytes(evaluated: Path, project: Path) -> None:
    run_main(project, BrightnessModel())
    assert read_all(project / "evaluation") == read_all(evaluated)


def test_predictions_csv_escapes_unprintable_file_names(tmp_path: Path) -> None:
    test = Split(constant_images([10]), np.array([0]), ["dark/new\nline.png"])
    predictions = results.Predictions(np.zeros((1, 2)), np.array([0]), np.array([0.5]), np.array([True]))
    scores = {"model": TAG, **results.compute_metrics(predictions, CLASS_NAMES, test, test)}
    metadata = bento_model(CLASS_NAMES).info.metadata
    results.write_results(tmp_path, predictions, scores, metadata, CLASS_NAMES, test)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1] == r"dark/new\nline.png,dark,dark,0.500000"


@pytest.mark.parametrize("class_names", [["dark", "light"], ["bright", "dark"], ["dark", "bright", "other"]])
def test_main_with_model_of_other_classes_fails(project: Path, class_names: list[str]) -> None:
    with pytest.raises(UserError, match="trained on other classes or another image size"):
        run_main(project, BrightnessModel(), class_names)


def test_main_with_model_of_other_image_size_fails(project: Path) -> None:
    model = BrightnessModel()
    model.input_shape = (None, 3, 4, 3)
    with pytest.raises(UserError, match="trained on other classes or another image size"):
        run_main(project, model)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("data/prepared/labels.json", None, "is missing"),
        ("data/prepared/labels.json", b"{", "is damaged"),
        ("data/prepared/labels.json", b'["Mars"]', "is not a list of different class names"),
        ("data/prepared/test/images.npy", None, "is missing"),
        ("data/prepared/test/images.npy", 150, "is damaged"),
        ("data/prepared/train/labels.npy", 20, "is damaged"),
        ("data/prepared/test/files.json", b"[]", "differ in number"),
        ("model/history.csv", None, "is missing"),
        ("model/history.csv", b"", "is damaged"),
        ("model/history.csv", b"epoch,loss\n0,x\n", "is damaged"),
        ("model/history.csv", HISTORY[:-5].encode(), "is damaged"),
        ("model/history.csv", HISTORY.replace("1.5", "one").encode(), "is damaged"),
        ("model/history.csv", HISTORY.replace("1.5", "nan").encode(), "is damaged"),
        ("model/history.csv", b"\xff\xfe", "is damaged"),
        (f"model/{ARCHIVE_NAME}", None, "is missing"),
        (f"model/{ARCHIVE_NAME}", b"a random file", "is damaged"),
    ],
)
def test_main_with_missing_or_damaged_input_names_the_file(
    project: Path, path: str, content: bytes | int | None, message: str
) -> None:
    """A number truncates the file to this many bytes; None deletes it."""
    file = project / path
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(UserError, match=message) as error:
        run_main(project)
    assert str(error.value).startswith(path.rsplit("/", 1)[0])
    assert not (project / "evaluation").exists()


def test_read_history_returns_all_columns(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HISTORY)
    history = evaluate.read_history(tmp_path / "history.csv")
    assert history == {
        "epoch": [0, 1],
        "loss": [1.5, 0.5],
        "accuracy": [0.5, 0.75],
        "val_loss": [2.0, 1.0],
        "val_accuracy": [0.25, 0.5],
    }
