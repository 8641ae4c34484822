"""Check whether the workspace reproduces the committed results."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from classifier.reporting.snapshot import Snapshot, flatten, list_entries, list_stages
from classifier.reporting.statistics import compare_predictions

ACCURACY_TOLERANCE = 0.02


class Level(Enum):
    """How well a commit reproduces its results."""

    BYTES = "Reproduced to the byte"
    EFFECT = "Reproduced in effect"
    NONE = "Not reproduced"


@dataclass(frozen=True)
class Verdict:
    """Whether the committed results are reproduced.

    Attributes:
        level: the level.
        problem: why they are not, or "".
        changed: the inputs and results that differ from the commit.
    """

    level: Level
    problem: str = ""
    changed: tuple[str, ...] = ()


def judge_reproduction(
    committed: Snapshot, new: Snapshot, changed_files: Iterable[str], stale_inputs: Iterable[str] = ()
) -> Verdict:
    """Compare the committed results with the new ones in the workspace, after `dvc repro`.

    The results are reproduced to the byte if no file that the commit contains and a stage writes differs, dvc.lock
    included. They are reproduced in effect, which is all that another processor, backend or library version can give,
    if the inputs and the test images are the same, the accuracy differs by at most ACCURACY_TOLERANCE, and the
    predictions do not differ significantly.

    Args:
        committed: the results that HEAD contains.
        new: the results in the workspace.
        changed_files: the tracked files that differ from HEAD.
        stale_inputs: the inputs that have changed since `dvc repro` ran, so the results are not theirs.
    """
    changed_files = list(changed_files)
    outs = [out["path"] for snapshot in (committed, new) for out in list_entries(snapshot.lock, "outs")]
    results = [path for path in changed_files if path == "dvc.lock" or _is_in(path, outs)]
    inputs = _list_changed_inputs(committed, new, [path for path in changed_files if path not in results])
    inputs = list(dict.fromkeys((*inputs, *stale_inputs)))
    if _lacks_results(committed) or _lacks_results(new):
        place = "HEAD" if _lacks_results(committed) else "the workspace"
        problem = f"dvc.lock, evaluation/metrics.json or evaluation/predictions.csv is missing in {place}"
    elif inputs:
        problem = "the committed dvc.lock belongs to other inputs"
    elif not results and committed.model_version == new.model_version:
        return Verdict(Level.BYTES)
    else:
        problem = _find_difference(committed, new)
    return Verdict(Level.NONE if problem else Level.EFFECT, problem, (*inputs, *results))


def _lacks_results(snapshot: Snapshot) -> bool:
    return not snapshot.lock or snapshot.metric("val_acc") is None or not snapshot.predictions


def _list_changed_inputs(committed: Snapshot, new: Snapshot, changed_files: list[str]) -> list[str]:
    deps = [dep["path"] for snapshot in (committed, new) for dep in list_entries(snapshot.lock, "deps")]
    names = [
        *_changed_keys(stage_inputs(committed.lock), stage_inputs(new.lock)),
        *(f"params.yaml: {key}" for key in _changed_keys(committed.params, new.params) if not _is_gate(key)),
        *(path for path in changed_files if _is_in(path.removesuffix(".dvc"), deps)),
    ]
    return list(dict.fromkeys(names))


def _is_gate(key: str) -> bool:
    return key.startswith("evaluate.")  # no stage reads it


def _find_difference(committed: Snapshot, new: Snapshot) -> str:
    """Return the difference that is too large, or "" if the results are the same in effect."""
    comparison = compare_predictions(committed, new)
    if not comparison.is_same_test_set:
        return "the test images are not those of the commit"
    difference = abs((committed.metric("val_acc") or 0.0) - (new.metric("val_acc") or 0.0))
    if round(difference, 9) > ACCURACY_TOLERANCE:
        return f"the accuracy differs by more than {ACCURACY_TOLERANCE}"
    return "the predictions differ significantly" if comparison.total.is_significant else ""


def stage_inputs(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the inputs of the pipeline that a dvc.lock records: commands, parameters, and hashes of code and data.

    Outputs of other stages are left out: they are results.

    Returns:
        The name of each input, with its value for each stage that reads it.
    """
    outs = [out["path"] for out in list_entries(lock, "outs")]
    inputs: dict[str, dict[str, Any]] = {}
    for stage, content in list_stages(lock).items():
        values = {
            f"dvc.yaml: {stage}": (content.get("cmd"), [out["path"] for out in list_entries(lock, "outs", stage)])
        }
        values |= {d["path"]: d.get("md5", d) for d in list_entries(lock, "deps", stage) if not _is_in(d["path"], outs)}
        params = content.get("params")
        for file, tree in params.items() if isinstance(params, dict) else ():
            values |= {f"{file}: {key}": value for key, value in flatten(tree).items()}
        for name, value in values.items():
            inputs.setdefault(name, {})[stage] = value
    return inputs


def _is_in(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
