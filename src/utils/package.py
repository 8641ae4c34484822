"""The model package: one .bentomodel file that stock BentoML loads anywhere. All of BentoML's store is here.

A package's version is a hash of its content, so a tag cannot mean two models, and packing the
same model twice gives the same bytes: the archive holds no clock, user or path. A package
carries code (custom_objects.pkl is a pickle): loading one is running it.
"""

import datetime
import functools
import hashlib
import inspect
import io
import json
import lzma
import os
import shutil
import struct
import tarfile
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from utils import card, images
from utils.stage import Failure, shown

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # the one value that BentoML takes for an opt-out

if TYPE_CHECKING:  # these load TensorFlow: ten seconds that a wrong call should not cost
    import bentoml
    import keras

NAME = "celestial_bodies_classifier_model"
FILE = f"{NAME}.bentomodel"
CONTENT = ("config.json", "custom_objects.pkl", "model.weights.h5")  # architecture, transforms with labels, weights
FILES = {*CONTENT, "metadata.json", "model.yaml"}
EPOCH = "1970-01-01T00:00:00+00:00"  # BentoML wants a creation time; the store sets the real one


def save(
    model: "keras.Model",
    labels: list[str],
    image_size: tuple[int, int],
    grayscale: bool,
    metadata: dict[str, Any],
    path: Path,
) -> str:
    """Write the package to `path`, add it to the BentoML store, and return its tag.

    Args:
        model: from uint8 images, N x height x width x channels, to logits, N x classes.
        labels: the classes' names, in the order of the logits.
        image_size: (height, width) in pixels.
        grayscale: one channel rather than three.
        metadata: parameters, scores and data; `bentoml models get` shows it, with classes, image size and a model card.
    """
    bentoml = _bentoml()
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    about = {"classes": labels, "image_size": list(image_size), "grayscale": grayscale, **metadata}
    bare = type(model).from_config(model.get_config())  # without the optimizer: two thirds of the weights' file
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as scratch:
        _claim(scratch, 2**20 + sum(weights.nbytes for weights in bare.get_weights()))
        BentoMLContainer.model_store.set(ModelStore(scratch))  # a store of its own: the tag is not known yet
        try:
            saved = bentoml.keras.save_model(
                f"{NAME}:draft",
                bare,
                signatures={"predict": {"batchable": True, "batch_dim": 0}},
                labels={
                    "task": "image-classification",
                    "classes": str(len(labels)),
                    "image_size": "x".join(map(str, image_size)),
                    "color_mode": "grayscale" if grayscale else "rgb",
                },
                custom_objects={
                    "preprocess": functools.partial(
                        _FromSource("preprocess"), image_size=list(image_size), grayscale=grayscale
                    ),
                    "postprocess": functools.partial(_FromSource("postprocess"), labels=list(labels)),
                },
                metadata={**about, "model_card": card.model_card(about)},
            )
            files = {file.name: file.read_bytes() for file in Path(saved.path).iterdir() if file.is_file()}
        finally:
            BentoMLContainer.model_store.reset()

    config, about = json.loads(files["config.json"]), json.loads(files["metadata.json"])
    files["config.json"] = _json(_without(config, "shared_object_id"))  # a memory address
    files["metadata.json"] = _json({**about, "date_saved": EPOCH})
    info = yaml.safe_load(files["model.yaml"])
    info["version"] = _version(files)
    info["creation_time"] = EPOCH
    del info["context"]["python_version"]  # BentoML then shows the reader's
    files["model.yaml"] = yaml.safe_dump(info, sort_keys=False).encode()

    _write(path, files)
    return _add_to_store(files)


def load(path: Path) -> "tuple[bentoml.Model, keras.Model]":
    """Check a package, import it into the BentoML store if it is not there, and load just that tag.

    Returns:
        BentoML's model, with `tag`, `info.metadata` and `custom_objects`, and the Keras model.

    Raises:
        Failure: no package, a damaged one, or one whose content is not what its tag says.
    """
    return load_tag(add(path))


def add(path: Path) -> str:
    """Check a package, import it into the BentoML store if it is not there, and return its tag; loads no TensorFlow.

    Raises:
        Failure: as for `load`.
    """
    return _add_to_store(_read(path))


def load_tag(tag: str) -> "tuple[bentoml.Model, keras.Model]":
    """Load a model from the BentoML store (in a Bento, the Bento's own); for the rest see `load`."""
    bentoml = _bentoml()
    stored = bentoml.models.get(tag)
    if _version({name: Path(stored.path, name).read_bytes() for name in CONTENT}) != stored.tag.version:
        raise Failure(f"{tag} in {shown(stored.path)} is not what its tag says; remove it and import it again")
    return stored, bentoml.keras.load_model(stored)


def _bentoml() -> Any:
    import bentoml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML 1.4 calls its Keras module deprecated; the version is pinned
        import bentoml.keras
    return bentoml


def _claim(folder: str, size: int) -> None:
    """See whether there is room for `size` bytes. Where there is none, the HDF5 library crashes the whole process."""
    with tempfile.TemporaryFile(dir=folder) as room:
        try:
            os.posix_fallocate(room.fileno(), 0, size)
        except OSError as error:
            error.filename = folder
            raise


