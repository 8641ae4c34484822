"""The pull-request report about changed images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from classifier.reporting import sections
from support.commands import run_ok
from support.projects import commit_all
from support.reports import BEFORE, make_snapshot, write_results

MakeReport = Callable[..., str]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["root", "subfolder", "subproject"])
def test_report_with_changed_images_lists_them_by_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_report: MakeReport, layout: str
) -> None:
    """In a monorepo, DVC's project is the whole repository, or only this folder (`dvc init --subdir`)."""
    project = tmp_path if layout == "root" else tmp_path / "models" / "bodies"
    project.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project)

    def write_image(name: str, content: str) -> None:
        path = project / "data/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    write_results(project, make_snapshot(BEFORE))
    for i in range(4):
        write_image(f"Mars/{i}.jpg", f"mars {i}")
        write_image(f"Moon/{i}.jpg", f"moon {i}")
    run_ok(tmp_path, "git", "init", "-q")
    run_ok(*((project, "dvc", "init", "-q", "--subdir") if layout == "subproject" else (tmp_path, "dvc", "init", "-q")))
    run_ok(project, "dvc", "add", "-q", "data/raw")
    md5 = yaml.safe_load((project / "data/raw.dvc").read_text())["outs"][0]["md5"]
    commit_all(tmp_path, "base")

    write_results(project, make_snapshot(BEFORE | {f"Pluto/{i}.jpg": ("Pluto", "Pluto") for i in range(5)}))
    for i in range(5):
        write_image(f"Pluto/{i}.jpg", f"pluto {i}")
    write_image("Mars/1.jpg", "changed")
    (project / "data/raw/Mars/2.jpg").unlink()
    (project / "data/raw/Mars/3.jpg").unlink()
    run_ok(project, "dvc", "add", "-q", "data/raw")
    text = make_report()
    assert "\n### Same accuracy as BASE on the 24 test images in both: 66.7 % correct, before 66.7 %\n" in text
    assert "**Images:** 11 files, 0.0 MB; before 8 files, 0.0 MB." in text
    assert "| `Mars` | 4 | 2 | 0 | 2 | 1 |  |" in text
    assert "| `Pluto` | 0 | 5 | 5 | 0 | 0 | **new class** |" in text
    assert "| `Pluto` | 5 | – → 100.0 % | – → 100.0 % | – → 100.0 % | **new class** |" in text
    assert "`Moon` | 4 |" not in text

    if layout == "root":
        cached_list = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        cached_list.chmod(0o644)
        cached_list.unlink()
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))  # DVC keeps another copy of the list there
        unknown = "The changed images are not known: neither DVC's cache nor its remote has the list of BASE."
        assert unknown in make_report()


@pytest.mark.parametrize(
    ("added", "row"),
    [
        ("train/Pluto/1.jpg", "| `train/Pluto` | 0 | 1 | 1 | 0 | 0 |  |"),
        ("photos/1.jpg", "| `photos` | 0 | 1 | 1 | 0 | 0 |  |"),
    ],
)
def test_report_of_another_layout_lists_changed_images_by_folder(
    monkeypatch: pytest.MonkeyPatch, added: str, row: str
) -> None:
    old = {"train/Mars/1.jpg": "a", "labels.csv": "b"}
    hashes = {"base": old, "": {**old, added: "c"}}
    monkeypatch.setattr(sections, "dvc_list_hashes", lambda revision="": hashes[revision])
    text = sections.dataset_section(make_snapshot(BEFORE, "base"), make_snapshot(BEFORE, data="d1"))
    assert "| folder | base | now |" in text and row in text and "new class" not in text
