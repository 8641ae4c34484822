"""The sample dataset: the same bytes from the same seed, and nothing of the user's is touched."""

import hashlib
import re
from pathlib import Path

from conftest import ROOT, fails, run


def hashes(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): hashlib.md5(f.read_bytes()).hexdigest() for f in folder.rglob("*.jpg")}


def test_same_seed_same_bytes_on_other_vector_units_and_cores(tmp_path: Path, raw: Path) -> None:
    again = run(
        ROOT, "taskset", "-c", "0", "python", "src/render.py", str(tmp_path / "a"), "--per-class", "3", "--size", "48",
        NPY_DISABLE_CPU_FEATURES="X86_V3 AVX2 FMA3",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    drawn, whole = hashes(tmp_path / "a"), hashes(raw)
    assert len(drawn) == 33
    assert drawn == {name: whole[name] for name in drawn}  # a larger --per-class changes no picture


def test_other_seed_other_bytes(tmp_path: Path, raw: Path) -> None:
    run(ROOT, "src/render.py", str(tmp_path / "a"), "--per-class", "1", "--size", "48", "--seed", "5")
    drawn, whole = hashes(tmp_path / "a"), hashes(raw)
    assert len(drawn) == 11 and all(drawn[name] != whole[name] for name in drawn)


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    fails(run(ROOT, "src/render.py", str(tmp_path), "--per-class", "1"), "not empty")
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]
    fails(run(ROOT, "src/render.py", str(tmp_path / "x"), "--per-class", "0"), code=2)


def test_the_default_is_what_raw_dvc_tracks() -> None:
    tracked = (ROOT / "data" / "raw.dvc").read_text()
    if "nfiles: 1606" in tracked:  # and not the user's own pictures
        assert re.search(r"md5: f5bb8a3bda380d6ec977082c0eea995f\.dir", tracked)
