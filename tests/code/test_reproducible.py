"""The same inputs give the same bytes, whatever the machine's settings and processor are."""

import json
import os
import platform
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.commands import EVALUATE, PREPARE, ROOT, TRAIN, run, run_ok
from support.projects import copy_project, has_sample, read_outputs

pytestmark = pytest.mark.slow

STAGES = (PREPARE, TRAIN, EVALUATE)
# What may differ between two machines and their users, and may not influence the outputs.
OTHER_SETTINGS = {
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
# An older Intel, a newer Intel and an AMD processor, with different caches.
PROCESSORS = ("Haswell", "Skylake-Server", "EPYC-Rome")
# All stages in one process, because TensorFlow's import takes 30 s under emulation.
RUN_STAGES = f"""
import runpy, sys
sys.path.insert(0, "src")
for stage in {STAGES}:
    sys.argv = list(stage)
    try:
        runpy.run_path(stage[0], run_name="__main__")
    except SystemExit as exit:
        if exit.code:
            raise
"""


def copy_with_raw_data(trained: Path, folder: Path) -> Path:
    """Copy the trained project's images into a new project, in another order and with other times."""
    project = copy_project(folder)
    for file in sorted((trained / "data/raw").rglob("*.jpg"), reverse=True):
        target = project / file.relative_to(trained)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        os.utime(target, (1, 1))
    return project


def different_files(project: Path, trained: Path) -> set[str]:
    """Return the names of outputs that are not equal, or that only one of the two projects has."""
    outputs, expected = read_outputs(project), read_outputs(trained)
    return {name for name in outputs.keys() | expected.keys() if outputs.get(name) != expected.get(name)}


def test_stages_with_one_core_and_other_settings_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    project = copy_with_raw_data(trained, tmp_path / "a" / "much" / "deeper" / "folder")
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    settings = {"floatx": "float64", "epsilon": 1e-3, "backend": "tensorflow", "image_data_format": "channels_first"}
    (home / ".keras" / "keras.json").write_text(json.dumps(settings))
    (home / "matplotlibrc").write_text("figure.facecolor: red\nfont.family: serif\n")
    folders = {"HOME": str(home), "MATPLOTLIBRC": str(home / "matplotlibrc"), "BENTOML_HOME": str(home / "b")}
    for stage in STAGES:
        command = ("bash", "-c", f"umask 077; exec taskset -c 0 python {' '.join(stage)}")
        run_ok(project, *command, **OTHER_SETTINGS, **folders)
    assert different_files(project, trained) == set()


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (Debian: apt install qemu-user)")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor to compare with")
def test_stages_on_other_processors_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    def run_as(processor: str) -> set[str]:
        project = copy_with_raw_data(trained, tmp_path / processor)
        command = ("qemu-x86_64", "-cpu", processor, sys.executable, "-c", RUN_STAGES)
        run_ok(project, *command, BENTOML_HOME=str(tmp_path / processor / "store"))
        return different_files(project, trained)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        different = dict(zip(PROCESSORS, executor.map(run_as, PROCESSORS), strict=True))
    assert different == {processor: set() for processor in PROCESSORS}


def test_outputs_contain_no_setting_of_this_machine(trained: Path) -> None:
    host = socket.gethostname()
    settings = (str(trained), os.environ["BENTOML_HOME"], "/home/", "/root/", *([host] if len(host) > 5 else []))
    for name, content in read_outputs(trained).items():
        for setting in settings:
            assert setting.encode() not in content, f"{setting} is in {name}"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other architectures give other last digits")
def test_dvc_lock_is_what_the_pipeline_gives(sample: Path) -> None:
    if not has_sample(ROOT):
        pytest.skip("the committed dvc.lock belongs to other images or parameters")
    if sample == ROOT:
        assert "up to date" in run(ROOT, "dvc", "status").stdout, "run `dvc repro` and commit dvc.lock"
    assert (sample / "dvc.lock").read_text() == (ROOT / "dvc.lock").read_text()