class _FromSource:
    """A function of images.py that pickles as text: bytecode fails on the next Python, an import without `src`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(images, self.name)(*args, **kwargs)

    def __reduce__(self) -> tuple:
        run = f"exec(compile(source, 'images.py', 'exec'), scope) or scope['{self.name}']"
        return eval, (run, {"source": inspect.getsource(images), "scope": {"__name__": "images"}})


def _version(files: dict[str, bytes]) -> str:
    """The first 16 hex digits of the SHA-256 over name, length and bytes of each file in CONTENT."""
    digest = hashlib.sha256()
    for name in CONTENT:
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()[:16]


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _without(value: Any, *keys: str) -> Any:
    """A JSON value without these keys, at any depth."""
    if isinstance(value, dict):
        return {key: _without(item, *keys) for key, item in value.items() if key not in keys}
    return [_without(item, *keys) for item in value] if isinstance(value, list) else value


def _write(path: Path, files: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)  # its defaults: owner 0, time 0, mode 0644
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    path.write_bytes(_xz(stream.getvalue()))


def _xz(data: bytes) -> bytes:
    """Wrap data as an .xz file without compressing it (The .xz File Format 1.2.1, and LZMA2's uncompressed chunks).

    BentoML reads nothing but xz here, and what liblzma compresses to changes with its version;
    weights hardly compress in any case.
    """

    def sealed(part: bytes) -> bytes:
        part += bytes(-len(part) % 4)
        return part + struct.pack("<I", zlib.crc32(part))

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)

    flags = b"\x00\x01"  # the check is a CRC-32
    header = sealed(b"\x02\x00\x21\x01\x00")  # 12 bytes; one filter, LZMA2, with the smallest dictionary
    chunks = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    body = b"".join(
        (b"\x02" if i else b"\x01") + struct.pack(">H", len(chunk) - 1) + chunk for i, chunk in enumerate(chunks)
    )
    body += b"\x00"
    index = sealed(b"\x00\x01" + number(len(header) + len(body) + 4) + number(len(data)))
    end = struct.pack("<I", len(index) // 4 - 1) + flags
    start = b"\xfd7zXZ\x00" + flags + struct.pack("<I", zlib.crc32(flags))
    block = header + body + bytes(-len(body) % 4) + struct.pack("<I", zlib.crc32(data))
    return start + block + index + struct.pack("<I", zlib.crc32(end)) + end + b"YZ"


def _read(path: Path) -> dict[str, bytes]:
    remedy = "fetch it again (`dvc checkout`, `dvc pull`) or train again (`dvc repro`)"
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")  # as `bentoml models export` writes them
                if entry.isdir() and name in ("", "."):
                    continue
                if name not in FILES or not entry.isfile() or entry.size > 2**31:
                    raise Failure(f"{shown(path)} holds '{shown(entry.name)}', which no package of this project does")
                files[name] = archive.extractfile(entry).read()
        info = yaml.safe_load(files["model.yaml"])
        tag, version = f"{info['name']}:{info['version']}", _version(files)
        if not isinstance(info["creation_time"], str) or files.keys() != FILES:
            raise KeyError("metadata.json")
    except FileNotFoundError:
        raise Failure(f"{shown(path)} is missing; {remedy}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, yaml.YAMLError, KeyError, TypeError) as error:
        raise Failure(f"{shown(path)} is damaged, or no package of this project ({error}); {remedy}") from None
    if tag != f"{NAME}:{version}":
        raise Failure(f"{shown(path)} calls itself {tag}, but its content is {NAME}:{version}; {remedy}")
    return files


def _add_to_store(files: dict[str, bytes]) -> str:
    """Put a package's files into the BentoML store, in one step that others see whole or not at all."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    info = yaml.safe_load(files["model.yaml"])
    tag = f"{info['name']}:{info['version']}"
    info["creation_time"] = datetime.datetime.now(datetime.UTC).isoformat()
    here = {**files, "model.yaml": yaml.safe_dump(info, sort_keys=False).encode()}
    entry = Path(BentoMLContainer.model_store_dir.get(), info["name"], info["version"])
    scratch = Path(tempfile.mkdtemp(dir=BentoMLContainer.tmp_bento_store_dir.get(), prefix=f"{NAME}-"))
    try:
        for name, content in here.items():
            (scratch / name).write_bytes(content)
        scratch.chmod(0o755)
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.rename(entry)
        except OSError:
            if not entry.is_dir():
                raise
            _check_entry(entry, files, tag)
            # The same model may have come with other metadata: scores on other test pictures, say.
            stored = yaml.safe_load((entry / "model.yaml").read_bytes())
            if {**stored, "creation_time": EPOCH} != yaml.safe_load(files["model.yaml"]):
                os.replace(scratch / "model.yaml", entry / "model.yaml")
        else:
            latest = scratch.with_suffix(".latest")
            latest.write_text(info["version"])
            os.replace(latest, entry.parent / "latest")
    except OSError as error:
        error.filename = error.filename or entry  # a full disk does not say whose file it was
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return tag


def _check_entry(entry: Path, files: dict[str, bytes], tag: str) -> None:
    stored = {file.name: file.read_bytes() for file in entry.iterdir() if file.is_file()}
    changed = {name for name in CONTENT if stored.get(name) != files[name]} | (stored.keys() ^ FILES)
    if changed:
        raise Failure(
            f"{tag} in the BentoML store is not what its tag says: "
            f"{', '.join(map(shown, sorted(changed)))} changed in {shown(entry)}; "
            f"remove it (`bentoml models delete {tag} --yes`) and run this again"
        )
