"""All stages give the same bytes on other processors; these tests are the longest, so they start first."""

import platform
import shutil
import sys
from pathlib import Path

import pytest

from support.commands import STAGES, run_ok
from support.stages import copy_with_raw_data, different_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (Debian: apt install qemu-user)"),
    pytest.mark.skipif(
        platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor to compare with"
    ),
]

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


# An older Intel, a newer Intel and an AMD processor, with different caches.
@pytest.mark.parametrize("processor", ["Haswell", "Skylake-Server", "EPYC-Rome"])
def test_stages_on_other_processors_give_the_same_bytes(trained: Path, tmp_path: Path, processor: str) -> None:
    project = copy_with_raw_data(trained, tmp_path / "project")
    command = ("qemu-x86_64", "-cpu", processor, sys.executable, "-c", RUN_STAGES)
    run_ok(project, *command, BENTOML_HOME=str(tmp_path / "store"))
    assert different_files(project, trained) == set()
