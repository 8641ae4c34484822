"""The same inputs give the same bytes, whatever the machine's settings are."""

import json
import os
import platform
import shutil
import socket
from pathlib import Path

import pytest
from conftest import ROOT, copy_project, run

# What may differ between two machines and their users, and may not show.
OTHER = {
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "LOGNAME": "someone",
    "USER": "someone",
    "PYTHONHASHSEED": "5",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "ANY",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "MPLBACKEND": "svg",
}


def outputs(project: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(project)): file.read_bytes()
        for folder in ("data/prepared", "model", "evaluation")
        for file in sorted((project / folder).rglob("*"))
        if file.is_file() and file.name != ".gitignore"
    }


def test_one_core_another_user_another_place_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a" / "much" / "deeper" / "folder")
    names = [file for file in (trained / "data/raw").rglob("*") if file.is_file()]
    for file in sorted(names, reverse=True):  # another order in the file system, and other times
        target = project / file.relative_to(trained)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        os.utime(target, (1, 1))
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    settings = {"floatx": "float64", "epsilon": 1e-3, "backend": "tensorflow", "image_data_format": "channels_first"}
    (home / ".keras" / "keras.json").write_text(json.dumps(settings))
    (home / "matplotlibrc").write_text("figure.facecolor: red\nfont.family: serif\n")
    other = {**OTHER, "HOME": str(home), "MATPLOTLIBRC": str(home / "matplotlibrc"), "BENTOML_HOME": str(home / "b")}
    stages = (
        "src/prepare.py data/raw data/prepared",
        "src/train.py data/prepared model",
        "src/evaluate.py model data/prepared",
    )
    for stage in stages:
        result = run(project, "bash", "-c", f"umask 077; exec taskset -c 0 python {stage}", **other)
        assert result.returncode == 0, result.stderr
    here, there = outputs(project), outputs(trained)
    assert here.keys() == there.keys()
    assert {name for name in here if here[name] != there[name]} == set()


def test_no_setting_of_this_machine_is_in_an_output(trained: Path) -> None:
    host = socket.gethostname()
    leaks = (str(trained), os.environ["BENTOML_HOME"], "/home/", "/root/", *([host] if len(host) > 5 else []))
    for name, content in outputs(trained).items():
        for leak in leaks:
            assert leak.encode() not in content, f"{leak} is in {name}"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors differ in the last digits")
def test_the_committed_lock_is_what_comes_out(workspace: Path) -> None:
    if workspace == ROOT:
        assert "up to date" in run(ROOT, "dvc", "status").stdout, "run `dvc repro` and commit dvc.lock"
    assert (workspace / "dvc.lock").read_text() == (ROOT / "dvc.lock").read_text()
