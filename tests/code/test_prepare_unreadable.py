"""prepare.py with `prepare.unreadable: skip`: images that cannot be read are left out, named and listed."""

from pathlib import Path

import pytest

from support.commands import PREPARE, assert_fails, run, run_ok
from support.projects import SMALL_PARAMS, read_outputs
from support.stages import unprepared_project

SKIP = SMALL_PARAMS.replace("split: 0.25", "split: 0.25, unreadable: skip")
UNREADABLE = "data/prepared/unreadable.csv"


@pytest.fixture
def project(tmp_path: Path, raw_dir: Path) -> Path:
    """A project where unreadable images are skipped and no stage has run."""
    return unprepared_project(tmp_path / "project", raw_dir, SKIP)


def test_prepare_with_skip_leaves_out_unreadable_images_and_lists_them(project: Path) -> None:
    run_ok(project, *PREPARE)
    expected = read_outputs(project)
    assert expected.pop(UNREADABLE) == b"file,reason\n"
    raw_dir = project / "data/raw"
    (raw_dir / "Earth/two\nlines, quoted.jpg").touch()
    (raw_dir / "Mars/a.jpg").symlink_to("nothing")
    for name in ("Mars/text.png", "Uranus/last.jpg"):
        (raw_dir / name).write_text("hello")
    result = run(project, *PREPARE)
    assert result.stdout.startswith("132 images of 11 classes: 88 for training, 11 for validation, 33 for testing")
    assert result.stderr.splitlines()[0] == (
        "prepare.py: warning: data/raw: 4 images cannot be read and are left out; data/prepared/unreadable.csv lists "
        "them: Earth/two\\nlines, quoted.jpg: not a readable image: the file is empty, Mars/a.jpg: No such file or "
        "directory, Mars/text.png: not a readable image: unknown format and 1 more"
    )
    outputs = read_outputs(project)
    assert outputs.pop(UNREADABLE).decode() == (
        "file,reason\n"
        '"Earth/two\\nlines, quoted.jpg",not a readable image: the file is empty\n'
        "Mars/a.jpg,No such file or directory\n"
        "Mars/text.png,not a readable image: unknown format\n"
        "Uranus/last.jpg,not a readable image: unknown format\n"
    )
    assert outputs == expected  # as if the files were not there


def test_prepare_with_skip_refuses_a_class_without_readable_images(project: Path) -> None:
    run_ok(project, *PREPARE)
    before = read_outputs(project)
    (project / "data/raw/Earth/text.png").write_text("hello")
    images = sorted((project / "data/raw/Mars").iterdir())
    for image in images:
        image.write_text("hello")
    result = run(project, *PREPARE)
    headline = "prepare.py: some classes in data/raw have no image that can be read; fix or remove them (12):\n"
    assert_fails(result, headline)
    lines = [f"  Mars/{image.name}: not a readable image: unknown format\n" for image in images]
    assert result.stderr == headline + "".join(lines)
    assert read_outputs(project) == before


def test_prepare_with_refuse_removes_the_list_of_an_earlier_run(project: Path) -> None:
    run_ok(project, *PREPARE)
    assert (project / UNREADABLE).exists()
    (project / "params.yaml").write_text(SMALL_PARAMS)
    run_ok(project, *PREPARE)
    assert not (project / UNREADABLE).exists()
