"""Projects in temporary folders, to run and to change."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from classifier.model.archive import archive_name
from support.commands import ROOT

GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid")
ARCHIVE_PATH = f"model/{archive_name(ROOT)}"
SAMPLE_PARAMS = Path(__file__).with_name("sample_params.yaml")  # those of this project, whatever params.yaml says
SAMPLE_HASH = "f5bb8a3bda380d6ec977082c0eea995f.dir"  # of the sample dataset, as DVC computes it
REMOTE = """\
['remote "storage"']
    url = ../../celestial-bodies-storage
"""
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
    (folder / ".gitignore").write_text("__pycache__/\n")
    (folder / "params.yaml").write_text(params)
    return folder


def make_cats_and_dogs(folder: Path, num_images: int, save: Callable[[Path, np.random.Generator], None]) -> Path:
    """Make a project with two classes; `save` draws an image and writes it to a path without an extension."""
    project = copy_project(folder)
    rng = np.random.default_rng(0)
    for class_name in ("cat", "dog"):
        class_folder = project / "data/raw" / class_name
        class_folder.mkdir(parents=True)
        for i in range(num_images):
            save(class_folder / str(i), rng)
    return project


def copy_dvc_settings(project: Path) -> None:
    """Copy this project's DVC settings, but with the remote of a new clone: the user may have set another one."""
    settings = (ROOT / ".dvc/config").read_text().partition("['remote ")[0]
    (project / ".dvc/config").write_text(settings + REMOTE)


def has_results(project: Path) -> bool:
    """Return whether `dvc repro` has run in a project."""
    outputs = ("data/raw", "data/prepared/labels.json", "model/history.csv", "evaluation/metrics.json", ARCHIVE_PATH)
    return all((project / path).exists() for path in outputs)


def has_sample(project: Path) -> bool:
    """Return whether a project has the sample dataset and its parameters."""
    params, sample_params = (yaml.safe_load(path.read_text()) for path in (project / "params.yaml", SAMPLE_PARAMS))
    tracked = project / "data/raw.dvc"
    return params == sample_params and tracked.is_file() and SAMPLE_HASH in tracked.read_text()


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
    return any(file.stat().st_blocks > 100 for file in (project / "data" / ".prepared.tmp").glob("*.pixels"))
