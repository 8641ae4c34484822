"""prepare.py: warnings, one line each on stderr, that do not stop the stage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import PREPARE, assert_fails, run
from support.projects import make_cats_and_dogs


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with 30 images of noise in each of two classes, which gives no warning."""

    def save(path: Path, rng: np.random.Generator) -> None:
        Image.fromarray(rng.integers(0, 256, (30, 30, 3), np.uint8)).save(path.with_suffix(".png"))

    return make_cats_and_dogs(tmp_path / "project", 30, save)


def warnings_of(project: Path) -> list[str]:
    """Run the stage, which must succeed, and return its warnings without the name of the script."""
    result = run(project, *PREPARE)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert all(line.startswith("prepare.py: warning: ") for line in lines), lines
    return [line.removeprefix("prepare.py: warning: ") for line in lines]


def test_prepare_of_a_good_dataset_prints_no_warning(project: Path) -> None:
    assert warnings_of(project) == []


def test_prepare_warns_about_all_problems_at_once(project: Path) -> None:
    raw = project / "data/raw"
    for i in range(3, 30):
        (raw / f"cat/{i}.png").rename(raw / f"dog/cat_{i}.png")
    shutil.copytree(raw / "cat", raw / "test")
    Image.new("RGBA", (40, 40)).save(raw / "cat/black.png")
    for i in range(26):
        (raw / f"dog/IMG_{i}.NEF").touch()
    conflicts = " and ".join(("cat/0.png", "test/0.png"))
    look, several, color, skipped, unequal, few = warnings_of(project)
    assert look == "data/raw: test will be classes, but they look like parts of a dataset"
    assert several.startswith(f"data/raw: 3 images are in several classes: {conflicts}, ")
    assert color == "data/raw: 1 images have a single colour, as the network sees them: cat/black.png"
    assert skipped == "data/raw: 26 files are skipped: .nef: 26 (convert to JPEG)"
    assert unequal.startswith("The classes are imbalanced: dog has 19 times as many images as test.")
    assert few == "Classes with fewer than 5 test images: cat (1), test (1). Their scores say little."


def test_prepare_warns_about_an_image_in_several_classes(project: Path) -> None:
    shutil.copy(project / "data/raw/cat/0.png", project / "data/raw/dog/copy.png")
    assert warnings_of(project) == ["data/raw: 1 images are in several classes: cat/0.png and dog/copy.png"]


def test_prepare_of_a_class_with_other_files_only_names_their_extension(project: Path) -> None:
    for path in (project / "data/raw/cat").iterdir():
        path.rename(path.with_suffix(".nef"))
    assert_fails(run(project, *PREPARE), "classes without images", "\n  cat (.nef: 30 (convert to JPEG))\n")


def test_prepare_of_flat_split_folders_fails_without_output(project: Path) -> None:
    for name, split in (("cat", "train"), ("dog", "test")):
        (project / "data/raw" / name).rename(project / "data/raw" / split)
    assert_fails(run(project, *PREPARE), "prepare.py: data/raw has folders of splits", "(test, train)")
    assert [path.name for path in (project / "data").iterdir()] == ["raw"]
