"""Results of one revision, read from the workspace or from Git."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from utils.errors import UserError
from utils.files import printable
from utils.tables import read_columns

RAW_DIR = "data/raw"


@dataclass(frozen=True)
class Snapshot:
    """Results of one revision; missing values are empty.

    Attributes:
        name: the short hash of the commit, or "now" for the workspace.
        metrics: evaluation/metrics.json.
        params: params.yaml, flattened: {"train.lr": 0.002, ...}.
        predictions: the actual and the predicted class of each test image.
        history: val_loss and val_accuracy of each epoch.
        dataset: md5, size and nfiles of data/raw.
        lock: dvc.lock.
    """

    name: str
    metrics: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, tuple[str, str]] = field(default_factory=dict)
    history: list[tuple[float, float]] = field(default_factory=list)
    dataset: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, Any] = field(default_factory=dict)

    def metric(self, *keys: str) -> float | None:
        """Return a number from metrics.json, or None if it is missing or not finite."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def class_names(self) -> list[str]:
        """The classes that metrics.json describes."""
        classes = self.metrics.get("classes")
        return sorted(classes) if isinstance(classes, dict) else []

    @property
    def model_version(self) -> str:
        """The version in the BentoML tag of the evaluated model."""
        return str(self.metrics.get("model", "")).rpartition(":")[2]

    @property
    def archive_size(self) -> int:
        """The size of the model archive in bytes, or 0."""
        outs = list_entries(self.lock, "outs", stage="train")
        size = next((out.get("size") for out in outs if out["path"].endswith(".bentomodel")), 0)
        return size if isinstance(size, int) else 0


def load_snapshot() -> Snapshot:
    """Load the results in the workspace."""

    def read(path: str) -> str:
        return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else ""

    return _load("now", read)


def load_snapshot_from_git(revision: str) -> Snapshot:
    """Load the results of a commit, without checking it out.

    Raises:
        UserError: the revision is not a commit.
    """
    name = _git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}").strip()
    if not name:
        raise UserError(
            f"{printable(revision)} is not a commit in this repository; "
            "use a branch, a tag or a commit, or run `git fetch` first"
        )
    # "./" is relative to this folder, which need not be the root of the repository.
    return _load(name, lambda path: _git("show", f"{name}:./{path}"))


def _load(name: str, read: Callable[[str], str]) -> Snapshot:
    predictions = read_columns(read("evaluation/predictions.csv"), "file", "actual", "predicted")
    return Snapshot(
        name=name,
        metrics=parse_mapping(read("evaluation/metrics.json"), json.loads),
        params=flatten(parse_mapping(read("params.yaml"))),
        predictions={file: (actual, predicted) for file, actual, predicted in predictions},
        history=_parse_numbers(read_columns(read("model/history.csv"), "val_loss", "val_accuracy")),
        dataset=next(_dicts(parse_mapping(read(f"{RAW_DIR}.dvc")).get("outs")), {}),
        lock=parse_mapping(read("dvc.lock")),
    )


def list_changed_files() -> list[str]:
    """Return the files below this folder that HEAD contains and that differ in the workspace, staged or not."""
    return [path for path in _git("diff", "--name-only", "-z", "--relative", "HEAD").split("\0") if path]


def dvc_list_stale_inputs(project: Path = Path()) -> list[str]:
    """Return the inputs of stages that have changed since `dvc repro` ran; none where DVC cannot tell.

    Missing inputs do not count: the results in a clone without images are still those of its commit.
    """
    folder = project.resolve()
    if not any((parent / ".dvc").is_dir() for parent in (folder, *folder.parents)):
        return []
    command = ("dvc", "status", "--json", "dvc.yaml")
    result = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    stages = {} if result.returncode else parse_mapping(result.stdout, json.loads)
    names = []
    for stage, changes in stages.items():
        for change in changes:
            deps = change.get("changed deps", {}) if isinstance(change, dict) else {}
            names += [f"dvc.yaml: {stage}"] * (change == "changed command")
            names += [f"{path}: {key}" for path, keys in deps.items() if isinstance(keys, dict) for key in keys]
            names += [path for path, state in deps.items() if state in ("modified", "new")]
    return list(dict.fromkeys(names))


def dvc_list_hashes(revision: str = "") -> dict[str, str] | None:
    """Return the hash of each image of a revision (default: of the workspace).

    Returns:
        A hash for each path below data/raw, or None if neither the DVC cache nor the remote has the list.
    """
    # With --rev, `dvc list` takes paths from the root of the Git repository.
    root, prefix = (_git("rev-parse", option).rstrip("\n") for option in ("--show-toplevel", "--show-prefix"))
    command = ["dvc", "list", ".", f"{prefix}{RAW_DIR}", "--dvc-only", "--recursive", "--json", "--show-hash"]
    if revision:
        command += ["--rev", revision]
    result = subprocess.run(command, check=False, cwd=root or ".", capture_output=True, text=True)
    return None if result.returncode else {entry["path"]: entry["md5"] for entry in json.loads(result.stdout)}


def parse_mapping(text: str, parse: Callable[[str], Any] = yaml.safe_load) -> dict[str, Any]:
    """Return a YAML or JSON mapping, or {} if the text cannot be parsed."""
    try:
        value = parse(text)
    except (yaml.YAMLError, ValueError):
        value = None
    return value if isinstance(value, dict) else {}


def flatten(value: object, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one: {"train": {"lr": 1}} becomes {"train.lr": 1}."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


def list_stages(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the stages of a dvc.lock by name."""
    stages = lock.get("stages")
    return (
        {name: stage for name, stage in stages.items() if isinstance(stage, dict)} if isinstance(stages, dict) else {}
    )


def list_entries(lock: dict[str, Any], kind: str, stage: str = "") -> list[dict[str, Any]]:
    """Return the "deps" or "outs" of one stage in a dvc.lock, or of all stages."""
    stages = [content for name, content in list_stages(lock).items() if stage in ("", name)]
    return [entry for content in stages for entry in _dicts(content.get(kind)) if isinstance(entry.get("path"), str)]


def _dicts(items: object) -> Iterator[dict[str, Any]]:
    return (item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))


def _parse_numbers(rows: list[tuple[str, ...]]) -> list[tuple[float, float]]:
    try:
        return [(float(first), float(second)) for first, second in rows]
    except ValueError:
        return []


def _git(*arguments: str) -> str:
    """Return what a Git command prints; nothing if it fails."""
    return subprocess.run(("git", *arguments), check=False, capture_output=True).stdout.decode("utf-8", "replace")
