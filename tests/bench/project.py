"""Projects that the benchmark runs in: temporary folders with code, parameters and images."""

import os
import shutil
from pathlib import Path

import yaml

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
