"""The archive that the pipeline writes: what it contains, and that others can load it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from classifier.model import archive
from support.commands import EVALUATE, TRAIN, run, run_ok, without_root_rights
from support.projects import ARCHIVE_PATH, SMALL_PARAMS

pytestmark = pytest.mark.slow


@pytest.fixture
def empty_store(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with an empty BentoML store."""
    return {"BENTOML_HOME": str(tmp_path / "empty_store")}


def tag_of(project: Path) -> str:
    return json.loads((project / "evaluation/metrics.json").read_text())["model"]


def test_archive_contains_no_path_and_no_python_version(trained: Path) -> None:
    members = b"".join(archive.read_archive(trained / ARCHIVE_PATH).values())
    for text in (str(trained), os.environ["BENTOML_HOME"], sys.version.split()[0], "/tmp", "/home"):
        assert text.encode() not in members, text


def test_loaded_model_has_metadata(loaded: Any) -> None:
    info = loaded[0].info
    assert info.metadata["classes"][0] == "Earth" and info.metadata["image_size"] == [24, 20]
    assert info.metadata["parameters"]["lr"] == 0.003 and 0 <= info.metadata["scores"]["val_accuracy"] <= 1
    assert info.labels["classes"] == "11"
    assert info.creation_time.year > 2000


def test_code_of_model_card_runs_in_an_empty_folder(trained: Path, tmp_path: Path, empty_store: dict[str, str]) -> None:
    card = (trained / "evaluation/model_card.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    code += """
import sys
assert not [name for name in sys.modules if name.split(".")[0] in ("classifier", "utils", "dvc")]
array = objects["preprocess"]("image.jpg")
assert (array.shape, str(array.dtype)) == ((1, 24, 20, 3), "uint8")
print(tag, objects["postprocess"](model.predict(image, verbose=0))["prediction"])
"""
    with (trained / "evaluation/predictions.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    (tmp_path / "empty").mkdir()
    shutil.copy(trained / "data/raw" / row["file"], tmp_path / "empty/image.jpg")
    shutil.copy(trained / ARCHIVE_PATH, tmp_path / "empty")
    output = run_ok(tmp_path / "empty", sys.executable, "-I", "-c", code, **empty_store)
    assert output.split()[-2:] == [tag_of(trained), row["predicted"]]


def test_evaluation_of_first_model_after_second_training_is_unchanged(
    trained: Path, project: Path, empty_store: dict[str, str]
) -> None:
    first = {path: (project / path).read_bytes() for path in (ARCHIVE_PATH, "model/history.csv")}
    params = SMALL_PARAMS.replace("seed: 77, lr: 0.003, epochs: 3", "seed: 5, lr: 0.0001, epochs: 1")
    (project / "params.yaml").write_text(params)
    run_ok(project, *TRAIN, **empty_store)
    assert (project / ARCHIVE_PATH).read_bytes() != first[ARCHIVE_PATH]
    for path, content in first.items():
        (project / path).write_bytes(content)
    run_ok(project, *EVALUATE, **empty_store)  # `latest` is the second model
    assert (project / "evaluation/metrics.json").read_bytes() == (trained / "evaluation/metrics.json").read_bytes()


def test_archive_exported_by_bentoml_is_read(trained: Path, loaded: Any, tmp_path: Path) -> None:
    import bentoml

    exported = Path(bentoml.models.export_model(loaded[0].tag, str(tmp_path / "x.bentomodel")))
    assert archive.content_version(archive.read_archive(exported)) == loaded[0].tag.version


@pytest.mark.parametrize("command", [("src/predict.py", "{image}"), ("-c", "import serve; print(serve.MODEL_TAG)")])
def test_command_with_read_only_store_that_contains_the_model_succeeds(
    trained: Path, tmp_path: Path, command: tuple[str, str]
) -> None:
    environment = {
        "BENTOML_HOME": str(tmp_path / "store"),
        "MODEL": str(trained / ARCHIVE_PATH),
        "PYTHONPATH": str(trained / "src"),
    }
    code = "import pathlib, sys; from classifier.model import store; store.import_model(pathlib.Path(sys.argv[1]))"
    run_ok(trained, sys.executable, "-c", code, str(trained / ARCHIVE_PATH), **environment)
    subprocess.run(("chmod", "-R", "a-w", tmp_path / "store"), check=True)
    image = str(next((trained / "data/raw").rglob("*.jpg")))
    arguments = [argument.format(image=image) for argument in command]
    result = run(trained, *without_root_rights(), sys.executable, *arguments, **environment)
    subprocess.run(("chmod", "-R", "u+w", tmp_path / "store"), check=True)  # pytest removes it
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith((image, tag_of(trained)))
