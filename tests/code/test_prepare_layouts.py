"""prepare.py: datasets with a given split, with groups and with nested folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import PREPARE, assert_fails, run, run_ok
from support.projects import SMALL_PARAMS, make_cats_and_dogs

NUM_IMAGES = 20  # of each class


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two classes with different images, `data/raw/<class>/<number>.png`."""

    def save(path: Path, rng: np.random.Generator) -> None:
        coarse = Image.fromarray(rng.integers(20, 220, (6, 8, 3), np.uint8))
        coarse.resize((64, 48), Image.Resampling.BICUBIC).save(f"{path}.png")

    return make_cats_and_dogs(tmp_path / "project", NUM_IMAGES, save)


def split_into_folders(project: Path, held_out: str) -> None:
    """Move the first five images of each class to a folder of its own, and the others to train."""
    raw_dir = project / "data/raw"
    for name in ("cat", "dog"):
        (raw_dir / held_out / name).mkdir(parents=True)
        for i in range(5):
            (raw_dir / name / f"{i}.png").rename(raw_dir / held_out / name / f"{i}.png")
        (raw_dir / "train").mkdir(exist_ok=True)
        (raw_dir / name).rename(raw_dir / "train" / name)


def read_sets(project: Path) -> dict[str, set[str]]:
    folder = project / "data/prepared"
    return {path.parent.name: set(json.loads(path.read_text())) for path in folder.glob("*/files.json")}


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_prepare_keeps_the_given_test_set_and_validates_on_training_images(project: Path, held_out: str) -> None:
    split_into_folders(project, held_out)
    result = run(project, *PREPARE)
    layout = "split as in test, train" if held_out == "test" else "split as in train, val (val is the test set)"
    counts = "26 for training, 4 for validation, 10 for testing"
    assert result.stdout.startswith(f"40 images of 2 classes, {layout}: {counts}, 24 x 20 RGB; 0 groups")
    assert result.stderr == ""
    sets = read_sets(project)
    assert sets["test"] == {f"{held_out}/{name}/{i}.png" for name in ("cat", "dog") for i in range(5)}
    assert len({path.split("/")[1] for path in sets["validation"]}) == 2
    labels = np.load(project / "data/prepared/validation/labels.npy")
    files = json.loads((project / "data/prepared/validation/files.json").read_text())
    assert [("cat", "dog")[label] for label in labels] == [path.split("/")[1] for path in files]

    (project / "params.yaml").write_text(SMALL_PARAMS.replace("seed: 77, split", "validation: 0, seed: 78, split"))
    assert "30 for training, 10 for testing" in run_ok(project, *PREPARE)
    assert read_sets(project)["test"] == sets["test"]


