"""The package: named by its content, alone in the world, and checked before it is trusted."""

import csv
import io
import json
import lzma
import os
import random
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import SMALL, fails, run

from utils import package
from utils.stage import Failure

EVALUATE = ("src/evaluate.py", "model", "data/prepared")


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with an empty BentoML store."""
    return {"BENTOML_HOME": str(tmp_path / "store")}


def tag_of(project: Path) -> str:
    return json.loads((project / "evaluation/metrics.json").read_text())["model"]


def test_stored_xz_is_xz() -> None:
    for size in (1, 2, 3, 4, 65_535, 65_536, 65_537, 300_000):
        data = random.Random(size).randbytes(size)
        assert lzma.decompress(package._xz(data)) == data


def test_the_archive_holds_no_clock_user_or_path(trained: Path) -> None:
    content = (trained / "model" / package.FILE).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) == (0, 0, 0, "", "", 0o644)
    plain = lzma.decompress(content)
    for leak in (
        str(trained),
        os.environ["BENTOML_HOME"],
        sys.version.split()[0],
        "/tmp",
        "/home",
    ):
        assert leak.encode() not in plain, leak


def test_the_store_shows_when_the_model_came(loaded) -> None:
    assert loaded[0].info.creation_time.year > 2000


def test_metadata_says_what_it_is(loaded) -> None:
    info = loaded[0].info
    assert info.metadata["classes"][0] == "Earth" and info.metadata["image_size"] == [24, 20]
    assert info.metadata["parameters"]["lr"] == 0.003 and 0 <= info.metadata["scores"]["val_accuracy"] <= 1
    assert info.labels["classes"] == "11"


def test_stock_bentoml_loads_it_in_an_empty_folder(trained: Path, tmp_path: Path, store: dict[str, str]) -> None:
    code = """
import sys, bentoml, numpy
tag = bentoml.models.import_model(sys.argv[1]).tag
assert str(tag) == sys.argv[2], tag
model = bentoml.keras.load_model(tag)
objects = bentoml.models.get(tag).custom_objects
array = objects["preprocess"](sys.argv[3])
answer = objects["postprocess"](model.predict(array, verbose=0))
assert array.shape == (1, 24, 20, 3) and array.dtype == numpy.uint8, array.shape
assert abs(sum(answer["probabilities"].values()) - 1) < 1e-6 and len(answer["probabilities"]) == 11
assert not [name for name in sys.modules if name == "utils" or name.startswith(("utils.", "dvc"))], "this project's"
print(answer["prediction"])
"""
    (tmp_path / "empty").mkdir()
    with open(trained / "evaluation/predictions.csv", newline="") as file:
        scored = next(csv.DictReader(file))
    picture = trained / "data/raw" / scored["file"]
    archive = trained / "model" / package.FILE
    command = (sys.executable, "-I", "-c", code, str(archive), tag_of(trained), str(picture))
    result = run(tmp_path / "empty", *command, **store)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == scored["predicted"]


def test_train_a_train_b_evaluate_a_scores_a(trained: Path, project: Path, store: dict[str, str]) -> None:
    first = (project / "model" / package.FILE).read_bytes()
    (project / "params.yaml").write_text(SMALL.replace("seed: 77, lr: 0.003", "seed: 5, lr: 0.0001"))
    for command in (("src/train.py", "data/prepared", "model"), EVALUATE):
        result = run(project, *command, **store)
        assert result.returncode == 0, result.stderr
    assert tag_of(project) != tag_of(trained)
    (project / "model" / package.FILE).write_bytes(first)
    (project / "model/history.csv").write_bytes((trained / "model/history.csv").read_bytes())
    assert run(project, *EVALUATE, **store).returncode == 0
    metrics = "evaluation/metrics.json"
    assert (project / metrics).read_bytes() == (trained / metrics).read_bytes()


def test_content_that_is_not_what_the_tag_says_is_refused(trained: Path, tmp_path: Path) -> None:
    source = trained / "model" / package.FILE
    for name in package.CONTENT:
        files = package._read(source)
        files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
        package._write(tmp_path / "x.bentomodel", files)
        with pytest.raises(Failure, match="calls itself"):
            package._read(tmp_path / "x.bentomodel")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "more.py"])
def test_an_archive_with_other_paths_is_refused(trained: Path, tmp_path: Path, name: str) -> None:
    files = package._read(trained / "model" / package.FILE)
    package._write(tmp_path / "x.bentomodel", {**files, name: b"x"})
    with pytest.raises(Failure, match="which no package of this project does"):
        package._read(tmp_path / "x.bentomodel")


def test_stock_bentomls_own_export_is_read_too(trained: Path, loaded, tmp_path: Path) -> None:
    import bentoml

    exported = bentoml.models.export_model(loaded[0].tag, str(tmp_path / "x.bentomodel"))
    assert package._version(package._read(Path(exported))) == loaded[0].tag.version


def test_a_store_entry_that_was_changed_is_reported(project: Path, store: dict[str, str]) -> None:
    assert run(project, *EVALUATE, **store).returncode == 0
    name, version = tag_of(project).split(":")
    weights = Path(store["BENTOML_HOME"], "models", name, version, "model.weights.h5")
    content = bytearray(weights.read_bytes())
    content[-9] ^= 1
    weights.write_bytes(content)
    fails(run(project, *EVALUATE, **store), "not what its tag says", "model.weights.h5", "bentoml models delete")
    assert run(project, "bentoml", "models", "delete", tag_of(project), "--yes", **store).returncode == 0
    assert run(project, *EVALUATE, **store).returncode == 0
