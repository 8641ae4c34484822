"""Images drawn for tests."""

import base64
import io
import struct
from typing import Any

import numpy as np
from PIL import Image


def gradient_image(mode: str = "RGB") -> Image.Image:
    """Return a colour gradient of 60 x 40 pixels."""
    y, x = np.mgrid[:40, :60]
    return Image.fromarray(np.stack([x * 4, y * 6, 255 - x * 2], axis=2).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def rgb_profile(gamma: float) -> bytes:
    """Return an ICC profile (version 2) with the primaries of Adobe RGB and another gamma."""
    columns = {b"rXYZ": (0.6097, 0.3111, 0.0195), b"gXYZ": (0.2053, 0.6257, 0.0609), b"bXYZ": (0.1492, 0.0632, 0.7446)}
    columns[b"wtpt"] = white = (0.9642, 1, 0.8249)
    tags = {name: b"XYZ " + bytes(4) + fixed_point(xyz) for name, xyz in columns.items()}
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    header = struct.pack(">I4xI12s12x4s28x", start + len(data), 0x02100000, b"mntrRGB XYZ ", b"acsp") + fixed_point(
        white
    )
    return header.ljust(128, b"\0") + table + data


def fixed_point(xyz: tuple[float, ...]) -> bytes:
    """Return numbers as an ICC profile stores them."""
    return b"".join(struct.pack(">i", round(number * 2**16)) for number in xyz)


# 64 x 64 pixels: the left half is blue (20, 60, 200), the right half is red (200, 60, 40)
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAA"
    "AERAAAEAAQAAAAABegABAAAAAAAAACsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3"
    "aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAA"
    "AwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBw"
    "aXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAADNtZGF0AAAAJygBrxOA5TPAn//zVqK/8wTV/0pBKpW+I6D/89LsX8dIdykVk/Z0"
    "fA=="
)
