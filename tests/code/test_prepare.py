"""prepare.py: the split, the errors, and outputs that come whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, copy_project, fails, run, without_rights, written
from PIL import Image

COMMAND = ("src/prepare.py", "data/raw", "data/prepared")


@pytest.fixture
def fresh(tmp_path: Path, raw: Path) -> Path:
    project = copy_project(tmp_path / "project")
    shutil.copytree(raw, project / "data" / "raw")
    return project


def prepared(project: Path) -> dict[str, bytes]:
    folder = project / "data" / "prepared"
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def side(project: Path, part: str) -> set[str]:
    return set(json.loads((project / "data" / "prepared" / part / "files.json").read_text()))


def test_outputs(fresh: Path) -> None:
    result = run(fresh, *COMMAND)
    assert result.stdout == (
        "132 pictures of 11 classes: 99 to train on, 33 to test on, 24 x 20 RGB; 0 other files skipped\n"
    )
    assert result.stderr == ""
    assert set(prepared(fresh)) == {"labels.json", "preview.png"} | {
        f"{part}/{name}" for part in ("train", "test") for name in ("images.npy", "labels.npy", "files.json")
    }
    images = np.load(fresh / "data/prepared/train/images.npy", mmap_mode="r", allow_pickle=False)
    assert images.shape == (99, 24, 20, 3) and images.dtype == np.uint8
    assert not [f for f in (fresh / "data").iterdir() if f.name.startswith(".")]


def test_no_tensorflow_is_loaded(fresh: Path) -> None:
    code = "import sys; sys.path.insert(0, 'src'); import prepare; print({'tensorflow', 'keras'} & set(sys.modules))"
    assert run(fresh, sys.executable, "-c", code).stdout == "set()\n"


def test_split_is_stratified_and_ignores_names(fresh: Path) -> None:
    run(fresh, *COMMAND)
    before, names = prepared(fresh), side(fresh, "test")
    for label in os.listdir(fresh / "data/raw"):
        assert sum(name.startswith(f"{label}/") for name in names) == 3
    for number, file in enumerate(sorted((fresh / "data/raw").rglob("*.jpg"), reverse=True)):
        file.rename(file.with_name(f"{number}.JPG"))
    run(fresh, *COMMAND)
    after = prepared(fresh)
    assert {name for name in before if before[name] != after[name]} == {"train/files.json", "test/files.json"}


def test_split_hardly_moves_when_pictures_are_added(fresh: Path) -> None:
    removed = sorted((fresh / "data/raw/Mars").iterdir())[:2]
    kept = [(file, file.read_bytes()) for file in removed]
    for file in removed:
        file.unlink()
    run(fresh, *COMMAND)
    before = side(fresh, "test")
    for file, content in kept:
        file.write_bytes(content)
    run(fresh, *COMMAND)
    changed = before ^ side(fresh, "test")
    assert {name for name in changed if not name.startswith("Mars/")} == set()
    assert len(changed) <= 3


def test_equal_pictures_stay_on_one_side_even_across_classes(fresh: Path) -> None:
    for original in sorted((fresh / "data/raw/Mars").iterdir())[:6]:
        shutil.copy(original, original.with_stem(original.stem + "_copy"))
    shutil.copy(next((fresh / "data/raw/Moon").iterdir()), fresh / "data/raw/Venus/stray.jpg")
    result = run(fresh, *COMMAND)
    assert "same picture stands in several classes" in result.stdout + result.stderr
    assert "Venus/stray.jpg" in result.stdout + result.stderr
    content = {}
    for part in ("train", "test"):
        for name in side(fresh, part):
            content.setdefault((fresh / "data/raw" / name).read_bytes(), set()).add(part)
    assert all(len(parts) == 1 for parts in content.values())


def test_all_broken_pictures_are_named_and_nothing_is_written(fresh: Path) -> None:
    run(fresh, *COMMAND)
    before = prepared(fresh)
    mars = fresh / "data/raw/Mars"
    (mars / "cut.jpg").write_bytes(next(mars.iterdir()).read_bytes()[:500])
    (mars / "empty.png").touch()
    (mars / "text.jpg").write_text("hello")
    (mars / "nowhere.jpg").symlink_to("nothing")
    Image.new("1", (30_000, 30_000)).save(mars / "bomb.png")
    (mars / "two\nlines.jpg").touch()
    (mars / "round.jpg").symlink_to("round.jpg")
    (mars / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(mars / "pipe.jpg")
    (mars / "locked.jpg").touch(0)
    result = run(fresh, *without_rights(), sys.executable, *COMMAND)
    fails(result, "cannot be read", "(10)", "two\\nlines.jpg")
    for name in ("cut", "empty", "text", "nowhere", "bomb", "round", "endless", "pipe", "locked"):
        assert f"  Mars/{name}." in result.stderr, name
    assert prepared(fresh) == before
    assert not (fresh / "data" / ".prepared.tmp").exists()


def test_odd_names_and_other_files(fresh: Path) -> None:
    mars = fresh / "data/raw/Mars"
    for number, name in enumerate(
        (b"a b.JPG", b'it\'s "so".jpeg', b"line\nbreak.png", "🪐.png".encode(), b"\xff\xfe.png")
    ):
        Image.new("RGB", (9, 9), (number * 20, 7, 9)).save(
            os.path.join(os.fsencode(mars), name).decode("utf-8", "surrogateescape"), "PNG"
        )
    for name in (".hidden.jpg", "Thumbs.db", "notes.txt"):
        (mars / name).write_text("x")
    result = run(fresh, *COMMAND)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("137 pictures") and "3 other files skipped" in result.stdout


def test_a_link_out_of_the_dataset_is_read(fresh: Path, tmp_path: Path) -> None:
    picture = next((fresh / "data/raw/Mars").iterdir())  # as in a checkout of DVC's with links into its cache
    picture.rename(tmp_path / "elsewhere.jpg")
    picture.symlink_to(tmp_path / "elsewhere.jpg")
    assert run(fresh, *COMMAND).stdout.startswith("132 pictures")


def test_classes_of_very_different_size(fresh: Path) -> None:
    for picture in sorted((fresh / "data/raw/Mars").iterdir())[2:]:
        picture.unlink()
    assert run(fresh, *COMMAND).stdout.startswith("122 pictures of 11 classes")
    assert sum(name.startswith("Mars/") for name in side(fresh, "test")) == 1


def test_a_thousand_classes(fresh: Path) -> None:
    shutil.rmtree(fresh / "data/raw")
    for i in range(1000):
        folder = fresh / f"data/raw/class {i:03}"
        folder.mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (4, 4), (i % 256, i // 256, k)).save(folder / f"{k}.png")
    assert run(fresh, *COMMAND).stdout.startswith("2000 pictures of 1000 classes: 1000 to train on, 1000 to test on")


def change(fresh: Path, case: str) -> None:
    raw = fresh / "data" / "raw"
    if case == "missing":
        shutil.rmtree(raw)
    elif case == "empty":
        shutil.rmtree(raw)
        raw.mkdir()
    elif case == "one class":
        for folder in list(raw.iterdir())[1:]:
            shutil.rmtree(folder)
    elif case == "empty class":
        (raw / "Ceres").mkdir()
    elif case == "one picture":
        (raw / "Ceres").mkdir()
        Image.new("RGB", (9, 9)).save(raw / "Ceres" / "a.png")
    elif case == "fewer pictures than classes":
        for folder in list(raw.iterdir())[1:]:
            shutil.rmtree(folder)
            folder.mkdir()
    elif case == "case":
        shutil.copytree(raw / "Mars", raw / "mars")
    elif case == "too deep":
        (raw / "Mars" / "more").mkdir()
    elif case == "folder.jpg":
        (raw / "Mars" / "x.jpg").mkdir()
    elif case == "too shallow":
        shutil.copy(next((raw / "Mars").iterdir()), raw / "a.jpg")
    elif case == "circle":
        (raw / "Mars" / "circle").symlink_to(raw)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "is no folder"),
        ("empty", "0 classes"),
        ("one class", "1 classes"),
        ("empty class", "Ceres"),
        ("one picture", "class Ceres has too few"),
        ("fewer pictures than classes", "without a picture; fill or remove them (10)"),
        ("case", "differ only in case"),
        ("too deep", "Mars/more is a folder"),
        ("folder.jpg", "Mars/x.jpg is a folder"),
        ("too shallow", "a.jpg is in no class folder"),
        ("circle", "Mars/circle is a folder"),
    ],
)
def test_datasets_that_do_not_do(fresh: Path, case: str, message: str) -> None:
    change(fresh, case)
    fails(run(fresh, *COMMAND), "prepare.py: ", message)
    assert prepared(fresh) == {}


def test_wrong_calls(fresh: Path) -> None:
    for script in ("prepare", "train", "evaluate"):
        fails(run(fresh, f"src/{script}.py", "one"), "usage", code=2)
    (fresh / "params.yaml").write_text(SMALL.replace("split", "spilt"))
    fails(run(fresh, *COMMAND), "is 'split' meant?")


def children(pid: int) -> list[str]:
    """The folders of a process's children in /proc."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [f"/proc/{pid}" for pid in pids]


