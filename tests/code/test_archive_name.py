"""The project's name in dvc.yaml, which names the model and its archive."""

from pathlib import Path

import pytest

from classifier.model.archive import archive_name
from utils.errors import UserError


@pytest.mark.parametrize(
    ("dvc_yaml", "name"),
    [
        (None, "celestial_bodies_classifier"),
        ("stages: {}", "celestial_bodies_classifier"),
        ("vars: [other.yaml, {x: 1}]", "celestial_bodies_classifier"),
        ("vars: [other.yaml, {x: 1, name: flowers}, {name: ignored}]", "flowers"),
        (f"vars: [{{name: a{'_' * 48}9}}]", f"a{'_' * 48}9"),
    ],
)
def test_archive_name_is_the_name_in_dvc_yaml(tmp_path: Path, dvc_yaml: str | None, name: str) -> None:
    if dvc_yaml is not None:
        (tmp_path / "dvc.yaml").write_text(dvc_yaml)
    assert archive_name(tmp_path) == f"{name}_model.bentomodel"


@pytest.mark.parametrize(
    "name",
    ["My flowers", "Flowers", "flowers-2", "2flowers", "_a", "a_", "a/b", "../a", "''", "null", "5", "é", "a" * 51],
)
def test_archive_name_that_dvc_or_bentoml_refuse_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "dvc.yaml").write_text(f"vars: [{{name: {name}}}]")
    with pytest.raises(UserError, match=r"dvc.yaml: vars: name: expected up to 50 lower-case letters, .*, got '"):
        archive_name(tmp_path)


@pytest.mark.parametrize("text", ["", "5", "[", "vars: 5", "vars: [5]", "\0"])
def test_archive_name_of_a_damaged_dvc_yaml_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(UserError, match=r"dvc.yaml is not valid; `dvc dag` shows the error"):
        archive_name(tmp_path)
