"""The model archive and its xz container, without BentoML."""

import hashlib
import lzma
import pickle
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from classifier import decoding
from classifier.images import preprocess
from classifier.model import archive
from classifier.model.saving import PickleBySource
from classifier.model.xz import store_as_xz
from support.archives import fake_files
from support.images import encode, gradient_image
from utils.errors import UserError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The archive of a model that cannot predict."""
    archive.write_archive(tmp_path / "model.bentomodel", fake_files())
    return tmp_path / "model.bentomodel"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 127, 128, 65_535, 65_536, 65_537, 300_000])
def test_store_as_xz_is_read_by_lzma(size: int) -> None:
    data = random.Random(size).randbytes(size)
    stored = store_as_xz(data)
    assert lzma.decompress(stored) == data
    assert len(stored) % 4 == 0
    assert len(stored) < size + 100 + 3 * (size // 65_536)


def test_store_as_xz_detects_changed_byte() -> None:
    stored = bytearray(store_as_xz(bytes(1000)))
    stored[500] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(stored)


@pytest.mark.parametrize("num_blocks", range(tarfile.RECORDSIZE // tarfile.BLOCKSIZE))
def test_read_archive_of_any_size_returns_what_write_archive_wrote(path: Path, num_blocks: int) -> None:
    files = fake_files()
    files["metadata.json"] += b" " * num_blocks * tarfile.BLOCKSIZE
    archive.write_archive(path, files)
    assert archive.read_archive(path) == files


def test_write_archive_of_equal_files_in_other_order_writes_equal_bytes(path: Path, tmp_path: Path) -> None:
    archive.write_archive(tmp_path / "other", dict(reversed(fake_files().items())))
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_write_archive_stores_no_time_user_or_permissions(path: Path) -> None:
    with tarfile.open(path) as members:
        for entry in members:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) == (0, 0, 0, "", "", 0o644)


def test_content_version_is_sha256_of_names_sizes_and_contents() -> None:
    files = {"model.weights.h5": b"w", "config.json": b"{}", "custom_objects.pkl": b"", "model.yaml": b"not hashed"}
    expected = hashlib.sha256(b"config.json 2\n{}custom_objects.pkl 0\nmodel.weights.h5 1\nw")
    assert archive.content_version(files) == expected.hexdigest()[:16]


@pytest.mark.parametrize("name", archive.HASHED_FILES)
def test_content_version_depends_on_hashed_files(name: str) -> None:
    files = fake_files()
    assert archive.content_version({**files, name: files[name] + b"x"}) != archive.content_version(files)


@pytest.mark.parametrize("name", archive.HASHED_FILES)
def test_read_archive_with_changed_content_fails(path: Path, name: str) -> None:
    files = fake_files()
    archive.write_archive(path, {**files, name: files[name] + b"x"})
    with pytest.raises(UserError, match=r"has tag .*, but its content is .*; fetch it again"):
        archive.read_archive(path)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "more.py", "./../x"])
def test_read_archive_with_unexpected_file_fails(path: Path, name: str) -> None:
    archive.write_archive(path, {**fake_files(), name: b"x"})
    with pytest.raises(UserError, match="contains an unexpected file"):
        archive.read_archive(path)


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_read_archive_with_member_that_is_not_a_file_fails(path: Path, type_: bytes) -> None:
    with tarfile.open(path, "w:xz") as members:
        entry = tarfile.TarInfo("config.json")
        entry.type, entry.linkname = type_, "/etc/passwd"
        members.addfile(entry)
    with pytest.raises(UserError, match="contains an unexpected file"):
        archive.read_archive(path)


@pytest.mark.parametrize("name", sorted(archive.ALL_FILES))
def test_read_archive_without_a_file_fails(path: Path, name: str) -> None:
    files = fake_files()
    del files[name]
    archive.write_archive(path, files)
    with pytest.raises(UserError, match="is damaged"):
        archive.read_archive(path)


@pytest.mark.parametrize(
    "model_yaml",
    [
        b"",
        b"[]",
        b"{",
        b"name: x_model",
        b"name: x_model\nversion: y\n",
        b"name: x_model\nversion: y\ncreation_time: 1970-01-01",
        b"name: ../x_model\nversion: y\ncreation_time: '1970-01-01'",
        b"name: x\nversion: y\ncreation_time: '1970-01-01'",
        b"name: 5\nversion: y\ncreation_time: '1970-01-01'",
    ],
)
def test_read_archive_with_wrong_model_yaml_fails(path: Path, model_yaml: bytes) -> None:
    archive.write_archive(path, {**fake_files(), "model.yaml": model_yaml})
    with pytest.raises(UserError, match="is damaged"):
        archive.read_archive(path)


@pytest.mark.parametrize("size", [0, 20, 5000, -1])
def test_read_archive_of_truncated_file_fails(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"is damaged.*fetch it again"):
        archive.read_archive(path)


@pytest.mark.parametrize("position", [0, 5000, -30, -1])
def test_read_archive_with_a_flipped_bit_fails(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged.*fetch it again"):
        archive.read_archive(path)


def test_read_archive_of_other_file_fails(path: Path) -> None:
    path.write_bytes(b"a random file")
    with pytest.raises(UserError, match=r"is damaged.*fetch it again"):
        archive.read_archive(path)


def test_read_archive_of_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing; fetch it again \(`dvc checkout`"):
        archive.read_archive(tmp_path / "model.bentomodel")


def test_read_archive_runs_no_code_of_the_archive(path: Path, tmp_path: Path) -> None:
    class CreatesFile:
        def __reduce__(self) -> tuple:
            return open, (str(tmp_path / "created"), "w")

    archive.write_archive(path, fake_files(custom_objects=pickle.dumps(CreatesFile())))
    archive.read_archive(path)
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1.5, None]}, b'{\n "a": [\n  1.5,\n  null\n ],\n "b": 1\n}\n'),
        ("é", b'"\\u00e9"\n'),
    ],
)
def test_canonical_json_is_sorted_ascii(value: object, expected: bytes) -> None:
    assert archive.canonical_json(value) == expected


def test_drop_keys_removes_keys_at_any_depth() -> None:
    value = {"id": 1, "layers": [{"id": 2, "name": "a"}, 3], "config": {"id": {"x": 1}, "y": "id"}}
    assert archive.drop_keys(value, "id") == {"layers": [{"name": "a"}, 3], "config": {"y": "id"}}


def test_pickle_by_source_loads_without_this_repository(tmp_path: Path) -> None:
    (tmp_path / "preprocess.pkl").write_bytes(pickle.dumps(PickleBySource(preprocess, decoding)))
    (tmp_path / "image.png").write_bytes(encode(gradient_image(), "PNG"))
    code = """
import pickle, sys
import numpy
preprocess = pickle.loads(open("preprocess.pkl", "rb").read())
numpy.save("array.npy", preprocess("image.png", image_size=[24, 20], grayscale=False))
assert not [name for name in sys.modules if name.split(".")[0] in ("classifier", "utils")]
"""
    subprocess.run((sys.executable, "-I", "-c", code), cwd=tmp_path, check=True)
    expected = preprocess(tmp_path / "image.png", image_size=[24, 20], grayscale=False)
    assert np.array_equal(np.load(tmp_path / "array.npy"), expected)