def start_slow(fresh: Path) -> subprocess.Popen:
    """Start a stage that takes seconds, and return when its workers are at work."""
    (fresh / "params.yaml").write_text(SMALL.replace("[24, 20]", "[2048, 2048]"))
    process = subprocess.Popen(
        [sys.executable, *COMMAND],
        cwd=fresh,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job inherits it ignored
    )
    while not written(fresh):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(fresh: Path, signum: int) -> None:
    process = start_slow(fresh)
    workers = children(process.pid)
    assert len(workers) == len(os.sched_getaffinity(0))
    process.send_signal(signum)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert errors.count("stopped by") == 1 and "Traceback" not in errors
    for _ in range(1000):
        if not any(map(os.path.exists, workers)):
            break
        time.sleep(0.01)
    assert not any(map(os.path.exists, workers))
    assert sorted(f.name for f in (fresh / "data").iterdir()) == ["raw"]


def test_a_worker_that_dies_is_named(fresh: Path) -> None:
    process = start_slow(fresh)
    os.kill(int(children(process.pid)[0].split("/")[-1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1 and "a worker process died" in errors
    assert sorted(f.name for f in (fresh / "data").iterdir()) == ["raw"]


def test_a_full_disk_leaves_nothing(fresh: Path) -> None:
    result = run(fresh, "bash", "-c", f"trap '' XFSZ; ulimit -f 64; exec {sys.executable} {' '.join(COMMAND)}")
    fails(result, "prepare.py: ", "File too large")
    assert sorted(f.name for f in (fresh / "data").iterdir()) == ["raw"]
