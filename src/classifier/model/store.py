"""The BentoML store: import an archive, and load a model by its exact tag.

This is the only file that uses BentoML's private API; `tests/code/test_store.py` fails when that API moves. The
store's layout (a folder per version, and the file `latest`) is written here instead of with
`bentoml.models.import_model`, because that function copies file by file: another process can see half a model.
"""

import datetime as dt
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from classifier.model.archive import (
    ALL_FILES,
    FIXED_TIMESTAMP,
    HASHED_FILES,
    content_version,
    read_archive,
)
from utils.errors import UserError
from utils.files import printable

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML accepts no other value

if TYPE_CHECKING:  # importing these loads TensorFlow, which takes 10 s; defer it until arguments are checked
    import bentoml
    import keras


def import_model(path: Path) -> str:
    """Check an archive, add it to the BentoML store if it is not there, and return its tag; loads no TensorFlow.

    Raises:
        UserError: see `classifier.model.archive.read_archive`; or the store contains a changed copy.
    """
    return add_to_store(read_archive(path))


def load_model(path: Path) -> "tuple[bentoml.Model, keras.Model]":
    """Import an archive and load exactly its tag; see `import_model` and `load_from_store`."""
    return load_from_store(import_model(path))


def load_from_store(tag: str) -> "tuple[bentoml.Model, keras.Model]":
    """Load a model from the BentoML store; inside a Bento, from the Bento's own store.

    Returns:
        BentoML's model, with `tag`, `info.metadata` and `custom_objects`, and the Keras model.

    Raises:
        UserError: the content in the store does not match the tag.
    """
    bentoml = _import_bentoml()
    bento_model = bentoml.models.get(tag)
    if content_version({name: Path(bento_model.path, name).read_bytes() for name in HASHED_FILES}) != (
        bento_model.tag.version
    ):
        raise UserError(
            f"{tag} in {printable(bento_model.path)} does not match its tag; remove it and import the archive again"
        )
    return bento_model, bentoml.keras.load_model(bento_model)


def disable_usage_reports() -> None:
    """Stop usage reports also where BentoML has read its settings before this module set BENTOML_DO_NOT_TRACK."""
    from bentoml._internal.utils.analytics import usage_stats

    usage_stats.do_not_track.cache_clear()


def _import_bentoml() -> Any:
    import bentoml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML 1.4 deprecates its Keras module; the version is pinned
        import bentoml.keras
    return bentoml


def save_with_bentoml(name: str, model: "keras.Model", **options: Any) -> dict[str, bytes]:
    """Return the files that `bentoml.keras.save_model` writes, by file name; the user's store is unchanged."""
    bentoml = _import_bentoml()
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    with tempfile.TemporaryDirectory() as tmp_dir:
        _ensure_disk_space(tmp_dir, 2**20 + sum(weights.nbytes for weights in model.get_weights()))
        BentoMLContainer.model_store.set(ModelStore(tmp_dir))  # a temporary store, because the tag is not known yet
        try:
            saved = bentoml.keras.save_model(
                f"{name}:draft", model, signatures={"predict": {"batchable": True, "batch_dim": 0}}, **options
            )
            return {file.name: file.read_bytes() for file in Path(saved.path).iterdir() if file.is_file()}
        finally:
            BentoMLContainer.model_store.reset()


def _ensure_disk_space(folder: str, size: int) -> None:
    """Raise OSError if there is no space for `size` bytes. HDF5 would abort the process."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            error.filename = folder
            raise


def add_to_store(files: dict[str, bytes]) -> str:
    """Add the files of a model to the BentoML store in one atomic step, and return the tag."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    model_yaml = yaml.safe_load(files["model.yaml"])
    tag = f"{model_yaml['name']}:{model_yaml['version']}"
    entry = Path(BentoMLContainer.model_store_dir.get(), model_yaml["name"], model_yaml["version"])
    try:
        if entry.is_dir():
            _check_entry(entry, files, tag)
            # The same model may have other metadata: scores on other images, for example.
            stored = yaml.safe_load((entry / "model.yaml").read_bytes())
            if {**stored, "creation_time": FIXED_TIMESTAMP} == model_yaml:
                return tag
        model_yaml["creation_time"] = dt.datetime.now(dt.UTC).isoformat()
        _write_entry(entry, {**files, "model.yaml": yaml.safe_dump(model_yaml, sort_keys=False).encode()})
    except OSError as error:
        error.filename = error.filename or entry  # ENOSPC has no file name
        raise
    return tag


def _write_entry(entry: Path, files: dict[str, bytes]) -> None:
    from bentoml._internal.configuration.containers import BentoMLContainer

    tmp_dir = Path(tempfile.mkdtemp(dir=BentoMLContainer.tmp_bento_store_dir.get(), prefix="model-"))
    try:
        for name, content in files.items():
            (tmp_dir / name).write_bytes(content)
        tmp_dir.chmod(0o755)
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            tmp_dir.rename(entry)
        except OSError:
            if not entry.is_dir():  # else the model is there, possibly since a moment ago
                raise
            (tmp_dir / "model.yaml").replace(entry / "model.yaml")
        else:
            latest = tmp_dir.with_suffix(".latest")
            latest.write_text(entry.name)
            latest.replace(entry.parent / "latest")
    finally:
        shutil.rmtree(tmp_dir, ignore_errors=True)


def _check_entry(entry: Path, files: dict[str, bytes], tag: str) -> None:
    stored = {file.name: file.read_bytes() for file in entry.iterdir() if file.is_file()}
    changed = {name for name in HASHED_FILES if stored.get(name) != files[name]} | (stored.keys() ^ ALL_FILES)
    if changed:
        raise UserError(
            f"{tag} in the BentoML store does not match its tag: "
            f"{', '.join(map(printable, sorted(changed)))} changed in {printable(entry)}; "
            f"remove it (`bentoml models delete {tag} --yes`) and run this again"
        )
