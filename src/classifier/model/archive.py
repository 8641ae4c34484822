"""The model archive: one .bentomodel file. Its tag is the model's name and a hash of the content.

So a tag identifies one model. Saving the same model twice gives the same bytes: archives contain no timestamps, user
names or paths. An archive contains code (custom_objects.pkl is a pickle), so loading a model runs code.
"""

import hashlib
import io
import json
import lzma
import re
import tarfile
from pathlib import Path
from typing import Any

import yaml

from classifier.model.xz import store_as_xz
from utils.errors import UserError
from utils.files import printable

DEFAULT_NAME = "celestial_bodies_classifier"  # of the project
NAME_PATTERN = r"[a-z]([a-z0-9_]{0,48}[a-z0-9])?"  # what BentoML and DVC accept
HASHED_FILES = ("config.json", "custom_objects.pkl", "model.weights.h5")  # architecture, transforms and labels, weights
ALL_FILES = {*HASHED_FILES, "metadata.json", "model.yaml"}
FIXED_TIMESTAMP = "1970-01-01T00:00:00+00:00"  # BentoML requires a creation time; the store sets the real one
MAX_FILE_BYTES = 2**31


def archive_name(project_dir: Path = Path()) -> str:
    """Return the file name of the model archive: the model's name, which is the project's name with "_model".

    The project's name is `name` in the `vars` of dvc.yaml.

    Raises:
        UserError: dvc.yaml or the name is not valid.
    """
    path = project_dir / "dvc.yaml"
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        names = [entry["name"] for entry in document.get("vars", []) if "name" in entry]
    except FileNotFoundError:  # code without the pipeline
        names = []
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        raise UserError(f"{printable(path)} is not valid; `dvc dag` shows the error") from None
    name = names[0] if names else DEFAULT_NAME
    if not re.fullmatch(NAME_PATTERN, str(name)):
        raise UserError(
            f"{printable(path)}: vars: name: expected up to 50 lower-case letters, digits and underscores, which start "
            f"with a letter, got {str(name)[:80]!r}"
        )
    return f"{name}_model.bentomodel"


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
        name, version = info["name"], content_version(files)
        if missing := ALL_FILES - files.keys():
            raise KeyError(min(missing))
        if not isinstance(info["creation_time"], str):
            raise KeyError("creation_time")
        if not re.fullmatch(f"{NAME_PATTERN}_model", name):
            raise KeyError("name")
    except FileNotFoundError:
        raise UserError(f"{shown} is missing; {fix}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{shown} is damaged, or not a model archive of this project ({error}); {fix}") from None
    if info["version"] != version:
        raise UserError(f"{shown} has tag {name}:{info['version']}, but its content is {name}:{version}; {fix}")
    return files


def _read_members(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with lzma.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            name = entry.name.removeprefix("./")  # as `bentoml models export` writes them
            if entry.isdir() and name in ("", "."):
                continue
            content = archive.extractfile(entry) if entry.isfile() and entry.size <= MAX_FILE_BYTES else None
            if name not in ALL_FILES or content is None:
                raise UserError(f"{printable(path)} contains an unexpected file '{printable(entry.name)}'")
            files[name] = content.read()
        padding = stream.read(tarfile.RECORDSIZE)  # zeros, if the end of the last file is also the end of a record
        if padding.strip(b"\0") or stream.read(1):  # at the end, lzma checks all checksums
            raise tarfile.ReadError("data after the last file")
    return files
