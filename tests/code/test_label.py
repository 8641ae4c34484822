"""label.py: which images it moves, and how it fails. No server, no TensorFlow."""

import json
import subprocess
from pathlib import Path

import pytest

from classifier.kept_images.folder import KeptImages
from classifier.labelling.moving import check_class_name, move_labelled
from support.commands import ROOT, assert_fails, run, without_root_rights
from support.kept import keep, make_dataset, png, read_json
from support.stages import with_limit
from utils.errors import UserError

MOVE = (
    "import sys; from pathlib import Path; sys.path.insert(0, 'src');"
    "from classifier.labelling.moving import move_labelled; from classifier.kept_images.folder import KeptImages;"
    "result = move_labelled(KeptImages(sys.argv[1]), Path(sys.argv[2])); print(dict(result.moved), *result.problems)"
)


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "raw")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def list_moved(raw_dir: Path) -> list[str]:
    files = (path for path in raw_dir.rglob("*") if path.is_file() and path.name != "1.png")
    return sorted(str(path.relative_to(raw_dir)) for path in files)


def test_move_labelled_moves_classes_only(folder: Path, raw_dir: Path) -> None:
    ids = keep(folder, 0.5, 0.5, 0.5, 0.5)
    for image_id, label in zip(ids, ("Mars", "Comet", None), strict=False):
        KeptImages(folder).label(image_id, label)
    result = move_labelled(KeptImages(folder), raw_dir)
    assert result.moved == {"Mars": 1, "Comet": 1} and result.num_none == 1 and result.problems == []
    assert list_moved(raw_dir) == [f"Comet/{ids[1]}.png", f"Mars/{ids[0]}.png"]
    assert (raw_dir / f"Mars/{ids[0]}.png").read_bytes() == png(0)
    stay = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    assert stay == sorted(f"{image_id}.{end}" for image_id in ids[2:] for end in ("png", "json"))


def test_move_labelled_of_a_given_split_moves_to_the_training_images(folder: Path, raw_dir: Path) -> None:
    dataset = make_dataset(raw_dir.parent / "split" / "Train")
    make_dataset(raw_dir.parent / "split" / "test")
    ids = keep(folder, 0.5, 0.5)
    for image_id, label in zip(ids, ("Mars", "Comet"), strict=True):
        KeptImages(folder).label(image_id, label)
    assert move_labelled(KeptImages(folder), dataset.parent).moved == {"Mars": 1, "Comet": 1}
    assert list_moved(dataset.parent) == [f"Train/Comet/{ids[1]}.png", f"Train/Mars/{ids[0]}.png"]


def test_move_labelled_of_nested_folders_moves_to_the_folder_of_the_class(folder: Path, raw_dir: Path) -> None:
    make_dataset(raw_dir / "planets")
    (image_id,) = keep(folder, 0.5)
    KeptImages(folder).label(image_id, "planets/Mars")
    assert move_labelled(KeptImages(folder), raw_dir).moved == {"planets/Mars": 1}
    assert list_moved(raw_dir) == [f"planets/Mars/{image_id}.png"]


def test_label_of_a_dataset_with_labels_csv_is_refused_before_the_page_starts(folder: Path, raw_dir: Path) -> None:
    keep(folder, 0.5)
    (raw_dir / "labels.csv").write_text("file,label\nMars/1.png,Mars\nMoon/1.png,Moon\n")
    result = run(ROOT, "timeout", "60", "python", "src/label.py", str(folder), str(raw_dir))
    assert_fails(result, f"label.py: {raw_dir} has a labels.csv, but label.py moves images to class folders only; use")
    tasks = folder.parent / "tasks.json"
    assert run(ROOT, "src/label.py", str(folder), str(raw_dir), "--export", str(tasks)).returncode == 0


def test_move_labelled_overwrites_nothing(folder: Path, raw_dir: Path) -> None:
    same, other = keep(folder, 0.5, 0.5)
    (raw_dir / f"Mars/{same}.png").write_bytes(png(0))  # as if an earlier run had been killed
    (raw_dir / f"Mars/{other}.png").write_bytes(b"another image")
    for image_id in (same, other):
        KeptImages(folder).label(image_id, "Mars")
    result = move_labelled(KeptImages(folder), raw_dir)
    assert result.moved == {"Mars": 1}
    assert result.problems == [f"{other}.png was not moved: {raw_dir}/Mars/{other}.png: File exists"]
    assert (raw_dir / f"Mars/{other}.png").read_bytes() == b"another image" and (folder / f"{other}.png").exists()
    assert not (folder / f"{same}.png").exists() and not list(raw_dir.rglob(".*"))


