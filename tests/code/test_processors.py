"""All stages give the same bytes on other processors; these tests are the longest, so they start first."""

import hashlib
import platform
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from support.checkpoints import install_weights, narrow_weights
from support.commands import ROOT, STAGES, TRAIN, run_ok
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
BACKBONE_PARAMS = """\
train: {seed: 77, lr: 0.01, epochs: 1, batch_size: 4, conv_size: 8, dense_size: 8,
  backbone: efficientnet-lite0, unfreeze: 1}
"""


# An older Intel, a newer Intel and an AMD processor, with different caches.
@pytest.mark.parametrize("processor", ["Haswell", "Skylake-Server", "EPYC-Rome"])
def test_stages_on_other_processors_give_the_same_bytes(trained: Path, tmp_path: Path, processor: str) -> None:
    project = copy_with_raw_data(trained, tmp_path / "project")
    command = ("qemu-x86_64", "-cpu", processor, sys.executable, "-c", RUN_STAGES.format(stages=STAGES, setup=""))
    run_ok(project, *command, BENTOML_HOME=str(tmp_path / "store"))
    assert different_files(project, trained) == set()


def test_training_with_backbone_on_another_processor_gives_the_same_bytes(tmp_path: Path) -> None:
    file = install_weights(tmp_path / "packages", narrow_weights(num_features=1280))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    code = RUN_STAGES.format(
        stages=(TRAIN,), setup=f"from classifier.model.backbone import checkpoint; checkpoint.SHA256 = {digest!r}"
    )
    outputs = []
    for name, emulator in (("native", ()), ("haswell", ("qemu-x86_64", "-cpu", "Haswell"))):
        project = copy_project(tmp_path / name, BACKBONE_PARAMS)
        images = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), np.uint8)
        write_split(project / "data/prepared", "train", images, [0, 1] * 4 + [2], ["a", "b", "c"])
        write_split(project / "data/prepared", "test", images[:3], [0, 1, 2], ["a", "b", "c"])
        environment = {"BENTOML_HOME": str(project / "store"), "PYTHONPATH": str(tmp_path / "packages")}
        run_ok(project, *emulator, sys.executable, "-c", code, **environment)
        outputs.append(read_outputs(project, "model"))
    assert len(outputs[0]) == 2 and outputs[0] == outputs[1]


def test_augmentation_on_another_processor_gives_the_same_bytes() -> None:
    expected = run_ok(ROOT, sys.executable, "-c", AUGMENT)
    assert len(set(expected.split())) == 2
    # Without fused multiply-add, the C library computes sine and cosine with other instructions.
    assert run_ok(ROOT, "qemu-x86_64", "-cpu", "Haswell,-fma", sys.executable, "-c", AUGMENT) == expected
