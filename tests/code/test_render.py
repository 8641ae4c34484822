"""The command that renders the sample dataset."""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from render import bounded_int, main, render_parser
from support.commands import ROOT, assert_fails, run, run_ok
from utils.errors import UserError

RENDER = "src/render.py"


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the MD5 of each image in a dataset."""
    return {str(f.relative_to(folder)): hashlib.md5(f.read_bytes()).hexdigest() for f in folder.rglob("*.jpg")}


def test_bounded_int_in_range_returns_number() -> None:
    assert [bounded_int(1, 9)(text) for text in ("1", "9", " 5 ")] == [1, 9, 5]


@pytest.mark.parametrize("text", ["0", "10", "-3", "x", "", "2.5", "9" * 5000])
def test_bounded_int_out_of_range_raises_error(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 1 to 9, got"):
        bounded_int(1, 9)(text)


def test_parser_environment_variables_change_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PER_CLASS", "SIZE", "SEED"):
        monkeypatch.delenv(f"RENDER_{name}", raising=False)
    expected = {"directory": Path("raw"), "per_class": 146, "size": 128, "seed": 77}
    assert vars(render_parser().parse_args(["raw"])) == expected
    monkeypatch.setenv("RENDER_PER_CLASS", "12")
    monkeypatch.setenv("RENDER_SIZE", "48")
    assert vars(render_parser().parse_args(["raw", "--size", "64"])) == expected | {"per_class": 12, "size": 64}
    monkeypatch.setenv("RENDER_SIZE", "0")
    with pytest.raises(SystemExit, match="2"):
        render_parser().parse_args(["raw"])


def test_render_same_seed_on_other_vector_units_and_cores_writes_same_bytes(tmp_path: Path, raw_dir: Path) -> None:
    run_ok(
        ROOT, "taskset", "-c", "0", sys.executable, RENDER, str(tmp_path / "a"), "--per-class", "3", "--size", "48",
        NPY_DISABLE_CPU_FEATURES="X86_V3 AVX2 FMA3",
    )  # fmt: skip
    few, many = file_hashes(tmp_path / "a"), file_hashes(raw_dir)
    assert len(few) == 33
    assert few == {name: many[name] for name in few}  # a larger --per-class changes no image


def test_render_other_seed_writes_other_bytes(tmp_path: Path, raw_dir: Path) -> None:
    output = run_ok(ROOT, RENDER, str(tmp_path / "a"), "--seed", "5", RENDER_PER_CLASS="1", RENDER_SIZE="48")
    assert output == f"11 images of 11 classes in {tmp_path / 'a'}\n"
    other, default = file_hashes(tmp_path / "a"), file_hashes(raw_dir)
    assert len(other) == 11
    assert all(other[name] != default[name] for name in other)


def test_render_into_empty_folder_with_dask_address_renders_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    run_ok(
        ROOT, RENDER, str(tmp_path / "a"), "--per-class", "1", "--size", "8", DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:1"
    )
    assert len(file_hashes(tmp_path / "a")) == 11
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_render_into_used_folder_fails_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    assert_fails(run(ROOT, RENDER, str(tmp_path)), f"render.py: {tmp_path} is not empty; give a new folder")
    with pytest.raises(UserError, match="mine is not a folder; give a new or an empty folder"):
        main(tmp_path / "mine", per_class=1, size=8, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_render_stopped_by_signal_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    command = (sys.executable, RENDER, str(tmp_path / "a"), "--size", "64")
    # A background job inherits SIGINT ignored; `env` sets the default again.
    command = ("env", f"--default-signal={signum.name.removeprefix('SIG')}", *command)
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not any(tmp_path.rglob("*.jpg")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signum)  # as a terminal does on Ctrl-C: also to the worker processes
    _, message = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert f"render.py: stopped by {signum.name}; no incomplete output is left" in message
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir())
