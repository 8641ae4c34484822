"""`dvc repro` from end to end, and what users do with its outputs."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from conftest import SMALL, fails, run


def test_outputs(trained: Path) -> None:
    metrics = json.loads((trained / "evaluation/metrics.json").read_text())
    assert metrics["model"].startswith("celestial_bodies_classifier_model:")
    assert {"val_loss", "val_acc", "precision", "recall", "f1", "classes"} < metrics.keys()
    assert len(metrics["classes"]) == 11
    assert (trained / "evaluation/predictions.csv").read_text().splitlines()[0] == "file,actual,predicted,confidence"
    assert len((trained / "evaluation/predictions.csv").read_text().splitlines()) == 34
    assert len((trained / "model/history.csv").read_text().splitlines()) == 4
    for name, head in (("calibration", "confidence,accuracy,perfect,pictures"), ("classes", "class,precision,recall")):
        assert (trained / f"evaluation/{name}.csv").read_text().startswith(head)
    card = (trained / "evaluation/model_card.md").read_text()
    assert metrics["model"] in card and f"{metrics['val_acc']:.1%}" in card
    digest = hashlib.sha256((trained / "data/prepared/test/images.npy").read_bytes()).hexdigest()
    assert digest in card
    for name in ("training_history", "pred_preview", "mistakes", "confusion_matrix"):
        assert (trained / f"evaluation/plots/{name}.png").read_bytes().startswith(b"\x89PNG")
    listed = json.loads(run(trained, "bentoml", "models", "list", "-o", "json").stdout)
    assert (metrics["model"], "bentoml.keras") in [(model["tag"], model["module"]) for model in listed]


def test_repro_again_runs_nothing(trained: Path) -> None:
    result = run(trained, "dvc", "repro")
    assert "Data and pipelines are up to date" in result.stdout and "Running" not in result.stdout
    assert run(trained, "git", "status", "--porcelain").stdout == ""


def test_a_parameter_concerns_just_its_stages(trained: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project, symlinks=True)
    for old, new, stages in (
        ("lr: 0.003", "lr: 0.004", {"train", "evaluate"}),
        ("split: 0.25", "split: 0.4", {"prepare", "train", "evaluate"}),
    ):
        (project / "params.yaml").write_text((project / "params.yaml").read_text().replace(old, new))
        ran = run(project, "dvc", "repro").stdout
        assert {stage for stage in ("prepare", "train", "evaluate") if f"Running stage '{stage}'" in ran} == stages
        assert new.split(": ")[1] in run(project, "dvc", "params", "diff").stdout


def test_dvc_commands(trained: Path, tmp_path: Path) -> None:
    assert "val_acc" in run(trained, "dvc", "metrics", "show").stdout
    assert run(trained, "dvc", "metrics", "diff").returncode == 0
    assert "evaluate" in run(trained, "dvc", "dag").stdout
    result = run(trained, "dvc", "plots", "show", "-o", str(tmp_path / "plots"))
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "plots" / "index.html").read_text()
    for part in ("val_loss", "val_accuracy", "confusion", "pred_preview", "Calibration", "F1 of each class"):
        assert part in page


def test_output_classes_must_fit_the_data(project: Path) -> None:
    (project / "params.yaml").write_text(SMALL.replace("output_classes: 11", "output_classes: 7"))
    fails(run(project, "src/train.py", "data/prepared", "model"), "train.output_classes is 7", "has 11 classes")


def test_a_loss_that_is_no_number_packs_nothing(project: Path) -> None:
    shutil.rmtree(project / "model")
    (project / "params.yaml").write_text(SMALL.replace("lr: 0.003", "lr: 9.9").replace("epochs: 3", "epochs: 200"))
    # Not every bad rate ends in NaN; pictures that are none do: weights overflow where inputs are huge.
    train = (project / "src/train.py").read_text()
    (project / "src/train.py").write_text(train.replace("layers.Rescaling(1 / 255", "layers.Rescaling(1e30"))
    fails(run(project, "src/train.py", "data/prepared", "model"), "the loss is", "smaller train.lr")
    assert list((project / "model").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("data/prepared/labels.json", None, "is missing"),
        ("data/prepared/labels.json", b"{", "is damaged"),
        ("data/prepared/labels.json", b'["Mars"]', "is no list of different classes"),
        ("data/prepared/test/images.npy", None, "is missing"),
        ("data/prepared/test/images.npy", 5000, "is damaged"),
        ("data/prepared/test/labels.npy", 20, "is damaged"),
        ("data/prepared/test/files.json", b"[]", "differ in number"),
        ("model/history.csv", None, "is missing"),
        ("model/history.csv", b"epoch,loss\n0,x\n", "is damaged"),
        ("model/celestial_bodies_classifier_model.bentomodel", None, "is missing"),
        ("model/celestial_bodies_classifier_model.bentomodel", 5000, "is damaged"),
        ("model/celestial_bodies_classifier_model.bentomodel", b"a random file", "is damaged"),
    ],
)
def test_what_is_broken_between_stages_is_named(
    project: Path, path: str, content: bytes | int | None, message: str
) -> None:
    file = project / path
    if content is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    before = {f: f.read_bytes() for f in (project / "evaluation").rglob("*.*") if f.is_file()}
    fails(run(project, "src/evaluate.py", "model", "data/prepared"), "evaluate.py: ", message)
    assert {f: f.read_bytes() for f in (project / "evaluation").rglob("*.*") if f.is_file()} == before
