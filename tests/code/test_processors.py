"""All stages give the same bytes on other processors; these tests are the longest, so they start first."""

import hashlib
import platform
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from support.checkpoints import install_weights, narrow_weights
from support.commands import ROOT, STAGES, TRAIN, run, run_ok
from support.datasets import write_split
from support.projects import copy_project, read_outputs
from support.stages import copy_with_raw_data, different_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (Debian: apt install qemu-user)"),
    pytest.mark.skipif(
        platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor to compare with"
    ),
]

# All stages in one process, because TensorFlow's import takes 30 s under emulation.
RUN_STAGES = """
import runpy, sys
sys.path.insert(0, "src")
{setup}
for stage in {stages}:
    sys.argv = list(stage)
    try:
        runpy.run_path(stage[0], run_name="__main__")
    except SystemExit as exit:
        if exit.code:
            raise
"""
AUGMENT = """
import hashlib, sys
import numpy as np
sys.path.insert(0, "src")
from classifier.config import AugmentParams
from classifier.model.augmentation import augment
limits = AugmentParams(shift=0.2, flip=True, rotate=180, zoom=0.3, brightness=0.3)
for size in (32, 45):
    images = np.random.default_rng(0).integers(256, size=(64, size, 32, 3), dtype=np.uint8)
    changed = augment(images, np.arange(64), 64, limits, np.random.default_rng(1))
    print(hashlib.sha256(changed.tobytes()).hexdigest())
"""
EMULATOR_CRASHED = (-signal.SIGSEGV, 128 + signal.SIGSEGV)
BACKBONE_PARAMS = """\
train: {seed: 77, lr: 0.01, epochs: 1, batch_size: 4, conv_size: 8, dense_size: 8,
  backbone: efficientnet-lite0, unfreeze: 1}
"""


def run_as(processor: str, project: Path, code: str, **environment: str) -> str:
    """Run Python code under a processor model of qemu-user, and return what it prints.

    The emulator itself crashes now and then with several threads, so the code is run again after a crash.
    """
    for _ in range(3):
        command = ("qemu-x86_64", "-cpu", processor, sys.executable, "-c", code)
        result = run(project, *command, **environment)
        if result.returncode not in EMULATOR_CRASHED:
            break
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# An older Intel, a newer Intel and an AMD processor, with different caches.
@pytest.mark.parametrize("processor", ["Haswell", "Skylake-Server", "EPYC-Rome"])
def test_stages_on_other_processors_give_the_same_bytes(trained: Path, tmp_path: Path, processor: str) -> None:
    project = copy_with_raw_data(trained, tmp_path / "project")
    run_as(processor, project, RUN_STAGES.format(stages=STAGES, setup=""), BENTOML_HOME=str(tmp_path / "store"))
    assert different_files(project, trained) == set()


def test_training_with_backbone_on_another_processor_gives_the_same_bytes(tmp_path: Path) -> None:
    file = install_weights(tmp_path / "packages", narrow_weights(num_features=1280))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    code = RUN_STAGES.format(
        stages=(TRAIN,), setup=f"from classifier.model.backbone import checkpoint; checkpoint.SHA256 = {digest!r}"
    )
    outputs = []
    for processor in ("native", "Haswell"):
        project = copy_project(tmp_path / processor, BACKBONE_PARAMS)
        images = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), np.uint8)
        write_split(project / "data/prepared", "train", images, [0, 1] * 4 + [2], ["a", "b", "c"])
        write_split(project / "data/prepared", "test", images[:3], [0, 1, 2], ["a", "b", "c"])
        environment = {"BENTOML_HOME": str(project / "store"), "PYTHONPATH": str(tmp_path / "packages")}
        if processor == "native":
            run_ok(project, sys.executable, "-c", code, **environment)
        else:
            run_as(processor, project, code, **environment)
        outputs.append(read_outputs(project, "model"))
    assert len(outputs[0]) == 2 and outputs[0] == outputs[1]


def test_augmentation_on_another_processor_gives_the_same_bytes() -> None:
    expected = run_ok(ROOT, sys.executable, "-c", AUGMENT)
    assert len(set(expected.split())) == 2
    # Without fused multiply-add, the C library computes sine and cosine with other instructions.
    assert run_as("Haswell,-fma", ROOT, AUGMENT) == expected
