"""The model archive: one .bentomodel file, named by its content.

The version is a hash of the content, so a tag identifies one model. Saving the same model twice gives the same bytes:
archives contain no timestamps, user names or paths. An archive contains code (custom_objects.pkl is a pickle), so
loading a model runs code.
"""

import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import yaml

from classifier.model.xz import store_as_xz
from utils.errors import UserError
from utils.files import printable

MODEL_NAME = "celestial_bodies_classifier_model"
ARCHIVE_NAME = f"{MODEL_NAME}.bentomodel"
HASHED_FILES = ("config.json", "custom_objects.pkl", "model.weights.h5")  # architecture, transforms and labels, weights
ALL_FILES = {*HASHED_FILES, "metadata.json", "model.yaml"}
FIXED_TIMESTAMP = "1970-01-01T00:00:00+00:00"  # BentoML requires a creation time; the store sets the real one
MAX_FILE_BYTES = 2**31


def content_version(files: dict[str, bytes]) -> str:
    """Return the first 16 hex digits of the SHA-256 over name, length and content of each file in HASHED_FILES."""
    digest = hashlib.sha256()
    for name in HASHED_FILES:
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()[:16]


def canonical_json(value: Any) -> bytes:
    """Return a JSON value as text that depends on nothing but the value."""
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def drop_keys(value: Any, *keys: str) -> Any:
    """Return a JSON value without these keys, at any depth."""
    if isinstance(value, dict):
        return {key: drop_keys(item, *keys) for key, item in value.items() if key not in keys}
    return [drop_keys(item, *keys) for item in value] if isinstance(value, list) else value


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write the files of a model as one .bentomodel file: a tar file in an xz container."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)  # the defaults: owner 0, time 0, mode 0644
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    path.write_bytes(store_as_xz(stream.getvalue()))


def read_archive(path: Path) -> dict[str, bytes]:
    """Read and check an archive without running its code.

    Returns:
        The content of each file, by name.

    Raises:
        UserError: the archive is missing or damaged, contains an unexpected file, or its content does not match its
            tag.
    """
    fix = "fetch it again (`dvc checkout`, `dvc pull`) or train again (`dvc repro`)"
    shown = printable(path)
    try:
        files = _read_members(path)
        info = yaml.safe_load(files["model.yaml"])
        tag, version = f"{info['name']}:{info['version']}", content_version(files)
        if not isinstance(info["creation_time"], str) or files.keys() != ALL_FILES:
            raise KeyError("metadata.json")
    except FileNotFoundError:
        raise UserError(f"{shown} is missing; {fix}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{shown} is damaged, or not a model archive of this project ({error}); {fix}") from None
    if tag != f"{MODEL_NAME}:{version}":
        raise UserError(f"{shown} has tag {tag}, but its content is {MODEL_NAME}:{version}; {fix}")
    return files


def _read_members(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tarfile.open(path, "r:xz") as archive:
        for entry in archive:
            name = entry.name.removeprefix("./")  # as `bentoml models export` writes them
            if entry.isdir() and name in ("", "."):
                continue
            content = archive.extractfile(entry) if entry.isfile() and entry.size <= MAX_FILE_BYTES else None
            if name not in ALL_FILES or content is None:
                raise UserError(f"{printable(path)} contains an unexpected file '{printable(entry.name)}'")
            files[name] = content.read()
    return files
