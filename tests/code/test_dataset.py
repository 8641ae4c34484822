"""classifier.data: decoder, writer, preview, and load_split."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from classifier.config import PrepareParams
from classifier.data.dataset import Split, dataset_summary, load_split
from classifier.data.decoder import ImageInfo, decode_images
from classifier.data.discovery import RawDataset
from classifier.data.preview import MAX_ROWS, draw_preview
from classifier.data.writer import write_split
from classifier.images import preprocess
from support.images import encode, gradient_image
from utils.errors import UserError
from utils.parallel import Pool

PARAMS = PrepareParams(seed=77, split=0.25, image_size=(6, 8), grayscale=False)
CLASS_NAMES = ["Mars", "Venus"]
PATHS = [f"{class_name}/{i}.png" for class_name in CLASS_NAMES for i in range(5)]
LABELS = [0] * 5 + [1] * 5


def write(folder: Path, params: PrepareParams = PARAMS, **splits: list[int]) -> list[ImageInfo]:
    """Decode all images, and write splits with these indices."""
    dataset = RawDataset(folder / "raw", CLASS_NAMES, PATHS, LABELS)
    with ThreadPoolExecutor(2) as executor, decode_images(Pool(executor, 2), dataset, folder, params) as decoded:
        for name, indices in splits.items():
            write_split(dataset, decoded, indices, folder / name)
    return decoded.infos


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Ten images of two classes: eight for training, two for testing."""
    for i, path in enumerate(PATHS):
        file = tmp_path / "raw" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(gradient_image().rotate(36 * i), "PNG"))
    write(tmp_path, train=[9, 1, 2, 3, 4, 6, 7, 8], test=[5, 0])
    (tmp_path / "labels.json").write_text(json.dumps(CLASS_NAMES))
    return tmp_path


def test_write_split_writes_what_load_split_reads(prepared: Path) -> None:
    class_names, test = load_split(prepared, "test")
    assert class_names == CLASS_NAMES
    assert test.files == ["Venus/0.png", "Mars/0.png"]
    assert test.labels.tolist() == [1, 0] and test.labels.dtype == np.int32
    assert test.images.shape == (2, 6, 8, 3) and test.images.dtype == np.uint8
    for file, image in zip(test.files, test.images, strict=True):
        assert np.array_equal(image[None], preprocess(prepared / "raw" / file, (6, 8), False))
    assert sorted(path.name for path in (prepared / "test").iterdir()) == ["files.json", "images.npy", "labels.npy"]


def test_write_split_with_grayscale_writes_one_channel(prepared: Path) -> None:
    write(prepared, PARAMS.model_copy(update={"grayscale": True}), gray=[0, 1])
    assert np.load(prepared / "gray" / "images.npy").shape == (2, 6, 8, 1)


@pytest.mark.parametrize("num_classes", [2, MAX_ROWS + 5])
def test_draw_preview_has_one_row_per_class(num_classes: int) -> None:
    labels = np.repeat(np.arange(num_classes, dtype=np.int32), 3)
    images = np.full((len(labels), 4, 4, 1), 255, np.uint8)
    preview = draw_preview(Split(images, labels, []), [f"class {i}" for i in range(num_classes)], columns=2, cell_px=16)
    assert preview.size == (130 + 2 * 18, min(num_classes, MAX_ROWS) * 18)


def save(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "train" / name, array)


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no_labels": (lambda folder: (folder / "labels.json").unlink(), "labels.json is missing; run `dvc repro`"),
    "no_images": (lambda folder: (folder / "train/images.npy").unlink(), "train/images.npy is missing"),
    "not_json": (lambda folder: (folder / "train/files.json").write_text("["), "train/files.json is damaged"),
    "cut": (lambda folder: (folder / "train/images.npy").write_bytes(b"\x93NUMPY"), "train/images.npy is damaged"),
    "pickle": (save("labels.npy", np.array([{}])), "train/labels.npy is damaged"),
    "one_class": (lambda folder: (folder / "labels.json").write_text('["a"]'), "is not a list of different class"),
    "same_names": (lambda folder: (folder / "labels.json").write_text('["a", "a"]'), "is not a list of different"),
    "float_images": (save("images.npy", np.zeros((8, 6, 8, 3))), "has type float64 and shape (8, 6, 8, 3), not images"),
    "no_channels": (save("images.npy", np.zeros((8, 6, 8), np.uint8)), "has type uint8 and shape (8, 6, 8), not"),
    "two_channels": (save("images.npy", np.zeros((8, 6, 8, 2), np.uint8)), "not images"),
    "fewer_images": (save("images.npy", np.zeros((7, 6, 8, 3), np.uint8)), "images, labels and files differ in number"),
    "unknown_label": (save("labels.npy", np.full(8, 2, np.int32)), "has labels that are not in labels.json"),
    "negative_label": (save("labels.npy", np.full(8, -1, np.int32)), "has labels that are not in labels.json"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_load_split_of_damaged_data_is_an_error_that_names_the_file(prepared: Path, case: str) -> None:
    change, message = DAMAGED[case]
    change(prepared)
    with pytest.raises(UserError) as error:
        load_split(prepared, "train")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_dataset_summary_counts_images_of_each_class_and_split(prepared: Path) -> None:
    (prepared / "near_duplicates.json").write_text("[]")
    summary = dataset_summary(CLASS_NAMES, prepared)
    assert summary["classes"] == {"Mars": {"train": 4, "test": 1}, "Venus": {"train": 4, "test": 1}}
    assert len(summary["train"]["sha256"]) == 64
    assert "leaks" not in summary


def test_dataset_summary_counts_test_images_that_are_near_duplicates_of_training_images(prepared: Path) -> None:
    train, test = (json.loads((prepared / name / "files.json").read_text()) for name in ("train", "test"))
    groups = [[train[0], test[0]], [train[1], train[2]], [test[1], test[0]]]
    (prepared / "near_duplicates.json").write_text(json.dumps(groups))
    assert dataset_summary(CLASS_NAMES, prepared)["leaks"] == 1
    (prepared / "near_duplicates.json").unlink()
    with pytest.raises(UserError, match=r"near_duplicates\.json is missing; run `dvc repro`"):
        dataset_summary(CLASS_NAMES, prepared)
