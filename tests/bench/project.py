"""Projects that the benchmark runs in: temporary folders with code, parameters and images."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]


def remove_outputs(folder: Path, *outputs: str) -> None:
    for output in outputs:
        shutil.rmtree(folder / output, ignore_errors=True)


def make_project(folder: Path, raw_dir: Path, params: dict) -> Path:
    """Make a project with the code, the parameters, and the images as hard links."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(raw_dir, folder / "data" / "raw", copy_function=os.link)
    for image in folder.glob("data/raw/*/*"):
        image.read_bytes()  # fill the page cache, or only the first benchmark would wait for the disk
    os.sync()
    shutil.copy(ROOT / ".dvcignore", folder)
    write_params(folder, params)
    return folder


def write_params(folder: Path, params: dict, **train: int) -> None:
    """Write params.yaml, with other values in its section `train`."""
    changed = {**params, "train": {**params["train"], **train}}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed))


def run_script(project: Path, *command: str) -> str:
    """Run a Python script in a project, with the model of the project, and return what it prints."""
    environment = {**os.environ, "MODEL": ""}
    return subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def train_without(class_names: Iterable[str], raw_dir: Path, folder: Path) -> Path:
    """Make a project without some classes, and run its stages with the parameters of this one."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["train"].pop("output_classes", None)
    project = make_project(folder, raw_dir, params)
    shutil.copy(ROOT / "dvc.yaml", project)
    for name in class_names:
        shutil.rmtree(project / "data/raw" / name)
    run_script(project, "src/prepare.py", "data/raw", "data/prepared")
    run_script(project, "src/train.py", "data/prepared", "model")
    run_script(project, "src/evaluate.py", "model", "data/prepared")
    return project
