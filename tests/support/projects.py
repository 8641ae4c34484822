"""Projects in temporary folders, to run and to change."""

import shutil
import subprocess
from pathlib import Path

from support.commands import ROOT

GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid")
ARCHIVE_PATH = "model/celestial_bodies_classifier_model.bentomodel"
SMALL_PARAMS = """\
prepare: {seed: 77, split: 0.25, image_size: [24, 20], grayscale: false}
train: {seed: 77, lr: 0.003, epochs: 3, batch_size: 14, conv_size: 8, dense_size: 32, output_classes: 11}
"""


def copy_project(folder: Path, params: str = SMALL_PARAMS) -> Path:
    """Copy the code and dvc.yaml into a new folder, with other parameters."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    shutil.copy(ROOT / ".dvcignore", folder)
    (folder / "params.yaml").write_text(params)
    return folder


def read_outputs(project: Path, *folders: str) -> dict[str, bytes]:
    """Return the content of all files that the stages wrote; .gitignore files are DVC's."""
    return {
        str(file.relative_to(project)): file.read_bytes()
        for folder in folders or ("data/prepared", "model", "evaluation")
        for file in sorted((project / folder).rglob("*"))
        if file.is_file() and file.name not in (".gitignore", "README.md")
    }


def commit_all(folder: Path, message: str) -> None:
    """Commit all changes."""
    for command in (("add", "-A"), ("commit", "-qm", message)):
        subprocess.run((*GIT, *command), cwd=folder, check=True)


def has_written_images(project: Path) -> bool:
    """Return whether a running prepare stage has written pixels; the file has its final size from the start."""
    return any(file.stat().st_blocks > 100 for file in (project / "data" / ".prepared.tmp" / "train").glob("*.npy"))
