"""prepare.py: its outputs and its errors. The split and the parts have unit tests of their own."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import PREPARE, assert_fails, run, run_ok, without_root_rights
from support.images import encode
from support.projects import SMALL_PARAMS, read_outputs
from support.stages import unprepared_project


@pytest.fixture
def project(tmp_path: Path, raw_dir: Path) -> Path:
    """A project where no stage has run."""
    return unprepared_project(tmp_path / "project", raw_dir)


def names_in_test_set(project: Path) -> set[str]:
    return set(json.loads((project / "data/prepared/test/files.json").read_text()))


def test_prepare_writes_arrays_and_prints_a_summary(project: Path) -> None:
    result = run(project, *PREPARE)
    assert result.stdout == (
        "132 images of 11 classes: 88 for training, 11 for validation, 33 for testing, 24 x 20 RGB; "
        "0 groups of near-duplicates; 0 other files skipped\n"
    )
    assert result.stderr.startswith(
        "prepare.py: warning: Classes with fewer than 5 test images: Earth (3), Jupiter (3)"
    )
    assert result.stderr.count("\n") == 1
    assert set(read_outputs(project)) == {
        f"data/prepared/{name}" for name in ("labels.json", "near_duplicates.json", "preview.png")
    } | {
        f"data/prepared/{split}/{name}"
        for split in ("train", "validation", "test")
        for name in ("images.npy", "labels.npy", "files.json")
    }
    images = np.load(project / "data/prepared/train/images.npy", mmap_mode="r", allow_pickle=False)
    assert images.shape == (88, 24, 20, 3) and images.dtype == np.uint8
    assert sorted(path.name for path in (project / "data").iterdir()) == ["prepared", "raw"]


def test_prepare_imports_no_machine_learning_library(project: Path) -> None:
    code = "import sys; sys.path.insert(0, 'src'); import prepare; print(*sys.modules)"
    modules = set(run_ok(project, sys.executable, "-c", code).split())
    assert not {"tensorflow", "keras", "bentoml", "jax"} & modules


def test_prepare_is_stratified_and_ignores_file_names(project: Path) -> None:
    run_ok(project, *PREPARE)
    before, names = read_outputs(project), names_in_test_set(project)
    for folder in (project / "data/raw").iterdir():
        assert sum(name.startswith(f"{folder.name}/") for name in names) == 3
    for number, file in enumerate(sorted((project / "data/raw").rglob("*.jpg"), reverse=True)):
        file.rename(file.with_name(f"{number}.JPG"))
    run_ok(project, *PREPARE)
    after = read_outputs(project)
    assert {name for name in before if before[name] != after[name]} == {
        f"data/prepared/{split}/files.json" for split in ("train", "validation", "test")
    }


def test_prepare_lists_all_unreadable_images_and_changes_nothing(project: Path) -> None:
    run_ok(project, *PREPARE)
    before = read_outputs(project)
    mars = project / "data/raw/Mars"
    (mars / "cut.jpg").write_bytes(next(mars.iterdir()).read_bytes()[:500])
    (mars / "empty.png").touch()
    (mars / "text.jpg").write_text("hello")
    (mars / "broken_link.jpg").symlink_to("nothing")
    Image.new("1", (16_384, 16_400)).save(mars / "large.png")
    (mars / "two\nlines.jpg").touch()
    (mars / "circle.jpg").symlink_to("circle.jpg")
    (mars / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(mars / "pipe.jpg")
    (mars / "locked.jpg").touch(0)
    result = run(project, *without_root_rights(), sys.executable, *PREPARE)
    assert_fails(
        result, "cannot be read; fix or remove them, or set prepare.unreadable to skip (10):\n", "two\\nlines.jpg"
    )
    for name in ("cut", "empty", "text", "broken_link", "large", "circle", "endless", "pipe", "locked"):
        assert f"\n  Mars/{name}." in result.stderr, name
    assert "Warning" not in result.stderr
    assert read_outputs(project) == before
    assert not (project / "data" / ".prepared.tmp").exists()


def test_prepare_accepts_any_file_name_and_counts_skipped_files(project: Path) -> None:
    mars = project / "data/raw/Mars"
    names = (b"a b.JPG", b'it\'s "so".jpeg', b"line\nbreak.png", "🪐.png".encode(), b"\xff\xfe.png")
    for number, name in enumerate(names):
        image = Image.new("RGB", (9, 9), (number * 20, 7, 9))
        (mars / os.fsdecode(name)).write_bytes(encode(image, "PNG"))
    for skipped in (".hidden.jpg", "Thumbs.db", "notes.txt"):
        (mars / skipped).write_text("x")
    output = run_ok(project, *PREPARE)
    assert output.startswith("137 images") and output.endswith("3 other files skipped\n")


def test_prepare_without_validation_removes_the_validation_images_of_an_earlier_run(project: Path) -> None:
    run_ok(project, *PREPARE)
    before = read_outputs(project)
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("split: 0.25", "split: 0.25, validation: 0"))
    assert ": 99 for training, 33 for testing, 24" in run_ok(project, *PREPARE)
    assert not (project / "data/prepared/validation").exists()
    test_files = {name for name in before if "/test/" in name}
    after = read_outputs(project)
    assert {name: before[name] for name in test_files} == {name: after[name] for name in test_files}


def test_prepare_reads_links_that_leave_the_dataset(project: Path, tmp_path: Path) -> None:
    image = next((project / "data/raw/Mars").iterdir())
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")  # as in a checkout of DVC with links to its cache
    assert run_ok(project, *PREPARE).startswith("132 images")


def test_prepare_accepts_classes_of_different_size(project: Path) -> None:
    for image in sorted((project / "data/raw/Mars").iterdir())[2:]:
        image.unlink()
    assert run_ok(project, *PREPARE).startswith("122 images of 11 classes")
    assert sum(name.startswith("Mars/") for name in names_in_test_set(project)) == 1


def test_prepare_accepts_a_thousand_classes(project: Path) -> None:
    shutil.rmtree(project / "data/raw")
    for i in range(1000):
        folder = project / f"data/raw/class {i:03}"
        folder.mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (4, 4), (i % 256, i // 256, k)).save(folder / f"{k}.png")
    expected = "2000 images of 1000 classes: 1000 for training, 1000 for testing"
    assert run_ok(project, *PREPARE).startswith(expected)


def test_prepare_with_invalid_dataset_fails_without_output(project: Path) -> None:
    (project / "data/raw/Ceres").mkdir()
    assert_fails(run(project, *PREPARE), "prepare.py: data/raw has classes without images", "  Ceres")
    Image.new("RGB", (9, 9)).save(project / "data/raw/Ceres/a.png")
    assert_fails(run(project, *PREPARE), "prepare.py: class Ceres has too few different images")
    assert sorted(path.name for path in (project / "data").iterdir()) == ["raw"]


def test_prepare_names_a_misspelt_parameter(project: Path) -> None:
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("split", "spilt"))
    message = "prepare.py: params.yaml: prepare: unknown key 'spilt' (did you mean 'split'?); expected seed, split,"
    assert_fails(run(project, *PREPARE), message)


@pytest.mark.parametrize("script", ["prepare.py", "train.py", "evaluate.py"])
def test_stage_with_one_argument_prints_usage(project: Path, script: str) -> None:
    assert_fails(run(project, f"src/{script}", "one"), f"usage: {script}", code=2)
