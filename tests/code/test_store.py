"""The BentoML store: import, load by tag, and the private API of BentoML that it needs."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from classifier.model import archive, store
from support.archives import fake_files
from utils.errors import UserError


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Any]:
    """BentoML's container with an empty store in a temporary folder."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    folders = {"models": BentoMLContainer.model_store_dir, "tmp": BentoMLContainer.tmp_bento_store_dir}
    for name, provider in folders.items():
        (tmp_path / "store" / name).mkdir(parents=True)
        provider.set(str(tmp_path / "store" / name))
    BentoMLContainer.model_store.set(ModelStore(str(tmp_path / "store/models")))
    yield BentoMLContainer
    for provider in (*folders.values(), BentoMLContainer.model_store):
        provider.reset()


@pytest.fixture
def archive_path(tmp_path: Path) -> Path:
    """The archive of a model that cannot predict."""
    archive.write_archive(tmp_path / "fake.bentomodel", fake_files())
    return tmp_path / "fake.bentomodel"


def entry_of(container: Any, tag: str) -> Path:
    return Path(container.model_store_dir.get(), *tag.split(":"))


def read_all(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}


def test_private_api_of_bentoml_is_where_store_expects_it(tmp_path: Path) -> None:
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore
    from bentoml._internal.utils.analytics import usage_stats

    home = Path(os.environ["BENTOML_HOME"])
    assert Path(BentoMLContainer.model_store_dir.get()) == home / "models"
    assert Path(BentoMLContainer.tmp_bento_store_dir.get()) == home / "tmp"
    assert isinstance(BentoMLContainer.model_store.get(), ModelStore)
    temporary = ModelStore(str(tmp_path))
    BentoMLContainer.model_store.set(temporary)
    assert BentoMLContainer.model_store.get() is temporary
    BentoMLContainer.model_store.reset()
    assert BentoMLContainer.model_store.get() is not temporary
    usage_stats.do_not_track.cache_clear()


def test_disable_usage_reports_after_the_settings_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from bentoml._internal.utils.analytics import usage_stats

    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "False")
    usage_stats.do_not_track.cache_clear()
    assert not usage_stats.do_not_track()
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")  # as importing `store` does
    store.disable_usage_reports()
    assert usage_stats.do_not_track()


def test_import_model_adds_an_entry_that_bentoml_finds(container: Any, archive_path: Path) -> None:
    import bentoml

    tag = store.import_model(archive_path)
    assert tag == f"fake_model:{archive.content_version(fake_files())}"
    bento_model = bentoml.models.get(tag)
    assert Path(bento_model.path) == entry_of(container, tag)
    assert bento_model.info.creation_time.year > 2000
    assert str(bentoml.models.get("fake_model:latest").tag) == tag
    assert list(Path(container.tmp_bento_store_dir.get()).iterdir()) == []


def test_import_model_again_writes_nothing(container: Any, archive_path: Path, tmp_path: Path) -> None:
    store.import_model(archive_path)
    before = read_all(tmp_path / "store")
    store.import_model(archive_path)
    assert read_all(tmp_path / "store") == before


def test_import_model_with_other_metadata_replaces_only_model_yaml(
    container: Any, archive_path: Path, tmp_path: Path
) -> None:
    tag = store.import_model(archive_path)
    before = read_all(tmp_path / "store")
    archive.write_archive(archive_path, fake_files(scores={"val_accuracy": 0.5}))
    assert store.import_model(archive_path) == tag
    model_yaml = entry_of(container, tag) / "model.yaml"
    assert yaml.safe_load(model_yaml.read_text())["metadata"] == {"scores": {"val_accuracy": 0.5}}
    after = read_all(tmp_path / "store")
    assert {path for path in after if after[path] != before.get(path)} == {model_yaml}
    assert after.keys() == before.keys()


@pytest.mark.parametrize("change", ["changed", "missing", "added"])
def test_import_model_with_changed_entry_says_how_to_fix_it(container: Any, archive_path: Path, change: str) -> None:
    import bentoml

    tag = store.import_model(archive_path)
    weights = entry_of(container, tag) / "model.weights.h5"
    if change == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif change == "missing":
        weights.unlink()
    else:
        (weights.parent / "more.py").touch()
    name = "more.py" if change == "added" else weights.name
    expected = rf"{tag} .* does not match its tag: {re.escape(name)} changed in .*`bentoml models delete {tag} --yes`"
    with pytest.raises(UserError, match=expected):
        store.import_model(archive_path)
    bentoml.models.delete(tag)
    assert store.import_model(archive_path) == tag


def test_load_from_store_with_changed_content_fails_before_it_runs(
    container: Any, archive_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bentoml

    tag = store.import_model(archive_path)
    monkeypatch.setattr(store, "_import_bentoml", lambda: SimpleNamespace(models=bentoml.models))  # without Keras
    (entry_of(container, tag) / "custom_objects.pkl").write_bytes(b"other code")
    with pytest.raises(UserError, match="does not match its tag"):
        store.load_from_store(tag)
