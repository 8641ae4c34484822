"""The same inputs give the same bytes, whatever the machine's settings are."""

import json
import os
import platform
import socket
from pathlib import Path

import pytest

from support.commands import ROOT, STAGES, run, run_ok
from support.projects import has_sample, read_outputs
from support.stages import copy_with_raw_data, different_files

pytestmark = pytest.mark.slow

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
