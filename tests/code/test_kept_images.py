"""Kept images: what the service stores, within limits, and that this never fails a prediction. No TensorFlow."""

import hashlib
import logging
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from classifier.kept_images import folder as kept_folder
from classifier.kept_images.folder import KeptImages
from classifier.serving import keeping
from classifier.serving.keeping import check_keep_folder, images_not_kept, keep_uncertain
from support.commands import ROOT, without_root_rights
from support.images import encode
from support.kept import MODEL, keep, png, prediction, read_json
from support.stages import with_limit
from utils.errors import UserError

KEEP_ONE = """
import sys
from pathlib import Path
from classifier.serving.keeping import images_not_kept, keep_uncertain
predictions = [{"prediction": "Mars", "probabilities": {"Mars": 0.5}, "known": True, "novelty": 0.5}]
keep_uncertain(sys.argv[1], "model:1", [Path(sys.argv[2]).read_bytes()], predictions)
print(predictions[0].get("kept"), images_not_kept()._value.get())
"""


@pytest.fixture(autouse=True)
def new_log() -> None:
    keeping._log_once.cache_clear()


def num_lost() -> float:
    return images_not_kept()._value.get()


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.parametrize(
    ("values", "is_kept"),
    [
        (prediction(0.79), True),
        (prediction(0.8), False),
        (prediction(0.79, known=True, novelty=0.2), True),
        (prediction(0.99, known=False, novelty=1.5), True),
        (prediction(0.99, known=True, novelty=1.0), False),
    ],
)
def test_keep_uncertain_keeps_unknown_and_uncertain_images_only(
    tmp_path: Path, values: dict[str, Any], is_kept: bool
) -> None:
    keep_uncertain(str(tmp_path), MODEL, [png(0)], [values])
    if not is_kept:
        assert "kept" not in values and list_names(tmp_path) == []
        return
    image_id = hashlib.sha256(png(0)).hexdigest()[:32]
    assert values["kept"] == image_id and list_names(tmp_path) == [f"{image_id}.json", f"{image_id}.png"]
    assert (tmp_path / f"{image_id}.png").read_bytes() == png(0)
    record = read_json(tmp_path, image_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.pop("time"))
    assert record == {
        "file": f"{image_id}.png",
        "prediction": "Mars",
        "confidence": values["probabilities"]["Mars"],
        "known": values["known"],
        "novelty": values["novelty"],
        "model": MODEL,
    }


@pytest.mark.parametrize(
    ("format", "extension"),
    [("JPEG", ".jpg"), ("MPO", ".jpg"), ("GIF", ".gif"), ("TIFF", ".tiff"), ("WEBP", ".webp"), ("JPEG2000", ".jp2")],
)
def test_keep_names_the_file_by_its_content(tmp_path: Path, format: str, extension: str) -> None:
    image = Image.new("RGB", (8, 8))
    content = encode(image, format, save_all=True, append_images=[image]) if format == "MPO" else encode(image, format)
    image_id = KeptImages(tmp_path).keep(content, prediction(), MODEL)
    assert (tmp_path / (image_id + extension)).read_bytes() == content
    assert KeptImages(tmp_path).read(image_id).file == image_id + extension


def test_keep_with_a_kept_image_keeps_its_label(tmp_path: Path) -> None:
    (image_id,) = keep(tmp_path, 0.5)
    KeptImages(tmp_path).label(image_id, "Moon", "model:2")
    before = read_json(tmp_path, image_id)
    assert keep(tmp_path, 0.3) == [image_id]
    assert read_json(tmp_path, image_id) == before
    assert before["label"] == "Moon" and before["labelled_model"] == "model:2"


@pytest.mark.parametrize("limit", ["MAX_IMAGES", "MAX_BYTES"])
def test_keep_uncertain_with_a_full_folder_keeps_no_more_and_logs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str
) -> None:
    keep(tmp_path / "two", 0.5, 0.5)
    two_images = sum(path.stat().st_size for path in (tmp_path / "two").iterdir())
    monkeypatch.setattr(kept_folder, limit, 2 if limit == "MAX_IMAGES" else two_images + len(png(2)) - 1)
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)
    predictions, before = [prediction() for _ in range(9)], num_lost()
    with caplog.at_level(logging.ERROR, "bentoml.kept_images"):
        keep_uncertain(str(folder), MODEL, [png(i) for i in range(9)], predictions)
    assert ["kept" in p for p in predictions] == [True, True] + 7 * [False]
    assert len(list_names(folder)) == 4 and num_lost() == before + 7
    (message,) = [record.getMessage() for record in caplog.records]
    assert "is full (" in message and "label or remove some" in message


@pytest.mark.parametrize("failing", ["image", "record"])
def test_keep_uncertain_on_a_full_disk_stores_nothing(tmp_path: Path, failing: str) -> None:
    folder, image = tmp_path / "kept", tmp_path / "image.png"
    folder.mkdir()
    image.write_bytes(encode(Image.effect_noise((99, 99), 80), "PNG") if failing == "image" else png(0))
    limit = "-f 1" if failing == "image" else "-f 0"
    (folder / ".lock").touch()
    command = with_limit(limit, ("-c", KEEP_ONE, str(folder), str(image)))
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert result.stdout == "None 1.0\n" and "File too large" in result.stderr and "Traceback" not in result.stderr
    assert list_names(folder) == []


def test_keep_uncertain_with_a_read_only_folder_keeps_nothing(tmp_path: Path) -> None:
    folder, image = tmp_path / "kept", tmp_path / "image.png"
    image.write_bytes(png(0))
    folder.mkdir(0o555)
    command = [*without_root_rights(), sys.executable, "-c", KEEP_ONE, str(folder), str(image)]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    folder.chmod(0o755)
    assert result.stdout == "None 1.0\n" and "Permission denied" in result.stderr and list_names(folder) == []


def test_keep_uncertain_after_the_folder_is_removed_keeps_nothing(tmp_path: Path) -> None:
    values, before = prediction(), num_lost()
    keep_uncertain(str(tmp_path / "removed"), MODEL, [png(0)], [values])
    assert "kept" not in values and num_lost() == before + 1


def test_keep_whose_record_cannot_be_written_removes_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KeptImages, "_write_record", fail)
    with pytest.raises(OSError, match="No space"):
        keep(tmp_path, 0.5)
    assert list_names(tmp_path) == []


def test_keep_in_many_threads_stays_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_folder, "MAX_IMAGES", 10)
    with ThreadPoolExecutor(8) as executor:
        for i in range(40):
            executor.submit(keep_uncertain, str(tmp_path), MODEL, [png(i // 2)], [prediction()])
    assert len(list_names(tmp_path)) == 20


@pytest.mark.parametrize(("path", "message"), [("file", "File exists"), ("file/folder", "Not a directory")])
def test_check_keep_folder_with_a_file_raises_user_error(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"KEEP_IMAGES: .*{message}; set it to a folder that can be written"):
        check_keep_folder(str(tmp_path / path))


def test_check_keep_folder_creates_the_folder(tmp_path: Path) -> None:
    check_keep_folder(str(tmp_path / "a new/folder"))
    assert list_names(tmp_path / "a new/folder") == []