@pytest.mark.parametrize("label", ["../out", "/out", ".hidden", "a/b", "mars", " Mars", "", "a\nb", "x" * 201])
def test_move_labelled_with_a_hostile_label_leaves_the_image(folder: Path, raw_dir: Path, label: str) -> None:
    (image_id,) = keep(folder, 0.5)
    (folder / f"{image_id}.json").write_text(json.dumps({**read_json(folder, image_id), "label": label}))
    before = sorted(raw_dir.parent.rglob("*"))
    result = move_labelled(KeptImages(folder), raw_dir)
    assert not result.moved and f"{image_id}.png was not moved: " in result.problems[0]
    assert len(result.problems) == 1 and "\n" not in result.problems[0]
    assert sorted(raw_dir.parent.rglob("*")) == before


def test_move_labelled_on_a_full_disk_leaves_the_images(folder: Path, raw_dir: Path) -> None:
    small, large = keep(folder, 0.5, 0.4)
    (folder / f"{large}.png").write_bytes(bytes(5000))
    for image_id, label in ((small, "Mars"), (large, "Comet")):
        KeptImages(folder).label(image_id, label)
    result = subprocess.run(
        with_limit("-f 2", ("-c", MOVE, str(folder), str(raw_dir))), cwd=ROOT, capture_output=True, text=True
    )
    assert "{'Mars': 1} " in result.stdout and f"{large}.png: File too large" in result.stdout, result
    assert list_moved(raw_dir) == [f"Mars/{small}.png"] and not (raw_dir / "Comet").exists()
    assert (folder / f"{large}.png").stat().st_size == 5000 and read_json(folder, large)["label"] == "Comet"


def test_move_labelled_to_a_read_only_dataset_leaves_the_images(folder: Path, raw_dir: Path) -> None:
    (image_id,) = keep(folder, 0.5)
    KeptImages(folder).label(image_id, "Mars")
    (raw_dir / "Mars").chmod(0o555)
    command = [*without_root_rights(), "python", "-c", MOVE, str(folder), str(raw_dir)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (raw_dir / "Mars").chmod(0o755)
    assert result.stdout.startswith("{} ") and "Permission denied" in result.stdout, result
    assert (folder / f"{image_id}.png").exists() and list_moved(raw_dir) == []


def test_move_labelled_by_two_processes_at_once_moves_each_image_once(folder: Path, raw_dir: Path) -> None:
    ids = keep(folder, *[0.5] * 60)
    for image_id in ids:
        KeptImages(folder).label(image_id, "Mars")
    command = ["python", "-c", MOVE, str(folder), str(raw_dir)]
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **options) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert list_moved(raw_dir) == sorted(f"Mars/{image_id}.png" for image_id in ids)
    numbers = [int(out.partition("}")[0].rpartition(" ")[2] or 0) if ":" in out else 0 for out, _ in outputs]
    assert sum(numbers) == 60 and all("moved:" not in out and err == "" for out, err in outputs), outputs


@pytest.mark.parametrize("name", ["Mars", "Comet", "Komet Ä", "a.b"])
def test_check_class_name_accepts_existing_and_new_names(name: str) -> None:
    check_class_name(name, ["Mars", "Moon"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\\b", "without slashes"),
        ("..", "no dot at the start"),
        ("MOON", 'differs from the class "Moon" only in case'),
    ],
)
def test_check_class_name_with_an_impossible_name_raises_user_error(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_class_name(name, ["Mars", "Moon"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none", "raw"), "none is not a folder; give the folder that KEEP_IMAGES names"),
        (("kept", "none"), "none is not a folder; run `python src/render.py none`"),
        (("kept", "raw"), "kept has no images to label"),
        (("raw/Mars/1.png", "raw"), "raw/Mars/1.png is not a folder"),
    ],
)
def test_label_with_wrong_folders_prints_one_line(
    tmp_path: Path, raw_dir: Path, arguments: tuple[str, str], message: str
) -> None:
    (tmp_path / "kept").mkdir()
    result = run(tmp_path, str(ROOT / "src/label.py"), *arguments)
    assert_fails(result, f"label.py: {message}")
    assert len(result.stderr.splitlines()) == 1
