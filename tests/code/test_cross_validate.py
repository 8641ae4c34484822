"""cross_validate.py: one training for each fold, and the mean and deviation."""

import json
import signal
import tempfile
from pathlib import Path

import psutil
import pytest
import yaml

import cross_validate
from classifier.config import PrepareParams, TrainParams, load_params
from support.commands import assert_fails, run
from support.projects import SMALL_PARAMS, copy_project
from support.stages import start, wait_until
from utils.errors import UserError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without images, in which this process runs, with its own folder for temporary files."""
    project = copy_project(tmp_path / "project", SMALL_PARAMS.replace("epochs: 3", "epochs: 1"))
    monkeypatch.chdir(project)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return project


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def is_training(parent: psutil.Process) -> bool:
    try:
        return any("train.py" in " ".join(child.cmdline()) for child in parent.children())
    except psutil.NoSuchProcess:  # it has just ended
        return False


def test_main_prints_each_fold_and_mean_and_sample_deviation(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_stage(folder: Path, script: str, *arguments: str) -> str:
        number, num_folds = yaml.safe_load((folder / "params.yaml").read_text())["prepare"]["fold"]
        assert num_folds == 3 and (folder / "dvc.yaml").exists()
        if script == "evaluate.py":
            scores = {"val_acc": number / 4, "balanced_acc": 0.5, "classes": {"a": {"support": 2}, "b": {"support": 1}}}
            (folder / "evaluation").mkdir()
            (folder / "evaluation/metrics.json").write_text(json.dumps(scores))
        return ""

    monkeypatch.setattr(cross_validate, "run_stage", run_stage)
    before = list_files(project)
    cross_validate.main(Path("data/raw"), folds=3)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["fold", "test", "images", "val_acc", "balanced_acc"],
        ["1", "of", "3", "3", "0.2500", "0.5000"],
        ["2", "of", "3", "3", "0.5000", "0.5000"],
        ["3", "of", "3", "3", "0.7500", "0.5000"],
        ["mean", "0.5000", "0.5000"],
        ["standard", "deviation", "0.2500", "0.0000"],
    ]
    assert list_files(project) == before and not list_files(Path(tempfile.gettempdir()))


@pytest.mark.parametrize("folds", [1, 101])
def test_main_with_a_wrong_number_of_folds_fails(project: Path, folds: int) -> None:
    with pytest.raises(UserError, match=f"--folds: expected a number from 2 to 100, got {folds}"):
        cross_validate.main(Path("data/raw"), folds)


def test_main_names_the_fold_and_the_stage_that_failed(project: Path) -> None:
    result = run(project, "src/cross_validate.py", "data/raw", "--folds", "2")
    assert_fails(result, "cross_validate.py: fold 1 of 2: prepare.py: ", "data/raw is not a folder")
    assert result.stderr.count("\n") == 1 and not list_files(Path(tempfile.gettempdir()))


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("a.py: warning: few images\na.py: bad:\n  b\n  c\n", "a.py: bad:\n  b\n  c"),
        ("a.py: warning: few images\n", "a.py failed with exit status 3"),
    ],
)
def test_run_stage_that_fails_returns_its_error_without_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, expected: str
) -> None:
    (tmp_path / "a.py").write_text(f"import sys; sys.stderr.write({printed!r}); sys.exit(3)")
    monkeypatch.setattr(cross_validate, "__file__", str(tmp_path / "cross_validate.py"))
    assert cross_validate.run_stage(tmp_path, "a.py") == expected


def test_main_with_a_wrong_parameter_of_training_fails_before_the_first_stage(project: Path) -> None:
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("lr: 0.003", "lr: fast"))
    with pytest.raises(UserError, match=r"params\.yaml: train\.lr: expected"):
        cross_validate.main(Path("data/raw"), folds=2)


def test_run_fold_keeps_all_other_parameters(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = "lr: 1e-5, patience: null, augment: {flip: true, zoom: 0.1}"
    (project / "params.yaml").write_text(SMALL_PARAMS.replace("lr: 0.003", options))
    monkeypatch.setattr(cross_validate, "run_stage", lambda *_: "stopped")
    with pytest.raises(UserError, match="fold 2 of 3: stopped"):
        cross_validate.run_fold(Path("data/raw"), tmp_path, 2, 3)
    expected = load_params(PrepareParams).model_copy(update={"fold": (2, 3)})
    assert load_params(PrepareParams, tmp_path / "params.yaml") == expected
    assert load_params(TrainParams, tmp_path / "params.yaml") == load_params(TrainParams)


@pytest.mark.slow
def test_run_fold_trains_and_evaluates_on_that_fold_only(project: Path, raw_dir: Path, tmp_path: Path) -> None:
    before = list_files(project)
    (tmp_path / "fold").mkdir()
    metrics = cross_validate.run_fold(raw_dir, tmp_path / "fold", 4, 4)
    assert {name: scores["support"] for name, scores in metrics["classes"].items()} == {
        folder.name: 3 for folder in raw_dir.iterdir()
    }
    assert list_files(project) == before
    assert len(list((tmp_path / "fold/bentoml/models").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_running_stage_and_leaves_no_files(project: Path, raw_dir: Path, signum: int) -> None:
    folder = Path(tempfile.gettempdir())
    with start(project, "src/cross_validate.py", str(raw_dir)) as process:
        parent = psutil.Process(process.pid)
        wait_until(lambda: is_training(parent), process)
        children = parent.children(recursive=True)
        process.send_signal(signum)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert errors == f"\ncross_validate.py: stopped by {signum.name}; no incomplete output is left\n"
    assert output.count("\n") == 1 and not list_files(folder)
    _, alive = psutil.wait_procs(children, timeout=30)  # a killed process ends a moment later
    assert children and not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