def test_prepare_chooses_validation_images_by_content_and_keeps_their_groups_together(project: Path) -> None:
    split_into_folders(project, "test")
    for path in sorted((project / "data/raw/train").rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    run_ok(project, *PREPARE)
    names = {path.replace("copy of ", "") for path in read_sets(project)["validation"]}
    assert len(read_sets(project)["validation"]) == 4 and len(names) == 2
    for path in (project / "data/raw/train/cat").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    before = (project / "data/prepared/validation/images.npy").read_bytes()
    run_ok(project, *PREPARE)
    assert (project / "data/prepared/validation/images.npy").read_bytes() == before


def test_prepare_warns_about_test_images_that_are_near_duplicates_of_training_images(project: Path) -> None:
    split_into_folders(project, "test")
    train, test = (project / f"data/raw/{name}/cat" for name in ("train", "test"))
    shutil.copy(train / "7.png", test / "same.png")
    with Image.open(train / "8.png") as image:
        image.resize((96, 72)).save(test / "larger.png")
    result = run(project, *PREPARE)
    warning = "2 of 12 test images are near-duplicates of training images. So the accuracy for new images is lower."
    assert result.stderr == f"prepare.py: warning: {warning}\n"
    assert "; 2 groups of near-duplicates; " in result.stdout and "12 for testing" in result.stdout


def test_prepare_divides_no_group_of_labels_csv(project: Path) -> None:
    rows = [f"{name}/{i}.png,{name},patient {i // 4}" for name in ("cat", "dog") for i in range(NUM_IMAGES)]
    (project / "data/raw/labels.csv").write_text("\n".join(["file,label,group", *rows]))
    output = run_ok(project, *PREPARE)
    assert output.startswith("40 images of 2 classes, listed in labels.csv, in 5 groups: 24 for training, 8 for")
    patients = [{int(Path(path).stem) // 4 for path in paths} for paths in read_sets(project).values()]
    assert sorted(map(len, patients)) == [1, 1, 3] and len(set().union(*patients)) == 5


def test_prepare_with_too_few_groups_fails(project: Path) -> None:
    rows = [f"{name}/{i}.png,{name},{name}" for name in ("cat", "dog") for i in range(NUM_IMAGES)]
    (project / "data/raw/labels.csv").write_text("\n".join(["file,label,group", *rows]))
    message = "prepare.py: class cat has too few different images or groups for training and testing; add some\n"
    assert_fails(run(project, *PREPARE), message)


def test_prepare_with_skip_fails_if_a_class_of_a_given_split_has_no_readable_training_image(project: Path) -> None:
    split_into_folders(project, "test")
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("seed: 77, split", "unreadable: skip, seed: 77, split"))
    for path in (project / "data/raw/train/cat").iterdir():
        path.write_text("")
    assert_fails(run(project, *PREPARE), "data/raw has classes without training images; add some to train (1):\n  cat")


def test_prepare_with_a_given_split_and_a_fold_fails(project: Path) -> None:
    split_into_folders(project, "test")
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("seed: 77, split", "fold: [1, 5], seed: 77, split"))
    message = "prepare.py: the dataset has a given split, so it cannot be divided into folds; remove the split\n"
    assert_fails(run(project, *PREPARE), message)


def test_prepare_joins_nested_folders(project: Path) -> None:
    (project / "data/raw/dog").rename(project / "data/raw/cat/lion")
    (project / "data/raw/bird").mkdir()
    for i in range(5):
        (project / f"data/raw/cat/{i}.png").rename(project / f"data/raw/bird/{i}.png")
    assert_fails(
        run(project, *PREPARE), "set prepare.nested to join (1):\n  cat/lion is a folder inside a class folder"
    )
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("seed: 77, split", "nested: join, seed: 77, split"))
    assert run_ok(project, *PREPARE).startswith("40 images of 3 classes, in nested folders: ")
    assert json.loads((project / "data/prepared/labels.json").read_text()) == ["bird", "cat", "cat/lion"]


def test_prepare_with_skip_fails_if_a_given_split_has_no_readable_test_image(project: Path) -> None:
    split_into_folders(project, "test")
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("seed: 77, split", "unreadable: skip, seed: 77, split"))
    for path in (project / "data/raw/test").glob("*/*"):
        path.write_text("")
    assert_fails(run(project, *PREPARE), "prepare.py: data/raw has no test image; add some to test\n")


def test_prepare_chooses_whole_groups_of_training_images_for_validation(project: Path) -> None:
    rows = [
        f"{name}/{i}.png,{name},{'test' if i < 4 else 'train'},patient {i // 4}"
        for name in ("cat", "dog")
        for i in range(NUM_IMAGES)
    ]
    (project / "data/raw/labels.csv").write_text("\n".join(["file,label,split,group", *rows]))
    assert "split as in test, train, in 5 groups: 24 for training, 8 for" in run_ok(project, *PREPARE)
    patients = {name: {int(Path(path).stem) // 4 for path in paths} for name, paths in read_sets(project).items()}
    assert patients["test"] == {0} and len(patients["validation"]) == 1 and len(patients["train"]) == 3
